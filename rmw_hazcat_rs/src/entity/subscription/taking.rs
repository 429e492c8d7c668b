//! Taking messages: into the caller's memory, as bytes, or on loan; none that has expired or cannot be decoded.

use std::ffi::c_void;
use std::sync::atomic::Ordering;

use hazcat_core::queue::Passage;
use hazcat_core::sys::clock::monotonic_nanos;
use hazcat_core::{Gid, RawSample, SampleInfo, TakeError};

use super::{most_unread, Subscription};
use crate::clock;
use crate::encoding;
use crate::entity::loan::{PrivateMessage, TakenLoan};
use crate::entity::lock;
use crate::entity::unreadable::MOST_AT_ONCE;
use crate::error::{Context as _, Failure, Result};
use crate::ffi;
use crate::identity;

/// What is known about a taken message besides its content.
#[derive(Clone, Copy, Debug)]
pub struct TakenInfo {
    info: SampleInfo,
    received_timestamp: i64,
    reception_number: u64,
}

impl TakenInfo {
    /// As the C interface has it.
    pub fn to_ffi(self) -> ffi::rmw_message_info_t {
        let mut info = ffi::rmw_message_info_t {
            source_timestamp: self.info.source_timestamp,
            received_timestamp: self.received_timestamp,
            publication_sequence_number: self.info.number.0,
            reception_sequence_number: self.reception_number,
            from_intra_process: false,
            ..ffi::rmw_message_info_t::default()
        };
        info.publisher_gid = gid_to_ffi(self.info.gid);
        info
    }
}

/// A gid as the C interface has it.
pub fn gid_to_ffi(gid: Gid) -> ffi::rmw_gid_t {
    let mut out = ffi::rmw_gid_t { implementation_identifier: identity::identifier(), ..ffi::rmw_gid_t::default() };
    for (to, from) in out.data.iter_mut().zip(gid.0) {
        *to = from;
    }
    out
}

/// Where the core finds a subscription's next message: in the subscription's own memory, or where it lies.
pub(in crate::entity) type TakeFn = fn(&hazcat_core::Subscription) -> std::result::Result<Option<RawSample>, TakeError>;

/// A held message that is given back when this is dropped.
pub(in crate::entity) struct Held<'a> {
    pub(super) core: &'a hazcat_core::Subscription,
    pub(in crate::entity) raw: RawSample,
}

impl Held<'_> {
    /// Its bytes; none where they lie in device memory.
    fn payload(&self) -> &[u8] {
        if !self.raw.domain.is_host() {
            return &[];
        }
        // SAFETY: a held message on the host is `len` readable bytes that nobody changes until it is returned, which happens
        // when this is dropped.
        unsafe { std::slice::from_raw_parts(self.raw.ptr.as_ptr(), self.raw.len) }
    }

    /// Goes on holding the message without this.
    pub(in crate::entity) fn keep(self) -> RawSample {
        let raw = self.raw;
        std::mem::forget(self);
        raw
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // It is held: nobody else returns it.
        let _ = self.core.return_raw(self.raw.index);
    }
}

impl Subscription {
    /// The next message that has not expired, held.
    fn next(&self) -> Result<Option<Held<'_>>> {
        self.next_by(hazcat_core::Subscription::take_raw)
    }

    /// The next message that has not expired, held, in the memory in which `take` finds it.
    pub(in crate::entity) fn next_by(&self, take: TakeFn) -> Result<Option<Held<'_>>> {
        if !self.may_have_looked() {
            let raw = take(&self.core).or_error(|| self.subject())?;
            // Only now is known whether its publisher's messages expire.
            match raw.map(|raw| Held { core: &self.core, raw }) {
                Some(held) if is_expired(&held.raw.info) => {}
                other => return Ok(other),
            }
        }
        let kept = lock(&self.looked_at).take();
        if let Some(raw) = kept {
            let held = Held { core: &self.core, raw };
            if self.is_current(&held.raw) {
                return Ok(Some(held));
            }
            self.let_pass(held);
        }
        self.next_unexpired(take)
    }

    pub(super) fn next_unexpired(&self, take: TakeFn) -> Result<Option<Held<'_>>> {
        loop {
            let Some(raw) = take(&self.core).or_error(|| self.subject())? else { return Ok(None) };
            let held = Held { core: &self.core, raw };
            if !is_expired(&held.raw.info) {
                return Ok(Some(held));
            }
        }
    }

    pub(super) fn may_have_looked(&self) -> bool {
        self.may_expire.load(Ordering::Relaxed) || self.may_be_back.load(Ordering::Relaxed)
    }

    /// Has the next take find a message again.
    pub(in crate::entity) fn put_back(&self, held: Held<'_>) {
        self.may_be_back.store(true, Ordering::Relaxed);
        let former = lock(&self.looked_at).replace(held.keep());
        if let Some(raw) = former {
            self.let_pass(Held { core: &self.core, raw });
        }
    }

    /// Does without a message that was looked at before: it has expired, or else is lost.
    pub(super) fn let_pass(&self, held: Held<'_>) {
        if !is_expired(&held.raw.info) {
            let _ = self.core.lose_raw(held.keep().index);
        }
    }

    /// Whether a message that was looked at before is still to be delivered: not expired, and not pushed out of the
    /// history by newer ones.
    pub(super) fn is_current(&self, raw: &RawSample) -> bool {
        !is_expired(&raw.info) && self.core.unread_estimate() < most_unread(&self.qos)
    }

    pub(in crate::entity) fn taken(&self, info: SampleInfo) -> TakenInfo {
        TakenInfo {
            info,
            received_timestamp: clock::now_nanos(),
            reception_number: self.received.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// Takes the next message into `message`.
    ///
    /// # Safety
    /// `message` points to an initialised message of this subscription's type that nobody else uses.
    pub unsafe fn take(&self, message: *mut c_void) -> Result<Option<TakenInfo>> {
        if self.device.is_some() {
            // SAFETY: forwarded from the caller.
            return unsafe { self.take_to_host(message) };
        }
        for _ in 0..MOST_AT_ONCE {
            let held = self.next();
            self.collect_losses();
            let Some(held) = held? else { return Ok(None) };
            let info = held.raw.info;
            // SAFETY: forwarded from the caller.
            match unsafe { encoding::read(&self.kind, info.encoding, held.payload(), message) } {
                Ok(()) => {
                    self.core.count_copied_out(encoding::passage(info.encoding), held.raw.len);
                    return Ok(Some(self.taken(info)));
                }
                Err(failure) => self.pass_over(held, failure)?,
            }
        }
        Ok(None)
    }

    /// Takes the next message in serialized form.
    pub fn take_serialized(&self, out: &mut ffi::rmw_serialized_message_t) -> Result<Option<TakenInfo>> {
        if self.device.is_some() {
            return self.take_serialized_to_host(out);
        }
        let held = self.next();
        self.collect_losses();
        let Some(held) = held? else { return Ok(None) };
        encoding::copy_serialized(&self.kind, held.raw.info.encoding, held.payload(), out)
            .map_err(|failure| failure.about(self.subject()))?;
        // To take a serialized message as it is, is to copy it; a plain one is serialized for that.
        let passage = if held.raw.info.encoding == encoding::CDR { Passage::Copied } else { Passage::Serialized };
        self.core.count_copied_out(passage, held.raw.len);
        Ok(Some(self.taken(held.raw.info)))
    }

    /// Takes the next message on loan: the message in shared memory, or in the memory of the subscription's device, itself; a
    /// private copy of one that came serialized, or that lies on a device of which the program knows nothing.
    pub fn take_loaned(&self) -> Result<Option<(*mut c_void, TakenInfo)>> {
        if !self.can_loan() {
            return Err(self.cannot_loan());
        }
        if self.device.as_ref().is_some_and(|device| !device.lends()) {
            return self.lend_copy();
        }
        for _ in 0..MOST_AT_ONCE {
            let held = self.next();
            self.collect_losses();
            let Some(held) = held? else { return Ok(None) };
            let info = held.raw.info;
            if let Some(device) = &self.device {
                if let Err(failure) = self.check_lendable(device, &held.raw) {
                    self.pass_over(held, failure)?;
                    continue;
                }
                return Ok(Some((self.lend_on_device(device, held)?, self.taken(info))));
            }
            let pointer = match self.decoded(&held) {
                Ok(None) => {
                    let raw = held.keep();
                    self.loans.lend(raw.ptr, TakenLoan::Shared(raw.index))
                }
                Ok(Some(message)) => {
                    self.core.count_copied_out(encoding::passage(info.encoding), held.raw.len);
                    self.loans.lend(message.as_ptr(), TakenLoan::Private(message))
                }
                Err(failure) => {
                    self.pass_over(held, failure)?;
                    continue;
                }
            };
            return Ok(Some((pointer, self.taken(info))));
        }
        Ok(None)
    }

    /// A private copy of a message that came serialized; `None` of one that can be lent as it is.
    fn decoded(&self, held: &Held<'_>) -> Result<Option<PrivateMessage>> {
        let encoding = held.raw.info.encoding;
        if encoding == encoding::PLAIN {
            return encoding::plain_payload(&self.kind, held.payload()).map(|_| None);
        }
        let message = PrivateMessage::new(&self.kind)?;
        // SAFETY: a fresh message of this type.
        unsafe { encoding::read(&self.kind, encoding, held.payload(), message.as_ptr().as_ptr().cast()) }?;
        Ok(Some(message))
    }

    /// Takes a loan back.
    pub fn return_loan(&self, message: *const c_void) -> Result<()> {
        if !self.can_loan() {
            return Err(self.cannot_loan());
        }
        match self.loans.end(message) {
            Some(TakenLoan::Shared(index)) => self.core.return_raw(index).or_error(|| self.subject()),
            Some(TakenLoan::Device(raw)) => self.return_to_device(&raw),
            Some(TakenLoan::Private(message)) => {
                drop(message);
                Ok(())
            }
            None => Err(Failure::error("this message is not on loan from this subscription, or was returned already")
                .about(self.subject())),
        }
    }

    fn cannot_loan(&self) -> Failure {
        let text = format!("type '{}' has strings or sequences and cannot be loaned", self.kind.ros_name());
        Failure::unsupported(text).about(self.subject())
    }
}

/// Whether a message of a topic, or a request, is not good any more. By the clock that nobody sets: a command must not come to life
/// again, nor die, because the time of day was corrected.
pub(in crate::entity) fn is_expired(info: &SampleInfo) -> bool {
    info.correlation != 0 && u64::try_from(info.correlation).is_ok_and(|expiry| expiry <= monotonic_nanos())
}

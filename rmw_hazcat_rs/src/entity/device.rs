//! Publishers and subscriptions whose messages lie in device memory.
//!
//! | call | what happens |
//! |---|---|
//! | borrow, publish loaned | the program fills device memory; nothing is copied |
//! | publish, publish serialized | one copy from the host to the device, there when the call returns |
//! | take loaned | the message in the subscription's device: where the publisher put it, or the one copy for this device |
//! | take, take serialized | one copy to the host, straight into the program's message, from wherever the message lies: no copy on the device is made for that |
//!
//! To a program that has not said that it knows what a device's address is, messages on the host are lent, which are copied to
//! the device when they are published, and off it when they are taken.
//!
//! Only plain messages get here; a serialized one of a plain type was decoded when it was published.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hazcat_core::domain::{DomainId, Stream};
use hazcat_core::queue::{Passage, MOST_FAILED_COPIES};
use hazcat_core::RawSample;

use super::device_loans;
use super::loan::{GivenLoan, PrivateMessage, TakenLoan};
use super::node::Node;
use super::publisher::{loan_failure, Publisher};
use super::subscription::{Held, Subscription, TakenInfo};
use super::unreadable::MOST_AT_ONCE;
use crate::encoding;
use crate::error::{Context as _, Failure, Result};
use crate::ffi;
use crate::logging::{log, Severity};
use crate::preference::payload::Payload;
use crate::preference::{Choice, Endpoint, Side};
use crate::typesupport::MessageType;

/// Chooses the memory of an endpoint that is being created.
pub(super) fn choose(
    node: &Node,
    side: Side,
    topic: &str,
    kind: &MessageType,
    payload: Option<&Payload>,
) -> Result<Choice> {
    let node_name = node.full_name();
    let variable_size = (!kind.is_plain()).then(|| kind.ros_name());
    let endpoint = Endpoint { side, node: &node_name, topic, variable_size, payload };
    node.context().preferences().choose(&endpoint)
}

/// How an endpoint uses a device.
pub struct DeviceUse {
    domain: DomainId,
    lends: bool,
    stream: Option<Stream>,
    /// Whether it was said that messages come to the host although the program could have them on the device.
    said_copied: AtomicBool,
    /// Messages in a row that could not be copied to the host.
    failed: AtomicU32,
}

impl DeviceUse {
    /// `None` where the choice was the host.
    pub(super) fn of(choice: &Choice) -> Option<Self> {
        let Choice { domain, lends, stream } = *choice;
        (!domain.is_host()).then(|| Self {
            domain,
            lends,
            stream,
            said_copied: AtomicBool::new(false),
            failed: AtomicU32::new(0),
        })
    }

    /// Whether the program knows what to do with an address of the device.
    pub(super) fn lends(&self) -> bool {
        self.lends
    }

    /// The stream that writes or reads its loans.
    pub(super) fn stream(&self) -> Option<Stream> {
        self.stream
    }
}

impl Publisher {
    /// Copies a plain message to the device and publishes it there.
    ///
    /// # Safety
    /// `message` points to an initialised message of this publisher's type, which nobody changes meanwhile.
    #[cold]
    pub(super) unsafe fn publish_on_device(&self, message: *const c_void) -> Result<()> {
        let length = self.kind.size_of();
        // SAFETY: a plain message is so many bytes; padding in it was written when it was initialised, or is never looked at.
        let bytes = unsafe { std::slice::from_raw_parts(message.cast::<u8>(), length) };
        let loan = self.core.loan_on_device_raw(length).map_err(|error| loan_failure(&error))?;
        if let Err(error) = self.core.copy_to_loan(&loan, bytes) {
            self.core.return_raw(loan);
            return Err(Failure::error(error.to_string()).about(self.subject()));
        }
        self.core.publish_raw(loan, length, &self.meta(encoding::PLAIN)).or_error(|| self.subject())?;
        self.show_publication();
        Ok(())
    }

    pub(super) fn borrow_on_device(&self, device: &DeviceUse) -> Result<*mut c_void> {
        if !device.lends {
            let message = PrivateMessage::new(&self.kind).map_err(|failure| failure.about(self.subject()))?;
            return Ok(self.loans.lend(message.as_ptr(), GivenLoan::Private(message)));
        }
        let length = self.kind.size_of();
        let loan = self.core.loan_on_device_raw(length).map_err(|error| loan_failure(&error))?;
        device_loans::begin(loan.ptr.as_ptr().cast(), length, device.domain);
        Ok(self.loans.lend(loan.ptr, GivenLoan::InPlace(loan)))
    }
}

impl Subscription {
    /// Takes the next message into `message`, on the host.
    ///
    /// # Safety
    /// As for [`Subscription::take`].
    #[cold]
    pub(super) unsafe fn take_to_host(&self, message: *mut c_void) -> Result<Option<TakenInfo>> {
        // SAFETY: forwarded from the caller; plain messages are so many bytes.
        let to = unsafe { std::slice::from_raw_parts_mut(message.cast::<u8>(), self.kind.size_of()) };
        self.take_where_it_lies(Passage::Copied, |raw| self.copy_out(raw, to))
    }

    /// Takes the next message as a copy on the host, and lends that out.
    #[cold]
    pub(super) fn lend_copy(&self) -> Result<Option<(*mut c_void, TakenInfo)>> {
        let message = PrivateMessage::new(&self.kind).map_err(|failure| failure.about(self.subject()))?;
        // SAFETY: a fresh message of this type.
        let taken = unsafe { self.take_to_host(message.as_ptr().as_ptr().cast()) }?;
        Ok(taken.map(|info| (self.loans.lend(message.as_ptr(), TakenLoan::Private(message)), info)))
    }

    /// Takes the next message in serialized form.
    #[cold]
    pub(super) fn take_serialized_to_host(&self, out: &mut ffi::rmw_serialized_message_t) -> Result<Option<TakenInfo>> {
        self.take_where_it_lies(Passage::Serialized, |raw| {
            let message = PrivateMessage::new(&self.kind)?;
            let at = message.as_ptr().as_ptr();
            // SAFETY: a fresh message of this type, nobody else's.
            let to = unsafe { std::slice::from_raw_parts_mut(at, self.kind.size_of()) };
            self.copy_out(raw, to)?;
            // SAFETY: the same message, with the content of the one that was taken.
            unsafe { encoding::serialize(&self.kind, at.cast(), out) }
        })
    }

    /// Takes the next message that `read` can read. One that cannot be copied off its device stays, for the next take; unless
    /// it never will be there, or so many have failed that it would keep all others waiting: then it is lost.
    fn take_where_it_lies(
        &self,
        passage: Passage,
        mut read: impl FnMut(&RawSample) -> Result<()>,
    ) -> Result<Option<TakenInfo>> {
        for _ in 0..MOST_AT_ONCE {
            let Some(held) = self.next_where_it_lies()? else { return Ok(None) };
            let Err(failure) = read(&held.raw) else {
                if let Some(device) = &self.device {
                    device.failed.store(0, Ordering::Relaxed);
                }
                self.core.count_copied_out(passage, held.raw.len);
                return Ok(Some(self.taken(held.raw.info)));
            };
            let Some(sample) = self.core.device(&held.raw) else {
                self.pass_over(held, failure)?;
                continue;
            };
            let failure = failure.about(self.subject());
            if !sample.is_poisoned() && !self.has_failed_too_often(&failure) {
                self.put_back(held);
                return Err(failure);
            }
            let _ = self.core.lose_raw(held.keep().index);
        }
        Ok(None)
    }

    /// Notes a failed copy. Who is told of each failure, and tries again, is told once that this has an end.
    fn has_failed_too_often(&self, failure: &Failure) -> bool {
        let Some(device) = &self.device else { return true };
        let count = |failed: u32| Some(failed.saturating_add(1).min(MOST_FAILED_COPIES + 1));
        let before = device.failed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).unwrap_or(0);
        if before + 1 == MOST_FAILED_COPIES {
            log(
                Severity::Warn,
                format_args!(
                    "messages on topic '{}' are lost, since they cannot be copied: {}",
                    self.topic(),
                    failure.message
                ),
            );
        }
        before + 1 >= MOST_FAILED_COPIES
    }

    fn next_where_it_lies(&self) -> Result<Option<Held<'_>>> {
        let held = self.next_by(hazcat_core::Subscription::take_raw_as_it_lies);
        self.collect_losses();
        let held = held?;
        if let Some(device) = self.device.as_ref().filter(|device| held.is_some() && device.lends) {
            if !device.said_copied.swap(true, Ordering::Relaxed) {
                log(
                    Severity::Warn,
                    format_args!(
                        "the subscription on topic '{}' prefers {}, but its messages are taken into ordinary memory, by a copy \
                         each; rclcpp takes them on loan with ROS_DISABLE_LOANED_MESSAGES=0 in its environment",
                        self.topic(),
                        device.domain
                    ),
                );
            }
        }
        Ok(held)
    }

    /// Copies a plain message, wherever it lies, to the host.
    fn copy_out(&self, raw: &RawSample, to: &mut [u8]) -> Result<()> {
        if raw.info.encoding != encoding::PLAIN {
            // On the host: one that could not be decoded when it was published.
            let bytes = self.host_bytes(raw).unwrap_or(&[]);
            // SAFETY: `to` is a message of this type, nobody else's, by the callers.
            return unsafe { encoding::read(&self.kind, raw.info.encoding, bytes, to.as_mut_ptr().cast()) };
        }
        if raw.len != to.len() {
            let (found, kind) = (raw.len, self.kind.ros_name());
            return Err(Failure::error(format!("a message of {found} bytes does not hold a plain '{kind}'")));
        }
        match self.core.device(raw) {
            Some(sample) => sample.copy_to_host(to).map_err(|error| Failure::error(error.to_string())),
            None => {
                let bytes = self.host_bytes(raw).filter(|bytes| bytes.len() == to.len());
                to.copy_from_slice(
                    bytes.ok_or_else(|| Failure::error("the message lies in no memory of this machine"))?,
                );
                Ok(())
            }
        }
    }

    fn host_bytes<'a>(&self, raw: &'a RawSample) -> Option<&'a [u8]> {
        // SAFETY: a held message on the host is `len` readable bytes, immutable until it is returned, which the callers do
        // after this.
        raw.domain.is_host().then(|| unsafe { std::slice::from_raw_parts(raw.ptr.as_ptr(), raw.len) })
    }

    /// Whether a message can be lent where it lies.
    pub(super) fn check_lendable(&self, device: &DeviceUse, raw: &RawSample) -> Result<()> {
        if raw.info.encoding != encoding::PLAIN || raw.len != self.kind.size_of() || raw.domain != device.domain {
            let kind = self.kind.ros_name();
            return Err(Failure::error(format!(
                "a message that is no plain '{kind}' cannot be lent in {}",
                device.domain
            )));
        }
        Ok(())
    }

    /// Lends out a message that was taken into the subscription's device. Work on the subscription's stream waits for it there;
    /// without a stream, it is waited for here.
    #[cold]
    pub(super) fn lend_on_device(&self, device: &DeviceUse, held: Held<'_>) -> Result<*mut c_void> {
        let failed = |what: String| Failure::error(what).about(self.subject());
        let sample = self.core.device(&held.raw).ok_or_else(|| failed("the message's memory is gone".to_owned()))?;
        sample.wait_ready(device.stream).map_err(|error| failed(error.to_string()))?;
        let raw = held.keep();
        device_loans::begin(raw.ptr.as_ptr().cast(), raw.len, device.domain);
        Ok(self.loans.lend(raw.ptr, TakenLoan::Device(raw)))
    }

    /// Takes such a loan back: when the subscription's stream is done with it, if it has one.
    pub(super) fn return_to_device(&self, raw: &RawSample) -> Result<()> {
        device_loans::end(raw.ptr.as_ptr().cast());
        let device = self.device.as_ref();
        match device.and_then(DeviceUse::stream) {
            None => self.core.return_raw(raw.index).or_error(|| self.subject()),
            Some(stream) => self.core.return_raw_after(raw, stream).or_error(|| self.subject()),
        }
    }
}

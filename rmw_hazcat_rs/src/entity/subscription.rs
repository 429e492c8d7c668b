//! Subscriptions.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hazcat_core::graph::{EndpointKind, EndpointRecord};
use hazcat_core::queue::Passage;
use hazcat_core::sys::clock::monotonic_nanos;
use hazcat_core::wait::LocalBell;
use hazcat_core::{FilterFn, Gid, PublisherInfo, RawSample, SampleInfo, SubscriptionOptions, TakeError, Waitable};

use super::arriving::{Arriving, Presence};
use super::context::Context;
use super::depth;
use super::device::DeviceUse;
use super::events::{EndpointEvents, Matchable, Side, Source};
use super::loan::{LoanBook, PrivateMessage, TakenLoan};
use super::lock;
use super::node::Node;
use super::publisher::topic_key;
use super::unreadable::{Unreadable, MOST_AT_ONCE};
use crate::arrivals::ArrivalWatch;
use crate::attributes::Attributes;
use crate::clock;
use crate::content_filter::ContentFilter;
use crate::encoding;
use crate::error::{Code, Context as _, Failure, Result};
use crate::ffi;
use crate::identity;
use crate::preference::{self, payload::Payload};
use crate::qos::{Durability, Qos, Traits};
use crate::typesupport::MessageType;

/// A subscription.
pub struct Subscription {
    /// First, so that the graph forgets it before it is gone.
    presence: Presence,
    events: Arc<EndpointEvents>,
    watch: Arc<ArrivalWatch>,
    pub(super) core: Arc<hazcat_core::Subscription>,
    /// `None`: it wants its messages on the host.
    pub(super) device: Option<DeviceUse>,
    pub(super) loans: LoanBook<TakenLoan>,
    /// Whether a publisher whose messages expire was met: `looked_at` may have one.
    may_expire: Arc<AtomicBool>,
    /// Whether a message was put back, ever: `looked_at` may have it.
    may_be_back: AtomicBool,
    /// The next message, where it had to be looked at to know that it has not expired, or was put back.
    looked_at: Mutex<Option<RawSample>>,
    received: AtomicU64,
    pub(super) unreadable: Unreadable,
    /// Expression and parameters of the content filter.
    filter: Mutex<Option<FilterTexts>>,
    pub(super) kind: Arc<MessageType>,
    qos: Qos,
    topic: String,
    context: Arc<Context>,
}

/// A content filter as it was given: expression and parameters.
type FilterTexts = (String, Vec<String>);

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
pub(super) type TakeFn = fn(&hazcat_core::Subscription) -> std::result::Result<Option<RawSample>, TakeError>;

/// A held message that is given back when this is dropped.
pub(super) struct Held<'a> {
    core: &'a hazcat_core::Subscription,
    pub(super) raw: RawSample,
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
    pub(super) fn keep(self) -> RawSample {
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
    /// Joins the topic, then shows itself in the graph. An empty `filter` is none.
    pub fn new(
        node: &Node,
        topic: &str,
        kind: Arc<MessageType>,
        qos: Qos,
        ignore_local: bool,
        (filter, parameters): (&str, &[&str]),
        payload: Option<&Payload>,
    ) -> Result<Arc<Self>> {
        let (filter, filter_texts) = match parse_filter(topic, &kind, filter, parameters)? {
            Some((filter, texts)) => (Some(filter), Some(texts)),
            None => (None, None),
        };
        let choice = super::device::choose(node, preference::Side::Subscription, topic, &kind, payload)?;
        let context = node.context();
        let gid = context.new_gid();
        let own_participant = context.participant().identity();
        let may_expire = Arc::new(AtomicBool::new(false));
        let accept = {
            let (wanted, may_expire) = (qos.traits(), Arc::clone(&may_expire));
            move |publisher: &PublisherInfo| {
                let offered = Traits(publisher.traits);
                let accepted = offered.incompatibility(wanted).is_none()
                    && !(ignore_local && publisher.gid.owner() == Some(own_participant));
                if accepted && offered.expires() {
                    may_expire.store(true, Ordering::Relaxed);
                }
                accepted
            }
        };
        let key = topic_key(topic, &kind, &qos);
        let options = SubscriptionOptions {
            gid,
            traits: qos.traits().0,
            history: qos.queue_history(),
            transient_local: qos.durability == Durability::TransientLocal,
            accept: Box::new(accept),
            filter,
            domain: choice.domain,
            ..SubscriptionOptions::default()
        };
        let core = hazcat_core::Subscription::new(context.participant(), &key, options)
            .or_error(|| format!("cannot create a subscription on topic '{topic}'"))?;
        let core = Arc::new(core);
        let who = format!("the subscription on topic '{topic}'");
        let qos = depth::fitted(qos, core.topic().layout().capacity(), &who);
        let attributes =
            Attributes { qos, ignore_local, structure: kind.structural_hash(), type_hash: kind.type_hash() };
        let own = Matchable {
            side: Side::Subscription,
            owner: own_participant,
            topic: topic.to_owned(),
            type_name: kind.ros_name().to_owned(),
            attributes,
        };
        let announced = context.announce(EndpointRecord {
            kind: EndpointKind::Subscription,
            node: node.id().0,
            gid: gid.0,
            name: topic.to_owned(),
            type_name: kind.ros_name().to_owned(),
            attributes: attributes.encode(),
        })?;
        let watch = ArrivalWatch::new(&core, most_unread(&qos));
        let source = Source::Subscription {
            topic: Arc::downgrade(core.topic()),
            queue: Arc::downgrade(&core),
            watch: Arc::downgrade(&watch),
        };
        let subscription = Arc::new(Self {
            presence: Presence::new(announced),
            events: EndpointEvents::new(own, source, context.dispatcher())?,
            watch,
            core,
            device: DeviceUse::of(&choice),
            loans: LoanBook::new(),
            may_expire,
            may_be_back: AtomicBool::new(false),
            looked_at: Mutex::default(),
            received: AtomicU64::new(0),
            unreadable: Unreadable::default(),
            filter: Mutex::new(filter_texts),
            kind,
            qos,
            topic: topic.to_owned(),
            context: Arc::clone(context),
        });
        node.add_member(&subscription);
        Ok(subscription)
    }

    /// Its topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its message type.
    pub fn kind(&self) -> &Arc<MessageType> {
        &self.kind
    }

    /// Its QoS.
    pub fn qos(&self) -> &Qos {
        &self.qos
    }

    /// Its events.
    pub fn events(&self) -> &Arc<EndpointEvents> {
        &self.events
    }

    /// Whether messages of its type can be read in shared memory directly.
    pub fn can_loan(&self) -> bool {
        self.kind.is_plain()
    }

    /// How many publishers match.
    pub fn count_matched(&self) -> usize {
        self.events.count_matched(self.context.graph())
    }

    pub(super) fn subject(&self) -> String {
        format!("topic '{}'", self.topic)
    }

    /// Sets the content filter, or removes it if the expression is empty.
    pub fn set_content_filter(&self, expression: &str, parameters: &[&str]) -> Result<()> {
        let parsed = parse_filter(&self.topic, &self.kind, expression, parameters)?;
        let (filter, texts) = match parsed {
            Some((filter, texts)) => (Some(filter), Some(texts)),
            None => (None, None),
        };
        let mut own = lock(&self.filter);
        self.core.set_filter(filter);
        *own = texts;
        Ok(())
    }

    /// Expression and parameters of the content filter.
    pub fn content_filter(&self) -> Option<FilterTexts> {
        lock(&self.filter).clone()
    }

    /// Calls back when messages arrive.
    pub fn set_callback(&self, callback: ffi::rmw_event_callback_t, user_data: *const c_void) {
        self.watch.set_callback(self.context.dispatcher(), callback, user_data);
    }

    /// Tells the event of what was lost, if anybody wants to know.
    pub fn collect_losses(&self) {
        self.events.collect_losses(&self.core);
    }

    /// The next message that has not expired, held.
    fn next(&self) -> Result<Option<Held<'_>>> {
        self.next_by(hazcat_core::Subscription::take_raw)
    }

    /// The next message that has not expired, held, in the memory in which `take` finds it.
    pub(super) fn next_by(&self, take: TakeFn) -> Result<Option<Held<'_>>> {
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

    fn next_unexpired(&self, take: TakeFn) -> Result<Option<Held<'_>>> {
        loop {
            let Some(raw) = take(&self.core).or_error(|| self.subject())? else { return Ok(None) };
            let held = Held { core: &self.core, raw };
            if !is_expired(&held.raw.info) {
                return Ok(Some(held));
            }
        }
    }

    fn may_have_looked(&self) -> bool {
        self.may_expire.load(Ordering::Relaxed) || self.may_be_back.load(Ordering::Relaxed)
    }

    /// Has the next take find a message again.
    pub(super) fn put_back(&self, held: Held<'_>) {
        self.may_be_back.store(true, Ordering::Relaxed);
        let former = lock(&self.looked_at).replace(held.keep());
        if let Some(raw) = former {
            self.let_pass(Held { core: &self.core, raw });
        }
    }

    /// Does without a message that was looked at before: it has expired, or else is lost.
    fn let_pass(&self, held: Held<'_>) {
        if !is_expired(&held.raw.info) {
            let _ = self.core.lose_raw(held.keep().index);
        }
    }

    /// Whether a message that was looked at before is still to be delivered: not expired, and not pushed out of the
    /// history by newer ones.
    fn is_current(&self, raw: &RawSample) -> bool {
        !is_expired(&raw.info) && self.core.unread_estimate() < most_unread(&self.qos)
    }

    pub(super) fn taken(&self, info: SampleInfo) -> TakenInfo {
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

impl Drop for Subscription {
    fn drop(&mut self) {
        self.watch.deactivate(self.context.dispatcher());
        for loan in self.loans.end_all() {
            match loan {
                TakenLoan::Shared(index) => drop(self.core.return_raw(index)),
                TakenLoan::Device(raw) => drop(self.return_to_device(&raw)),
                TakenLoan::Private(_) => {}
            }
        }
        if let Some(raw) = lock(&self.looked_at).take() {
            let _ = self.core.return_raw(raw.index);
        }
    }
}

impl Arriving for Subscription {
    fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn watch(&self) -> &Arc<ArrivalWatch> {
        &self.watch
    }

    fn presence(&self) -> &Presence {
        &self.presence
    }
}

/// Ready while there is a message that has not expired, and when it is retired.
impl Waitable for Subscription {
    fn is_ready(&self) -> bool {
        if self.presence.has_ended() {
            return true;
        }
        let has_data = self.core.has_data();
        if !self.may_have_looked() {
            return has_data;
        }
        let mut looked_at = lock(&self.looked_at);
        if let Some(raw) = *looked_at {
            if self.is_current(&raw) {
                return true;
            }
            *looked_at = None;
            self.let_pass(Held { core: &self.core, raw });
        }
        if !self.may_expire.load(Ordering::Relaxed) {
            return has_data;
        }
        // As its owner will take it: on loan perhaps, but then only on a device of which the program knows.
        let take: TakeFn = match &self.device {
            Some(device) if !device.lends() => hazcat_core::Subscription::take_raw_as_it_lies,
            _ => hazcat_core::Subscription::take_raw,
        };
        match self.next_unexpired(take) {
            Ok(Some(held)) => {
                *looked_at = Some(held.keep());
                true
            }
            Ok(None) => false,
            // An error is for `take` to report.
            Err(_) => true,
        }
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        self.core.arm(bell);
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        self.core.disarm(bell);
    }
}

/// The filter as the core has it, and its texts; `None` if the expression is empty.
fn parse_filter(
    topic: &str,
    kind: &MessageType,
    expression: &str,
    parameters: &[&str],
) -> Result<Option<(FilterFn, FilterTexts)>> {
    if expression.is_empty() {
        return Ok(None);
    }
    let mut filter = ContentFilter::new(expression, parameters, kind)
        .or_code(Code::InvalidArgument, || format!("topic '{topic}', content filter \"{expression}\""))?;
    let texts = (filter.expression().to_owned(), filter.parameters().to_vec());
    Ok(Some((Box::new(move |encoding, payload| filter.passes(encoding, payload)), texts)))
}

/// Whether a message of a topic, or a request, is not good any more. By the clock that nobody sets: a command must not come to life again, nor die, because the time of day was corrected.
pub(super) fn is_expired(info: &SampleInfo) -> bool {
    info.correlation != 0 && u64::try_from(info.correlation).is_ok_and(|expiry| expiry <= monotonic_nanos())
}

/// Most messages that lie unread.
fn most_unread(qos: &Qos) -> u64 {
    match qos.queue_history() {
        hazcat_core::History::KeepLast(depth) => depth.max(1) as u64,
        hazcat_core::History::KeepAll => u64::MAX,
    }
}

//! Subscriptions.

mod taking;

use taking::TakeFn;
pub use taking::{gid_to_ffi, TakenInfo};
pub(super) use taking::{is_expired, Held};

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hazcat_core::graph::{EndpointKind, EndpointRecord};
use hazcat_core::wait::LocalBell;
use hazcat_core::{FilterFn, PublisherInfo, RawSample, SubscriptionOptions, Waitable};

use super::arriving::{Arriving, Presence};
use super::context::Context;
use super::depth;
use super::device::DeviceUse;
use super::events::{EndpointEvents, Matchable, Side, Source};
use super::loan::{LoanBook, TakenLoan};
use super::lock;
use super::node::Node;
use super::publisher::topic_key;
use super::unreadable::Unreadable;
use crate::arrivals::ArrivalWatch;
use crate::attributes::Attributes;
use crate::content_filter::ContentFilter;
use crate::error::{Code, Context as _, Result};
use crate::ffi;
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

/// Most messages that lie unread.
fn most_unread(qos: &Qos) -> u64 {
    match qos.queue_history() {
        hazcat_core::History::KeepLast(depth) => depth.max(1) as u64,
        hazcat_core::History::KeepAll => u64::MAX,
    }
}

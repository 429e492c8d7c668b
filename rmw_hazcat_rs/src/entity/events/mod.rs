//! QoS events of publishers and subscriptions, and what they are made from.
//!
//! | file | what |
//! |---|---|
//! | `matching.rs` | who matches whom |
//! | `deadline.rs` | whether messages come often enough |
//! | `liveliness.rs` | who is alive |
//! | `time.rs` | what happens by the passing of time |
//! | `waitable.rs` | waiting for an event |
//! | `status.rs` | what an event has to tell |
//!
//! The dispatcher hands every change of the graph to [`EndpointEvents`], which compares it with what it knew and counts;
//! where a user asked for deadlines or leases to be watched, it also has it look at the time. So events happen, and are
//! told, without anybody waiting. Counting matched endpoints for a query ([`count_matched`]) looks at the graph itself, so
//! that it is never behind a change that the caller made.

mod deadline;
mod liveliness;
mod matching;
mod status;
mod time;
mod waitable;

pub use matching::{count_matched, incompatibility, Matchable, Side};
pub use status::Status;
pub use waitable::EventWaitable;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use hazcat_core::graph::Graph;
use hazcat_core::queue::topic::Topic;
use hazcat_core::sys::clock::monotonic_nanos;
use hazcat_core::wait::GuardCondition;

use super::lock;
use crate::arrivals::ArrivalWatch;
use crate::callback::CallbackSlot;
use crate::dispatch::{Dispatcher, GraphView, Observer, Timed};
use crate::error::Result;
use crate::ffi;
use crate::heartbeat::Beating;
use crate::qos::{self, Policy};
use deadline::Deadline;
use liveliness::{Liveliness, OwnLease};
use matching::Relation;
use status::{saturate, Count};

/// A kind of event, the same for both sides where both have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum EventKind {
    /// Publishers came to life or ceased to be (subscriptions).
    LivelinessChanged,
    /// It did not show that it is alive (publishers).
    LivelinessLost,
    /// No message within the deadline.
    DeadlineMissed,
    /// The other side's QoS does not fit.
    IncompatibleQos,
    /// Messages were lost (subscriptions).
    MessageLost,
    /// The other side has another type on the same topic.
    IncompatibleType,
    /// The number of matched endpoints changed.
    Matched,
}

impl EventKind {
    const COUNT: usize = 7;

    /// The kind that an rmw event type stands for on this side, if there is one.
    pub fn of(event: ffi::rmw_event_type_t, side: Side) -> Option<Self> {
        match (side, event) {
            (Side::Subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED) => Some(Self::LivelinessChanged),
            (Side::Publisher, ffi::RMW_EVENT_LIVELINESS_LOST) => Some(Self::LivelinessLost),
            (Side::Subscription, ffi::RMW_EVENT_REQUESTED_DEADLINE_MISSED)
            | (Side::Publisher, ffi::RMW_EVENT_OFFERED_DEADLINE_MISSED) => Some(Self::DeadlineMissed),
            (Side::Subscription, ffi::RMW_EVENT_REQUESTED_QOS_INCOMPATIBLE)
            | (Side::Publisher, ffi::RMW_EVENT_OFFERED_QOS_INCOMPATIBLE) => Some(Self::IncompatibleQos),
            (Side::Subscription, ffi::RMW_EVENT_MESSAGE_LOST) => Some(Self::MessageLost),
            #[cfg(rmw_event_incompatible_type)]
            (Side::Subscription, ffi::RMW_EVENT_SUBSCRIPTION_INCOMPATIBLE_TYPE)
            | (Side::Publisher, ffi::RMW_EVENT_PUBLISHER_INCOMPATIBLE_TYPE) => Some(Self::IncompatibleType),
            #[cfg(rmw_event_matched)]
            (Side::Subscription, ffi::RMW_EVENT_SUBSCRIPTION_MATCHED)
            | (Side::Publisher, ffi::RMW_EVENT_PUBLICATION_MATCHED) => Some(Self::Matched),
            _ => None,
        }
    }
}

/// Where the signs of life are.
pub enum Source {
    /// A publisher's own.
    Publisher(Weak<hazcat_core::Publisher>),
    /// Those of the publishers on a subscription's topic.
    Subscription {
        /// The topic.
        topic: Weak<Topic>,
        /// The queue, where messages may be lost.
        queue: Weak<hazcat_core::Subscription>,
        /// Who notices without anybody waiting.
        watch: Weak<ArrivalWatch>,
    },
}

type GidBytes = [u8; 16];

#[derive(Default)]
struct State {
    matched_now: BTreeSet<GidBytes>,
    matched: Count,
    matched_now_change: i64,
    incompatible_now: BTreeMap<GidBytes, Policy>,
    incompatible: Count,
    last_policy: Option<Policy>,
    wrong_type_now: BTreeSet<GidBytes>,
    wrong_type: Count,
    lost: Count,
    /// The matched publishers, for a subscription.
    liveliness: Liveliness,
    watches_liveliness: bool,
    deadline: Option<Deadline>,
    deadline_missed: Count,
    own_lease: Option<OwnLease>,
    liveliness_lost: Count,
}

/// One kind's ways to tell of an event.
#[derive(Default)]
struct Channel {
    condition: GuardCondition,
    callback: CallbackSlot,
}

/// The events of one endpoint.
pub struct EndpointEvents {
    me: Weak<Self>,
    own: Matchable,
    /// How many matched, at which version of the graph.
    matched_at: Mutex<Option<(u64, usize)>>,
    state: Mutex<State>,
    channels: [Channel; EventKind::COUNT],
    source: Source,
    /// Whether the dispatcher calls [`Timed::on_time`].
    is_timed: AtomicBool,
    dispatcher: Weak<Dispatcher>,
    /// Whether anybody wants to know of lost messages.
    counts_losses: AtomicBool,
}

impl EndpointEvents {
    /// Begins to follow the graph, and to give signs of life if the endpoint is to give any by itself.
    ///
    /// # Errors
    /// There is no thread to be had for the signs of life.
    pub fn new(own: Matchable, source: Source, dispatcher: &Arc<Dispatcher>) -> Result<Arc<Self>> {
        let qos = own.attributes.qos;
        let lease = qos.lease.nanos().filter(|_| own.side == Side::Publisher);
        let events = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            own,
            matched_at: Mutex::default(),
            state: Mutex::default(),
            channels: Default::default(),
            source,
            is_timed: AtomicBool::new(false),
            dispatcher: Arc::downgrade(dispatcher),
            counts_losses: AtomicBool::new(false),
        });
        dispatcher.add_observer(Arc::downgrade(&events) as Weak<dyn Observer>);
        if let (Some(lease), qos::Liveliness::Automatic) = (lease, qos.liveliness) {
            lock(&events.state).own_lease = Some(OwnLease::new(lease, true));
            dispatcher.heartbeat().add(Arc::downgrade(&events) as Weak<dyn Beating>)?;
        }
        Ok(events)
    }

    /// The queue whose lost messages are to be told of.
    fn queue(&self) -> Option<Arc<hazcat_core::Subscription>> {
        match &self.source {
            Source::Subscription { queue, .. } => queue.upgrade(),
            Source::Publisher(_) => None,
        }
    }

    /// Watches for events of a kind from now on; what has to do with time is not looked at before.
    pub fn watch(&self, kind: EventKind) {
        let qos = &self.own.attributes.qos;
        let mut state = lock(&self.state);
        let has_time = match kind {
            EventKind::DeadlineMissed => match qos.deadline.nanos() {
                Some(period) => {
                    state.deadline.get_or_insert_with(|| Deadline::new(period, monotonic_nanos()));
                    true
                }
                None => false,
            },
            EventKind::LivelinessLost => match qos.lease.nanos() {
                // An automatic one is looked at by who gives the signs.
                Some(lease) => !state.own_lease.get_or_insert_with(|| OwnLease::new(lease, false)).is_automatic(),
                None => false,
            },
            EventKind::LivelinessChanged => {
                state.watches_liveliness = true;
                true
            }
            EventKind::MessageLost => {
                self.counts_losses.store(true, Ordering::Relaxed);
                false
            }
            EventKind::IncompatibleQos | EventKind::IncompatibleType | EventKind::Matched => false,
        };
        drop(state);
        if has_time {
            self.follow_time();
        }
    }

    /// Has the dispatcher look at the time for this endpoint.
    fn follow_time(&self) {
        if let Some(dispatcher) = self.dispatcher.upgrade() {
            if !self.is_timed.swap(true, Ordering::Relaxed) {
                dispatcher.add_timed(self.me.clone() as Weak<dyn Timed>, self.own.side == Side::Publisher);
            }
        }
    }

    /// The endpoint itself.
    pub fn own(&self) -> &Matchable {
        &self.own
    }

    /// How many endpoints match this one now. Allocates nothing; looks at the graph only if it has changed.
    pub fn count_matched(&self, graph: &Graph) -> usize {
        let version = graph.version();
        let mut matched_at = lock(&self.matched_at);
        match *matched_at {
            Some((at, count)) if at == version => count,
            _ => {
                let snapshot = graph.snapshot();
                let count = count_matched(&self.own, &snapshot);
                *matched_at = Some((snapshot.version(), count));
                count
            }
        }
    }

    fn channel(&self, kind: EventKind) -> &Channel {
        &self.channels[kind as usize]
    }

    /// What becomes ready with an event of this kind.
    pub fn waitable(&self, kind: EventKind) -> EventWaitable<'_> {
        EventWaitable { events: self, kind, across: false }
    }

    /// Ends all callbacks: when this returns none is running any more, unless it is one of them that calls.
    pub fn silence(&self) {
        if self.dispatcher.upgrade().is_some_and(|dispatcher| dispatcher.is_current_thread()) {
            return;
        }
        for channel in &self.channels {
            channel.callback.set(None, std::ptr::null(), |untold| untold);
        }
    }

    /// Registers a callback for a kind of event, or none.
    pub fn set_callback(&self, kind: EventKind, callback: ffi::rmw_event_callback_t, user_data: *const c_void) {
        self.channel(kind).callback.set(callback, user_data, |untold| untold);
        if let (EventKind::MessageLost, Source::Subscription { watch, .. }) = (kind, &self.source) {
            if let (Some(watch), Some(dispatcher)) = (watch.upgrade(), self.dispatcher.upgrade()) {
                let losses = callback.is_some().then(|| self.me.clone());
                watch.set_losses(&dispatcher, losses);
            }
        }
    }

    /// Notes events, for [`Observer::deliver`] to tell of. Who waits for the event is woken after the callback was told:
    /// what the callback has done is then to be seen.
    fn note(&self, kind: EventKind, events: u64) {
        if events > 0 {
            let channel = self.channel(kind);
            if !channel.callback.add(usize::try_from(events).unwrap_or(usize::MAX)) {
                channel.condition.trigger();
            }
        }
    }

    /// Notes what the queue has lost, if anybody wants to know.
    pub fn collect_losses(&self, queue: &hazcat_core::Subscription) {
        if !self.counts_losses.load(Ordering::Relaxed) {
            return;
        }
        let more = queue.take_lost().change;
        if more == 0 {
            return;
        }
        lock(&self.state).lost.add(more);
        self.note(EventKind::MessageLost, more);
        if self.channel(EventKind::MessageLost).callback.is_set() {
            if let Some(dispatcher) = self.dispatcher.upgrade() {
                dispatcher.request_delivery();
            }
        }
    }

    /// Has the queue move over what was lost, and notes it.
    pub fn look_for_losses(&self, queue: &hazcat_core::Subscription) {
        if self.counts_losses.load(Ordering::Relaxed) {
            queue.has_data();
            self.collect_losses(queue);
        }
    }

    /// The status of a kind of event; the changes in it count from here on anew.
    pub fn take(&self, kind: EventKind) -> Status {
        // First the condition, then the status: what comes between is told twice, never not at all.
        let channel = self.channel(kind);
        channel.condition.take();
        channel.callback.forget_missed();
        let mut state = lock(&self.state);
        match kind {
            EventKind::LivelinessChanged => {
                let (alive, not_alive) = state.liveliness.take();
                Status::Liveliness(ffi::rmw_liveliness_changed_status_t {
                    alive_count: saturate(alive.count),
                    not_alive_count: saturate(not_alive.count),
                    alive_count_change: saturate(alive.change),
                    not_alive_count_change: saturate(not_alive.change),
                })
            }
            EventKind::LivelinessLost => {
                let count = state.liveliness_lost.take();
                Status::LivelinessLost(ffi::rmw_liveliness_lost_status_t {
                    total_count: saturate(count.total),
                    total_count_change: saturate(count.change),
                })
            }
            EventKind::DeadlineMissed => {
                let count = state.deadline_missed.take();
                let (total_count, total_count_change) = (saturate(count.total), saturate(count.change));
                match self.own.side {
                    Side::Publisher => Status::OfferedDeadlineMissed(ffi::rmw_offered_deadline_missed_status_t {
                        total_count,
                        total_count_change,
                    }),
                    Side::Subscription => {
                        Status::RequestedDeadlineMissed(ffi::rmw_requested_deadline_missed_status_t {
                            total_count,
                            total_count_change,
                        })
                    }
                }
            }
            EventKind::IncompatibleQos => {
                let count = state.incompatible.take();
                Status::IncompatibleQos(ffi::rmw_qos_incompatible_event_status_t {
                    total_count: saturate(count.total),
                    total_count_change: saturate(count.change),
                    last_policy_kind: state.last_policy.map_or(ffi::RMW_QOS_POLICY_INVALID, Policy::kind),
                })
            }
            EventKind::MessageLost => {
                let count = state.lost.take();
                Status::MessageLost(ffi::rmw_message_lost_status_t {
                    total_count: usize::try_from(count.total).unwrap_or(usize::MAX),
                    total_count_change: usize::try_from(count.change).unwrap_or(usize::MAX),
                })
            }
            EventKind::IncompatibleType => {
                let count = state.wrong_type.take();
                Status::IncompatibleType { total: saturate(count.total), change: saturate(count.change) }
            }
            EventKind::Matched => {
                let count = state.matched.take();
                Status::Matched {
                    total: usize::try_from(count.total).unwrap_or(usize::MAX),
                    change: usize::try_from(count.change).unwrap_or(usize::MAX),
                    now: state.matched_now.len(),
                    now_change: saturate(std::mem::take(&mut state.matched_now_change)),
                }
            }
        }
    }
}

impl Observer for EndpointEvents {
    fn on_graph(&self, view: &GraphView<'_>) {
        let mut matched = BTreeSet::new();
        let mut incompatible = BTreeMap::new();
        let mut wrong_type = BTreeSet::new();
        for other in view.on_topic(&self.own.topic) {
            if other.record.kind != self.own.side.opposite() {
                continue;
            }
            match self.own.relation(other.participant, other.record) {
                Relation::Matched => drop(matched.insert(other.record.gid)),
                Relation::IncompatibleQos(policy) => drop(incompatible.insert(other.record.gid, policy)),
                Relation::IncompatibleType => drop(wrong_type.insert(other.record.gid)),
                Relation::None => {}
            }
        }
        let mut state = lock(&self.state);
        let came = matched.difference(&state.matched_now).count() as u64;
        let went = state.matched_now.difference(&matched).count() as u64;
        self.note_publications(&mut state);
        state.matched_now = matched;
        state.matched.add(came);
        state.matched_now_change += came as i64 - went as i64;
        let lives = match self.own.side {
            Side::Subscription => self.follow_publishers(&mut state, view),
            Side::Publisher => 0,
        };

        let new_policies: Vec<Policy> = incompatible
            .iter()
            .filter(|(gid, _)| !state.incompatible_now.contains_key(*gid))
            .map(|(_, policy)| *policy)
            .collect();
        state.incompatible_now = incompatible;
        state.incompatible.add(new_policies.len() as u64);
        state.last_policy = new_policies.last().copied().or(state.last_policy);

        let new_types = wrong_type.difference(&state.wrong_type_now).count() as u64;
        state.wrong_type_now = wrong_type;
        state.wrong_type.add(new_types);
        drop(state);

        self.note(EventKind::Matched, came + went);
        self.note(EventKind::LivelinessChanged, lives);
        self.note(EventKind::IncompatibleQos, new_policies.len() as u64);
        self.note(EventKind::IncompatibleType, new_types);
    }

    fn deliver(&self) {
        for channel in &self.channels {
            if channel.callback.deliver() {
                channel.condition.trigger();
            }
        }
    }
}

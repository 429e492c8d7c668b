//! QoS events of publishers and subscriptions, and what they are made from: who matches whom.
//!
//! The dispatcher hands every change of the graph to [`EndpointEvents`], which compares it with what it knew and counts.
//! Counting matched endpoints for a query ([`count_matched`]) looks at the graph itself, so that it is never behind a
//! change that the caller made.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, Weak};

use hazcat_core::graph::{EndpointKind, EndpointRecord, Graph, GraphSnapshot};
use hazcat_core::ids::Identity;
use hazcat_core::wait::GuardCondition;

use super::lock;
use crate::attributes::Attributes;
use crate::callback::CallbackSlot;
use crate::dispatch::{Dispatcher, GraphView, Observer};
use crate::ffi;
use crate::qos::{Policy, Traits};

/// A kind of event, the same for both sides where both have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum EventKind {
    /// Publishers came to life or ceased to be (subscriptions).
    LivelinessChanged,
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
    const ALL: [Self; 5] =
        [Self::LivelinessChanged, Self::IncompatibleQos, Self::MessageLost, Self::IncompatibleType, Self::Matched];

    /// The kind that an rmw event type stands for on this side, if this library has it.
    pub fn of(event: ffi::rmw_event_type_t, side: Side) -> Option<Self> {
        match (side, event) {
            (Side::Subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED) => Some(Self::LivelinessChanged),
            (Side::Subscription, ffi::RMW_EVENT_REQUESTED_QOS_INCOMPATIBLE) => Some(Self::IncompatibleQos),
            (Side::Subscription, ffi::RMW_EVENT_MESSAGE_LOST) => Some(Self::MessageLost),
            (Side::Publisher, ffi::RMW_EVENT_OFFERED_QOS_INCOMPATIBLE) => Some(Self::IncompatibleQos),
            #[cfg(rmw_event_incompatible_type)]
            (Side::Subscription, ffi::RMW_EVENT_SUBSCRIPTION_INCOMPATIBLE_TYPE) => Some(Self::IncompatibleType),
            #[cfg(rmw_event_incompatible_type)]
            (Side::Publisher, ffi::RMW_EVENT_PUBLISHER_INCOMPATIBLE_TYPE) => Some(Self::IncompatibleType),
            #[cfg(rmw_event_matched)]
            (Side::Subscription, ffi::RMW_EVENT_SUBSCRIPTION_MATCHED) => Some(Self::Matched),
            #[cfg(rmw_event_matched)]
            (Side::Publisher, ffi::RMW_EVENT_PUBLICATION_MATCHED) => Some(Self::Matched),
            _ => None,
        }
    }
}

/// Which side of a topic an endpoint is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It sends.
    Publisher,
    /// It receives.
    Subscription,
}

impl Side {
    /// What the other side is in the graph.
    pub fn opposite(self) -> EndpointKind {
        match self {
            Side::Publisher => EndpointKind::Subscription,
            Side::Subscription => EndpointKind::Publisher,
        }
    }
}

/// An endpoint as matching sees it.
#[derive(Clone, Debug)]
pub struct Matchable {
    /// Which side it is on.
    pub side: Side,
    /// The participant it belongs to.
    pub owner: Identity,
    /// ROS name of the topic.
    pub topic: String,
    /// ROS name of the type.
    pub type_name: String,
    /// Its QoS and the rest.
    pub attributes: Attributes,
}

/// What two endpoints on one topic are to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Relation {
    Matched,
    IncompatibleQos(Policy),
    IncompatibleType,
    /// They have nothing to do with each other.
    None,
}

/// Whether the traits of a publisher and of a subscription fit.
pub fn incompatibility(own_side: Side, own: Traits, other: Traits) -> Option<Policy> {
    match own_side {
        Side::Publisher => own.incompatibility(other),
        Side::Subscription => other.incompatibility(own),
    }
}

impl Matchable {
    fn relation(&self, owner: Identity, other: &EndpointRecord) -> Relation {
        let Some(theirs) = Attributes::decode(&other.attributes) else { return Relation::None };
        let ours = &self.attributes;
        if ours.qos.avoid_ros_namespace_conventions != theirs.qos.avoid_ros_namespace_conventions {
            return Relation::None;
        }
        if other.type_name != self.type_name || theirs.structure != ours.structure {
            return Relation::IncompatibleType;
        }
        if let Some(policy) = incompatibility(self.side, ours.traits(), theirs.traits()) {
            return Relation::IncompatibleQos(policy);
        }
        let ignores = ours.ignore_local || theirs.ignore_local;
        if ignores && owner == self.owner {
            return Relation::None;
        }
        Relation::Matched
    }
}

/// How many endpoints match this one. Allocates nothing.
pub fn count_matched(own: &Matchable, snapshot: &GraphSnapshot) -> usize {
    snapshot
        .endpoints_of(own.side.opposite(), &own.topic)
        .filter(|other| own.relation(other.participant, other.record) == Relation::Matched)
        .count()
}

/// A total and what was added since the last look.
#[derive(Clone, Copy, Default, Debug)]
struct Count {
    total: u64,
    change: u64,
}

impl Count {
    fn add(&mut self, more: u64) {
        self.total += more;
        self.change += more;
    }

    fn take(&mut self) -> Self {
        let count = *self;
        self.change = 0;
        count
    }
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
    alive_change: i64,
    lost: Count,
}

/// One kind's ways to tell of an event.
#[derive(Default)]
struct Channel {
    condition: GuardCondition,
    callback: CallbackSlot,
}

/// The events of one endpoint.
pub struct EndpointEvents {
    own: Matchable,
    /// How many matched, at which version of the graph.
    matched_at: Mutex<Option<(u64, usize)>>,
    state: Mutex<State>,
    channels: [Channel; EventKind::ALL.len()],
}

impl EndpointEvents {
    /// Begins to follow the graph.
    pub fn new(own: Matchable, dispatcher: &Dispatcher) -> Arc<Self> {
        let events =
            Arc::new(Self { own, matched_at: Mutex::default(), state: Mutex::default(), channels: Default::default() });
        let weak: Weak<Self> = Arc::downgrade(&events);
        dispatcher.add_observer(weak);
        events
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
    pub fn condition(&self, kind: EventKind) -> &GuardCondition {
        &self.channel(kind).condition
    }

    /// Registers a callback for a kind of event, or none.
    pub fn set_callback(&self, kind: EventKind, callback: ffi::rmw_event_callback_t, user_data: *const c_void) {
        self.channel(kind).callback.set(callback, user_data, |untold| untold);
    }

    fn note(&self, kind: EventKind, events: u64) {
        if events > 0 {
            let channel = self.channel(kind);
            channel.callback.add(usize::try_from(events).unwrap_or(usize::MAX));
            channel.condition.trigger();
        }
    }

    /// Notes that messages were lost.
    pub fn messages_lost(&self, more: u64, dispatcher: &Dispatcher) {
        if more == 0 {
            return;
        }
        lock(&self.state).lost.add(more);
        self.note(EventKind::MessageLost, more);
        if self.channel(EventKind::MessageLost).callback.is_set() {
            dispatcher.request_delivery();
        }
    }

    /// The status of a kind of event; the changes in it count from here on anew.
    pub fn take(&self, kind: EventKind) -> Status {
        // First the condition, then the status: what comes between is told twice, never not at all.
        self.condition(kind).take();
        let mut state = lock(&self.state);
        match kind {
            EventKind::LivelinessChanged => Status::Liveliness(ffi::rmw_liveliness_changed_status_t {
                alive_count: saturate(state.matched_now.len()),
                not_alive_count: 0,
                alive_count_change: saturate(std::mem::take(&mut state.alive_change)),
                not_alive_count_change: 0,
            }),
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
        state.matched_now = matched;
        state.matched.add(came);
        state.matched_now_change += came as i64 - went as i64;
        state.alive_change += came as i64 - went as i64;

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
        if self.own.side == Side::Subscription {
            self.note(EventKind::LivelinessChanged, came + went);
        }
        self.note(EventKind::IncompatibleQos, new_policies.len() as u64);
        self.note(EventKind::IncompatibleType, new_types);
    }

    fn deliver(&self) {
        for channel in &self.channels {
            channel.callback.deliver();
        }
    }
}

/// What [`EndpointEvents::take`] answers, one per kind of status structure.
pub enum Status {
    /// For `rmw_liveliness_changed_status_t`.
    Liveliness(ffi::rmw_liveliness_changed_status_t),
    /// For `rmw_qos_incompatible_event_status_t`.
    IncompatibleQos(ffi::rmw_qos_incompatible_event_status_t),
    /// For `rmw_message_lost_status_t`.
    MessageLost(ffi::rmw_message_lost_status_t),
    /// For `rmw_incompatible_type_status_t`, where the headers have it.
    IncompatibleType {
        /// Endpoints of another type seen so far.
        total: i32,
        /// Of those, new ones.
        change: i32,
    },
    /// For `rmw_matched_status_t`, where the headers have it.
    Matched {
        /// Endpoints that matched so far.
        total: usize,
        /// Of those, new ones.
        change: usize,
        /// Endpoints that match now.
        now: usize,
        /// How much that has changed.
        now_change: i32,
    },
}

fn saturate<T: TryInto<i32>>(value: T) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qos::{Durability, History, Liveliness, Qos, Reliability, Span};

    fn attributes() -> Attributes {
        Attributes {
            qos: Qos {
                history: History::KeepLast(1),
                depth: 1,
                reliability: Reliability::Reliable,
                durability: Durability::Volatile,
                deadline: Span::ENDLESS,
                lifespan: Span::ENDLESS,
                liveliness: Liveliness::Automatic,
                lease: Span::ENDLESS,
                avoid_ros_namespace_conventions: false,
            },
            ignore_local: false,
            structure: 7,
            type_hash: None,
        }
    }

    fn identity(index: u32) -> Identity {
        Identity::new(index, 1).unwrap()
    }

    fn subscription() -> Matchable {
        Matchable {
            side: Side::Subscription,
            owner: identity(0),
            topic: "/t".into(),
            type_name: "a/msg/B".into(),
            attributes: attributes(),
        }
    }

    fn publisher(attributes: Attributes) -> EndpointRecord {
        EndpointRecord {
            kind: EndpointKind::Publisher,
            node: 0,
            gid: [1; 16],
            name: "/t".into(),
            type_name: "a/msg/B".into(),
            attributes: attributes.encode(),
        }
    }

    #[test]
    fn relations() {
        let own = subscription();
        let other = identity(1);
        assert_eq!(own.relation(other, &publisher(attributes())), Relation::Matched);

        let mut lazy = attributes();
        lazy.qos.reliability = Reliability::BestEffort;
        assert_eq!(own.relation(other, &publisher(lazy)), Relation::IncompatibleQos(Policy::Reliability));

        let structure = Attributes { structure: 8, ..attributes() };
        assert_eq!(own.relation(other, &publisher(structure)), Relation::IncompatibleType);
        let named = EndpointRecord { type_name: "a/msg/C".into(), ..publisher(attributes()) };
        assert_eq!(own.relation(other, &named), Relation::IncompatibleType);

        let mut native = attributes();
        native.qos.avoid_ros_namespace_conventions = true;
        assert_eq!(own.relation(other, &publisher(native)), Relation::None);

        let garbage = EndpointRecord { attributes: vec![1, 2, 3], ..publisher(attributes()) };
        assert_eq!(own.relation(other, &garbage), Relation::None);
    }

    #[test]
    fn ignoring_local_publications_is_about_the_participant() {
        let mut own = subscription();
        own.attributes.ignore_local = true;
        assert_eq!(own.relation(identity(0), &publisher(attributes())), Relation::None);
        assert_eq!(own.relation(identity(1), &publisher(attributes())), Relation::Matched);
    }
}

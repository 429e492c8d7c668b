//! Who matches whom.

use hazcat_core::graph::{EndpointKind, EndpointRecord, GraphSnapshot};
use hazcat_core::ids::Identity;

use crate::attributes::Attributes;
use crate::qos::{Policy, Traits};

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
pub(super) enum Relation {
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
    pub(super) fn relation(&self, owner: Identity, other: &EndpointRecord) -> Relation {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qos::sample::qos;
    use crate::qos::{History, Qos, Reliability};

    fn attributes() -> Attributes {
        Attributes {
            qos: Qos { history: History::KeepLast(1), depth: 1, ..qos() },
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

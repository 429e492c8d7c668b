//! The graph as it was at one moment.

use super::record::{EndpointId, EndpointKind, EndpointRecord, NodeId, NodeRecord, ParticipantGraph};
use crate::ids::Identity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All participants that are known, oneself included, with their nodes and endpoints. Immutable.
#[derive(Debug, Clone, Default)]
pub struct GraphSnapshot {
    pub(super) version: u64,
    pub(super) participants: BTreeMap<Identity, Arc<ParticipantGraph>>,
}

/// A node and where it is.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    /// Its participant.
    pub participant: Identity,
    /// Its id there.
    pub id: NodeId,
    /// What is known of it.
    pub record: &'a NodeRecord,
}

/// An endpoint and where it is.
#[derive(Debug, Clone, Copy)]
pub struct EndpointView<'a> {
    /// Its participant.
    pub participant: Identity,
    /// Its id there.
    pub id: EndpointId,
    /// What is known of it.
    pub record: &'a EndpointRecord,
    /// Its node; `None` where the participant names one that it does not have.
    pub node: Option<&'a NodeRecord>,
}

impl GraphSnapshot {
    /// Grows with every change; the same number as [`super::Graph::version`] had when this was current.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The participants, ordered by identity.
    pub fn participants(&self) -> impl Iterator<Item = &Arc<ParticipantGraph>> {
        self.participants.values()
    }

    /// What one participant has told.
    pub fn participant(&self, who: Identity) -> Option<&Arc<ParticipantGraph>> {
        self.participants.get(&who)
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        self.participants.values().flat_map(|participant| {
            participant.nodes.iter().map(|(id, record)| NodeView { participant: participant.identity, id: *id, record })
        })
    }

    /// All endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = EndpointView<'_>> {
        self.participants.values().flat_map(|participant| {
            participant.endpoints.iter().map(|(id, record)| EndpointView {
                participant: participant.identity,
                id: *id,
                record,
                node: participant.node(record.node).map(|node| &**node),
            })
        })
    }

    /// The endpoints of one kind on one topic or service.
    pub fn endpoints_of<'a>(&'a self, kind: EndpointKind, name: &'a str) -> impl Iterator<Item = EndpointView<'a>> {
        self.endpoints().filter(move |endpoint| endpoint.record.kind == kind && endpoint.record.name == name)
    }
}

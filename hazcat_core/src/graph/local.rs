//! This participant's own nodes and endpoints.

use super::codec::{endpoint_excess, node_excess};
use super::record::{
    EndpointId, EndpointRecord, NodeId, NodeRecord, ParticipantGraph, MAX_ATTRIBUTES_BYTES, MAX_ENDPOINTS, MAX_NODES,
};
use super::GraphError;
use crate::ids::Identity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Registry with an undo for each change: a change counts only once it is written.
pub(super) struct LocalRegistry {
    identity: Identity,
    nodes: BTreeMap<NodeId, Arc<NodeRecord>>,
    endpoints: BTreeMap<EndpointId, Arc<EndpointRecord>>,
    next_node: u32,
    next_endpoint: u32,
}

/// How to take a change back.
pub(super) enum Undo {
    Node(NodeId, Option<Arc<NodeRecord>>),
    Endpoint(EndpointId, Option<Arc<EndpointRecord>>),
}

impl LocalRegistry {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, nodes: BTreeMap::new(), endpoints: BTreeMap::new(), next_node: 1, next_endpoint: 1 }
    }

    pub(super) fn add_node(&mut self, record: NodeRecord) -> Result<(NodeId, Undo), GraphError> {
        if let Some(what) = node_excess(&record) {
            return Err(GraphError::TooLong { what });
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(GraphError::TooMany { what: "nodes", limit: MAX_NODES });
        }
        let id = NodeId(self.next_node);
        self.next_node =
            self.next_node.checked_add(1).ok_or(GraphError::TooMany { what: "nodes", limit: MAX_NODES })?;
        self.nodes.insert(id, Arc::new(record));
        Ok((id, Undo::Node(id, None)))
    }

    pub(super) fn remove_node(&mut self, id: NodeId) -> Result<Undo, GraphError> {
        let record = self.nodes.remove(&id).ok_or(GraphError::UnknownNode(id))?;
        Ok(Undo::Node(id, Some(record)))
    }

    pub(super) fn add_endpoint(&mut self, record: EndpointRecord) -> Result<(EndpointId, Undo), GraphError> {
        const LIMIT: GraphError = GraphError::TooMany { what: "endpoints", limit: MAX_ENDPOINTS };
        if let Some(what) = endpoint_excess(&record) {
            return Err(GraphError::TooLong { what });
        }
        if !self.nodes.contains_key(&NodeId(record.node)) {
            return Err(GraphError::UnknownNode(NodeId(record.node)));
        }
        if self.endpoints.len() >= MAX_ENDPOINTS {
            return Err(LIMIT);
        }
        let id = EndpointId(self.next_endpoint);
        self.next_endpoint = self.next_endpoint.checked_add(1).ok_or(LIMIT)?;
        self.endpoints.insert(id, Arc::new(record));
        Ok((id, Undo::Endpoint(id, None)))
    }

    pub(super) fn remove_endpoint(&mut self, id: EndpointId) -> Result<Undo, GraphError> {
        let record = self.endpoints.remove(&id).ok_or(GraphError::UnknownEndpoint(id))?;
        Ok(Undo::Endpoint(id, Some(record)))
    }

    pub(super) fn update_endpoint(&mut self, id: EndpointId, attributes: Vec<u8>) -> Result<Undo, GraphError> {
        if attributes.len() > MAX_ATTRIBUTES_BYTES {
            return Err(GraphError::TooLong { what: "attributes" });
        }
        let slot = self.endpoints.get_mut(&id).ok_or(GraphError::UnknownEndpoint(id))?;
        let changed = EndpointRecord { attributes, ..EndpointRecord::clone(slot) };
        let before = std::mem::replace(slot, Arc::new(changed));
        Ok(Undo::Endpoint(id, Some(before)))
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Node(id, Some(before)) => drop(self.nodes.insert(id, before)),
            Undo::Node(id, None) => drop(self.nodes.remove(&id)),
            Undo::Endpoint(id, Some(before)) => drop(self.endpoints.insert(id, before)),
            Undo::Endpoint(id, None) => drop(self.endpoints.remove(&id)),
        }
    }

    pub(super) fn graph(&self) -> ParticipantGraph {
        ParticipantGraph {
            identity: self.identity,
            nodes: self.nodes.iter().map(|(id, record)| (*id, Arc::clone(record))).collect(),
            endpoints: self.endpoints.iter().map(|(id, record)| (*id, Arc::clone(record))).collect(),
        }
    }
}

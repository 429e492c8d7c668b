//! What participants tell each other about themselves.

use crate::ids::Identity;
use std::sync::Arc;

/// Longest node name, namespace, topic or service name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest type name or enclave, in bytes.
pub const MAX_LONG_NAME_BYTES: usize = 1024;
/// Most bytes of attributes of one endpoint.
pub const MAX_ATTRIBUTES_BYTES: usize = 4096;
/// Most nodes of one participant at a time.
pub const MAX_NODES: usize = 4096;
/// Most endpoints of one participant at a time.
pub const MAX_ENDPOINTS: usize = 16384;

/// Number of a node among those of its participant; not used again by that participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Number of an endpoint among those of its participant; not used again by that participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeRecord {
    /// Name without namespace.
    pub name: String,
    /// Namespace, beginning with a slash.
    pub namespace: String,
    /// Security enclave.
    pub enclave: String,
}

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointKind {
    /// Sends on a topic.
    Publisher,
    /// Receives from a topic.
    Subscription,
    /// Answers requests of a service.
    Server,
    /// Sends requests to a service.
    Client,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointRecord {
    /// What it does.
    pub kind: EndpointKind,
    /// [`NodeId`] of its node, in the same participant.
    pub node: u32,
    /// Its global identifier.
    pub gid: [u8; 16],
    /// Topic or service name.
    pub name: String,
    /// Type name.
    pub type_name: String,
    /// Opaque to the core: quality of service, type hash and the like, in the encoding of the layer above.
    pub attributes: Vec<u8>,
}

/// All that one participant has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantGraph {
    /// Who.
    pub identity: Identity,
    /// Its nodes, ordered by id.
    pub nodes: Vec<(NodeId, Arc<NodeRecord>)>,
    /// Its endpoints, ordered by id.
    pub endpoints: Vec<(EndpointId, Arc<EndpointRecord>)>,
}

impl ParticipantGraph {
    /// A participant that has told nothing yet.
    pub fn empty(identity: Identity) -> Self {
        Self { identity, nodes: Vec::new(), endpoints: Vec::new() }
    }

    /// The node of that id.
    pub fn node(&self, id: u32) -> Option<&Arc<NodeRecord>> {
        let at = self.nodes.binary_search_by_key(&NodeId(id), |(id, _)| *id).ok()?;
        self.nodes.get(at).map(|(_, record)| record)
    }
}

//! How a participant's graph is written into its file, and read from the files of others.
//!
//! Little endian: version, number of nodes, number of endpoints (`u32` each); per node its id, name, namespace, enclave;
//! per endpoint its id, kind (`u8`), node id, gid, name, type name, attributes. Strings and attributes: `u16` length, bytes.
//!
//! Decoding trusts nothing: every length is checked against what is there and against the limits of
//! [`super::record`], memory is only reserved for what the bytes can hold, and no input panics.

use super::record::{
    EndpointId, EndpointKind, EndpointRecord, NodeId, NodeRecord, ParticipantGraph, MAX_ATTRIBUTES_BYTES,
    MAX_ENDPOINTS, MAX_LONG_NAME_BYTES, MAX_NAME_BYTES, MAX_NODES,
};
use crate::ids::Identity;
use std::sync::Arc;

const FORMAT: u32 = 1;

/// Why bytes are not a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("ends too early")]
    Truncated,
    /// They go on where they should end.
    #[error("goes on behind its end")]
    Trailing,
    /// Another format version.
    #[error("graph format {0}, this library knows {FORMAT}")]
    Format(u32),
    /// More nodes, endpoints or bytes than allowed.
    #[error("exceeds a limit")]
    TooLarge,
    /// A name that is not UTF-8, an unknown kind, ids out of order.
    #[error("invalid content")]
    Invalid,
}

/// Which limit a record exceeds; `None` for a valid one.
pub(super) fn node_excess(record: &NodeRecord) -> Option<&'static str> {
    if record.name.len() > MAX_NAME_BYTES {
        Some("node name")
    } else if record.namespace.len() > MAX_NAME_BYTES {
        Some("node namespace")
    } else if record.enclave.len() > MAX_LONG_NAME_BYTES {
        Some("enclave")
    } else {
        None
    }
}

/// Which limit a record exceeds; `None` for a valid one.
pub(super) fn endpoint_excess(record: &EndpointRecord) -> Option<&'static str> {
    if record.name.len() > MAX_NAME_BYTES {
        Some("topic or service name")
    } else if record.type_name.len() > MAX_LONG_NAME_BYTES {
        Some("type name")
    } else if record.attributes.len() > MAX_ATTRIBUTES_BYTES {
        Some("attributes")
    } else {
        None
    }
}

/// Appends the graph's bytes to `out`. The records are within their limits.
pub(super) fn encode(graph: &ParticipantGraph, out: &mut Vec<u8>) {
    let word = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&value.to_le_bytes());
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    word(out, FORMAT);
    word(out, count(graph.nodes.len()));
    word(out, count(graph.endpoints.len()));
    for (id, node) in &graph.nodes {
        word(out, id.0);
        for text in [&node.name, &node.namespace, &node.enclave] {
            put_bytes(out, text.as_bytes());
        }
    }
    for (id, endpoint) in &graph.endpoints {
        word(out, id.0);
        out.push(kind_number(endpoint.kind));
        word(out, endpoint.node);
        out.extend_from_slice(&endpoint.gid);
        put_bytes(out, endpoint.name.as_bytes());
        put_bytes(out, endpoint.type_name.as_bytes());
        put_bytes(out, &endpoint.attributes);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // All limits are far below 64 KiB.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend(bytes.iter().take(usize::from(length)));
}

fn kind_number(kind: EndpointKind) -> u8 {
    match kind {
        EndpointKind::Publisher => 0,
        EndpointKind::Subscription => 1,
        EndpointKind::Server => 2,
        EndpointKind::Client => 3,
    }
}

fn kind_of(number: u8) -> Result<EndpointKind, DecodeError> {
    match number {
        0 => Ok(EndpointKind::Publisher),
        1 => Ok(EndpointKind::Subscription),
        2 => Ok(EndpointKind::Server),
        3 => Ok(EndpointKind::Client),
        _ => Err(DecodeError::Invalid),
    }
}

/// Reads a graph that `identity` wrote.
///
/// # Errors
/// [`DecodeError`].
pub(super) fn decode(identity: Identity, bytes: &[u8]) -> Result<ParticipantGraph, DecodeError> {
    let mut reader = Reader { rest: bytes };
    let format = reader.word()?;
    if format != FORMAT {
        return Err(DecodeError::Format(format));
    }
    let nodes_count = reader.word()? as usize;
    let endpoints_count = reader.word()? as usize;
    if nodes_count > MAX_NODES || endpoints_count > MAX_ENDPOINTS {
        return Err(DecodeError::TooLarge);
    }
    // A node takes at least 10 bytes, an endpoint 31: the counts cannot make us reserve more than the input justifies.
    let mut nodes = Vec::with_capacity(nodes_count.min(bytes.len() / 10));
    for _ in 0..nodes_count {
        let id = NodeId(reader.word()?);
        let name = reader.text(MAX_NAME_BYTES)?;
        let namespace = reader.text(MAX_NAME_BYTES)?;
        let enclave = reader.text(MAX_LONG_NAME_BYTES)?;
        push_ordered(&mut nodes, id, NodeRecord { name, namespace, enclave })?;
    }
    let mut endpoints = Vec::with_capacity(endpoints_count.min(bytes.len() / 31));
    for _ in 0..endpoints_count {
        let id = EndpointId(reader.word()?);
        let record = EndpointRecord {
            kind: kind_of(reader.array::<1>()?[0])?,
            node: reader.word()?,
            gid: reader.array()?,
            name: reader.text(MAX_NAME_BYTES)?,
            type_name: reader.text(MAX_LONG_NAME_BYTES)?,
            attributes: reader.bytes(MAX_ATTRIBUTES_BYTES)?.to_vec(),
        };
        push_ordered(&mut endpoints, id, record)?;
    }
    if !reader.rest.is_empty() {
        return Err(DecodeError::Trailing);
    }
    Ok(ParticipantGraph { identity, nodes, endpoints })
}

/// Ids grow, so lookup may search by halves and none comes twice.
fn push_ordered<Id: Ord + Copy, T>(list: &mut Vec<(Id, Arc<T>)>, id: Id, record: T) -> Result<(), DecodeError> {
    if list.last().is_some_and(|(last, _)| *last >= id) {
        return Err(DecodeError::Invalid);
    }
    list.push((id, Arc::new(record)));
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    fn word(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn bytes(&mut self, limit: usize) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        if length > limit {
            return Err(DecodeError::TooLarge);
        }
        self.take(length)
    }

    fn text(&mut self, limit: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(limit)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Identity {
        Identity::new(3, 77).expect("in range")
    }

    /// xorshift64*: enough to fuzz with, and reproducible.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn below(&mut self, limit: usize) -> usize {
            (self.next() % limit as u64) as usize
        }

        fn text(&mut self, limit: usize) -> String {
            (0..self.below(limit)).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
        }
    }

    fn random_graph(random: &mut Random) -> ParticipantGraph {
        let mut graph = ParticipantGraph::empty(who());
        let mut id = 0;
        for _ in 0..random.below(5) {
            id += 1 + random.below(3) as u32;
            let record = NodeRecord { name: random.text(256), namespace: random.text(256), enclave: random.text(99) };
            graph.nodes.push((NodeId(id), Arc::new(record)));
        }
        for _ in 0..random.below(9) {
            id += 1 + random.below(3) as u32;
            let record = EndpointRecord {
                kind: kind_of(random.below(4) as u8).expect("a kind"),
                node: random.next() as u32,
                gid: [random.next() as u8; 16],
                name: random.text(256),
                type_name: random.text(1025),
                attributes: vec![7; random.below(500)],
            };
            graph.endpoints.push((EndpointId(id), Arc::new(record)));
        }
        graph
    }

    #[test]
    fn what_was_written_is_read() {
        let mut random = Random(0x1234_5678);
        for _ in 0..200 {
            let graph = random_graph(&mut random);
            let mut bytes = Vec::new();
            encode(&graph, &mut bytes);
            assert_eq!(decode(who(), &bytes), Ok(graph));
        }
    }

    #[test]
    fn every_truncation_is_an_error_and_so_is_one_byte_more() {
        let mut random = Random(99);
        let graph = random_graph(&mut random);
        let mut bytes = Vec::new();
        encode(&graph, &mut bytes);
        for length in 0..bytes.len() {
            assert!(decode(who(), &bytes[..length]).is_err(), "cut to {length}");
        }
        bytes.push(0);
        assert_eq!(decode(who(), &bytes), Err(DecodeError::Trailing));
    }

    #[test]
    fn damaged_and_random_bytes_never_panic_and_never_reserve_more_than_they_justify() {
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |t| t.as_nanos() as u64) | 1;
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut decoded = 0;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            encode(&random_graph(&mut random), &mut bytes);
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            if let Ok(graph) = decode(who(), &bytes) {
                decoded += 1;
                assert!(graph.nodes.len() <= MAX_NODES && graph.endpoints.len() <= MAX_ENDPOINTS);
            }
            let noise: Vec<u8> = (0..random.below(64)).map(|_| random.next() as u8).collect();
            let _ = decode(who(), &noise);
            let mut framed = FORMAT.to_le_bytes().to_vec();
            framed.extend_from_slice(&noise);
            let _ = decode(who(), &framed);
        }
        assert!(decoded > 0, "the damage is meant to be small enough to pass now and then");
    }

    #[test]
    fn counts_that_lie_are_refused() {
        let mut bytes = Vec::new();
        for word in [FORMAT, u32::MAX, 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        assert_eq!(decode(who(), &bytes), Err(DecodeError::TooLarge));
        bytes[4..8].copy_from_slice(&(MAX_NODES as u32).to_le_bytes());
        assert_eq!(decode(who(), &bytes), Err(DecodeError::Truncated));
        assert_eq!(decode(who(), &9_u32.to_le_bytes()), Err(DecodeError::Format(9)));
    }
}

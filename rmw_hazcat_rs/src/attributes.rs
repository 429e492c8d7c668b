//! What an endpoint tells about itself in the graph beside its names: QoS, structure and hash of its type.
//!
//! The core carries these as opaque bytes. They come from other processes, so parsing believes nothing and never
//! panics; it allocates nothing either, because counting matched endpoints must not.

use crate::qos::{Durability, History, Liveliness, Qos, Reliability, Span, Traits};
use crate::typesupport::TypeHash;

const VERSION: u8 = 1;
const KEEP_ALL: u8 = 1 << 0;
const RELIABLE: u8 = 1 << 1;
const TRANSIENT_LOCAL: u8 = 1 << 2;
const MANUAL: u8 = 1 << 3;
const AVOID_ROS_CONVENTIONS: u8 = 1 << 4;
const IGNORE_LOCAL: u8 = 1 << 5;

/// The attributes of one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// Its QoS. For a client or server, that of both directions.
    pub qos: Qos,
    /// A subscription that wants nothing from its own participant.
    pub ignore_local: bool,
    /// Hash over the structure of its message (or service) type; endpoints with different ones never share a ring.
    pub structure: u64,
    /// The type's published hash, where it has one.
    pub type_hash: Option<TypeHash>,
}

impl Attributes {
    /// Length of the encoded form in bytes.
    pub const ENCODED: usize = 4 + 8 + 3 * 8 + 8 + 32;

    /// The bytes that go into the graph.
    pub fn encode(&self) -> Vec<u8> {
        let mut flags = 0;
        let mut set = |condition: bool, flag: u8| flags |= if condition { flag } else { 0 };
        set(self.qos.history == History::KeepAll, KEEP_ALL);
        set(self.qos.reliability == Reliability::Reliable, RELIABLE);
        set(self.qos.durability == Durability::TransientLocal, TRANSIENT_LOCAL);
        set(self.qos.liveliness == Liveliness::ManualByTopic, MANUAL);
        set(self.qos.avoid_ros_namespace_conventions, AVOID_ROS_CONVENTIONS);
        set(self.ignore_local, IGNORE_LOCAL);

        let mut bytes = Vec::with_capacity(Self::ENCODED);
        let hash = self.type_hash.unwrap_or(TypeHash { version: 0, value: [0; 32] });
        bytes.extend([VERSION, flags, hash.version, 0]);
        bytes.extend((self.qos.depth as u64).to_le_bytes());
        for span in [self.qos.deadline, self.qos.lifespan, self.qos.lease] {
            bytes.extend(span.nanos().unwrap_or(0).to_le_bytes());
        }
        bytes.extend(self.structure.to_le_bytes());
        bytes.extend(hash.value);
        bytes
    }

    /// Reads what [`Attributes::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [version, flags, hash_version, _] = next::<4>(&mut rest)?;
        if version != VERSION {
            return None;
        }
        let is = |flag: u8| flags & flag != 0;
        let depth = usize::try_from(u64::from_le_bytes(next(&mut rest)?)).ok()?;
        let deadline = Span::from_nanos(u64::from_le_bytes(next(&mut rest)?));
        let lifespan = Span::from_nanos(u64::from_le_bytes(next(&mut rest)?));
        let lease = Span::from_nanos(u64::from_le_bytes(next(&mut rest)?));
        let structure = u64::from_le_bytes(next(&mut rest)?);
        let value = next::<32>(&mut rest)?;
        Some(Self {
            qos: Qos {
                history: if is(KEEP_ALL) { History::KeepAll } else { History::KeepLast(depth) },
                depth,
                reliability: if is(RELIABLE) { Reliability::Reliable } else { Reliability::BestEffort },
                durability: if is(TRANSIENT_LOCAL) { Durability::TransientLocal } else { Durability::Volatile },
                deadline,
                lifespan,
                liveliness: if is(MANUAL) { Liveliness::ManualByTopic } else { Liveliness::Automatic },
                lease,
                avoid_ros_namespace_conventions: is(AVOID_ROS_CONVENTIONS),
            },
            ignore_local: is(IGNORE_LOCAL),
            structure,
            type_hash: (hash_version != 0).then_some(TypeHash { version: hash_version, value }),
        })
    }

    /// The policies that decide on matching.
    pub fn traits(&self) -> Traits {
        self.qos.traits()
    }
}

fn next<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Attributes {
        Attributes {
            qos: Qos {
                history: History::KeepLast(7),
                depth: 7,
                reliability: Reliability::BestEffort,
                durability: Durability::TransientLocal,
                deadline: Span::from_nanos(1),
                lifespan: Span::ENDLESS,
                liveliness: Liveliness::ManualByTopic,
                lease: Span::from_nanos(3_000_000_000),
                avoid_ros_namespace_conventions: true,
            },
            ignore_local: true,
            structure: 0x0102_0304_0506_0708,
            type_hash: Some(TypeHash { version: 1, value: [9; 32] }),
        }
    }

    #[test]
    fn encoding_is_reversible() {
        let other = Attributes {
            qos: Qos { history: History::KeepAll, reliability: Reliability::Reliable, ..example().qos },
            ignore_local: false,
            type_hash: None,
            ..example()
        };
        for attributes in [example(), other] {
            let bytes = attributes.encode();
            assert_eq!(bytes.len(), Attributes::ENCODED);
            assert_eq!(Attributes::decode(&bytes), Some(attributes));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let bytes = example().encode();
        for length in 0..bytes.len() {
            assert_eq!(Attributes::decode(&bytes[..length]), None);
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(Attributes::decode(&newer), None);
    }
}

//! A number that two descriptions share exactly if they describe the same type.
//!
//! It covers names, kinds, array sizes and bounds, recursively, and nothing that differs between C
//! and C++ structs; so a C++ publisher and a C subscription agree, and two versions of a message do
//! not. A plain message travels as the struct itself, so there the layout counts as well: the two
//! languages lay such structs out alike, and if ever they did not, they would not be mixed.
//!
//! FNV-1a, because it must be the same in every build of this crate.

use super::description::{Cardinality, Field, FieldKind};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The number for a message of these fields.
pub(super) fn hash(ros_name: &str, fields: &[Field], plain_size: Option<usize>) -> u64 {
    let mut hash = Fnv(OFFSET);
    hash.text(ros_name);
    hash.number(fields.len() as u64);
    for field in fields {
        hash.text(&field.name);
        let (kind, detail) = match &field.kind {
            FieldKind::Primitive(primitive) => (1, *primitive as u64),
            FieldKind::String { bound } => (2, option(*bound)),
            FieldKind::WString { bound } => (3, option(*bound)),
            FieldKind::Message(message) => (4, message.structural_hash()),
        };
        hash.number(kind);
        hash.number(detail);
        let (cardinality, count) = match field.cardinality {
            Cardinality::One => (1, 0),
            Cardinality::Array(n) => (2, n as u64),
            Cardinality::Sequence { bound } => (3, option(bound)),
        };
        hash.number(cardinality);
        hash.number(count);
        if plain_size.is_some() {
            hash.number(field.offset as u64);
        }
    }
    hash.number(option(plain_size));
    hash.0
}

fn option(value: Option<usize>) -> u64 {
    value.map_or(u64::MAX, |value| value as u64)
}

struct Fnv(u64);

impl Fnv {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
    }

    fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.byte(byte));
        self.byte(0);
    }

    fn number(&mut self, number: u64) {
        number.to_le_bytes().into_iter().for_each(|b| self.byte(b));
    }
}

//! A message as a tree, and its encoding by the `cdr` crate.

use super::random::Random;
use rmw_hazcat_rs::typesupport::{Cardinality, FieldKind, MessageType, Primitive};
use serde::ser::{SerializeSeq, SerializeTuple};
use serde::{Serialize, Serializer};

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The bytes of a number, lowest first, in as many as it has.
    Number(Primitive, u128),
    Text(String),
    Wide(Vec<u16>),
    Struct(Vec<Value>),
    Array(Vec<Value>),
    Sequence(Vec<Value>),
}

impl Value {
    pub fn random(kind: &MessageType, random: &mut Random) -> Self {
        Self::of_message(kind, random, 6)
    }

    fn of_message(kind: &MessageType, random: &mut Random, longest: usize) -> Self {
        Self::Struct(
            kind.fields()
                .iter()
                .map(|field| {
                    // Shorter further in, or nested types explode.
                    let element = |random: &mut Random| Self::element(&field.kind, random, longest.div_ceil(2));
                    match field.cardinality {
                        Cardinality::One => Self::element(&field.kind, random, longest),
                        Cardinality::Array(n) if n > 1000 => {
                            let one = element(random);
                            Self::Array(vec![one; n])
                        }
                        Cardinality::Array(n) => Self::Array((0..n).map(|_| element(random)).collect()),
                        Cardinality::Sequence { bound } => {
                            let n = random.below(longest.min(bound.unwrap_or(longest)) + 1);
                            Self::Sequence((0..n).map(|_| element(random)).collect())
                        }
                    }
                })
                .collect(),
        )
    }

    fn element(kind: &FieldKind, random: &mut Random, longest: usize) -> Self {
        match kind {
            FieldKind::Primitive(Primitive::Boolean) => Self::Number(Primitive::Boolean, random.next() as u128 & 1),
            FieldKind::Primitive(primitive) => {
                let bits = (u128::from(random.next()) << 64) | u128::from(random.next());
                let unused = 128 - 8 * primitive.size() as u32;
                Self::Number(*primitive, bits << unused >> unused)
            }
            FieldKind::String { bound } => {
                // Around the 16 bytes inside a std::string, and some bytes that are not ASCII.
                let len = random.below(40.min(bound.unwrap_or(40)) + 1);
                let mut text: String = (0..len).map(|_| (b' ' + random.below(95) as u8) as char).collect();
                if len >= 2 && random.chance(3) {
                    text.replace_range(0..2, "ü");
                }
                Self::Text(text)
            }
            FieldKind::WString { bound } => {
                let len = random.below(20.min(bound.unwrap_or(20)) + 1);
                Self::Wide((0..len).map(|_| random.next() as u16).collect())
            }
            FieldKind::Message(message) => Self::of_message(message, random, longest),
        }
    }

    /// The bytes that the `cdr` crate writes, little endian, with the header.
    pub fn little_endian(&self) -> Vec<u8> {
        cdr::serialize::<_, _, cdr::CdrLe>(self, cdr::Infinite).unwrap()
    }

    /// The same, big endian.
    pub fn big_endian(&self) -> Vec<u8> {
        cdr::serialize::<_, _, cdr::CdrBe>(self, cdr::Infinite).unwrap()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(kind, bits) => match kind {
                Primitive::Float => to.serialize_f32(f32::from_bits(*bits as u32)),
                Primitive::Double => to.serialize_f64(f64::from_bits(*bits as u64)),
                // The crate has no such number: 16 bytes, aligned to 8. Swapped as a whole.
                Primitive::LongDouble => LongDouble(*bits).serialize(to),
                Primitive::Boolean => to.serialize_bool(*bits != 0),
                Primitive::Char | Primitive::Octet | Primitive::UInt8 => to.serialize_u8(*bits as u8),
                Primitive::Int8 => to.serialize_i8(*bits as i8),
                Primitive::WChar | Primitive::UInt16 => to.serialize_u16(*bits as u16),
                Primitive::Int16 => to.serialize_i16(*bits as i16),
                Primitive::UInt32 => to.serialize_u32(*bits as u32),
                Primitive::Int32 => to.serialize_i32(*bits as i32),
                Primitive::UInt64 => to.serialize_u64(*bits as u64),
                Primitive::Int64 => to.serialize_i64(*bits as i64),
            },
            Self::Text(text) => to.serialize_str(text),
            Self::Wide(units) => {
                let mut seq = to.serialize_seq(Some(units.len()))?;
                for unit in units {
                    seq.serialize_element(&u32::from(*unit))?;
                }
                seq.end()
            }
            Self::Sequence(elements) => {
                let mut seq = to.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    seq.serialize_element(element)?;
                }
                seq.end()
            }
            Self::Struct(elements) | Self::Array(elements) => {
                let mut tuple = to.serialize_tuple(elements.len())?;
                for element in elements {
                    tuple.serialize_element(element)?;
                }
                tuple.end()
            }
        }
    }
}

struct LongDouble(u128);

thread_local! {
    /// Whether halves go highest first, as in big endian; the `cdr` crate does not tell.
    pub static HIGH_FIRST: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Serialize for LongDouble {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (low, high) = (self.0 as u64, (self.0 >> 64) as u64);
        let (first, second) = if HIGH_FIRST.get() { (high, low) } else { (low, high) };
        let mut tuple = to.serialize_tuple(2)?;
        tuple.serialize_element(&first)?;
        tuple.serialize_element(&second)?;
        tuple.end()
    }
}

//! One message with a field of every kind, and its bytes.
//!
//! Fields are named `field_0`, `field_1`, ... as the tables name them; `NAMES` says which is which, and the tests write
//! `{int32}` for the name of the `int32` field.

use crate::common::tables::{self, Count, Kind, Struct};
use crate::common::value::Value;
use rmw_hazcat_rs::content_filter::{ContentFilter, FilterError};
use rmw_hazcat_rs::encoding;
use rmw_hazcat_rs::typesupport::{MessageType, Primitive};
use std::rc::Rc;
use std::sync::Arc;

/// The fields of the sample, in their order.
const NAMES: [&str; 21] = [
    "float32",
    "float64",
    "long_double",
    "char",
    "wchar",
    "bool",
    "byte",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "text",
    "wide",
    "numbers",
    "texts",
    "point",
    "points",
];

/// The sample's type and its encodings.
pub struct Sample {
    pub kind: Arc<MessageType>,
    _tables: Rc<Struct>,
    pub little: Vec<u8>,
    pub big: Vec<u8>,
}

/// Replaces `{name}` by the field's name in the tables.
pub fn named(expression: &str) -> String {
    NAMES.iter().enumerate().fold(expression.to_owned(), |text, (index, name)| {
        text.replace(&format!("{{{name}}}"), &format!("field_{index}"))
    })
}

fn number(primitive: Primitive, bits: u128) -> Value {
    Value::Number(primitive, bits)
}

/// A point: a `float64`, a text, and a `uint8`, so that nothing behind it is aligned by chance.
fn point(x: f64, name: &str, tag: u8) -> Value {
    Value::Struct(vec![
        number(Primitive::Double, x.to_bits().into()),
        Value::Text(name.to_owned()),
        number(Primitive::UInt8, tag.into()),
    ])
}

/// In front of the encapsulation, as in a chunk.
pub fn chunk(stream: &[u8]) -> Vec<u8> {
    [&[0; encoding::CDR_PADDING], stream].concat()
}

impl Sample {
    pub fn new() -> Self {
        let numbers = tables::numbers();
        let double = numbers[1].clone();
        let uint8 = numbers[7].clone();
        let int16 = numbers[10].clone();
        let inner = Struct::new("Point", vec![(double, Count::One), (Kind::Text(0), Count::One), (uint8, Count::One)]);
        let mut fields: Vec<(Kind, Count)> = numbers.into_iter().map(|kind| (kind, Count::One)).collect();
        fields.extend([
            (Kind::Text(0), Count::One),
            (Kind::Wide(0), Count::One),
            (int16, Count::Array(3)),
            (Kind::Text(0), Count::Sequence(0)),
            (Kind::Struct(Rc::clone(&inner)), Count::One),
            (Kind::Struct(inner), Count::Sequence(4)),
        ]);
        let tables = Struct::new("Sample", fields);
        let kind = tables.message_type().unwrap();
        let value = Value::Struct(vec![
            number(Primitive::Float, 3.2_f32.to_bits().into()),
            number(Primitive::Double, (-2.5_f64).to_bits().into()),
            number(Primitive::LongDouble, 0),
            number(Primitive::Char, b'c'.into()),
            number(Primitive::WChar, 0x20ac),
            number(Primitive::Boolean, 1),
            number(Primitive::Octet, 0xfe),
            number(Primitive::UInt8, b'u'.into()),
            number(Primitive::Int8, u128::from((-8i8) as u8)),
            number(Primitive::UInt16, 65_000),
            number(Primitive::Int16, u128::from((-16_000i16) as u16)),
            number(Primitive::UInt32, 4_000_000_000),
            number(Primitive::Int32, u128::from((-32i32) as u32)),
            number(Primitive::UInt64, u64::MAX.into()),
            number(Primitive::Int64, u128::from(i64::MIN as u64)),
            Value::Text("it's grün".to_owned()),
            Value::Wide("weit€".encode_utf16().collect()),
            Value::Array([1i16, -2, 3].iter().map(|n| number(Primitive::Int16, u128::from(*n as u16))).collect()),
            Value::Sequence(["zero", "one"].iter().map(|text| Value::Text((*text).to_owned())).collect()),
            point(1.5, "here", 7),
            Value::Sequence(vec![point(10.0, "first", 1), point(20.0, "", 2), point(30.0, "third", 3)]),
        ]);
        let (little, big) = (chunk(&value.little_endian()), chunk(&value.big_endian()));
        Self { kind, _tables: tables, little, big }
    }

    pub fn filter(&self, expression: &str, parameters: &[&str]) -> Result<ContentFilter, FilterError> {
        ContentFilter::new(&named(expression), parameters, &self.kind)
    }

    /// What the filter says of the sample, which must not depend on the byte order.
    #[track_caller]
    pub fn passes(&self, expression: &str, parameters: &[&str]) -> bool {
        let mut filter = self.filter(expression, parameters).unwrap_or_else(|error| panic!("{expression}: {error}"));
        let little = filter.passes(encoding::CDR, &self.little);
        assert_eq!(filter.passes(encoding::CDR, &self.big), little, "{expression} in big endian");
        little
    }
}

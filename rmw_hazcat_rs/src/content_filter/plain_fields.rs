//! The values of a plain message: loaded from where they lie in its struct.

use super::condition::Value;
use super::field_path::FieldPath;
use super::number::Number;
use crate::typesupport::{FieldKind, MessageType, Primitive};

/// Where a value lies in the struct.
#[derive(Debug)]
pub(super) struct PlainField {
    offset: usize,
    primitive: Primitive,
}

/// The places of the fields in question. All paths were made for this type, which is plain.
pub(super) fn compile(kind: &MessageType, paths: &[FieldPath]) -> Vec<PlainField> {
    paths.iter().filter_map(|path| place(kind, path)).collect()
}

fn place(kind: &MessageType, path: &FieldPath) -> Option<PlainField> {
    let (mut message, mut offset) = (kind, 0);
    for step in &path.0 {
        let field = message.fields().get(step.field)?;
        // The type's own tables say where its fields are; the index is within the array.
        offset += field.offset + step.element.unwrap_or(0) * field.element_size(message.language());
        match &field.kind {
            FieldKind::Message(inner) => message = inner,
            FieldKind::Primitive(primitive) => return Some(PlainField { offset, primitive: *primitive }),
            FieldKind::String { .. } | FieldKind::WString { .. } => return None,
        }
    }
    None
}

/// Loads the values from a message's bytes.
pub(super) fn load(fields: &[PlainField], message: &[u8], values: &mut [Value]) {
    for (field, value) in fields.iter().zip(values) {
        let number = message.get(field.offset..).and_then(|bytes| read(bytes, field.primitive, false));
        *value = number.map_or(Value::Missing, Value::Number);
    }
}

/// The number at the beginning of some bytes, in this machine's byte order or the other one.
pub(super) fn read(bytes: &[u8], primitive: Primitive, swap: bool) -> Option<Number> {
    fn array<const N: usize>(bytes: &[u8], swap: bool) -> Option<[u8; N]> {
        let mut array = *bytes.first_chunk::<N>()?;
        if swap {
            array.reverse();
        }
        Some(array)
    }
    Some(match primitive {
        Primitive::Boolean => Number::Integer((*bytes.first()? != 0).into()),
        Primitive::Char | Primitive::Octet | Primitive::UInt8 => Number::Integer((*bytes.first()?).into()),
        Primitive::Int8 => Number::Integer(i8::from_ne_bytes(array(bytes, swap)?).into()),
        Primitive::WChar | Primitive::UInt16 => Number::Integer(u16::from_ne_bytes(array(bytes, swap)?).into()),
        Primitive::Int16 => Number::Integer(i16::from_ne_bytes(array(bytes, swap)?).into()),
        Primitive::UInt32 => Number::Integer(u32::from_ne_bytes(array(bytes, swap)?).into()),
        Primitive::Int32 => Number::Integer(i32::from_ne_bytes(array(bytes, swap)?).into()),
        Primitive::UInt64 => Number::Integer(u64::from_ne_bytes(array(bytes, swap)?).into()),
        Primitive::Int64 => Number::Integer(i64::from_ne_bytes(array(bytes, swap)?).into()),
        Primitive::Float => Number::Float(f32::from_ne_bytes(array(bytes, swap)?).into()),
        Primitive::Double => Number::Float(f64::from_ne_bytes(array(bytes, swap)?)),
        Primitive::LongDouble => return None,
    })
}

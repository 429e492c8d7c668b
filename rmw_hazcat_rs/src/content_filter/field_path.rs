//! From a field's name in an expression to the field of the message's type.

use super::bind::Problem;
use super::expression::FieldStep;
use crate::typesupport::{Cardinality, Field, FieldKind, MessageType, Primitive};

/// The way to one value of a message: which field, and which element of it, of each message on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPath(pub(super) Vec<PathStep>);

/// One step of a [`FieldPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathStep {
    pub(super) field: usize,
    pub(super) element: Option<usize>,
}

/// What kind of value a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    Boolean,
    /// An integer, or a character as its number. `character`: the largest number if it can stand for a character.
    Integer {
        character: Option<u32>,
    },
    Single,
    Double,
    Text,
    Wide,
}

impl ValueType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Integer { .. } => "an integer",
            Self::Single | Self::Double => "a floating-point number",
            Self::Text => "a text",
            Self::Wide => "a wide text",
        }
    }
}

/// Looks a field up.
pub(super) fn resolve(kind: &MessageType, steps: &[FieldStep]) -> Result<(FieldPath, ValueType), Problem> {
    let mut path = Vec::new();
    let mut message = kind;
    let mut rest = steps.iter();
    loop {
        // The grammar makes no empty path, and a path ends where a message is left.
        let Some(step) = rest.next() else {
            return Err(Problem::NotAValue { type_name: message.ros_name().to_owned() });
        };
        let found = message.fields().iter().enumerate().find(|(_, field)| field.name == step.name);
        let Some((index, field)) = found else {
            return Err(Problem::NoSuchField {
                name: step.name.clone(),
                type_name: message.ros_name().to_owned(),
                fields: names(message),
            });
        };
        check_element(field, step)?;
        path.push(PathStep { field: index, element: step.element });
        match &field.kind {
            FieldKind::Message(inner) => message = inner,
            _ if rest.len() > 0 => return Err(Problem::NotAMessage { name: step.name.clone() }),
            FieldKind::String { .. } => return Ok((FieldPath(path), ValueType::Text)),
            FieldKind::WString { .. } => return Ok((FieldPath(path), ValueType::Wide)),
            FieldKind::Primitive(primitive) => {
                let value = value_type(*primitive).ok_or_else(|| Problem::LongDouble { name: step.name.clone() })?;
                return Ok((FieldPath(path), value));
            }
        }
    }
}

fn names(message: &MessageType) -> String {
    let names: Vec<&str> = message.fields().iter().map(|field| field.name.as_str()).collect();
    names.join(", ")
}

fn check_element(field: &Field, step: &FieldStep) -> Result<(), Problem> {
    let name = || step.name.clone();
    match (field.cardinality, step.element) {
        (Cardinality::One, None) => Ok(()),
        (Cardinality::One, Some(_)) => Err(Problem::NotIndexed { name: name() }),
        (_, None) => Err(Problem::IndexNeeded { name: name() }),
        (Cardinality::Array(length) | Cardinality::Sequence { bound: Some(length) }, Some(index))
            if index >= length =>
        {
            Err(Problem::IndexTooLarge { name: name(), index, length })
        }
        (_, Some(_)) => Ok(()),
    }
}

fn value_type(primitive: Primitive) -> Option<ValueType> {
    Some(match primitive {
        Primitive::Boolean => ValueType::Boolean,
        Primitive::Float => ValueType::Single,
        Primitive::Double => ValueType::Double,
        Primitive::LongDouble => return None,
        // ROS has written characters as each of them.
        Primitive::Char | Primitive::Octet | Primitive::UInt8 => ValueType::Integer { character: Some(0xff) },
        Primitive::Int8 => ValueType::Integer { character: Some(0x7f) },
        Primitive::WChar => ValueType::Integer { character: Some(0xffff) },
        Primitive::Int16
        | Primitive::UInt16
        | Primitive::Int32
        | Primitive::UInt32
        | Primitive::Int64
        | Primitive::UInt64 => ValueType::Integer { character: None },
    })
}

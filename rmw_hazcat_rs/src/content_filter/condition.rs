//! What is true of a message's values. Three answers: true, false, and `None` where a value is missing.

use std::cmp::Ordering;

use super::expression::Operator;
use super::number::Number;
use super::pattern::Pattern;

/// A field's value in the message being judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// The sequence has no such element.
    Missing,
    /// A number, a character or a boolean.
    Number(Number),
    /// These bytes of the message's body.
    Text { start: usize, len: usize },
    /// So many 4-byte units from this byte of the message's body.
    Wide { start: usize, units: usize },
}

/// The values of a message, and what they point into.
pub(super) struct Payload<'a> {
    pub(super) values: &'a [Value],
    pub(super) body: &'a [u8],
    /// Whether the body is of the other byte order.
    pub(super) swap: bool,
}

/// A checked expression.
#[derive(Debug)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Numbers(NumberSide, Comparison, NumberSide),
    Texts(TextSide, Comparison, TextSide),
    Wides(WideSide, Comparison, WideSide),
    Looks(usize, Pattern),
}

/// Where a number comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum NumberSide {
    Field(usize),
    Constant(Number),
}

/// Where a text comes from.
#[derive(Clone, Debug)]
pub(super) enum TextSide {
    Field(usize),
    Constant(Box<[u8]>),
}

/// Where a wide text comes from.
#[derive(Clone, Debug)]
pub(super) enum WideSide {
    Field(usize),
    Constant(Box<[u16]>),
}

/// An operator that asks for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// `None` for a pattern operator.
    pub(super) fn of(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Equal => Self::Equal,
            Operator::NotEqual => Self::NotEqual,
            Operator::Less => Self::Less,
            Operator::LessOrEqual => Self::LessOrEqual,
            Operator::Greater => Self::Greater,
            Operator::GreaterOrEqual => Self::GreaterOrEqual,
            Operator::Like | Operator::Match => return None,
        })
    }

    /// Whether it is so; of a NaN only that it is not equal.
    fn is_met_by(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl Condition {
    /// Whether it holds. Allocates nothing; nests as deeply as the expression does.
    pub(super) fn holds(&self, payload: &Payload<'_>) -> Option<bool> {
        match self {
            // False as soon as one is false, else unknown if one is unknown; the other way round for `Any`.
            Self::All(parts) => decided_by(parts, payload, false),
            Self::Any(parts) => decided_by(parts, payload, true),
            Self::Not(inner) => inner.holds(payload).map(|holds| !holds),
            Self::Numbers(left, comparison, right) => {
                Some(comparison.is_met_by(payload.number(*left)?.compare(payload.number(*right)?)))
            }
            Self::Texts(left, comparison, right) => {
                Some(comparison.is_met_by(Some(payload.text(left)?.cmp(payload.text(right)?))))
            }
            Self::Wides(left, comparison, right) => {
                Some(comparison.is_met_by(Some(payload.wide(left)?.cmp(payload.wide(right)?))))
            }
            Self::Looks(field, pattern) => Some(pattern.matches(payload.text_of(*field)?)),
        }
    }
}

fn decided_by(parts: &[Condition], payload: &Payload<'_>, decisive: bool) -> Option<bool> {
    let mut answer = Some(!decisive);
    for part in parts {
        match part.holds(payload) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => answer = None,
        }
    }
    answer
}

impl Payload<'_> {
    fn number(&self, side: NumberSide) -> Option<Number> {
        match side {
            NumberSide::Constant(number) => Some(number),
            NumberSide::Field(slot) => match self.values.get(slot) {
                Some(Value::Number(number)) => Some(*number),
                _ => None,
            },
        }
    }

    fn text<'b>(&'b self, side: &'b TextSide) -> Option<&'b [u8]> {
        match side {
            TextSide::Constant(text) => Some(text),
            TextSide::Field(slot) => self.text_of(*slot),
        }
    }

    fn text_of(&self, slot: usize) -> Option<&[u8]> {
        match self.values.get(slot) {
            Some(Value::Text { start, len }) => self.body.get(*start..start.checked_add(*len)?),
            _ => None,
        }
    }

    /// The 16-bit units of a wide text.
    fn wide<'b>(&'b self, side: &'b WideSide) -> Option<impl Iterator<Item = u32> + 'b> {
        let (constant, body): (&[u16], &[u8]) = match side {
            WideSide::Constant(units) => (units, &[]),
            WideSide::Field(slot) => match self.values.get(*slot) {
                Some(Value::Wide { start, units }) => {
                    (&[], self.body.get(*start..start.checked_add(units.checked_mul(4)?)?)?)
                }
                _ => return None,
            },
        };
        let swap = self.swap;
        let stored = body.chunks_exact(4).filter_map(move |unit| {
            let unit = u32::from_ne_bytes(unit.try_into().ok()?);
            Some(if swap { unit.swap_bytes() } else { unit })
        });
        Some(constant.iter().map(|unit| u32::from(*unit)).chain(stored))
    }
}

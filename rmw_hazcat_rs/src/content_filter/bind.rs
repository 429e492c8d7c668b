//! Looks names and parameters up, and checks that what is compared can be.

use super::condition::{Comparison, Condition, NumberSide, TextSide, WideSide};
use super::expression::{Expression, Literal, Operand, OperandValue, Operator};
use super::field_path::{resolve, FieldPath, ValueType};
use super::grammar::{character, parse_literal, SyntaxError};
use super::number::Number;
use super::pattern::Pattern;
use super::MAX_PARAMETERS;
use crate::typesupport::MessageType;

/// A filter that cannot be: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {character} of the filter expression: {problem}")]
pub struct FilterError {
    /// Which character of the expression, from 1.
    pub character: usize,
    /// Why.
    pub problem: Problem,
}

/// Why a filter cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the fields are what the texts say
pub enum Problem {
    /// The expression cannot be parsed.
    #[error("{0}")]
    Syntax(SyntaxError),
    /// No field of this name.
    #[error("type '{type_name}' has no field '{name}' (it has: {fields})")]
    NoSuchField { name: String, type_name: String, fields: String },
    /// The path goes on behind a value.
    #[error("field '{name}' is no message and has no fields of its own")]
    NotAMessage { name: String },
    /// The path ends at a message.
    #[error("this names a message of type '{type_name}'; name one of its fields")]
    NotAValue { type_name: String },
    /// An index on something that has no elements.
    #[error("field '{name}' is no array or sequence")]
    NotIndexed { name: String },
    /// No index on something that has elements.
    #[error("field '{name}' is an array or sequence; name one element, such as '{name}[0]'")]
    IndexNeeded { name: String },
    /// The index is never there.
    #[error("field '{name}' has no element {index}, but at most {length}")]
    IndexTooLarge { name: String, index: usize, length: usize },
    /// A type that no other middleware can filter by either.
    #[error("field '{name}' is a long double, which filters cannot compare")]
    LongDouble { name: String },
    /// A parameter that was not given.
    #[error("there is no parameter %{index}: {given} were given")]
    NoSuchParameter { index: usize, given: usize },
    /// More parameters than there can be names for.
    #[error("{given} parameters were given, at most 100 are possible")]
    TooManyParameters { given: usize },
    /// A parameter that is no value.
    #[error("parameter %{index} ({text}): at its character {character}: {error}; texts stand in single quotes")]
    BadParameter { index: usize, text: String, character: usize, error: SyntaxError },
    /// Nothing to do with the message.
    #[error("neither side of the comparison is a field of the message")]
    NoField,
    /// Sides that have no order between them.
    #[error("{left} cannot be compared with {right}")]
    Incomparable { left: String, right: String },
    /// A pattern operator without a pattern.
    #[error(
        "{operator} needs a text field on its left and a text in quotes, or a parameter that is one, on its right"
    )]
    NoPattern { operator: &'static str },
    /// A regular expression that is none.
    #[error("this is no regular expression: {message}")]
    BadRegex { message: String },
}

impl From<SyntaxError> for FilterError {
    fn from(error: SyntaxError) -> Self {
        Self { character: error.character, problem: Problem::Syntax(error) }
    }
}

/// A filter whose names have been looked up.
pub(super) struct Bound {
    pub(super) condition: Condition,
    /// The fields in question; a value's slot is its index here.
    pub(super) paths: Vec<FieldPath>,
}

/// Binds an expression, of which `text` is the source, to a type.
pub(super) fn bind(
    text: &str,
    expression: &Expression,
    parameters: &[&str],
    kind: &MessageType,
) -> Result<Bound, FilterError> {
    if parameters.len() > MAX_PARAMETERS {
        return Err(FilterError { character: 1, problem: Problem::TooManyParameters { given: parameters.len() } });
    }
    let mut binder = Binder { text, parameters, kind, paths: Vec::new() };
    let condition = binder.expression(expression)?;
    Ok(Bound { condition, paths: binder.paths })
}

struct Binder<'a> {
    text: &'a str,
    parameters: &'a [&'a str],
    kind: &'a MessageType,
    paths: Vec<FieldPath>,
}

/// One side of a comparison, looked up.
enum Side {
    Field(usize, ValueType),
    Constant(Literal),
}

impl Side {
    fn describe(&self) -> String {
        match self {
            Self::Field(_, kind) => format!("{} field", kind.name()),
            Self::Constant(literal) => match literal {
                Literal::Boolean(_) => format!("the boolean {literal}"),
                Literal::Integer(_) | Literal::Float(_) => format!("the number {literal}"),
                Literal::Text(_) => format!("the text {literal}"),
            },
        }
    }
}

impl Binder<'_> {
    fn expression(&mut self, expression: &Expression) -> Result<Condition, FilterError> {
        Ok(match expression {
            Expression::Any(parts) => Condition::Any(self.all(parts)?),
            Expression::All(parts) => Condition::All(self.all(parts)?),
            Expression::Not(inner) => Condition::Not(Box::new(self.expression(inner)?)),
            Expression::Compare { left, operator, right } => self.compare(left, *operator, right)?,
            Expression::Between { operand, negated, low, high } => {
                let between = Condition::All(vec![
                    self.compare(operand, Operator::GreaterOrEqual, low)?,
                    self.compare(operand, Operator::LessOrEqual, high)?,
                ]);
                if *negated {
                    Condition::Not(Box::new(between))
                } else {
                    between
                }
            }
        })
    }

    fn all(&mut self, parts: &[Expression]) -> Result<Vec<Condition>, FilterError> {
        parts.iter().map(|part| self.expression(part)).collect()
    }

    fn error(&self, at: usize, problem: Problem) -> FilterError {
        FilterError { character: character(self.text, at), problem }
    }

    fn side(&mut self, operand: &Operand) -> Result<Side, FilterError> {
        match &operand.value {
            OperandValue::Literal(literal) => Ok(Side::Constant(literal.clone())),
            OperandValue::Parameter(index) => match self.parameter(*index) {
                Ok(literal) => Ok(Side::Constant(literal)),
                Err(problem) => Err(self.error(operand.at, problem)),
            },
            OperandValue::Field(steps) => {
                let (path, kind) = resolve(self.kind, steps).map_err(|problem| self.error(operand.at, problem))?;
                let known = self.paths.iter().position(|other| *other == path);
                let slot = known.unwrap_or_else(|| {
                    self.paths.push(path);
                    self.paths.len() - 1
                });
                Ok(Side::Field(slot, kind))
            }
        }
    }

    fn parameter(&self, index: usize) -> Result<Literal, Problem> {
        let Some(text) = self.parameters.get(index) else {
            return Err(Problem::NoSuchParameter { index, given: self.parameters.len() });
        };
        parse_literal(text).map_err(|error| Problem::BadParameter {
            index,
            text: (*text).to_owned(),
            character: error.character,
            error,
        })
    }

    fn compare(&mut self, left: &Operand, operator: Operator, right: &Operand) -> Result<Condition, FilterError> {
        let (a, b) = (self.side(left)?, self.side(right)?);
        let Some(comparison) = Comparison::of(operator) else {
            return Self::pattern(a, operator, b).map_err(|problem| self.error(right.at, problem));
        };
        condition(a, comparison, b).map_err(|problem| self.error(left.at, problem))
    }

    fn pattern(left: Side, operator: Operator, right: Side) -> Result<Condition, Problem> {
        let (Side::Field(slot, ValueType::Text), Side::Constant(Literal::Text(text))) = (left, right) else {
            return Err(Problem::NoPattern { operator: operator.symbol() });
        };
        let pattern = if operator == Operator::Match {
            Pattern::regex(&text).map_err(|error| Problem::BadRegex { message: error.to_string() })?
        } else {
            Pattern::like(&text)
        };
        Ok(Condition::Looks(slot, pattern))
    }
}

/// A side as it is compared.
enum Compared {
    Number(NumberSide, Class),
    Text(TextSide),
    Wide(WideSide),
}

/// Which numbers go together: all with whole ones, and each with its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Boolean,
    Whole,
    Floating,
}

fn condition(left: Side, comparison: Comparison, right: Side) -> Result<Condition, Problem> {
    let (a, b) = match (&left, &right) {
        (Side::Constant(_), Side::Constant(_)) => return Err(Problem::NoField),
        (Side::Field(slot, kind), Side::Constant(literal)) => (Some(field(*slot, *kind)), constant(literal, *kind)),
        (Side::Constant(literal), Side::Field(slot, kind)) => (constant(literal, *kind), Some(field(*slot, *kind))),
        (Side::Field(a, a_kind), Side::Field(b, b_kind)) => (Some(field(*a, *a_kind)), Some(field(*b, *b_kind))),
    };
    match (a, b) {
        (Some(Compared::Number(a, a_class)), Some(Compared::Number(b, b_class)))
            if a_class == b_class || a_class == Class::Whole || b_class == Class::Whole =>
        {
            Ok(Condition::Numbers(a, comparison, b))
        }
        (Some(Compared::Text(a)), Some(Compared::Text(b))) => Ok(Condition::Texts(a, comparison, b)),
        (Some(Compared::Wide(a)), Some(Compared::Wide(b))) => Ok(Condition::Wides(a, comparison, b)),
        _ => Err(Problem::Incomparable { left: left.describe(), right: right.describe() }),
    }
}

fn field(slot: usize, kind: ValueType) -> Compared {
    let class = match kind {
        ValueType::Text => return Compared::Text(TextSide::Field(slot)),
        ValueType::Wide => return Compared::Wide(WideSide::Field(slot)),
        ValueType::Boolean => Class::Boolean,
        ValueType::Integer { .. } => Class::Whole,
        ValueType::Single | ValueType::Double => Class::Floating,
    };
    Compared::Number(NumberSide::Field(slot), class)
}

/// A constant beside a field of some kind; `None` where that makes no sense.
fn constant(literal: &Literal, beside: ValueType) -> Option<Compared> {
    let number = |number: Number, class| {
        let number = if beside == ValueType::Single { number.rounded_to_single() } else { number };
        Compared::Number(NumberSide::Constant(number), class)
    };
    match (literal, beside) {
        (Literal::Text(text), ValueType::Text) => Some(Compared::Text(TextSide::Constant(text.as_bytes().into()))),
        (Literal::Text(text), ValueType::Wide) => {
            Some(Compared::Wide(WideSide::Constant(text.encode_utf16().collect())))
        }
        (Literal::Text(text), ValueType::Integer { character: Some(largest) }) => {
            let mut characters = text.chars().map(u32::from);
            let value = characters.next().filter(|value| *value <= largest)?;
            characters.next().is_none().then(|| number(Number::Integer(value.into()), Class::Whole))
        }
        (Literal::Text(_), _) | (_, ValueType::Text | ValueType::Wide) => None,
        (Literal::Boolean(value), _) => Some(number(Number::Integer((*value).into()), Class::Boolean)),
        (Literal::Integer(value), _) => Some(number(Number::Integer(*value), Class::Whole)),
        (Literal::Float(value), _) => Some(number(Number::Float(*value), Class::Floating)),
    }
}

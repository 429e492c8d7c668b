//! A filter expression as it was written: names are not looked up yet, and nothing knows the message's type.
//!
//! `Display` writes an expression with all its parentheses; parsing that gives the same expression again.

use std::fmt;

/// A condition on a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// At least one holds.
    Any(Vec<Expression>),
    /// All hold.
    All(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// `left operator right`.
    Compare {
        /// Left side.
        left: Operand,
        /// How they are compared.
        operator: Operator,
        /// Right side.
        right: Operand,
    },
    /// `operand BETWEEN low AND high`, both included.
    Between {
        /// What is to lie between.
        operand: Operand,
        /// Whether `NOT` stands in front of `BETWEEN`.
        negated: bool,
        /// Least value.
        low: Operand,
        /// Greatest value.
        high: Operand,
    },
}

/// How two sides are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `<>` or `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`: the whole text, with `%` or `*` for any characters and `_` or `?` for one; `\` takes away a meaning.
    Like,
    /// `MATCH`: the whole text, by a regular expression.
    Match,
}

/// One side of a comparison, and the byte of the expression at which it begins.
#[derive(Clone, Debug)]
pub struct Operand {
    /// What it is.
    pub value: OperandValue,
    /// Where it begins.
    pub at: usize,
}

/// Where it stands does not matter.
impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// What one side of a comparison is.
#[derive(Clone, Debug, PartialEq)]
pub enum OperandValue {
    /// A field of the message, by the way to it.
    Field(Vec<FieldStep>),
    /// A value.
    Literal(Literal),
    /// `%n`: the n-th of the parameters, from 0.
    Parameter(usize),
}

/// One name on the way to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldStep {
    /// The field's name.
    pub name: String,
    /// Which element, of an array or sequence; from 0.
    pub element: Option<usize>,
}

/// A value in an expression, or a parameter's.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// A whole number between -2^63 and 2^64 - 1.
    Integer(i128),
    /// A number with a point or an exponent.
    Float(f64),
    /// A text in quotes.
    Text(String),
}

impl Operator {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "LIKE",
            Self::Match => "MATCH",
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            f.write_str("(")?;
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                write!(f, "{part}")?;
            }
            f.write_str(")")
        };
        match self {
            Self::Any(parts) => list(f, parts, "OR"),
            Self::All(parts) => list(f, parts, "AND"),
            Self::Not(inner) => write!(f, "NOT {inner}"),
            Self::Compare { left, operator, right } => write!(f, "{left} {} {right}", operator.symbol()),
            Self::Between { operand, negated, low, high } => {
                write!(f, "{operand} {}BETWEEN {low} AND {high}", if *negated { "NOT " } else { "" })
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            OperandValue::Field(steps) => write_steps(f, steps),
            OperandValue::Literal(literal) => write!(f, "{literal}"),
            OperandValue::Parameter(index) => write!(f, "%{index}"),
        }
    }
}

fn write_steps(f: &mut fmt::Formatter<'_>, steps: &[FieldStep]) -> fmt::Result {
    for (index, step) in steps.iter().enumerate() {
        if index > 0 {
            f.write_str(".")?;
        }
        f.write_str(&step.name)?;
        if let Some(element) = step.element {
            write!(f, "[{element}]")?;
        }
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(true) => f.write_str("TRUE"),
            Self::Boolean(false) => f.write_str("FALSE"),
            Self::Integer(value) => write!(f, "{value}"),
            // With an exponent, so that it is not read as a whole number.
            Self::Float(value) => write!(f, "{value:e}"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
        }
    }
}

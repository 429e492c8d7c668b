//! Content filters: which messages a subscription wants, in the filter language of DDS.
//!
//! A filter is parsed ([`grammar`]), its names are looked up in the message's type and its sides checked against each
//! other (`bind`), all once, when it is set. After that a message is judged where it lies: of a plain
//! message the fields in question are loaded; of a CDR stream as much is passed over as lies in front of the last field
//! in question, and nothing is copied or allocated.
//!
//! | file | what |
//! |---|---|
//! | `expression.rs`, `grammar.rs` | the expression as it is written |
//! | `bind.rs`, `field_path.rs` | names and types |
//! | `condition.rs`, `number.rs`, `pattern.rs` | what is true of values |
//! | `cdr_walk.rs`, `plain_fields.rs` | the values in a message |
//!
//! A condition on an element that a sequence does not have is neither true nor false, as in SQL with NULL: neither it nor
//! its negation lets the message through. A message whose bytes cannot be read as its type is let through, so that
//! taking it reports the error.

mod bind;
mod cdr_walk;
mod condition;
pub mod expression;
mod field_path;
pub mod grammar;
mod number;
mod pattern;
mod plain_fields;

use crate::encoding;
use crate::typesupport::MessageType;
use cdr_walk::Walk;
use condition::{Condition, Payload, Value};
use plain_fields::PlainField;

pub use bind::{FilterError, Problem};

/// Parameters that an expression can have: `%0` to `%99`.
pub const MAX_PARAMETERS: usize = 100;

/// A filter for messages of one type.
pub struct ContentFilter {
    expression: String,
    parameters: Vec<String>,
    condition: Condition,
    walk: Walk,
    /// For a type that can lie in memory as it is.
    plain: Option<Vec<PlainField>>,
    /// Bytes of a plain message.
    size_of: usize,
    /// The values of the message being judged: one for each field that the expression names.
    values: Vec<Value>,
}

impl ContentFilter {
    /// A filter for messages of a type.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn new(expression: &str, parameters: &[&str], kind: &MessageType) -> Result<Self, FilterError> {
        let parsed = grammar::parse(expression)?;
        let bound = bind::bind(expression, &parsed, parameters, kind)?;
        Ok(Self {
            expression: expression.to_owned(),
            parameters: parameters.iter().map(|&parameter| parameter.to_owned()).collect(),
            condition: bound.condition,
            walk: Walk::compile(kind, &bound.paths),
            plain: kind.is_plain().then(|| plain_fields::compile(kind, &bound.paths)),
            size_of: kind.size_of(),
            values: vec![Value::Missing; bound.paths.len()],
        })
    }

    /// The expression as it was given.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The parameters as they were given.
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// Whether the message in a payload is wanted.
    pub fn passes(&mut self, encoding: u32, payload: &[u8]) -> bool {
        self.values.fill(Value::Missing);
        let (body, swap) = match (encoding, &self.plain) {
            (encoding::PLAIN, Some(fields)) if payload.len() == self.size_of => {
                plain_fields::load(fields, payload, &mut self.values);
                (payload, false)
            }
            (encoding::CDR, _) => {
                let Some((body, swap)) = cdr_walk::body(payload) else { return true };
                if self.walk.run(body, swap, &mut self.values).is_none() {
                    return true;
                }
                (body, swap)
            }
            _ => return true,
        };
        self.condition.holds(&Payload { values: &self.values, body, swap }) == Some(true)
    }
}

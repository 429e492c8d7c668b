//! Payload: chunks of memory that carry messages, and the segments they lie in.
//!
//! A segment is mapped writable by its owner alone. A published message is immutable until its owner has proved that
//! nobody can find or hold it ([`crate::ring::held`]).

pub mod chunk;
pub mod descriptor;
pub mod segment;

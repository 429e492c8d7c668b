//! What a ROS type looks like in memory, read once from the introspection type support that rosidl
//! generates, and checked, so that nothing later has to trust a C table.
//!
//! [`MessageType`] and [`ServiceType`] are made from the handles that rcl passes in, whatever kind of
//! type support these are for, and are immutable and shareable afterwards. They hold function
//! pointers of the generated library: the library must stay loaded as long as they live, which rcl
//! guarantees for the life of the entity that the handle was passed for.
//!
//! * [`description`]: fields, kinds, bounds.
//! * `resolve`: from any handle to the introspection tables.
//! * `parse`: from the tables to a description.
//! * `known`: types that were read before.
//! * `structure`: a number that is equal for equal types, in C and C++.

pub mod description;
mod error;
mod known;
mod message;
mod parse;
mod resolve;
mod service;
mod structure;

pub use description::{Cardinality, Field, FieldKind, Language, Primitive};
pub use error::TypeSupportError;
pub use message::{MessageType, TypeHash};
pub use service::ServiceType;

//! Content filters: the grammar, names and types, and what they say about messages.

#[path = "../common/mod.rs"]
mod common;

mod accepted;
mod fuzz;
mod refused;
mod sample;

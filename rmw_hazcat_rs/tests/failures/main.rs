//! Every exported function with everything that a caller can get wrong: null pointers, handles of another middleware, handles
//! that were zero-initialised, invalid names and values. Each gets the code that upstream's headers and tests expect, with an
//! error string, and leaves out-parameters alone.
//!
//! The rows are in `creation.rs`, `graph.rs`, `messages.rs` and `queries.rs`; one test compares them with the list of what is exported.

// What C does in one line may be in one block here; the contract of all calls is that of rmw's headers.
#![allow(clippy::multiple_unsafe_ops_per_block, clippy::undocumented_unsafe_blocks, dead_code)]
// Each row is such a call.
#![allow(clippy::macro_metavars_in_unsafe)]

#[path = "../rmw/support.rs"]
mod support;
#[path = "../rmw/types.rs"]
mod types;

mod creation;
mod fixture;
mod graph;
mod messages;
mod misuse;
mod queries;

use fixture::{Answer, Case, Fixture};
use rmw_hazcat_rs::ffi;
use std::collections::BTreeSet;

/// Functions that cannot fail.
const INFALLIBLE: [&str; 3] =
    ["rmw_feature_supported", "rmw_get_implementation_identifier", "rmw_get_serialization_format"];

fn all() -> Vec<Case> {
    let mut cases = creation::cases();
    cases.extend(graph::cases());
    cases.extend(messages::cases());
    cases.extend(queries::cases());
    cases
}

#[test]
fn every_exported_function_is_in_the_table() {
    let features = ffi::HEADER_FEATURES;
    let exported: BTreeSet<&str> = include_str!("../symbols.txt")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter(|name| !INFALLIBLE.contains(name))
        .filter(|name| {
            features.contains(&"rmw_dynamic_messages")
                || !(name.contains("dynamic_message") || *name == "rmw_serialization_support_init")
        })
        .collect();
    let covered: BTreeSet<&str> = all().iter().map(|case| case.function).collect();
    let missing: Vec<_> = exported.difference(&covered).collect();
    let unknown: Vec<_> = covered.difference(&exported).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, unknown: {unknown:?}");
}

#[test]
fn every_wrong_argument_is_refused() {
    let fixture = Fixture::new();
    let mut wrong = Vec::new();
    for case in all() {
        unsafe { ffi::rcutils_reset_error() };
        let answer = (case.run)(&fixture);
        let error = support::error();
        let described = !error.is_empty() && error != "error not set";
        if answer != case.expected || !described {
            wrong
                .push(format!("{}, {}: {answer:?} instead of {:?} ({error})", case.function, case.what, case.expected));
        }
        if case.expected == Answer::Code(ffi::RMW_RET_INCORRECT_RMW_IMPLEMENTATION) && !error.contains("another rmw") {
            wrong.push(format!("{}, {}: {error}", case.function, case.what));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), all().len(), wrong.join("\n"));
    fixture.still_works();
}

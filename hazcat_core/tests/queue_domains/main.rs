//! Topics whose publishers and subscriptions prefer different memory: copies are made only where domains differ, once per
//! domain, by the first taker, and whoever dies or fails costs the others nothing.

mod failing;
mod processes;
mod sharing;
mod shelf;
#[path = "../support/mod.rs"]
mod support;
mod talking;
mod third_party;

use support::child_role;

/// Not a test: what children run.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    processes::child(&role, config);
}

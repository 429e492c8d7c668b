//! Model 4, the past: a late transient-local subscription, and a keep-all one that was lapped, get from the history what
//! the ring has no more, once each and in order.

#[cfg(loom)]
#[path = "../loom_harness/mod.rs"]
mod harness;
#[cfg(loom)]
mod lapped;
#[cfg(loom)]
mod late;
#[cfg(loom)]
mod topic;

#[cfg(not(loom))]
#[test]
#[ignore = "run with RUSTFLAGS=\"--cfg loom\" cargo test -p hazcat_core --release --test 'loom_*'"]
fn models_of_joining() {}

//! Model 1, the ring: whatever two publishers do to each other, positions are handed out once, in one order; and no
//! publisher that minds keep-all subscriptions ever overtakes one.

#[cfg(loom)]
#[path = "../loom_harness/mod.rs"]
mod harness;
#[cfg(loom)]
mod keep_all;
#[cfg(loom)]
mod publishers;

#[cfg(not(loom))]
#[test]
#[ignore = "run with RUSTFLAGS=\"--cfg loom\" cargo test -p hazcat_core --release --test 'loom_*'"]
fn models_of_the_ring() {}

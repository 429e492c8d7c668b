//! Model 3, waking: nobody sleeps on while there is something for him, whatever becomes of those who publish.
//!
//! The kernel's futex is a lock and a condition: who waits looks at the word under the lock, who wakes takes the lock. A
//! sleep that nobody ends is a deadlock for loom.

#[cfg(loom)]
mod deaths;
#[cfg(loom)]
#[path = "../loom_harness/mod.rs"]
mod harness;
#[cfg(loom)]
mod life;
#[cfg(loom)]
mod topic;

#[cfg(not(loom))]
#[test]
#[ignore = "run with RUSTFLAGS=\"--cfg loom\" cargo test -p hazcat_core --release --test 'loom_*'"]
fn models_of_waking() {}

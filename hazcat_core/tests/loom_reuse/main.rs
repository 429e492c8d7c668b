//! Model 2, reuse: a chunk is never written while somebody reads it behind a validated announcement, wherever the reader
//! found it (slot, history, copy place), and whoever else uses the reader's record.
//!
//! A chunk's payload is a loom `UnsafeCell`: a read and a write of it that are not ordered by the protocol end the run.

#[cfg(loom)]
mod copies;
#[cfg(loom)]
#[path = "../loom_harness/mod.rs"]
mod harness;
#[cfg(loom)]
mod history;
#[cfg(loom)]
mod pool;
#[cfg(loom)]
mod publisher_record;
#[cfg(loom)]
mod record;
#[cfg(loom)]
mod slots;
#[cfg(loom)]
mod threads;

#[cfg(not(loom))]
#[test]
#[ignore = "run with RUSTFLAGS=\"--cfg loom\" cargo test -p hazcat_core --release --test 'loom_*'"]
fn models_of_reuse() {}

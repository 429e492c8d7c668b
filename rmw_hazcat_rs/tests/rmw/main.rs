//! The exported C functions, called as rcl calls them, over real shared memory.
//!
//! Types are made by hand (`types.rs`), so that the tests need no generated messages. Every test has a ROS domain of its
//! own; several processes are this same binary, started again (`processes.rs`).

// What C does in one line may be in one block here; the contract of all calls is that of rmw's headers.
#![allow(clippy::multiple_unsafe_ops_per_block, clippy::undocumented_unsafe_blocks)]

mod abuse;
mod across;
mod allocators;
mod callbacks;
mod content_filter;
mod deadlines;
mod depths;
mod descriptors;
mod events;
mod graph;
mod lifespan;
mod liveliness;
mod loans;
mod losses;
mod matching;
mod memory_domains;
mod memory_preferences;
mod options;
mod processes;
mod pubsub;
#[allow(dead_code)]
#[path = "../common/random.rs"]
mod random;
mod service_deaths;
mod services;
mod support;
mod types;
mod waiting;

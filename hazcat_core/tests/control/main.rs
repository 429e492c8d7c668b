//! The control plane among real processes: joining, leaving, dying, being told.
//!
//! Each test has a root folder of its own in /dev/shm, which is removed however the test ends. Children are this same test
//! binary, run with [`support::child`] as their only test.

mod damage;
mod deaths;
mod forks;
mod groups;
mod haste;
mod joining;
mod lost_leases;
#[path = "../support/parent.rs"]
mod parent;
mod removals;
mod scale;
mod support;
mod trouble;

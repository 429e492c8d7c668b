//! ROS entities: what a handle's `data` points to.
//!
//! Each entity is made complete or not at all, undoes itself in `Drop`, and is shared by reference counts: the C side
//! owns one count (in the handle), wait sets and the dispatcher take others while they use it. The files:
//!
//! | file | what |
//! |---|---|
//! | `context.rs` | the participant of an rmw context, and what all its entities share |
//! | `isolation.rs` | contexts that discover nobody |
//! | `node.rs` | nodes |
//! | `publisher.rs`, `loan.rs` | publishing |
//! | `subscription.rs`, `subscription/taking.rs` | taking |
//! | `device.rs`, `device_loans.rs` | both of them on a device, and which addresses there are on loan |
//! | `depth.rs` | how deep a queue really is |
//! | `client.rs`, `service.rs` | requests and responses |
//! | `events/`, `pulse.rs` | QoS events of publishers and subscriptions, their matching, their signs of life |
//! | `arriving.rs` | what entities that messages arrive for have in common |
//! | `guard_condition.rs` | flags that are triggered by hand |
//! | `wait_set.rs` | waiting for any of these |
//! | `handle.rs` | from an entity to the C handle and back |

pub mod arriving;
pub mod client;
pub mod context;
pub mod depth;
pub mod device;
pub mod device_loans;
pub mod events;
pub mod guard_condition;
pub mod handle;
pub mod isolation;
pub mod loan;
pub mod node;
pub mod publisher;
pub mod pulse;
pub mod service;
pub mod subscription;
mod unreadable;
pub mod wait_set;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic of another thread while it held the lock does not spread (see [`crate::error::guard`]).
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

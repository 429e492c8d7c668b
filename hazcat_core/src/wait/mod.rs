//! Waiting until something is ready, without missing it and without turning in circles.
//!
//! Everything that can become ready is [`Waitable`]; a [`WaitSet`] sleeps on its own doorbell. See [`crate::doorbell`]
//! for why no wake-up is lost.

mod guard_condition;
mod local_bell;
mod luck;
mod wait_set;

pub use guard_condition::GuardCondition;
pub(crate) use local_bell::Attached;
pub use local_bell::LocalBell;
pub use wait_set::{WaitError, WaitOutcome, WaitSet};

use std::sync::Arc;

/// Something that can become ready, and rings a bell when it does.
pub trait Waitable {
    /// Whether it is ready now. Level-triggered: stays so until somebody takes what is there.
    fn is_ready(&self) -> bool;

    /// Has whoever makes it ready ring `bell` from now on. The caller looks again afterwards.
    fn arm(&self, bell: &Arc<LocalBell>);

    /// Ends that. Only the sleeper itself calls this.
    fn disarm(&self, bell: &Arc<LocalBell>);
}

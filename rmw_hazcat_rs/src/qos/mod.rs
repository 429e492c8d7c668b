//! Quality of service in this library's own terms: what an endpoint really does, every default resolved.
//!
//! A [`Qos`] never holds "system default", "best available" or "unknown". It is what `*_get_actual_qos` reports, what
//! the graph carries, and what decides whether a publisher and a subscription match ([`Traits::incompatibility`]).

mod best_available;
mod profile;
mod span;
mod traits;

pub use best_available::BestAvailable;
pub use profile::QosError;
pub use span::{time_nanos, Span};
pub use traits::{Policy, Traits};

use hazcat_core::sys::clock::monotonic_nanos;

/// How many messages are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum History {
    /// The last so many; at least one.
    KeepLast(usize),
    /// All until they are taken.
    KeepAll,
}

/// Whether messages may be dropped on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reliability {
    /// They may not, as far as the history reaches.
    Reliable,
    /// They may.
    BestEffort,
}

/// Whether a late subscription gets earlier messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// It does, as many as the history keeps.
    TransientLocal,
    /// It does not.
    Volatile,
}

/// What shows that a publisher is alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liveliness {
    /// That its process is.
    Automatic,
    /// That it published or asserted its liveliness.
    ManualByTopic,
}

/// The QoS of an endpoint, resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Qos {
    /// How many messages are kept.
    pub history: History,
    /// The depth as given; meaningless with keep-all, but reported back.
    pub depth: usize,
    /// Whether messages may be dropped.
    pub reliability: Reliability,
    /// Whether late subscriptions get earlier messages.
    pub durability: Durability,
    /// Longest time between two messages.
    pub deadline: Span,
    /// How long a message is good for.
    pub lifespan: Span,
    /// What shows that a publisher is alive.
    pub liveliness: Liveliness,
    /// How long a publisher counts as alive after it showed it.
    pub lease: Span,
    /// The topic is named without ROS conventions.
    pub avoid_ros_namespace_conventions: bool,
}

impl Qos {
    /// The history as the queue of a publisher or subscription keeps it.
    ///
    /// Best effort with keep-all keeps many, but must not hold anybody up.
    pub fn queue_history(&self) -> hazcat_core::History {
        match (self.history, self.reliability) {
            (History::KeepLast(depth), _) => hazcat_core::History::KeepLast(depth),
            (History::KeepAll, Reliability::Reliable) => hazcat_core::History::KeepAll,
            (History::KeepAll, Reliability::BestEffort) => hazcat_core::History::KeepLast(BEST_EFFORT_KEEP_ALL),
        }
    }

    /// When a message that is published now expires, in nanoseconds of the monotonic clock; zero for never.
    pub fn expiry(&self) -> i64 {
        match self.lifespan.nanos() {
            Some(nanos) => i64::try_from(monotonic_nanos().saturating_add(nanos)).unwrap_or(i64::MAX),
            None => 0,
        }
    }
}

/// Messages that a best-effort endpoint with "keep all" keeps.
const BEST_EFFORT_KEEP_ALL: usize = 1024;

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// An ordinary one.
    pub(crate) fn qos() -> Qos {
        Qos {
            history: History::KeepLast(10),
            depth: 10,
            reliability: Reliability::Reliable,
            durability: Durability::Volatile,
            deadline: Span::ENDLESS,
            lifespan: Span::ENDLESS,
            liveliness: Liveliness::Automatic,
            lease: Span::ENDLESS,
            avoid_ros_namespace_conventions: false,
        }
    }
}

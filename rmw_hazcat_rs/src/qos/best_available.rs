//! What "best available" comes to.

#[cfg(rmw_best_available)]
use super::span::NANOS;
use super::{Durability, Liveliness, Qos, Reliability, Span};
use crate::ffi;

/// The durations that mean "best available", where the headers have that.
#[cfg(rmw_best_available)]
const BEST_AVAILABLE_SPAN: u64 = i64::MAX as u64 - 1;

/// What "best available" stands for, found by looking at the endpoints on the other side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BestAvailable {
    /// Reliability to use.
    pub reliability: Reliability,
    /// Durability to use.
    pub durability: Durability,
    /// Liveliness to use.
    pub liveliness: Liveliness,
    /// Deadline to use.
    pub deadline: Span,
    /// Lease to use.
    pub lease: Span,
}

impl BestAvailable {
    /// For a subscription: the strictest that all these publishers offer.
    pub fn for_subscription(publishers: impl Iterator<Item = Qos>) -> Self {
        let mut best = Self {
            reliability: Reliability::Reliable,
            durability: Durability::TransientLocal,
            liveliness: Liveliness::ManualByTopic,
            deadline: Span::ENDLESS,
            lease: Span::ENDLESS,
        };
        let (mut deadline, mut lease) = (None, None);
        for publisher in publishers {
            if publisher.reliability != Reliability::Reliable {
                best.reliability = Reliability::BestEffort;
            }
            if publisher.durability != Durability::TransientLocal {
                best.durability = Durability::Volatile;
            }
            if publisher.liveliness != Liveliness::ManualByTopic {
                best.liveliness = Liveliness::Automatic;
            }
            deadline = deadline.max(Some(publisher.deadline));
            lease = lease.max(Some(publisher.lease));
        }
        // The largest that is offered; one publisher without makes it endless, or it would not match that one.
        best.deadline = deadline.unwrap_or(Span::ENDLESS);
        best.lease = lease.unwrap_or(Span::ENDLESS);
        best
    }

    /// For a publisher: the highest level of service, and as strict as the strictest of these subscriptions.
    pub fn for_publisher(subscriptions: impl Iterator<Item = Qos>) -> Self {
        let mut best = Self {
            reliability: Reliability::Reliable,
            durability: Durability::TransientLocal,
            liveliness: Liveliness::Automatic,
            deadline: Span::ENDLESS,
            lease: Span::ENDLESS,
        };
        for subscription in subscriptions {
            if subscription.liveliness == Liveliness::ManualByTopic {
                best.liveliness = Liveliness::ManualByTopic;
            }
            best.deadline = best.deadline.min(subscription.deadline);
            best.lease = best.lease.min(subscription.lease);
        }
        best
    }

    /// For a service or client: what the default profile of services has.
    pub fn for_service() -> Self {
        Self {
            reliability: Reliability::Reliable,
            durability: Durability::Volatile,
            liveliness: Liveliness::Automatic,
            deadline: Span::ENDLESS,
            lease: Span::ENDLESS,
        }
    }
}

#[cfg(rmw_best_available)]
pub(super) fn is_best_available_span(time: ffi::rmw_time_t) -> bool {
    time.sec == BEST_AVAILABLE_SPAN / NANOS && time.nsec == BEST_AVAILABLE_SPAN % NANOS
}

#[cfg(not(rmw_best_available))]
pub(super) fn is_best_available_span(_time: ffi::rmw_time_t) -> bool {
    false
}

#[cfg(rmw_best_available)]
pub(super) fn asks_best_available(profile: &ffi::rmw_qos_profile_t) -> bool {
    profile.reliability == ffi::RMW_QOS_POLICY_RELIABILITY_BEST_AVAILABLE
        || profile.durability == ffi::RMW_QOS_POLICY_DURABILITY_BEST_AVAILABLE
        || profile.liveliness == ffi::RMW_QOS_POLICY_LIVELINESS_BEST_AVAILABLE
        || is_best_available_span(profile.deadline)
        || is_best_available_span(profile.liveliness_lease_duration)
}

#[cfg(not(rmw_best_available))]
pub(super) fn asks_best_available(_profile: &ffi::rmw_qos_profile_t) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::super::sample::qos;
    use super::*;

    #[test]
    fn best_available() {
        let none = BestAvailable::for_subscription(std::iter::empty());
        assert_eq!((none.reliability, none.deadline), (Reliability::Reliable, Span::ENDLESS));
        let mixed = [
            Qos { reliability: Reliability::BestEffort, deadline: Span::from_nanos(5), ..qos() },
            Qos { deadline: Span::from_nanos(7), ..qos() },
        ];
        let best = BestAvailable::for_subscription(mixed.into_iter());
        assert_eq!(
            (best.reliability, best.durability, best.deadline),
            (Reliability::BestEffort, Durability::Volatile, Span::from_nanos(7))
        );
        let best = BestAvailable::for_publisher(mixed.into_iter());
        assert_eq!(
            (best.reliability, best.durability, best.deadline),
            (Reliability::Reliable, Durability::TransientLocal, Span::from_nanos(5))
        );
    }
}

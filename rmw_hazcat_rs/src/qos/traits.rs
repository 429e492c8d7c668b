//! Whether two endpoints match, decided by one word of each.

use super::{Durability, Liveliness, Qos, Reliability, Span};
use crate::ffi;

/// A policy that two endpoints disagree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// A reliable subscription, a best-effort publisher.
    Reliability,
    /// A transient-local subscription, a volatile publisher.
    Durability,
    /// The subscription's deadline is shorter than the publisher's.
    Deadline,
    /// The subscription asks for manual liveliness or a shorter lease.
    Liveliness,
}

impl Policy {
    /// The policy as the status of an incompatible-QoS event names it.
    pub fn kind(self) -> ffi::rmw_qos_policy_kind_t {
        match self {
            Policy::Reliability => ffi::RMW_QOS_POLICY_RELIABILITY,
            Policy::Durability => ffi::RMW_QOS_POLICY_DURABILITY,
            Policy::Deadline => ffi::RMW_QOS_POLICY_DEADLINE,
            Policy::Liveliness => ffi::RMW_QOS_POLICY_LIVELINESS,
        }
    }
}

impl Qos {
    /// What matters for matching, as the word that a publisher shows in shared memory.
    pub fn traits(&self) -> Traits {
        let mut word = u64::from(self.deadline.coarse()) | u64::from(self.lease.coarse()) << 24;
        if self.reliability == Reliability::Reliable {
            word |= Traits::RELIABLE;
        }
        if self.durability == Durability::TransientLocal {
            word |= Traits::TRANSIENT_LOCAL;
        }
        if self.liveliness == Liveliness::ManualByTopic {
            word |= Traits::MANUAL;
        }
        if self.lifespan != Span::ENDLESS {
            word |= Traits::EXPIRES;
        }
        Traits(word)
    }
}

/// The policies that decide whether two endpoints match, in one word (see [`Qos::traits`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traits(pub u64);

impl Traits {
    const RELIABLE: u64 = 1 << 63;
    const TRANSIENT_LOCAL: u64 = 1 << 62;
    const MANUAL: u64 = 1 << 61;
    const EXPIRES: u64 = 1 << 60;

    /// Whether a publisher's messages are only good for a while.
    pub fn expires(self) -> bool {
        self.0 & Self::EXPIRES != 0
    }

    fn offers_less(self, requested: Self, bit: u64) -> bool {
        self.0 & bit == 0 && requested.0 & bit != 0
    }

    fn deadline(self) -> u64 {
        self.0 & 0xff_ffff
    }

    fn lease(self) -> u64 {
        self.0 >> 24 & 0xff_ffff
    }

    /// First policy in which a publisher with these traits offers less than the subscription requests; `None` means
    /// that they match.
    pub fn incompatibility(self, requested: Self) -> Option<Policy> {
        if self.offers_less(requested, Self::RELIABLE) {
            Some(Policy::Reliability)
        } else if self.offers_less(requested, Self::TRANSIENT_LOCAL) {
            Some(Policy::Durability)
        } else if self.deadline() > requested.deadline() {
            Some(Policy::Deadline)
        } else if self.offers_less(requested, Self::MANUAL) || self.lease() > requested.lease() {
            Some(Policy::Liveliness)
        } else {
            None
        }
    }

    /// Whether a keep-all publisher with these traits waits for a keep-all subscription: for one that it matches, and that
    /// has asked for reliability.
    pub fn waits_for(self, subscription: Self) -> bool {
        subscription.0 & Self::RELIABLE != 0 && self.incompatibility(subscription).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::qos;
    use super::*;

    fn matches(publisher: Qos, subscription: Qos) -> Option<Policy> {
        publisher.traits().incompatibility(subscription.traits())
    }

    #[test]
    fn offers_and_requests() {
        let strict = Qos {
            durability: Durability::TransientLocal,
            liveliness: Liveliness::ManualByTopic,
            deadline: Span::from_nanos(1000),
            lease: Span::from_nanos(1000),
            ..qos()
        };
        assert_eq!(matches(qos(), qos()), None);
        assert_eq!(matches(strict, strict), None);
        assert_eq!(matches(strict, qos()), None);
        assert_eq!(matches(Qos { reliability: Reliability::BestEffort, ..qos() }, qos()), Some(Policy::Reliability));
        assert_eq!(matches(qos(), Qos { reliability: Reliability::BestEffort, ..qos() }), None);
        assert_eq!(matches(qos(), Qos { durability: Durability::TransientLocal, ..qos() }), Some(Policy::Durability));
        assert_eq!(matches(qos(), Qos { deadline: Span::from_nanos(9), ..qos() }), Some(Policy::Deadline));
        assert_eq!(matches(strict, Qos { deadline: Span::from_nanos(999), ..qos() }), Some(Policy::Deadline));
        assert_eq!(matches(qos(), Qos { liveliness: Liveliness::ManualByTopic, ..qos() }), Some(Policy::Liveliness));
        assert_eq!(matches(strict, Qos { lease: Span::from_nanos(999), ..qos() }), Some(Policy::Liveliness));
    }
}

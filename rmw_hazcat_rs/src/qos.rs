//! Quality of service in this library's own terms: what an endpoint really does, every default resolved.
//!
//! A [`Qos`] never holds "system default", "best available" or "unknown". It is what `*_get_actual_qos` reports, what
//! the graph carries, and what decides whether a publisher and a subscription match ([`Traits::incompatibility`]).

use crate::ffi;

/// A duration of a policy in nanoseconds; endless where nothing was asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(u64);

impl Span {
    /// Never ends. Also what "unspecified" (zero) means for every duration of a QoS profile.
    pub const ENDLESS: Self = Self(u64::MAX);

    /// From nanoseconds. Zero is "unspecified", hence endless, as is anything that `i64` cannot hold.
    pub const fn from_nanos(nanos: u64) -> Self {
        if nanos == 0 || nanos >= i64::MAX as u64 {
            Self::ENDLESS
        } else {
            Self(nanos)
        }
    }

    /// Nanoseconds; `None` if endless.
    pub const fn nanos(self) -> Option<u64> {
        if self.0 == u64::MAX {
            None
        } else {
            Some(self.0)
        }
    }

    /// The duration as far as it is compared between processes: 6 bits of exponent, 18 of mantissa, rounded down, so
    /// that it fits beside the rest into a publisher's traits. `ENDLESS` is the largest.
    pub const fn coarse(self) -> u32 {
        const MANTISSA: u32 = 18;
        if self.0 == u64::MAX {
            return (1 << 24) - 1;
        }
        let bits = 64 - self.0.leading_zeros();
        if bits <= MANTISSA {
            return self.0 as u32;
        }
        let shift = bits - MANTISSA;
        // The leading one of a mantissa is implied by the exponent.
        (shift << (MANTISSA - 1)) + (self.0 >> shift) as u32
    }

    fn from_ffi(time: ffi::rmw_time_t) -> Self {
        Self::from_nanos(time_nanos(time))
    }

    fn to_ffi(self) -> ffi::rmw_time_t {
        // Endless is what the header calls RMW_DURATION_INFINITE: the largest number of nanoseconds in an i64.
        let nanos = self.nanos().unwrap_or(i64::MAX as u64);
        ffi::rmw_time_t { sec: nanos / NANOS, nsec: nanos % NANOS }
    }
}

const NANOS: u64 = 1_000_000_000;

/// Total nanoseconds of an `rmw_time_t`, at most `i64::MAX`.
pub fn time_nanos(time: ffi::rmw_time_t) -> u64 {
    time.sec.saturating_mul(NANOS).saturating_add(time.nsec).min(i64::MAX as u64)
}

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

/// Why a profile cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QosError {
    /// A policy is "unknown" or not a value of its enumeration.
    #[error("the {0} policy is unknown")]
    Unknown(&'static str),
}

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

impl Qos {
    /// Depth that "system default" (zero) stands for.
    pub const DEFAULT_DEPTH: usize = 1;

    /// Resolves a profile as given by a user. `best` is asked only if some policy says "best available".
    pub fn resolve(profile: &ffi::rmw_qos_profile_t, best: impl FnOnce() -> BestAvailable) -> Result<Self, QosError> {
        let best = if asks_best_available(profile) { Some(best()) } else { None };
        let depth = if profile.depth == ffi::RMW_QOS_POLICY_DEPTH_SYSTEM_DEFAULT as usize {
            Self::DEFAULT_DEPTH
        } else {
            profile.depth
        };
        let history = match profile.history {
            ffi::RMW_QOS_POLICY_HISTORY_SYSTEM_DEFAULT | ffi::RMW_QOS_POLICY_HISTORY_KEEP_LAST => {
                History::KeepLast(depth)
            }
            ffi::RMW_QOS_POLICY_HISTORY_KEEP_ALL => History::KeepAll,
            _ => return Err(QosError::Unknown("history")),
        };
        let reliability = match profile.reliability {
            ffi::RMW_QOS_POLICY_RELIABILITY_SYSTEM_DEFAULT | ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE => {
                Reliability::Reliable
            }
            ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT => Reliability::BestEffort,
            #[cfg(rmw_best_available)]
            ffi::RMW_QOS_POLICY_RELIABILITY_BEST_AVAILABLE => best.ok_or(QosError::Unknown("reliability"))?.reliability,
            _ => return Err(QosError::Unknown("reliability")),
        };
        let durability = match profile.durability {
            ffi::RMW_QOS_POLICY_DURABILITY_SYSTEM_DEFAULT | ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE => {
                Durability::Volatile
            }
            ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL => Durability::TransientLocal,
            #[cfg(rmw_best_available)]
            ffi::RMW_QOS_POLICY_DURABILITY_BEST_AVAILABLE => best.ok_or(QosError::Unknown("durability"))?.durability,
            _ => return Err(QosError::Unknown("durability")),
        };
        let liveliness = match profile.liveliness {
            ffi::RMW_QOS_POLICY_LIVELINESS_SYSTEM_DEFAULT | ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC => {
                Liveliness::Automatic
            }
            ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC => Liveliness::ManualByTopic,
            #[cfg(rmw_best_available)]
            ffi::RMW_QOS_POLICY_LIVELINESS_BEST_AVAILABLE => best.ok_or(QosError::Unknown("liveliness"))?.liveliness,
            _ => return Err(QosError::Unknown("liveliness")),
        };
        let span = |time: ffi::rmw_time_t, best_span: fn(BestAvailable) -> Span| match best {
            Some(best) if is_best_available_span(time) => best_span(best),
            _ => Span::from_ffi(time),
        };
        Ok(Self {
            history,
            depth,
            reliability,
            durability,
            deadline: span(profile.deadline, |best| best.deadline),
            lifespan: Span::from_ffi(profile.lifespan),
            liveliness,
            lease: span(profile.liveliness_lease_duration, |best| best.lease),
            avoid_ros_namespace_conventions: profile.avoid_ros_namespace_conventions,
        })
    }

    /// The profile as the C interface has it.
    pub fn to_ffi(&self) -> ffi::rmw_qos_profile_t {
        ffi::rmw_qos_profile_t {
            history: match self.history {
                History::KeepLast(_) => ffi::RMW_QOS_POLICY_HISTORY_KEEP_LAST,
                History::KeepAll => ffi::RMW_QOS_POLICY_HISTORY_KEEP_ALL,
            },
            depth: self.depth,
            reliability: match self.reliability {
                Reliability::Reliable => ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE,
                Reliability::BestEffort => ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT,
            },
            durability: match self.durability {
                Durability::TransientLocal => ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL,
                Durability::Volatile => ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE,
            },
            deadline: self.deadline.to_ffi(),
            lifespan: self.lifespan.to_ffi(),
            liveliness: match self.liveliness {
                Liveliness::Automatic => ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC,
                Liveliness::ManualByTopic => ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC,
            },
            liveliness_lease_duration: self.lease.to_ffi(),
            avoid_ros_namespace_conventions: self.avoid_ros_namespace_conventions,
        }
    }

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

    /// When a message published at `now` expires, both in nanoseconds since the epoch; zero for never.
    pub fn expiry(&self, now: i64) -> i64 {
        match self.lifespan.nanos() {
            Some(nanos) => now.saturating_add(i64::try_from(nanos).unwrap_or(i64::MAX)).max(1),
            None => 0,
        }
    }
}

/// Messages that a best-effort endpoint with "keep all" keeps.
const BEST_EFFORT_KEEP_ALL: usize = 1024;

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

#[cfg(rmw_best_available)]
fn is_best_available_span(time: ffi::rmw_time_t) -> bool {
    time.sec == BEST_AVAILABLE_SPAN / NANOS && time.nsec == BEST_AVAILABLE_SPAN % NANOS
}

#[cfg(not(rmw_best_available))]
fn is_best_available_span(_time: ffi::rmw_time_t) -> bool {
    false
}

#[cfg(rmw_best_available)]
fn asks_best_available(profile: &ffi::rmw_qos_profile_t) -> bool {
    profile.reliability == ffi::RMW_QOS_POLICY_RELIABILITY_BEST_AVAILABLE
        || profile.durability == ffi::RMW_QOS_POLICY_DURABILITY_BEST_AVAILABLE
        || profile.liveliness == ffi::RMW_QOS_POLICY_LIVELINESS_BEST_AVAILABLE
        || is_best_available_span(profile.deadline)
        || is_best_available_span(profile.liveliness_lease_duration)
}

#[cfg(not(rmw_best_available))]
fn asks_best_available(_profile: &ffi::rmw_qos_profile_t) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qos() -> Qos {
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

    fn matches(publisher: Qos, subscription: Qos) -> Option<Policy> {
        publisher.traits().incompatibility(subscription.traits())
    }

    #[test]
    fn coarse_spans_keep_their_order() {
        let mut last = 0;
        let mut nanos = 2u64;
        while nanos < i64::MAX as u64 {
            let [before, at, after] = [nanos - 1, nanos, nanos + 1].map(|nanos| Span::from_nanos(nanos).coarse());
            assert!(last <= at && before <= at && at <= after, "{nanos}");
            assert!(after < Span::ENDLESS.coarse(), "{nanos}");
            last = at;
            nanos += nanos / 3 + 1;
        }
        // What is left out is less than one part in 2^17.
        assert!(Span::from_nanos(1_000_000_000).coarse() < Span::from_nanos(1_000_010_000).coarse());
    }

    #[test]
    fn a_profile_comes_back_as_it_was_given() {
        let given = Qos {
            durability: Durability::TransientLocal,
            liveliness: Liveliness::ManualByTopic,
            deadline: Span::from_nanos(1_000_000_001),
            lifespan: Span::from_nanos(5),
            lease: Span::from_nanos(7_000_000_000),
            ..qos()
        };
        let profile = given.to_ffi();
        assert_eq!((profile.deadline.sec, profile.deadline.nsec), (1, 1));
        assert_eq!(Qos::resolve(&profile, || unreachable!("nothing asks for the best available")), Ok(given));
    }

    #[test]
    fn defaults_are_resolved_and_unknown_refused() {
        let mut profile = qos().to_ffi();
        profile.history = ffi::RMW_QOS_POLICY_HISTORY_SYSTEM_DEFAULT;
        profile.depth = 0;
        profile.reliability = ffi::RMW_QOS_POLICY_RELIABILITY_SYSTEM_DEFAULT;
        profile.durability = ffi::RMW_QOS_POLICY_DURABILITY_SYSTEM_DEFAULT;
        profile.liveliness = ffi::RMW_QOS_POLICY_LIVELINESS_SYSTEM_DEFAULT;
        let resolved = Qos::resolve(&profile, BestAvailable::for_service).unwrap();
        assert_eq!(resolved, Qos { history: History::KeepLast(1), depth: 1, ..qos() });

        profile.durability = ffi::RMW_QOS_POLICY_DURABILITY_UNKNOWN;
        assert_eq!(Qos::resolve(&profile, BestAvailable::for_service), Err(QosError::Unknown("durability")));
        profile.durability = ffi::rmw_qos_durability_policy_t(4711);
        assert_eq!(Qos::resolve(&profile, BestAvailable::for_service), Err(QosError::Unknown("durability")));
    }

    #[test]
    fn endless_is_reported_as_infinite() {
        let profile = qos().to_ffi();
        assert_eq!((profile.deadline.sec, profile.deadline.nsec), (9_223_372_036, 854_775_807));
        assert_eq!(Span::from_ffi(profile.deadline), Span::ENDLESS);
        assert_eq!(Span::from_ffi(ffi::rmw_time_t { sec: 0, nsec: 0 }), Span::ENDLESS);
        assert_eq!(Span::from_ffi(ffi::rmw_time_t { sec: u64::MAX, nsec: u64::MAX }), Span::ENDLESS);
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

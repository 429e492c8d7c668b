//! Profiles of the C interface: how they are resolved, and what they are reported as.

use super::best_available::{asks_best_available, is_best_available_span};
use super::{BestAvailable, Durability, History, Liveliness, Qos, Reliability, Span};
use crate::ffi;

/// Why a profile cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QosError {
    /// A policy is "unknown" or not a value of its enumeration.
    #[error("the {0} policy is unknown")]
    Unknown(&'static str),
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
}

#[cfg(test)]
mod tests {
    use super::super::sample::qos;
    use super::*;

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
}

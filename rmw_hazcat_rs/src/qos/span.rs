//! Durations of policies.

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

    pub(super) fn from_ffi(time: ffi::rmw_time_t) -> Self {
        Self::from_nanos(time_nanos(time))
    }

    pub(super) fn to_ffi(self) -> ffi::rmw_time_t {
        // Endless is what the header calls RMW_DURATION_INFINITE: the largest number of nanoseconds in an i64.
        let nanos = self.nanos().unwrap_or(i64::MAX as u64);
        ffi::rmw_time_t { sec: nanos / NANOS, nsec: nanos % NANOS }
    }
}

pub(super) const NANOS: u64 = 1_000_000_000;

/// Total nanoseconds of an `rmw_time_t`, at most `i64::MAX`.
pub fn time_nanos(time: ffi::rmw_time_t) -> u64 {
    time.sec.saturating_mul(NANOS).saturating_add(time.nsec).min(i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::super::sample::qos;
    use super::*;

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
    fn endless_is_reported_as_infinite() {
        let profile = qos().to_ffi();
        assert_eq!((profile.deadline.sec, profile.deadline.nsec), (9_223_372_036, 854_775_807));
        assert_eq!(Span::from_ffi(profile.deadline), Span::ENDLESS);
        assert_eq!(Span::from_ffi(ffi::rmw_time_t { sec: 0, nsec: 0 }), Span::ENDLESS);
        assert_eq!(Span::from_ffi(ffi::rmw_time_t { sec: u64::MAX, nsec: u64::MAX }), Span::ENDLESS);
    }
}

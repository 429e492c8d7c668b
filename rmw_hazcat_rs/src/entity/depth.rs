//! How deep a queue really is.
//!
//! All endpoints of a topic share one ring, which is made by the first of them, large enough for its depth (and for 1,024 in
//! any case), and never changes its size: messages lie in it. Who comes later and wants more gets what the ring can
//! give, is told so, and says so itself: `*_get_actual_qos` and `ros2 topic info -v` show the depth that is.

use crate::logging::{log, Severity};
use crate::qos::{History, Qos};

/// The QoS with the depth that a ring of `capacity` messages gives; says if that is less than was asked for. `who` is an
/// endpoint: "the subscription on topic '/x'".
pub fn fitted(qos: Qos, capacity: usize, who: &dyn std::fmt::Display) -> Qos {
    let History::KeepLast(wanted) = qos.history else { return qos };
    let depth = hazcat_core::History::KeepLast(wanted).depth_in(capacity);
    if depth >= wanted {
        return qos;
    }
    let most = hazcat_core::History::MAX_DEPTH;
    if wanted > most && depth == most {
        log(Severity::Warn, format_args!("{who} keeps {depth} messages instead of {wanted}: more is not possible"));
    } else {
        log(
            Severity::Warn,
            format_args!(
                "{who} keeps {depth} messages instead of {wanted}: the topic's ring was made for {capacity} messages by its \
                 first endpoint, and a quarter of it is the greatest depth; create the endpoint with the greatest depth \
                 first, or give the first one that depth"
            ),
        );
    }
    Qos { history: History::KeepLast(depth), depth, ..qos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_fit_is_cut() {
        let profile = crate::ffi::rmw_qos_profile_t {
            history: crate::ffi::RMW_QOS_POLICY_HISTORY_KEEP_LAST,
            depth: 5000,
            ..Default::default()
        };
        let qos = Qos::resolve(&profile, crate::qos::BestAvailable::for_service).unwrap();
        assert_eq!(fitted(qos, 65536, &"it"), qos);
        assert_eq!(fitted(qos, 4096, &"it"), Qos { history: History::KeepLast(1024), depth: 1024, ..qos });
        let all = Qos { history: History::KeepAll, ..qos };
        assert_eq!(fitted(all, 4096, &"it"), all);
        let huge = Qos { history: History::KeepLast(100_000), ..qos };
        assert_eq!(fitted(huge, 65536, &"it").depth, 16384);
    }
}

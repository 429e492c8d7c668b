//! Whether two QoS profiles go together, before anybody uses them.
//!
//! Profiles may hold "system default" and "unknown" here, where nothing can be resolved: what would match for sure, what
//! would not, and what might not, by the same rules and in the same order as other middlewares.

use std::ffi::c_char;
use std::fmt::Write as _;

use crate::error::{guard, required_mut, Failure};
use crate::ffi;

/// Finds out whether a publisher and a subscription with these profiles match, and writes why not.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_qos_profile_check_compatible(
    publisher_profile: ffi::rmw_qos_profile_t,
    subscription_profile: ffi::rmw_qos_profile_t,
    compatibility: *mut ffi::rmw_qos_compatibility_type_t,
    reason: *mut c_char,
    reason_size: usize,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let out = unsafe { required_mut(compatibility, "compatibility") }?;
        if reason.is_null() && reason_size != 0 {
            return Err(Failure::invalid("argument 'reason' is null, but 'reason_size' is not zero"));
        }
        let (verdict, text) = check(&publisher_profile, &subscription_profile);
        *out = verdict;
        if reason_size > 0 {
            let length = text.len().min(reason_size - 1);
            // SAFETY: the buffer has `reason_size` bytes, of which at most all but one are written.
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), reason.cast::<u8>(), length) };
            // SAFETY: the byte behind them.
            unsafe { reason.wrapping_add(length).write(0) };
        }
        Ok(())
    })
}

fn check(publisher: &Profile, subscription: &Profile) -> (ffi::rmw_qos_compatibility_type_t, String) {
    let errors = errors(publisher, subscription);
    if !errors.is_empty() {
        return (ffi::RMW_QOS_COMPATIBILITY_ERROR, errors);
    }
    let warnings = warnings(publisher, subscription);
    if !warnings.is_empty() {
        return (ffi::RMW_QOS_COMPATIBILITY_WARNING, warnings);
    }
    (ffi::RMW_QOS_COMPATIBILITY_OK, String::new())
}

type Profile = ffi::rmw_qos_profile_t;

/// Zero stands for "none".
fn nanos(time: ffi::rmw_time_t) -> Option<(u64, u64)> {
    (time.sec != 0 || time.nsec != 0).then_some((time.sec, time.nsec))
}

fn errors(publisher: &Profile, subscription: &Profile) -> String {
    let mut text = String::new();
    let mut add = |condition: bool, reason: &str| {
        if condition {
            text.push_str("ERROR: ");
            text.push_str(reason);
            text.push(';');
        }
    };
    add(
        publisher.reliability == ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT
            && subscription.reliability == ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE,
        "Best effort publisher and reliable subscription",
    );
    add(
        publisher.durability == ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE
            && subscription.durability == ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL,
        "Volatile publisher and transient local subscription",
    );
    let (offered, requested) = (nanos(publisher.deadline), nanos(subscription.deadline));
    add(offered.is_none() && requested.is_some(), "Subscription has a deadline, but publisher does not");
    add(
        offered.is_some() && requested.is_some() && requested < offered,
        "Subscription deadline is less than publisher deadline",
    );
    add(
        publisher.liveliness == ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC
            && subscription.liveliness == ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC,
        "Publisher's liveliness is automatic and subscription's is manual by topic",
    );
    let offered = nanos(publisher.liveliness_lease_duration);
    let requested = nanos(subscription.liveliness_lease_duration);
    add(
        offered.is_none() && requested.is_some(),
        "Subscription has a liveliness lease duration, but publisher does not",
    );
    add(
        offered.is_some() && requested.is_some() && requested < offered,
        "Subscription liveliness lease duration is less than publisher",
    );
    text
}

/// A policy of either side: its value as it is called, and whether nobody can know what it will be.
struct Policy {
    name: &'static str,
    open: bool,
}

fn reliability(profile: &Profile) -> Policy {
    let name = match profile.reliability {
        ffi::RMW_QOS_POLICY_RELIABILITY_SYSTEM_DEFAULT => "system_default",
        ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE => "reliable",
        ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT => "best_effort",
        #[cfg(rmw_best_available)]
        ffi::RMW_QOS_POLICY_RELIABILITY_BEST_AVAILABLE => "best_available",
        _ => "unknown",
    };
    Policy { name, open: matches!(name, "system_default" | "unknown") }
}

fn durability(profile: &Profile) -> Policy {
    let name = match profile.durability {
        ffi::RMW_QOS_POLICY_DURABILITY_SYSTEM_DEFAULT => "system_default",
        ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL => "transient_local",
        ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE => "volatile",
        #[cfg(rmw_best_available)]
        ffi::RMW_QOS_POLICY_DURABILITY_BEST_AVAILABLE => "best_available",
        _ => "unknown",
    };
    Policy { name, open: matches!(name, "system_default" | "unknown") }
}

fn liveliness(profile: &Profile) -> Policy {
    let name = match profile.liveliness {
        ffi::RMW_QOS_POLICY_LIVELINESS_SYSTEM_DEFAULT => "system_default",
        ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC => "automatic",
        ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC => "manual_by_topic",
        #[cfg(rmw_best_available)]
        ffi::RMW_QOS_POLICY_LIVELINESS_BEST_AVAILABLE => "best_available",
        _ => "unknown",
    };
    Policy { name, open: matches!(name, "system_default" | "unknown") }
}

fn warnings(publisher: &Profile, subscription: &Profile) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let (offered, requested) = (reliability(publisher), reliability(subscription));
    let _ = if offered.open && requested.open {
        write!(
            text,
            "WARNING: Publisher reliability is {} and subscription reliability is {};",
            offered.name, requested.name
        )
    } else if offered.open && requested.name == "reliable" {
        write!(text, "WARNING: Reliable subscription, but publisher is {};", offered.name)
    } else if offered.name == "best_effort" && requested.open {
        write!(text, "WARNING: Best effort publisher, but subscription is {};", requested.name)
    } else {
        Ok(())
    };
    let (offered, requested) = (durability(publisher), durability(subscription));
    let _ = if offered.open && requested.open {
        write!(
            text,
            "WARNING: Publisher durabilty is {} and subscription durability is {};",
            offered.name, requested.name
        )
    } else if offered.open && requested.name == "transient_local" {
        write!(text, "WARNING: Transient local subscription, but publisher is {};", offered.name)
    } else if offered.name == "volatile" && requested.open {
        write!(text, "WARNING: Volatile publisher, but subscription is {};", requested.name)
    } else {
        Ok(())
    };
    let (offered, requested) = (liveliness(publisher), liveliness(subscription));
    let _ = if offered.open && requested.open {
        write!(
            text,
            "WARNING: Publisher liveliness is {} and subscription liveliness is {};",
            offered.name, requested.name
        )
    } else if offered.open && requested.name == "manual_by_topic" {
        write!(text, "WARNING: Subscription's liveliness is manual by topic, but publisher's is {};", offered.name)
    } else if offered.name == "automatic" && requested.open {
        write!(text, "WARNING: Publisher's liveliness is automatic, but subscription's is {};", requested.name)
    } else {
        Ok(())
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Profile {
        Profile {
            reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT,
            durability: ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE,
            liveliness: ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC,
            ..Profile::default()
        }
    }

    #[test]
    fn a_known_profile_goes_with_itself() {
        assert_eq!(check(&known(), &known()), (ffi::RMW_QOS_COMPATIBILITY_OK, String::new()));
    }

    #[test]
    fn errors_win_over_warnings() {
        let mut subscription = known();
        subscription.reliability = ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE;
        subscription.durability = ffi::RMW_QOS_POLICY_DURABILITY_SYSTEM_DEFAULT;
        let (verdict, text) = check(&known(), &subscription);
        assert_eq!(verdict, ffi::RMW_QOS_COMPATIBILITY_ERROR);
        assert_eq!(text, "ERROR: Best effort publisher and reliable subscription;");

        subscription.reliability = ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT;
        let (verdict, text) = check(&known(), &subscription);
        assert_eq!(verdict, ffi::RMW_QOS_COMPATIBILITY_WARNING);
        assert_eq!(text, "WARNING: Volatile publisher, but subscription is system_default;");
    }

    #[test]
    fn the_reason_is_cut_to_the_buffer() {
        let mut subscription = known();
        subscription.deadline.sec = 1;
        let mut verdict = ffi::RMW_QOS_COMPATIBILITY_OK;
        let mut reason = [1 as c_char; 9];
        // SAFETY: both out-parameters are as large as said.
        let code =
            unsafe { rmw_qos_profile_check_compatible(known(), subscription, &mut verdict, reason.as_mut_ptr(), 8) };
        assert_eq!(code, ffi::RMW_RET_OK);
        assert_eq!(verdict, ffi::RMW_QOS_COMPATIBILITY_ERROR);
        let bytes = reason.map(|c| c as u8);
        assert_eq!(&bytes, b"ERROR: \0\x01");
    }
}

//! Who gets data from whom: incompatible QoS and types, best available, system default; and what the events say of it.

use crate::events::{publisher_event, subscription_event, take, wait};
use crate::support::*;
use crate::types::{pair, Pair};
use rmw_hazcat_rs::abi::publisher::{rmw_publisher_count_matched_subscriptions, rmw_publisher_get_actual_qos};
use rmw_hazcat_rs::abi::subscription::{rmw_subscription_count_matched_publishers, rmw_subscription_get_actual_qos};
use rmw_hazcat_rs::ffi;
use std::time::Duration;

type Profile = ffi::rmw_qos_profile_t;

fn offered_qos(publisher: &Publisher<'_>) -> Profile {
    let mut profile = Profile::default();
    ok(unsafe { rmw_publisher_get_actual_qos(publisher.0, &mut profile) });
    profile
}

pub fn requested_qos(subscription: &Subscription<'_>) -> Profile {
    let mut profile = Profile::default();
    ok(unsafe { rmw_subscription_get_actual_qos(subscription.0, &mut profile) });
    profile
}

fn matched(publisher: &Publisher<'_>, subscription: &Subscription<'_>) -> (usize, usize) {
    let (mut subscriptions, mut publishers) = (99, 99);
    ok(unsafe { rmw_publisher_count_matched_subscriptions(publisher.0, &mut subscriptions) });
    ok(unsafe { rmw_subscription_count_matched_publishers(subscription.0, &mut publishers) });
    (subscriptions, publishers)
}

/// What a publisher offers too little of, and what the event calls it.
fn mismatches() -> [(&'static str, Profile, Profile, ffi::rmw_qos_policy_kind_t); 5] {
    let second = duration(Duration::from_secs(1));
    let minute = duration(Duration::from_secs(60));
    let manual = ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC;
    [
        (
            "reliability",
            Profile { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() },
            qos(),
            ffi::RMW_QOS_POLICY_RELIABILITY,
        ),
        (
            "durability",
            qos(),
            Profile { durability: ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL, ..qos() },
            ffi::RMW_QOS_POLICY_DURABILITY,
        ),
        (
            "deadline",
            Profile { deadline: minute, ..qos() },
            Profile { deadline: second, ..qos() },
            ffi::RMW_QOS_POLICY_DEADLINE,
        ),
        ("liveliness", qos(), Profile { liveliness: manual, ..qos() }, ffi::RMW_QOS_POLICY_LIVELINESS),
        (
            "lease",
            Profile { liveliness_lease_duration: minute, ..qos() },
            Profile { liveliness_lease_duration: second, ..qos() },
            ffi::RMW_QOS_POLICY_LIVELINESS,
        ),
    ]
}

#[test]
fn no_data_flows_where_less_is_offered_than_requested() {
    for (what, offer, request, policy) in mismatches() {
        let domain = new_domain();
        let (mut here, mut there) = (Context::new(domain), Context::new(domain));
        let (waits, node, other) = (here.wait_set(), here.node("one"), there.node("other"));
        let lesser = node.publisher("/t", pair(), &offer);
        let mut offered = publisher_event(&lesser, ffi::RMW_EVENT_OFFERED_QOS_INCOMPATIBLE);
        lesser.publish(&Pair { id: 1, ..Pair::default() });
        let subscription = other.subscription("/t", pair(), &request);
        let mut requested = subscription_event(&subscription, ffi::RMW_EVENT_REQUESTED_QOS_INCOMPATIBLE);
        lesser.publish(&Pair { id: 2, ..Pair::default() });
        for event in [&mut offered, &mut requested] {
            wait(&waits, event);
            let status: ffi::rmw_qos_incompatible_event_status_t = take(event);
            let told = (status.total_count, status.total_count_change, status.last_policy_kind);
            assert_eq!(told, (1, 1, policy), "{what}");
        }
        assert_eq!(matched(&lesser, &subscription), (0, 0), "{what}");
        lesser.publish(&Pair { id: 3, ..Pair::default() });
        let mut message = Pair::default();
        assert!(!subscription.take(&mut message), "{what}: {message:?}");

        // What is asked for flows, on the same topic, also between messages of the lesser one.
        let fitting = node.publisher("/t", pair(), &request);
        fitting.publish(&Pair { id: 4, ..Pair::default() });
        lesser.publish(&Pair { id: 5, ..Pair::default() });
        assert!(subscription.take(&mut message), "{what}");
        assert_eq!(message.id, 4, "{what}");
        assert!(!subscription.take(&mut message), "{what}: {message:?}");
    }
}

/// The other way round nothing is in the way: more may be offered than is requested.
#[test]
fn data_flows_where_more_is_offered() {
    for (what, request, offer, _) in mismatches() {
        let mut context = Context::new(new_domain());
        let node = context.node("more");
        let (publisher, subscription) =
            (node.publisher("/t", pair(), &offer), node.subscription("/t", pair(), &request));
        publisher.publish(&Pair { id: 7, ..Pair::default() });
        let mut message = Pair::default();
        assert!(subscription.take(&mut message), "{what}");
        assert_eq!((message.id, matched(&publisher, &subscription)), (7, (1, 1)), "{what}");
    }
}

#[cfg(rmw_event_incompatible_type)]
#[test]
fn another_type_is_told_to_both_sides() {
    use crate::types::other_pair;
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (waits, node, other) = (here.wait_set(), here.node("one"), there.node("other"));
    let publisher = node.publisher("/t", pair(), &qos());
    let mut offered = publisher_event(&publisher, ffi::RMW_EVENT_PUBLISHER_INCOMPATIBLE_TYPE);
    let subscription = other.subscription("/t", other_pair(), &qos());
    let mut requested = subscription_event(&subscription, ffi::RMW_EVENT_SUBSCRIPTION_INCOMPATIBLE_TYPE);
    publisher.publish(&Pair::default());
    for event in [&mut offered, &mut requested] {
        wait(&waits, event);
        let status: ffi::rmw_incompatible_type_status_t = take(event);
        assert_eq!((status.total_count, status.total_count_change), (1, 1));
    }
    assert_eq!(matched(&publisher, &subscription), (0, 0));
    assert!(!subscription.take(&mut Pair::default()));
    let _second = other.subscription("/t", other_pair(), &qos());
    wait(&waits, &mut offered);
    let status: ffi::rmw_incompatible_type_status_t = take(&offered);
    assert_eq!((status.total_count, status.total_count_change), (2, 1));
}

/// As the other middlewares answer, but for the reliability of a subscription on Fast DDS, which is best effort there.
#[test]
fn system_default_is_reliable_volatile_and_one_deep() {
    let mut context = Context::new(new_domain());
    let node = context.node("defaults");
    let defaults = Profile {
        history: ffi::RMW_QOS_POLICY_HISTORY_SYSTEM_DEFAULT,
        depth: 0,
        reliability: ffi::RMW_QOS_POLICY_RELIABILITY_SYSTEM_DEFAULT,
        durability: ffi::RMW_QOS_POLICY_DURABILITY_SYSTEM_DEFAULT,
        liveliness: ffi::RMW_QOS_POLICY_LIVELINESS_SYSTEM_DEFAULT,
        ..Profile::default()
    };
    let (publisher, subscription) =
        (node.publisher("/t", pair(), &defaults), node.subscription("/t", pair(), &defaults));
    for profile in [offered_qos(&publisher), requested_qos(&subscription)] {
        assert_eq!((profile.history, profile.depth), (ffi::RMW_QOS_POLICY_HISTORY_KEEP_LAST, 1));
        assert_eq!(profile.reliability, ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE);
        assert_eq!(profile.durability, ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE);
        assert_eq!(profile.liveliness, ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC);
        for time in [profile.deadline, profile.lifespan, profile.liveliness_lease_duration] {
            assert_eq!((time.sec, time.nsec), (9_223_372_036, 854_775_807), "endless");
        }
    }
}

#[cfg(rmw_best_available)]
mod best_available {
    use super::*;

    fn best() -> Profile {
        let span = duration(Duration::from_nanos(i64::MAX as u64 - 1));
        Profile {
            reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_AVAILABLE,
            durability: ffi::RMW_QOS_POLICY_DURABILITY_BEST_AVAILABLE,
            liveliness: ffi::RMW_QOS_POLICY_LIVELINESS_BEST_AVAILABLE,
            deadline: span,
            liveliness_lease_duration: span,
            ..qos()
        }
    }

    fn strict(seconds: u64) -> Profile {
        Profile {
            durability: ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL,
            liveliness: ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC,
            deadline: duration(Duration::from_secs(seconds)),
            liveliness_lease_duration: duration(Duration::from_secs(seconds)),
            ..qos()
        }
    }

    fn lazy() -> Profile {
        Profile { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() }
    }

    fn five(profile: &Profile) -> (u32, u32, u32, u64, u64) {
        let Profile { reliability, durability, liveliness, deadline, liveliness_lease_duration: lease, .. } = profile;
        (reliability.0, durability.0, liveliness.0, deadline.sec, lease.sec)
    }

    const ENDLESS: u64 = 9_223_372_036;

    #[test]
    fn a_subscription_takes_the_strictest_that_all_publishers_offer() {
        let mut context = Context::new(new_domain());
        let node = context.node("best");
        let (reliable, best_effort) =
            (ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE.0, ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT.0);
        let (kept, volatile) =
            (ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL.0, ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE.0);
        let (automatic, manual) =
            (ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC.0, ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC.0);
        // Without publishers: all of nothing.
        let alone = node.subscription("/t", pair(), &best());
        assert_eq!(five(&requested_qos(&alone)), (reliable, kept, manual, ENDLESS, ENDLESS));
        drop(alone);

        let mut publishers = vec![node.publisher("/t", pair(), &strict(2)), node.publisher("/t", pair(), &strict(5))];
        let subscription = node.subscription("/t", pair(), &best());
        assert_eq!(five(&requested_qos(&subscription)), (reliable, kept, manual, 5, 5));
        publishers.push(node.publisher("/t", pair(), &lazy()));
        let subscription = node.subscription("/t", pair(), &best());
        // With one that offers nothing of the kind, nothing less matches all three.
        assert_eq!(five(&requested_qos(&subscription)), (best_effort, volatile, automatic, ENDLESS, ENDLESS));
        for publisher in &publishers {
            publisher.publish(&Pair::default());
            assert!(subscription.take(&mut Pair::default()));
        }
    }

    #[test]
    fn a_publisher_offers_what_the_strictest_subscription_wants() {
        let mut context = Context::new(new_domain());
        let node = context.node("best");
        let (reliable, kept) =
            (ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE.0, ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL.0);
        let (automatic, manual) =
            (ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC.0, ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC.0);
        let alone = node.publisher("/t", pair(), &best());
        assert_eq!(five(&offered_qos(&alone)), (reliable, kept, automatic, ENDLESS, ENDLESS));
        drop(alone);
        let subscriptions = [strict(7), strict(3), lazy()].map(|profile| node.subscription("/t", pair(), &profile));
        let publisher = node.publisher("/t", pair(), &best());
        assert_eq!(five(&offered_qos(&publisher)), (reliable, kept, manual, 3, 3));
        publisher.publish(&Pair::default());
        for subscription in &subscriptions {
            assert!(subscription.take(&mut Pair::default()));
        }
    }
}

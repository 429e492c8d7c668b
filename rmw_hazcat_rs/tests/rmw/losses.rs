//! Lost messages are told of although nobody takes, and matches are, when the other side is killed.

use crate::events::{subscription_event, take, wait, Told};
use crate::support::*;
use crate::types::{pair, Pair};
use rmw_hazcat_rs::ffi;
use std::time::Duration;

fn shallow() -> ffi::rmw_qos_profile_t {
    ffi::rmw_qos_profile_t { depth: 2, ..qos() }
}

fn lost(event: &ffi::rmw_event_t) -> (usize, usize) {
    let status: ffi::rmw_message_lost_status_t = take(event);
    (status.total_count, status.total_count_change)
}

#[test]
fn a_wait_for_the_event_alone_ends_when_a_message_is_lost() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("lost"));
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &shallow());
    let mut event = subscription_event(&subscription, ffi::RMW_EVENT_MESSAGE_LOST);
    let publish = |count: u64| (0..count).for_each(|id| publisher.publish(&Pair { id, ..Pair::default() }));
    publish(2);
    let mut what = For { events: vec![std::ptr::from_mut(&mut *event).cast()], ..For::default() };
    assert_eq!(waits.wait(&mut what, Some(Duration::from_millis(20))), ffi::RMW_RET_TIMEOUT, "nothing is lost yet");
    struct Shared<'a>(&'a dyn Fn(u64));
    unsafe impl Send for Shared<'_> {}
    let shared = Shared(&publish);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let shared = shared;
            std::thread::sleep(Duration::from_millis(20));
            (shared.0)(3);
        });
        wait(&waits, &mut event);
    });
    // Woken by the first, it may have been counted before the others came.
    let (total, change) = lost(&event);
    assert!(total == change && (1..=3).contains(&total), "{total} {change}");
    assert!(subscription.take(&mut Pair::default()));
    assert_eq!(lost(&event).0, 3);
}

#[test]
fn a_callback_comes_although_nobody_takes() {
    let mut context = Context::new(new_domain());
    let node = context.node("lost");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &shallow());
    let mut event = subscription_event(&subscription, ffi::RMW_EVENT_MESSAGE_LOST);
    let told = Told::default();
    told.register(&mut event);
    for id in 0..5 {
        publisher.publish(&Pair { id, ..Pair::default() });
    }
    until("three lost messages", || told.events() == 3);
    assert_eq!(lost(&event), (3, 3));
    ok(unsafe { rmw_hazcat_rs::abi::event::rmw_event_set_callback(&mut *event, None, std::ptr::null()) });
    publisher.publish(&Pair::default());
    assert!(subscription.take(&mut Pair::default()));
    assert_eq!((lost(&event), told.events()), ((4, 1), 3));
}

#[cfg(rmw_event_matched)]
#[test]
fn a_killed_peer_does_not_match_any_more() {
    use crate::processes::start;
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("survivor"));
    let lazy = ffi::rmw_qos_profile_t { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() };
    let subscription = node.subscription("/endless", pair(), &lazy);
    let manual = node.subscription("/endless", pair(), &crate::liveliness::manual(Duration::from_secs(1)));
    let mut matches = subscription_event(&subscription, ffi::RMW_EVENT_SUBSCRIPTION_MATCHED);
    let mut refusals = subscription_event(&manual, ffi::RMW_EVENT_REQUESTED_QOS_INCOMPATIBLE);
    let told = Told::default();
    told.register(&mut matches);
    for round in 1..=2 {
        let mut metronome = start("metronome", domain);
        wait(&waits, &mut matches);
        let status: ffi::rmw_matched_status_t = take(&matches);
        assert_eq!((status.total_count, status.total_count_change), (round, 1));
        assert_eq!((status.current_count, status.current_count_change), (1, 1));
        wait(&waits, &mut refusals);
        let status: ffi::rmw_qos_incompatible_event_status_t = take(&refusals);
        assert_eq!((status.total_count, status.total_count_change), (round as i32, 1));
        metronome.kill();
        wait(&waits, &mut matches);
        let status: ffi::rmw_matched_status_t = take(&matches);
        assert_eq!((status.total_count, status.total_count_change), (round, 0));
        assert_eq!((status.current_count, status.current_count_change), (0, -1));
        until("the callbacks", || told.events() == 2 * round);
    }
}

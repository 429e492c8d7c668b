//! QoS events.

use crate::support::*;
use crate::types::{other_pair, pair, Pair};
use rmw_hazcat_rs::abi::event::*;
use rmw_hazcat_rs::ffi;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often a callback was told of how many events.
#[derive(Default)]
pub struct Told(AtomicUsize);

impl Told {
    pub fn events(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// What [`tell`] is registered with.
    pub fn data(&self) -> *const c_void {
        std::ptr::from_ref(&self.0).cast()
    }

    pub fn register(&self, event: &mut ffi::rmw_event_t) {
        ok(unsafe { rmw_event_set_callback(event, Some(tell), self.data()) });
    }
}

pub unsafe extern "C" fn tell(data: *const c_void, events: usize) {
    unsafe { &*data.cast::<AtomicUsize>() }.fetch_add(events, Ordering::SeqCst);
}

pub fn take<T: Default>(event: &ffi::rmw_event_t) -> T {
    let (mut status, mut taken) = (T::default(), false);
    ok(unsafe { rmw_take_event(event, std::ptr::from_mut(&mut status).cast(), &mut taken) });
    assert!(taken);
    status
}

pub fn publisher_event(publisher: &Publisher<'_>, kind: ffi::rmw_event_type_t) -> Box<ffi::rmw_event_t> {
    let mut event = Box::new(ffi::rmw_event_t::default());
    ok(unsafe { rmw_publisher_event_init(&mut *event, publisher.0, kind) });
    event
}

pub fn subscription_event(subscription: &Subscription<'_>, kind: ffi::rmw_event_type_t) -> Box<ffi::rmw_event_t> {
    let mut event = Box::new(ffi::rmw_event_t::default());
    ok(unsafe { rmw_subscription_event_init(&mut *event, subscription.0, kind) });
    event
}

pub fn wait(waits: &WaitSet, event: &mut ffi::rmw_event_t) {
    let mut what = For { events: vec![std::ptr::from_mut(event).cast::<c_void>()], ..For::default() };
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    assert!(!what.events[0].is_null());
}

#[test]
fn incompatible_qos_is_told_to_both_sides() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("qos"));
    let lazy = ffi::rmw_qos_profile_t { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() };
    let publisher = node.publisher("/t", pair(), &lazy);
    let mut offered = publisher_event(&publisher, ffi::RMW_EVENT_OFFERED_QOS_INCOMPATIBLE);
    let subscription = node.subscription("/t", pair(), &qos());
    let mut requested = subscription_event(&subscription, ffi::RMW_EVENT_REQUESTED_QOS_INCOMPATIBLE);
    for event in [&mut offered, &mut requested] {
        wait(&waits, event);
        let status: ffi::rmw_qos_incompatible_event_status_t = take(event);
        assert_eq!((status.total_count, status.total_count_change), (1, 1));
        assert_eq!(status.last_policy_kind, ffi::RMW_QOS_POLICY_RELIABILITY);
        let again: ffi::rmw_qos_incompatible_event_status_t = take(event);
        assert_eq!((again.total_count, again.total_count_change), (1, 0));
    }
}

#[test]
fn lost_messages_are_counted() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("lost"));
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &ffi::rmw_qos_profile_t { depth: 2, ..qos() });
    let mut event = subscription_event(&subscription, ffi::RMW_EVENT_MESSAGE_LOST);
    for _ in 0..10 {
        publisher.publish(&Pair::default());
    }
    assert!(subscription.take(&mut Pair::default()));
    wait(&waits, &mut event);
    let status: ffi::rmw_message_lost_status_t = take(&event);
    assert_eq!((status.total_count, status.total_count_change), (8, 8));
}

#[test]
fn liveliness_changes_with_publishers() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (waits, node, other) = (here.wait_set(), here.node("watcher"), there.node("watched"));
    let subscription = node.subscription("/t", pair(), &qos());
    let mut event = subscription_event(&subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED);
    let mut idle = For { events: vec![std::ptr::from_mut(&mut *event).cast()], ..For::default() };
    assert_eq!(waits.wait(&mut idle, Some(Duration::from_millis(20))), ffi::RMW_RET_TIMEOUT);
    let publisher = other.publisher("/t", pair(), &qos());
    wait(&waits, &mut event);
    let status: ffi::rmw_liveliness_changed_status_t = take(&event);
    assert_eq!((status.alive_count, status.alive_count_change), (1, 1));
    drop(publisher);
    wait(&waits, &mut event);
    let status: ffi::rmw_liveliness_changed_status_t = take(&event);
    assert_eq!((status.alive_count, status.alive_count_change), (0, -1));
}

#[cfg(rmw_event_matched)]
#[test]
fn matches_are_counted_across_contexts() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (waits, node, other) = (here.wait_set(), here.node("one"), there.node("other"));
    let publisher = node.publisher("/t", pair(), &qos());
    let mut event = publisher_event(&publisher, ffi::RMW_EVENT_PUBLICATION_MATCHED);
    let subscription = other.subscription("/t", pair(), &qos());
    wait(&waits, &mut event);
    let status: ffi::rmw_matched_status_t = take(&event);
    let counts =
        |s: &ffi::rmw_matched_status_t| (s.total_count, s.total_count_change, s.current_count, s.current_count_change);
    assert_eq!(counts(&status), (1, 1, 1, 1));
    drop(subscription);
    wait(&waits, &mut event);
    assert_eq!(counts(&take(&event)), (1, 0, 0, -1));
}

#[cfg(rmw_event_incompatible_type)]
#[test]
fn another_type_on_the_topic_is_told() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("types"));
    let publisher = node.publisher("/t", pair(), &qos());
    let mut event = publisher_event(&publisher, ffi::RMW_EVENT_PUBLISHER_INCOMPATIBLE_TYPE);
    let _subscription = node.subscription("/t", other_pair(), &qos());
    wait(&waits, &mut event);
    let status: ffi::rmw_incompatible_type_status_t = take(&event);
    assert_eq!((status.total_count, status.total_count_change), (1, 1));
}

#[test]
fn what_is_not_there_is_unsupported() {
    let mut context = Context::new(new_domain());
    let node = context.node("unsupported");
    let publisher = node.publisher("/t", pair(), &qos());
    let _ = other_pair();
    for kind in [ffi::RMW_EVENT_MESSAGE_LOST, ffi::RMW_EVENT_INVALID] {
        let mut event = ffi::rmw_event_t::default();
        let text = fails(unsafe { rmw_publisher_event_init(&mut event, publisher.0, kind) }, ffi::RMW_RET_UNSUPPORTED);
        assert!(text.contains("/t"));
        assert!(event.implementation_identifier.is_null());
    }
}

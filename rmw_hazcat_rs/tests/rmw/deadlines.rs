//! Deadlines: both sides count the periods without a message, and are told without asking.

use crate::events::{publisher_event, subscription_event, take, wait, Told};
use crate::processes::{start, METRONOME_LEASE};
use crate::support::*;
use crate::types::{pair, Pair};
use rmw_hazcat_rs::ffi;
use std::ffi::c_void;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(50);

/// The QoS with a deadline.
pub fn every(period: Duration) -> ffi::rmw_qos_profile_t {
    ffi::rmw_qos_profile_t { deadline: duration(period), ..qos() }
}

fn offered(event: &ffi::rmw_event_t) -> (i32, i32) {
    let status: ffi::rmw_offered_deadline_missed_status_t = take(event);
    (status.total_count, status.total_count_change)
}

fn requested(event: &ffi::rmw_event_t) -> (i32, i32) {
    let status: ffi::rmw_requested_deadline_missed_status_t = take(event);
    (status.total_count, status.total_count_change)
}

/// Both sides on one topic: time begins with the first message, every period counts, a wait ends by itself.
#[test]
fn every_period_without_a_message_counts_on_both_sides() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (waits, node, other) = (here.wait_set(), here.node("one"), there.node("other"));
    let publisher = node.publisher("/t", pair(), &every(PERIOD));
    let subscription = other.subscription("/t", pair(), &every(PERIOD));
    let mut offer = publisher_event(&publisher, ffi::RMW_EVENT_OFFERED_DEADLINE_MISSED);
    let mut request = subscription_event(&subscription, ffi::RMW_EVENT_REQUESTED_DEADLINE_MISSED);

    let mut idle = For { events: vec![pointer(&mut offer), pointer(&mut request)], ..For::default() };
    assert_eq!(waits.wait(&mut idle, Some(PERIOD * 3)), ffi::RMW_RET_TIMEOUT, "nothing before the first message");
    assert_eq!((offered(&offer), requested(&request)), ((0, 0), (0, 0)));

    let start = Instant::now();
    publisher.publish(&Pair::default());
    for count in 1..=3 {
        wait(&waits, &mut offer);
        let (total, change) = offered(&offer);
        assert!(
            total >= count && change >= 1 && u128::from(total as u32) <= start.elapsed().as_nanos() / PERIOD.as_nanos()
        );
        wait(&waits, &mut request);
        let (total, change) = requested(&request);
        assert!(
            total >= count && change >= 1 && u128::from(total as u32) <= start.elapsed().as_nanos() / PERIOD.as_nanos()
        );
    }
    // The subscription goes on counting when there is no publisher any more.
    drop(publisher);
    let (before, _) = requested(&request);
    wait(&waits, &mut request);
    assert!(requested(&request).0 > before);
}

#[test]
fn nothing_is_missed_while_messages_come_in_time() {
    let mut context = Context::new(new_domain());
    let node = context.node("in_time");
    let long = Duration::from_secs(5);
    let publisher = node.publisher("/t", pair(), &every(long));
    let subscription = node.subscription("/t", pair(), &every(long));
    let offer = publisher_event(&publisher, ffi::RMW_EVENT_OFFERED_DEADLINE_MISSED);
    let request = subscription_event(&subscription, ffi::RMW_EVENT_REQUESTED_DEADLINE_MISSED);
    for _ in 0..20 {
        publisher.publish(&Pair::default());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((offered(&offer), requested(&request)), ((0, 0), (0, 0)));
}

/// As an events executor has it: nobody waits, nobody takes.
#[test]
fn callbacks_come_without_anybody_waiting() {
    let mut context = Context::new(new_domain());
    let node = context.node("callbacks");
    let publisher = node.publisher("/t", pair(), &every(PERIOD));
    let subscription = node.subscription("/t", pair(), &every(PERIOD));
    let mut offer = publisher_event(&publisher, ffi::RMW_EVENT_OFFERED_DEADLINE_MISSED);
    let mut request = subscription_event(&subscription, ffi::RMW_EVENT_REQUESTED_DEADLINE_MISSED);
    let (offers, requests) = (Told::default(), Told::default());
    offers.register(&mut offer);
    requests.register(&mut request);
    publisher.publish(&Pair::default());
    until("two of each", || offers.events() >= 2 && requests.events() >= 2);
    assert!(offered(&offer).0 >= 2 && requested(&request).0 >= 2);
}

/// Only the messages of those that match count.
#[test]
fn messages_of_others_do_not_count() {
    let mut context = Context::new(new_domain());
    let node = context.node("others");
    let long = ffi::rmw_qos_profile_t { deadline: duration(PERIOD * 100), ..qos() };
    let (strict, lazy) = (node.publisher("/t", pair(), &every(PERIOD)), node.publisher("/t", pair(), &long));
    let subscription = node.subscription("/t", pair(), &every(PERIOD));
    let mut request = subscription_event(&subscription, ffi::RMW_EVENT_REQUESTED_DEADLINE_MISSED);
    let told = Told::default();
    told.register(&mut request);
    lazy.publish(&Pair::default());
    std::thread::sleep(PERIOD * 3);
    assert_eq!(told.events(), 0);
    strict.publish(&Pair::default());
    until("a missed deadline", || {
        lazy.publish(&Pair::default());
        told.events() > 0
    });
}

#[test]
fn a_killed_publisher_misses_its_deadlines() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("survivor"));
    let subscription = node.subscription("/deadline", pair(), &every(METRONOME_LEASE));
    let mut request = subscription_event(&subscription, ffi::RMW_EVENT_REQUESTED_DEADLINE_MISSED);
    let mut metronome = start("metronome", domain);
    let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    std::thread::sleep(METRONOME_LEASE / 4);
    let (before, _) = requested(&request);
    let killed = Instant::now();
    metronome.kill();
    let mut total = before;
    while total < before + 2 {
        wait(&waits, &mut request);
        total = requested(&request).0;
    }
    assert!(killed.elapsed() > METRONOME_LEASE / 2, "{:?}", killed.elapsed());
}

fn pointer(event: &mut ffi::rmw_event_t) -> *mut c_void {
    std::ptr::from_mut(event).cast()
}

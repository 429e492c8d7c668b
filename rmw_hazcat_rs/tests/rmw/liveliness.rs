//! Liveliness: leases that run out and are renewed, publishers that leave, stop or are killed.

use crate::events::{publisher_event, subscription_event, take, wait, Told};
use crate::processes::{start, METRONOME_LEASE};
use crate::support::*;
use crate::types::{pair, Pair};
use rmw_hazcat_rs::abi::callbacks::rmw_subscription_set_on_new_message_callback;
use rmw_hazcat_rs::abi::publisher::rmw_publisher_assert_liveliness;
use rmw_hazcat_rs::ffi;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LEASE: Duration = Duration::from_millis(250);

pub fn manual(lease: Duration) -> ffi::rmw_qos_profile_t {
    let liveliness = ffi::RMW_QOS_POLICY_LIVELINESS_MANUAL_BY_TOPIC;
    ffi::rmw_qos_profile_t { liveliness, liveliness_lease_duration: duration(lease), ..qos() }
}

pub fn automatic(lease: Duration) -> ffi::rmw_qos_profile_t {
    ffi::rmw_qos_profile_t { liveliness: ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC, ..manual(lease) }
}

/// Alive and not alive, and the changes of both.
fn changed(event: &ffi::rmw_event_t) -> [i32; 4] {
    let status: ffi::rmw_liveliness_changed_status_t = take(event);
    [status.alive_count, status.alive_count_change, status.not_alive_count, status.not_alive_count_change]
}

fn lost(event: &ffi::rmw_event_t) -> (i32, i32) {
    let status: ffi::rmw_liveliness_lost_status_t = take(event);
    (status.total_count, status.total_count_change)
}

/// Waits until so many are alive and not alive.
#[track_caller]
fn wait_until(waits: &WaitSet, event: &mut ffi::rmw_event_t, alive: i32, not_alive: i32) {
    loop {
        wait(waits, event);
        let [now, _, not_now, _] = changed(event);
        if [now, not_now] == [alive, not_alive] {
            return;
        }
    }
}

#[test]
fn a_manual_lease_runs_out_and_is_renewed() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (waits, node, other) = (here.wait_set(), here.node("one"), there.node("other"));
    let subscription = other.subscription("/t", pair(), &qos());
    let mut change = subscription_event(&subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED);
    let publisher = node.publisher("/t", pair(), &manual(LEASE));
    let mut loss = publisher_event(&publisher, ffi::RMW_EVENT_LIVELINESS_LOST);

    wait(&waits, &mut loss);
    assert_eq!(lost(&loss), (1, 1));
    wait_until(&waits, &mut change, 0, 1);
    // It stays lost once until there is a sign of life.
    std::thread::sleep(LEASE * 3);
    assert_eq!(lost(&loss), (1, 0));

    for (round, how) in ["asserting", "publishing"].into_iter().enumerate() {
        let round = round as i32 + 1;
        match how {
            "asserting" => ok(unsafe { rmw_publisher_assert_liveliness(publisher.0) }),
            _ => publisher.publish(&Pair::default()),
        }
        let mut alive = 0;
        until("its return to life", || {
            alive += changed(&change)[0];
            alive > 0
        });
        wait(&waits, &mut loss);
        assert_eq!(lost(&loss), (round + 1, 1));
        wait_until(&waits, &mut change, 0, 1);
    }
    // Destroyed while it is not alive.
    drop(publisher);
    wait(&waits, &mut change);
    assert_eq!(changed(&change), [0, 0, 0, -1]);
}

#[test]
fn nothing_is_lost_while_it_is_asserted_in_time() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("in_time"));
    let long = manual(Duration::from_secs(5));
    let subscription = node.subscription("/t", pair(), &long);
    let mut change = subscription_event(&subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED);
    let publisher = node.publisher("/t", pair(), &long);
    let loss = publisher_event(&publisher, ffi::RMW_EVENT_LIVELINESS_LOST);
    wait(&waits, &mut change);
    assert_eq!(changed(&change), [1, 1, 0, 0]);
    for _ in 0..20 {
        ok(unsafe { rmw_publisher_assert_liveliness(publisher.0) });
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((lost(&loss), changed(&change)), ((0, 0), [1, 0, 0, 0]));
    drop(publisher);
    wait(&waits, &mut change);
    assert_eq!(changed(&change), [0, -1, 0, 0], "it left, it did not die");
}

#[test]
fn callbacks_come_without_anybody_waiting() {
    let mut context = Context::new(new_domain());
    let node = context.node("callbacks");
    let publisher = node.publisher("/t", pair(), &manual(LEASE));
    let subscription = node.subscription("/t", pair(), &manual(LEASE));
    let mut change = subscription_event(&subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED);
    let mut loss = publisher_event(&publisher, ffi::RMW_EVENT_LIVELINESS_LOST);
    let (changes, losses) = (Told::default(), Told::default());
    changes.register(&mut change);
    losses.register(&mut loss);
    until("a loss, and both changes", || losses.events() >= 1 && changes.events() >= 2);
    assert_eq!(changed(&change)[2], 1);
}

/// The process gives the signs of life: nobody has to publish.
#[test]
fn an_automatic_lease_lasts_without_publishing() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (waits, node, other) = (here.wait_set(), here.node("one"), there.node("other"));
    let subscription = node.subscription("/t", pair(), &automatic(METRONOME_LEASE));
    let mut change = subscription_event(&subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED);
    let publisher = other.publisher("/t", pair(), &automatic(METRONOME_LEASE));
    wait(&waits, &mut change);
    let first = changed(&change);
    assert_eq!(first[0] + first[2], 1);
    std::thread::sleep(METRONOME_LEASE * 2);
    // On a very busy machine its thread may be late, and then comes back.
    until("it is alive", || changed(&change)[0] == 1);
    drop(publisher);
}

unsafe extern "C" fn take_long(done: *const c_void, _: usize) {
    std::thread::sleep(LONG_LEASE * 3);
    // SAFETY: the test keeps the flag until this callback can run no more.
    unsafe { &*done.cast::<AtomicBool>() }.store(true, Ordering::Release);
}

/// Longer than any thread is late.
const LONG_LEASE: Duration = Duration::from_millis(1200);

#[test]
fn a_callback_that_takes_long_ends_no_automatic_lease() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (waits, node, other) = (here.wait_set(), here.node("one"), there.node("other"));
    let subscription = node.subscription("/t", pair(), &automatic(LONG_LEASE));
    let mut change = subscription_event(&subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED);
    let publisher = other.publisher("/t", pair(), &automatic(LONG_LEASE));
    let loss = publisher_event(&publisher, ffi::RMW_EVENT_LIVELINESS_LOST);
    wait_until(&waits, &mut change, 1, 0);

    let done = AtomicBool::new(false);
    let busy = other.subscription("/busy", pair(), &qos());
    let data = std::ptr::from_ref(&done).cast();
    ok(unsafe { rmw_subscription_set_on_new_message_callback(busy.0, Some(take_long), data) });
    node.publisher("/busy", pair(), &qos()).publish(&Pair::default());
    until("the callback returns", || done.load(Ordering::Acquire));
    assert_eq!((changed(&change), lost(&loss)), ([1, 0, 0, 0], (0, 0)));
    ok(unsafe { rmw_subscription_set_on_new_message_callback(busy.0, None, std::ptr::null()) });
}

#[test]
fn who_stops_is_not_alive_and_who_is_killed_neither() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("watcher"));
    let subscriptions = ["/manual", "/automatic", "/endless"].map(|topic| node.subscription(topic, pair(), &qos()));
    let [mut by_hand, mut by_itself, mut endless] = subscriptions
        .each_ref()
        .map(|subscription| subscription_event(subscription, ffi::RMW_EVENT_LIVELINESS_CHANGED));
    let mut metronome = start("metronome", domain);
    for event in [&mut by_hand, &mut by_itself, &mut endless] {
        wait_until(&waits, event, 1, 0);
    }
    metronome.signal(libc::SIGSTOP);
    for event in [&mut by_hand, &mut by_itself] {
        wait_until(&waits, event, 0, 1);
    }
    assert_eq!(changed(&endless), [1, 0, 0, 0], "without a lease, a stopped process is alive");
    metronome.signal(libc::SIGCONT);
    for event in [&mut by_hand, &mut by_itself] {
        wait_until(&waits, event, 1, 0);
    }
    metronome.kill();
    for event in [&mut by_hand, &mut by_itself] {
        wait_until(&waits, event, 0, 1);
    }
    wait_until(&waits, &mut endless, 0, 0);
}

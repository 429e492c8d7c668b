//! Messages that are only good for a while.

use crate::events::{subscription_event, take};
use crate::support::*;
use crate::types::{pair, Pair};
use rmw_hazcat_rs::ffi;
use std::time::Duration;

const SPAN: Duration = Duration::from_millis(60);

fn short_lived() -> ffi::rmw_qos_profile_t {
    ffi::rmw_qos_profile_t { lifespan: duration(SPAN), ..qos() }
}

#[test]
fn expired_messages_are_neither_waited_for_nor_taken() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("expiry"));
    let publisher = node.publisher("/t", pair(), &short_lived());
    let subscription = node.subscription("/t", pair(), &qos());
    publisher.publish(&Pair { id: 1, ..Pair::default() });
    std::thread::sleep(SPAN * 2);
    let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
    assert_eq!(waits.wait(&mut what, Some(Duration::from_millis(5))), ffi::RMW_RET_TIMEOUT);
    let mut message = Pair::default();
    assert!(!subscription.take(&mut message));

    // A fresh one behind an expired one.
    publisher.publish(&Pair { id: 2, ..Pair::default() });
    std::thread::sleep(SPAN * 2);
    publisher.publish(&Pair { id: 3, ..Pair::default() });
    what.subscriptions[0] = subscription.data();
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    assert!(subscription.take(&mut message));
    assert_eq!(message.id, 3);
    assert!(!subscription.take(&mut message));
}

#[test]
fn looking_does_not_keep_more_than_the_depth() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("depth"));
    let long = ffi::rmw_qos_profile_t { lifespan: duration(Duration::from_secs(100)), ..qos() };
    let publisher = node.publisher("/t", pair(), &long);
    let subscription = node.subscription("/t", pair(), &ffi::rmw_qos_profile_t { depth: 1, ..qos() });
    let event = subscription_event(&subscription, ffi::RMW_EVENT_MESSAGE_LOST);
    for id in 0..5 {
        publisher.publish(&Pair { id, ..Pair::default() });
        let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
        ok(waits.wait(&mut what, Some(Duration::ZERO)));
    }
    let mut message = Pair::default();
    assert!(subscription.take(&mut message));
    assert_eq!(message.id, 4, "the last one, not the one that was looked at first");
    assert!(!subscription.take(&mut message));
    let status: ffi::rmw_message_lost_status_t = take(&event);
    assert_eq!(status.total_count, 4, "those that were looked at as well");
}

#[test]
fn a_late_subscription_gets_nothing_that_has_expired() {
    let mut context = Context::new(new_domain());
    let node = context.node("late");
    let durability = ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL;
    let kept = ffi::rmw_qos_profile_t { durability, lifespan: duration(Duration::from_secs(2)), ..qos() };
    let publisher = node.publisher("/t", pair(), &kept);
    publisher.publish(&Pair { id: 1, ..Pair::default() });
    std::thread::sleep(Duration::from_millis(2100));
    publisher.publish(&Pair { id: 2, ..Pair::default() });
    let subscription = node.subscription("/t", pair(), &ffi::rmw_qos_profile_t { durability, ..qos() });
    let mut message = Pair::default();
    assert!(subscription.take(&mut message));
    assert_eq!(message.id, 2);
    assert!(!subscription.take(&mut message));
}

/// What the calling thread's time of day is ahead of the machine's, in seconds.
mod time_of_day {
    use std::cell::Cell;

    thread_local! {
        pub static AHEAD: Cell<i64> = const { Cell::new(0) };
    }

    /// The C library's, for all of this program.
    #[no_mangle]
    unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
        let code = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        if code == 0 && clock == libc::CLOCK_REALTIME {
            unsafe { (*time).tv_sec += AHEAD.get() };
        }
        code as libc::c_int
    }
}

/// A robot's clock is set when it has found a network: by years, at times.
#[test]
fn setting_the_clock_neither_ends_nor_prolongs_a_message() {
    let mut context = Context::new(new_domain());
    let node = context.node("clock");
    let long = ffi::rmw_qos_profile_t { lifespan: duration(Duration::from_secs(100)), ..qos() };
    let (lasting, brief) = (node.publisher("/long", pair(), &long), node.publisher("/short", pair(), &short_lived()));
    let [kept, expired] = ["/long", "/short"].map(|topic| node.subscription(topic, pair(), &qos()));
    let mut message = Pair::default();
    lasting.publish(&Pair { id: 1, ..Pair::default() });
    time_of_day::AHEAD.set(1_000_000);
    assert!(kept.take(&mut message), "the clock was put forward");
    brief.publish(&Pair { id: 2, ..Pair::default() });
    time_of_day::AHEAD.set(0);
    std::thread::sleep(SPAN * 2);
    assert!(!expired.take(&mut message), "the clock was put back");
}

/// A command that nobody wants any more is not carried out.
#[test]
fn requests_expire() {
    use crate::services::{respond, send, take_request, take_response};
    let mut context = Context::new(new_domain());
    let node = context.node("expiry");
    let client = node.client_with("/ask", crate::types::ask(), &short_lived());
    let service = node.service("/ask", crate::types::ask());
    send(&client, 1);
    std::thread::sleep(SPAN * 2);
    assert!(take_request(&service).is_none());
    until("a request that is taken in time", || {
        send(&client, 2);
        let number = send(&client, 3);
        std::iter::from_fn(|| take_request(&service)).any(|(request, info)| {
            respond(&service, &info.request_id, "in time");
            request.id == 3 && info.request_id.sequence_number == number
        })
    });
    assert_eq!(std::iter::from_fn(|| take_response(&client)).last().unwrap().0, "in time");
}

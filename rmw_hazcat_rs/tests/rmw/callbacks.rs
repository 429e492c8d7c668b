//! Callbacks for new messages, requests, replies and events.

use crate::events::{subscription_event, wait};
use crate::support::*;
use crate::types::{ask, pair, Pair};
use rmw_hazcat_rs::abi::callbacks::*;
use rmw_hazcat_rs::abi::client::rmw_send_request;
use rmw_hazcat_rs::abi::event::{rmw_event_set_callback, rmw_publisher_event_init};
use rmw_hazcat_rs::ffi;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

unsafe extern "C" fn count(data: *const c_void, events: usize) {
    assert!(events > 0);
    unsafe { &*data.cast::<AtomicUsize>() }.fetch_add(events, Ordering::SeqCst);
}

fn address(counter: &AtomicUsize) -> *const c_void {
    std::ptr::from_ref(counter).cast()
}

#[test]
fn messages_are_told_of_before_and_after() {
    let mut context = Context::new(new_domain());
    let node = context.node("callbacks");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    let counter = AtomicUsize::new(0);
    publisher.publish(&Pair::default());
    publisher.publish(&Pair::default());
    let set =
        |callback| unsafe { rmw_subscription_set_on_new_message_callback(subscription.0, callback, address(&counter)) };
    ok(set(Some(count)));
    assert_eq!(counter.load(Ordering::SeqCst), 2, "what lay there unread");
    for total in 3..50 {
        publisher.publish(&Pair::default());
        until("a callback", || counter.load(Ordering::SeqCst) == total);
        assert!(subscription.take(&mut Pair::default()));
    }
    ok(set(None));
    let before = counter.load(Ordering::SeqCst);
    publisher.publish(&Pair::default());
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(counter.load(Ordering::SeqCst), before, "nobody is called any more");
}

/// rclcpp replaces the callback when it sets one, and expects nothing to be counted twice.
#[test]
fn another_callback_is_told_only_of_what_none_was_told_of() {
    let mut context = Context::new(new_domain());
    let node = context.node("replaced");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    let counters: [AtomicUsize; 3] = Default::default();
    let set = |counter: Option<&AtomicUsize>| unsafe {
        let callback = counter.map(|_| count as unsafe extern "C" fn(_, _));
        let data = counter.map_or(std::ptr::null(), address);
        ok(rmw_subscription_set_on_new_message_callback(subscription.0, callback, data));
    };
    let told = || counters.each_ref().map(|counter| counter.load(Ordering::SeqCst));
    publisher.publish(&Pair::default());
    set(Some(&counters[0]));
    assert_eq!(told(), [1, 0, 0]);
    set(Some(&counters[1]));
    assert_eq!(told(), [1, 0, 0], "it was told of already");
    publisher.publish(&Pair::default());
    until("the callback", || told() == [1, 1, 0]);
    set(None);
    for _ in 0..4 {
        publisher.publish(&Pair::default());
    }
    set(Some(&counters[2]));
    assert_eq!(told(), [1, 1, 4], "what came while there was none");
    set(None);
    for _ in 0..6 {
        assert!(subscription.take(&mut Pair::default()));
    }
    set(Some(&counters[2]));
    assert_eq!(told(), [1, 1, 4], "nothing is there");
}

#[test]
fn refused_messages_are_not_told_of() {
    let mut context = Context::new(new_domain());
    let node = context.node("refused");
    let lazy = ffi::rmw_qos_profile_t { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() };
    let (good, bad) = (node.publisher("/t", pair(), &qos()), node.publisher("/t", pair(), &lazy));
    let subscription = node.subscription("/t", pair(), &qos());
    let counter = AtomicUsize::new(0);
    ok(unsafe { rmw_subscription_set_on_new_message_callback(subscription.0, Some(count), address(&counter)) });
    bad.publish(&Pair::default());
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(counter.load(Ordering::SeqCst), 0);
    good.publish(&Pair::default());
    until("a callback", || counter.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_callback_and_a_wait_set_both_see_the_message() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("shared"));
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    let counter = AtomicUsize::new(0);
    ok(unsafe { rmw_subscription_set_on_new_message_callback(subscription.0, Some(count), address(&counter)) });
    struct Shared<'a>(Publisher<'a>);
    unsafe impl Send for Shared<'_> {}
    unsafe impl Sync for Shared<'_> {}
    let publisher = Shared(publisher);
    for round in 1..100 {
        std::thread::scope(|scope| {
            let publisher = &publisher;
            scope.spawn(move || {
                std::thread::sleep(Duration::from_micros(200));
                publisher.0.publish(&Pair::default());
            });
            let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
            ok(waits.wait(&mut what, Some(WATCHDOG)));
            assert!(!what.subscriptions[0].is_null());
        });
        until("a callback", || counter.load(Ordering::SeqCst) >= round);
        assert!(subscription.take(&mut Pair::default()));
    }
}

#[test]
fn requests_are_told_of() {
    let mut context = Context::new(new_domain());
    let node = context.node("requests");
    let (service, client) = (node.service("/ask", ask()), node.client("/ask", ask()));
    let (requests, replies) = (AtomicUsize::new(0), AtomicUsize::new(0));
    ok(unsafe { rmw_service_set_on_new_request_callback(service.0, Some(count), address(&requests)) });
    ok(unsafe { rmw_client_set_on_new_response_callback(client.0, Some(count), address(&replies)) });
    let mut number = 0;
    ok(unsafe { rmw_send_request(client.0, std::ptr::from_ref(&Pair::default()).cast(), &mut number) });
    until("a callback", || requests.load(Ordering::SeqCst) == 1);
    assert_eq!(replies.load(Ordering::SeqCst), 0);
}

#[test]
fn entities_may_go_with_callbacks_set() {
    let domain = new_domain();
    let counter = AtomicUsize::new(0);
    for _ in 0..20 {
        let mut context = Context::new(domain);
        let node = context.node("leaving");
        let publisher = node.publisher("/t", pair(), &qos());
        let subscription = node.subscription("/t", pair(), &qos());
        ok(unsafe { rmw_subscription_set_on_new_message_callback(subscription.0, Some(count), address(&counter)) });
        publisher.publish(&Pair::default());
    }
}

#[test]
fn events_are_told_of() {
    let mut context = Context::new(new_domain());
    let node = context.node("events");
    let lazy = ffi::rmw_qos_profile_t { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() };
    let publisher = node.publisher("/t", pair(), &lazy);
    let mut event = ffi::rmw_event_t::default();
    let kind = ffi::RMW_EVENT_OFFERED_QOS_INCOMPATIBLE;
    ok(unsafe { rmw_publisher_event_init(&mut event, publisher.0, kind) });
    let first = node.subscription("/t", pair(), &qos());
    let counter = AtomicUsize::new(0);
    ok(unsafe { rmw_event_set_callback(&mut event, Some(count), address(&counter)) });
    until("a callback", || counter.load(Ordering::SeqCst) == 1);
    let second = node.subscription("/t", pair(), &qos());
    until("a callback", || counter.load(Ordering::SeqCst) == 2);
    drop((first, second));
}

/// rclcpp's executor looks for what a callback did when it wakes for the event, and at no other time.
#[test]
fn who_waits_for_an_event_wakes_after_its_callback() {
    unsafe extern "C" fn count_slowly(data: *const c_void, events: usize) {
        std::thread::sleep(Duration::from_millis(100));
        unsafe { count(data, events) };
    }
    fn told_when_woken<T>(waits: &WaitSet, event: &mut ffi::rmw_event_t, cause: impl FnOnce() -> T) {
        let counter = AtomicUsize::new(0);
        ok(unsafe { rmw_event_set_callback(event, Some(count_slowly), address(&counter)) });
        let cause = cause();
        wait(waits, event);
        assert!(counter.load(Ordering::SeqCst) > 0);
        ok(unsafe { rmw_event_set_callback(event, None, std::ptr::null()) });
        drop(cause);
    }
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("order"));
    let publisher = node.publisher("/t", pair(), &qos());
    let shallow = node.subscription("/t", pair(), &ffi::rmw_qos_profile_t { depth: 1, ..qos() });
    let mut lost = subscription_event(&shallow, ffi::RMW_EVENT_MESSAGE_LOST);
    told_when_woken(&waits, &mut lost, || (0..2).for_each(|_| publisher.publish(&Pair::default())));
    let lazy = ffi::rmw_qos_profile_t { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() };
    let mut refused = subscription_event(&shallow, ffi::RMW_EVENT_REQUESTED_QOS_INCOMPATIBLE);
    told_when_woken(&waits, &mut refused, || node.publisher("/t", pair(), &lazy));
    let (mut here, mut there) = (subscription_event(&shallow, ffi::RMW_EVENT_LIVELINESS_CHANGED), Vec::new());
    told_when_woken(&waits, &mut here, || there.push(node.publisher("/t", pair(), &qos())));
}

/// A program may hold a lock when it ends one callback, or destroys an entity, and want the same lock in another callback: only
/// the callback that ends is waited for.
#[test]
fn who_ends_a_callback_does_not_wait_for_other_callbacks() {
    struct Gate {
        entered: AtomicBool,
        open: AtomicBool,
    }
    unsafe extern "C" fn pass(data: *const c_void, _: usize) {
        let gate = unsafe { &*data.cast::<Gate>() };
        gate.entered.store(true, Ordering::SeqCst);
        until("the gate's opening", || gate.open.load(Ordering::SeqCst));
    }
    let mut context = Context::new(new_domain());
    let node = context.node("locks");
    let publisher = node.publisher("/t", pair(), &qos());
    let gate = Gate { entered: AtomicBool::new(false), open: AtomicBool::new(false) };
    let blocked = node.subscription("/t", pair(), &qos());
    let [ended, destroyed] = [(); 2].map(|()| node.subscription("/other", pair(), &qos()));
    let counter = AtomicUsize::new(0);
    let set = |subscription: &Subscription<'_>, callback| unsafe {
        ok(rmw_subscription_set_on_new_message_callback(subscription.0, callback, address(&counter)));
    };
    set(&ended, Some(count));
    set(&destroyed, Some(count));
    let at = std::ptr::from_ref(&gate).cast();
    ok(unsafe { rmw_subscription_set_on_new_message_callback(blocked.0, Some(pass), at) });
    publisher.publish(&Pair::default());
    until("the callback", || gate.entered.load(Ordering::SeqCst));
    let start = std::time::Instant::now();
    set(&ended, None);
    drop(destroyed);
    assert!(start.elapsed() < WATCHDOG / 2, "it waited for the other callback");
    gate.open.store(true, Ordering::SeqCst);
}

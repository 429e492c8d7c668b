//! Publishers and subscriptions on the simulated device: what is lent, what is copied, how often, and what fails.
//!
//! Every test has a device of its own, so that what is counted on it is its own.

use crate::events::subscription_event;
use crate::support::*;
use crate::types::{pair, text, Pair, Text};
use hazcat_core::domain::simulated::{self, SimulatedDevice, Trouble};
use rmw_hazcat_rs::abi::content_filter::rmw_subscription_set_content_filter;
use rmw_hazcat_rs::abi::loan::*;
use rmw_hazcat_rs::abi::memory_domain::*;
use rmw_hazcat_rs::abi::publisher::{rmw_create_publisher, rmw_publish, rmw_publish_serialized_message};
use rmw_hazcat_rs::abi::subscription::rmw_create_subscription;
use rmw_hazcat_rs::abi::take::{rmw_take, rmw_take_serialized_message};
use rmw_hazcat_rs::ffi;
use std::ffi::{c_void, CStr};
use std::sync::Arc;
use std::time::Duration;

/// As the C header's function makes it.
pub fn payload(name: &str) -> ffi::rmw_hazcat_rs_memory_domain_t {
    let mut payload = ffi::rmw_hazcat_rs_memory_domain_t {
        magic: ffi::RMW_HAZCAT_RS_MEMORY_DOMAIN_MAGIC,
        size: size_of::<ffi::rmw_hazcat_rs_memory_domain_t>() as u64,
        ..Default::default()
    };
    payload.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as _);
    payload
}

pub fn publisher_in<'a>(node: &'a Node, topic: &str, domain: &str) -> Publisher<'a> {
    let payload = payload(domain);
    let options = ffi::rmw_publisher_options_t {
        rmw_specific_publisher_payload: std::ptr::from_ref(&payload).cast_mut().cast(),
        ..Default::default()
    };
    let publisher = node.publisher_with(topic, pair(), &qos(), &options);
    assert!(unsafe { (*publisher.0).options.rmw_specific_publisher_payload.is_null() }, "the payload may go");
    publisher
}

pub fn subscription_in<'a>(node: &'a Node, topic: &str, domain: &str) -> Subscription<'a> {
    let payload = payload(domain);
    let options = ffi::rmw_subscription_options_t {
        rmw_specific_subscription_payload: std::ptr::from_ref(&payload).cast_mut().cast(),
        ..Default::default()
    };
    node.subscription_with(topic, pair(), &qos(), &options)
}

fn device(number: u32) -> (String, Arc<SimulatedDevice>) {
    (format!("sim:{number}"), SimulatedDevice::get(number).unwrap())
}

/// Copies from the host, to the host, and between devices.
fn copies(device: &SimulatedDevice) -> [u64; 3] {
    let counters = device.counters();
    [counters.from_host, counters.to_host, counters.within].map(|transfers| transfers.operations)
}

fn a_pair(id: u64) -> Pair {
    Pair { id, flag: true, value: id as f64 / 4.0 }
}

fn borrow(publisher: &Publisher<'_>) -> *mut c_void {
    let mut message = std::ptr::null_mut();
    ok(unsafe { rmw_borrow_loaned_message(publisher.0, pair(), &mut message) });
    message
}

/// Publishes from the device: a kernel writes the message there.
fn publish_loaned(publisher: &Publisher<'_>, id: u64) {
    let message = borrow(publisher);
    let content = a_pair(id);
    assert!(simulated::contains(message.cast()), "an address of the device");
    let from = std::ptr::from_ref(&content).cast();
    assert_eq!(unsafe { rmw_hazcat_rs_simulated_write(message, from, size_of::<Pair>()) }, 1);
    ok(unsafe { rmw_publish_loaned_message(publisher.0, message, std::ptr::null_mut()) });
}

fn take_loaned(subscription: &Subscription<'_>) -> Option<*mut c_void> {
    let (mut message, mut taken) = (std::ptr::null_mut(), false);
    ok(unsafe { rmw_take_loaned_message(subscription.0, &mut message, &mut taken, std::ptr::null_mut()) });
    taken.then_some(message)
}

/// A message as code on the device reads it.
fn on_device(message: *const c_void) -> Pair {
    let mut content = Pair::default();
    let to = std::ptr::from_mut(&mut content).cast();
    assert_eq!(unsafe { rmw_hazcat_rs_simulated_read(message, to, size_of::<Pair>()) }, 1, "not on the device");
    content
}

fn give_back(subscription: &Subscription<'_>, message: *mut c_void) -> ffi::rmw_ret_t {
    unsafe { rmw_return_loaned_message_from_subscription(subscription.0, message) }
}

fn take(subscription: &Subscription<'_>) -> Option<Pair> {
    let mut message = Pair::default();
    subscription.take(&mut message).then_some(message)
}

fn domain_of(address: *const c_void) -> (i32, String) {
    let mut name = [1; ffi::RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES as usize];
    let answer = unsafe { rmw_hazcat_rs_domain_of(address, name.as_mut_ptr()) };
    (answer, unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().unwrap().to_owned())
}

#[test]
fn a_device_lends_its_own_memory_and_others_get_one_copy() {
    let (name, device) = device(200);
    let mut context = Context::new(new_domain());
    let node = context.node("lending");
    let publisher = publisher_in(&node, "/t", &name);
    let there = [subscription_in(&node, "/t", &name), subscription_in(&node, "/t", &name)];
    let here = [node.subscription("/t", pair(), &qos()), node.subscription("/t", pair(), &qos())];
    assert!(unsafe { (*publisher.0).can_loan_messages && (*there[0].0).can_loan_messages });
    for id in 1..=50 {
        publish_loaned(&publisher, id);
        for subscription in &there {
            let message = take_loaned(subscription).expect("a message");
            assert_eq!(on_device(message), a_pair(id));
            assert_eq!(domain_of(message), (1, name.clone()));
            ok(give_back(subscription, message));
            assert_eq!(domain_of(message), (0, "host".to_owned()), "not on loan any more");
        }
        for subscription in &here {
            assert_eq!(take(subscription), Some(a_pair(id)));
        }
    }
    assert_eq!(copies(&device), [0, 50, 0], "one to the host for both subscriptions there");
}

#[test]
fn programs_that_know_nothing_of_devices_publish_and_take_as_ever() {
    let (name, device) = device(201);
    let mut context = Context::new(new_domain());
    let node = context.node("copying");
    let (publisher, subscription) = (publisher_in(&node, "/t", &name), subscription_in(&node, "/t", &name));
    for id in 1..=5 {
        publisher.publish(&a_pair(id));
        assert_eq!(take(&subscription), Some(a_pair(id)));
    }
    assert_eq!(take(&subscription), None);
    assert_eq!(copies(&device), [5, 5, 0]);
    assert_eq!(device.counters().allocations, 5, "nothing is made on the device in order to be copied off it");

    // What the host publishes is taken where it lies, on the host.
    let host = node.publisher("/u", pair(), &qos());
    let subscription = subscription_in(&node, "/u", &name);
    host.publish(&a_pair(6));
    assert_eq!(take(&subscription), Some(a_pair(6)));
    assert_eq!(copies(&device), [5, 5, 0]);
    // And on loan, on the device.
    host.publish(&a_pair(7));
    let message = take_loaned(&subscription).expect("a message");
    assert_eq!((on_device(message), copies(&device)), (a_pair(7), [6, 5, 0]));
    ok(give_back(&subscription, message));
}

#[test]
fn serialized_messages_go_to_and_come_from_devices() {
    let (name, _) = device(202);
    let mut context = Context::new(new_domain());
    let node = context.node("serialized");
    let publishers = [publisher_in(&node, "/t", &name), node.publisher("/t", pair(), &qos())];
    let (there, here) = (subscription_in(&node, "/t", &name), node.subscription("/t", pair(), &qos()));
    let mut bytes = vec![0, 1, 0, 0];
    bytes.extend(9u64.to_le_bytes());
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(2.25f64.to_le_bytes());
    for publisher in &publishers {
        let message = message_of(&mut bytes);
        for _ in 0..2 {
            ok(unsafe { rmw_publish_serialized_message(publisher.0, &message, std::ptr::null_mut()) });
        }
        let message = take_loaned(&there).expect("a message");
        assert_eq!(on_device(message), a_pair(9));
        ok(give_back(&there, message));
        for subscription in [&there, &here] {
            let mut taken = false;
            let mut out = ffi::rmw_serialized_message_t { allocator: default_allocator(), ..Default::default() };
            let code =
                unsafe { rmw_take_serialized_message(subscription.0, &mut out, &mut taken, std::ptr::null_mut()) };
            ok(code);
            assert!(taken);
            assert_eq!(unsafe { std::slice::from_raw_parts(out.buffer, out.buffer_length) }, bytes);
            unsafe { libc::free(out.buffer.cast()) };
        }
        assert_eq!(take(&here), Some(a_pair(9)));
        // What is no message of the type is passed over.
        let garbled = ffi::rmw_serialized_message_t { buffer_length: 9, ..message_of(&mut bytes) };
        for _ in 0..2 {
            ok(unsafe { rmw_publish_serialized_message(publisher.0, &garbled, std::ptr::null_mut()) });
        }
        publisher.publish(&a_pair(10));
        let message = take_loaned(&there).expect("the message behind them");
        assert_eq!(on_device(message), a_pair(10));
        ok(give_back(&there, message));
        assert_eq!(take(&here), Some(a_pair(10)));
        ok(unsafe { rmw_publish_serialized_message(publisher.0, &garbled, std::ptr::null_mut()) });
        publisher.publish(&a_pair(11));
        assert_eq!(take(&there), Some(a_pair(11)));
        assert_eq!(take(&here), Some(a_pair(11)));
    }
}

fn message_of(bytes: &mut [u8]) -> ffi::rmw_serialized_message_t {
    ffi::rmw_serialized_message_t {
        buffer: bytes.as_mut_ptr(),
        buffer_length: bytes.len(),
        buffer_capacity: bytes.len(),
        allocator: default_allocator(),
    }
}

#[test]
fn pointers_that_are_not_on_loan_are_refused() {
    let (name, device) = device(203);
    let mut context = Context::new(new_domain());
    let node = context.node("foreign");
    let (publisher, another) = (publisher_in(&node, "/t", &name), publisher_in(&node, "/t", &name));
    let subscription = subscription_in(&node, "/t", &name);
    let loan = borrow(&publisher);
    fails(unsafe { rmw_publish_loaned_message(another.0, loan, std::ptr::null_mut()) }, ffi::RMW_RET_INVALID_ARGUMENT);
    ok(unsafe { rmw_return_loaned_message_from_publisher(publisher.0, loan) });
    let back = unsafe { rmw_return_loaned_message_from_publisher(publisher.0, loan) };
    assert!(fails(back, ffi::RMW_RET_INVALID_ARGUMENT).contains("/t"));
    assert_eq!(device.counters().in_use(), 0);
    publish_loaned(&publisher, 1);
    let message = take_loaned(&subscription).expect("a message");
    // A message that was taken cannot be written to, by the device either.
    assert_eq!(unsafe { rmw_hazcat_rs_simulated_write(message, (&raw const name).cast(), 1) }, 0);
    ok(give_back(&subscription, message));
    fails(give_back(&subscription, message), ffi::RMW_RET_ERROR);
    // Endpoints may go with loans out.
    publish_loaned(&publisher, 2);
    let (borrowed, taken) = (borrow(&publisher), take_loaned(&subscription).expect("a message"));
    drop(subscription);
    drop(publisher);
    assert_eq!((domain_of(borrowed).0, domain_of(taken).0), (0, 0));
}

#[test]
fn what_a_device_refuses_is_an_error_and_nothing_is_lost() {
    let (name, device) = device(204);
    let mut context = Context::new(new_domain());
    let (wait_set, node) = (context.wait_set(), context.node("failing"));
    let publisher = publisher_in(&node, "/t", &name);
    let (there, here) = (subscription_in(&node, "/t", &name), node.subscription("/t", pair(), &qos()));
    let fail_once = || device.set_trouble(Trouble { failing_copies: 1, ..Trouble::default() });

    fail_once();
    let message = a_pair(1);
    let from = std::ptr::from_ref(&message).cast();
    let error = fails(unsafe { rmw_publish(publisher.0, from, std::ptr::null_mut()) }, ffi::RMW_RET_ERROR);
    assert!(error.contains("/t") && error.contains("SIM_ERROR_ORDERED"), "{error}");
    assert_eq!(device.counters().in_use(), 0, "its memory is free again");
    publisher.publish(&a_pair(2));

    for subscription in [&there, &here] {
        fail_once();
        let (mut message, mut taken) = (Pair::default(), true);
        let to = std::ptr::from_mut(&mut message).cast();
        let code = unsafe { rmw_take(subscription.0, to, &mut taken, std::ptr::null_mut()) };
        let error = fails(code, ffi::RMW_RET_ERROR);
        assert!(error.contains("/t") && error.contains("SIM_ERROR_ORDERED") && !taken, "{error}");
        let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
        ok(wait_set.wait(&mut what, Some(Duration::ZERO)));
        assert_eq!(take(subscription), Some(a_pair(2)), "it is still there");
        assert_eq!(take(subscription), None);
    }

    // Nor does it cost more from then on to wait and take.
    let host = node.publisher("/t", pair(), &qos());
    let before = copies(&device);
    for id in 3..6 {
        host.publish(&a_pair(id));
        let mut what = For { subscriptions: vec![there.data()], ..For::default() };
        ok(wait_set.wait(&mut what, Some(Duration::ZERO)));
        assert_eq!(take(&there), Some(a_pair(id)));
    }
    assert_eq!(copies(&device), before, "from the host, to the host");
}

#[test]
fn a_device_that_has_failed_keeps_no_message_waiting_for_ever() {
    let (name, device) = device(208);
    let mut context = Context::new(new_domain());
    let (wait_set, node) = (context.wait_set(), context.node("failed"));
    let publisher = publisher_in(&node, "/t", &name);
    let (there, here) = (subscription_in(&node, "/t", &name), node.subscription("/t", pair(), &qos()));
    (1..=3).for_each(|id| publisher.publish(&a_pair(id)));
    device.set_trouble(Trouble { failing_copies: u64::MAX, ..Trouble::default() });
    for subscription in [&there, &here] {
        let event = subscription_event(subscription, ffi::RMW_EVENT_MESSAGE_LOST);
        let mut errors = 0;
        loop {
            let (mut message, mut taken) = (Pair::default(), true);
            let to = std::ptr::from_mut(&mut message).cast();
            match unsafe { rmw_take(subscription.0, to, &mut taken, std::ptr::null_mut()) } {
                ffi::RMW_RET_OK => break assert!(!taken),
                code => drop(fails(code, ffi::RMW_RET_ERROR)),
            }
            errors += 1;
            assert!(errors < 100, "the same message, again and again");
        }
        assert!(errors > 3, "some patience");
        let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
        assert_eq!(wait_set.wait(&mut what, Some(Duration::ZERO)), ffi::RMW_RET_TIMEOUT, "nothing is there");
        let status: ffi::rmw_message_lost_status_t = crate::events::take(&event);
        assert_eq!(status.total_count, 3);
    }
    device.set_trouble(Trouble::default());
    publisher.publish(&a_pair(4));
    for subscription in [&there, &here] {
        assert_eq!(take(subscription), Some(a_pair(4)));
    }
}

#[test]
fn filters_and_lifespans_work_on_devices() {
    let (name, _) = device(205);
    let mut context = Context::new(new_domain());
    let (wait_set, node) = (context.wait_set(), context.node("choosing"));
    let publisher = publisher_in(&node, "/t", &name);
    let subscription = subscription_in(&node, "/t", &name);
    let options = ffi::rmw_subscription_content_filter_options_t {
        filter_expression: c"id > 2".as_ptr().cast_mut(),
        expression_parameters: ffi::rcutils_string_array_t { allocator: default_allocator(), ..Default::default() },
    };
    ok(unsafe { rmw_subscription_set_content_filter(subscription.0, &options) });
    (1..=4).for_each(|id| publish_loaned(&publisher, id));
    let message = take_loaned(&subscription).expect("a message");
    assert_eq!(on_device(message).id, 3);
    ok(give_back(&subscription, message));
    assert_eq!(take(&subscription), Some(a_pair(4)));
    assert_eq!(take(&subscription), None);

    let lasting = |time| ffi::rmw_qos_profile_t { lifespan: duration(time), ..qos() };
    let own = payload(&name);
    let options = ffi::rmw_publisher_options_t {
        rmw_specific_publisher_payload: std::ptr::from_ref(&own).cast_mut().cast(),
        ..Default::default()
    };
    let brief = node.publisher_with("/u", pair(), &lasting(Duration::from_nanos(1)), &options);
    let lasting = node.publisher_with("/u", pair(), &lasting(Duration::from_secs(1000)), &options);
    let subscription = subscription_in(&node, "/u", &name);
    for id in 5..8 {
        publish_loaned(&brief, 1);
        publish_loaned(&lasting, id);
        let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
        ok(wait_set.wait(&mut what, Some(Duration::ZERO)));
        if id % 2 == 0 {
            assert_eq!(take(&subscription), Some(a_pair(id)));
        } else {
            let message = take_loaned(&subscription).expect("a message");
            assert_eq!(on_device(message), a_pair(id));
            ok(give_back(&subscription, message));
        }
        assert_eq!(take(&subscription), None);
    }
}

#[test]
fn texts_stay_on_the_host() {
    let (name, device) = device(206);
    let mut context = Context::new(new_domain());
    let node = context.node("texts");
    let own = payload(&name);
    let at = std::ptr::from_ref(&own).cast_mut().cast();
    let options = ffi::rmw_publisher_options_t { rmw_specific_publisher_payload: at, ..Default::default() };
    let publisher = node.publisher_with("/t", text(), &qos(), &options);
    let options = ffi::rmw_subscription_options_t { rmw_specific_subscription_payload: at, ..Default::default() };
    let subscription = node.subscription_with("/t", text(), &qos(), &options);
    publisher.publish(&Text::of("as ever"));
    let mut message = Text::new();
    assert!(subscription.take(&mut message));
    assert_eq!(message.get(), "as ever");
    assert_eq!((copies(&device), device.counters().allocations), ([0; 3], 0));
}

#[test]
fn a_domain_that_is_not_there_is_refused_to_who_counts_on_it() {
    let mut context = Context::new(new_domain());
    let node = context.node("wanting");
    for (name, why) in [("abacus:0", "unknown kind"), ("sim:x", "sim:x"), ("cuda:GPU-nowhere", "cuda:GPU-nowhere")] {
        let own = payload(name);
        let at = std::ptr::from_ref(&own).cast_mut().cast();
        let options = ffi::rmw_publisher_options_t { rmw_specific_publisher_payload: at, ..Default::default() };
        assert!(unsafe { rmw_create_publisher(node.0, pair(), c"/t".as_ptr(), &qos(), &options) }.is_null());
        let said = error();
        assert!(said.contains("/t") && said.contains("/ns/wanting") && said.contains(why), "{said}");
        let options = ffi::rmw_subscription_options_t { rmw_specific_subscription_payload: at, ..Default::default() };
        assert!(unsafe { rmw_create_subscription(node.0, pair(), c"/t".as_ptr(), &qos(), &options) }.is_null());
        let said = error();
        assert!(said.contains("/t") && said.contains("subscription") && said.contains(why), "{said}");
    }
}

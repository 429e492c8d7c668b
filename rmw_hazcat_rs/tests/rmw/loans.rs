//! Loans: the same memory on both sides, and no pointer believed that is not on loan.

use crate::support::*;
use crate::types::{pair, text, Pair};
use rmw_hazcat_rs::abi::loan::*;
use rmw_hazcat_rs::abi::publisher::rmw_publish_serialized_message;
use rmw_hazcat_rs::ffi;
use std::ffi::c_void;

fn borrow(publisher: &Publisher<'_>) -> *mut Pair {
    let mut message = std::ptr::null_mut();
    ok(unsafe { rmw_borrow_loaned_message(publisher.0, pair(), &mut message) });
    message.cast()
}

fn take(subscription: &Subscription<'_>) -> Option<*mut Pair> {
    let (mut message, mut taken) = (std::ptr::null_mut(), false);
    ok(unsafe { rmw_take_loaned_message(subscription.0, &mut message, &mut taken, std::ptr::null_mut()) });
    assert_eq!(taken, !message.is_null());
    taken.then(|| message.cast())
}

fn give_back(subscription: &Subscription<'_>, message: *mut Pair) -> ffi::rmw_ret_t {
    unsafe { rmw_return_loaned_message_from_subscription(subscription.0, message.cast()) }
}

fn publish(publisher: &Publisher<'_>, message: *mut Pair) -> ffi::rmw_ret_t {
    unsafe { rmw_publish_loaned_message(publisher.0, message.cast(), std::ptr::null_mut()) }
}

/// The file behind an address of this process, and the offset in it.
fn place(address: *const c_void) -> (String, usize) {
    let address = address as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = fields[0].split_once('-').unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        if (number(start)..number(end)).contains(&address) {
            return (format!("{} {}", fields[3], fields[4]), number(fields[2]) + address - number(start));
        }
    }
    panic!("{address:x} is not mapped");
}

#[test]
fn a_loan_is_published_where_it_lies_and_read_there() {
    let mut context = Context::new(new_domain());
    let node = context.node("loans");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    assert!(unsafe { (*publisher.0).can_loan_messages && (*subscription.0).can_loan_messages });

    let sent = borrow(&publisher);
    let written_at = place(sent.cast());
    unsafe { sent.write(Pair { id: 5, flag: true, value: 0.5 }) };
    ok(publish(&publisher, sent));
    let received = take(&subscription).unwrap();
    assert_eq!(place(received.cast()), written_at, "the same bytes of the same file: nothing was copied");
    assert_eq!(unsafe { received.read() }, Pair { id: 5, flag: true, value: 0.5 });
    ok(give_back(&subscription, received));
    assert!(take(&subscription).is_none());
}

#[test]
fn what_is_held_is_not_reused() {
    let mut context = Context::new(new_domain());
    let node = context.node("held");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &ffi::rmw_qos_profile_t { depth: 1, ..qos() });
    publisher.publish(&Pair { id: 1, ..Pair::default() });
    let held = take(&subscription).unwrap();
    for id in 2..5000 {
        publisher.publish(&Pair { id, ..Pair::default() });
    }
    assert_eq!(unsafe { held.read() }.id, 1);
    ok(give_back(&subscription, held));
}

#[test]
fn pointers_that_are_not_on_loan_are_refused() {
    let mut context = Context::new(new_domain());
    let node = context.node("foreign");
    let (publisher, another) = (node.publisher("/t", pair(), &qos()), node.publisher("/t", pair(), &qos()));
    let subscription = node.subscription("/t", pair(), &qos());
    let back = |publisher: &Publisher<'_>, message: *mut Pair| unsafe {
        rmw_return_loaned_message_from_publisher(publisher.0, message.cast())
    };
    let mut own = Pair::default();
    assert!(fails(publish(&publisher, &mut own), ffi::RMW_RET_INVALID_ARGUMENT).contains("/t"));
    assert!(fails(back(&publisher, &mut own), ffi::RMW_RET_INVALID_ARGUMENT).contains("/t"));
    let loan = borrow(&publisher);
    fails(back(&another, loan), ffi::RMW_RET_INVALID_ARGUMENT);
    ok(back(&publisher, loan));
    fails(back(&publisher, loan), ffi::RMW_RET_INVALID_ARGUMENT);
    fails(publish(&publisher, loan), ffi::RMW_RET_INVALID_ARGUMENT);

    fails(give_back(&subscription, &mut own), ffi::RMW_RET_ERROR);
    publisher.publish(&own);
    let taken = take(&subscription).unwrap();
    ok(give_back(&subscription, taken));
    fails(give_back(&subscription, taken), ffi::RMW_RET_ERROR);
}

fn publish_bytes(publisher: &Publisher<'_>, bytes: &mut [u8]) {
    let message = ffi::rmw_serialized_message_t {
        buffer: bytes.as_mut_ptr(),
        buffer_length: bytes.len(),
        buffer_capacity: bytes.len(),
        allocator: default_allocator(),
    };
    ok(unsafe { rmw_publish_serialized_message(publisher.0, &message, std::ptr::null_mut()) });
}

#[test]
fn a_serialized_message_of_a_plain_type_is_lent_like_any_other() {
    let mut context = Context::new(new_domain());
    let node = context.node("serialized");
    let publisher = node.publisher("/t", pair(), &qos());
    let (one, two) = (node.subscription("/t", pair(), &qos()), node.subscription("/t", pair(), &qos()));
    let mut bytes = vec![0, 1, 0, 0];
    bytes.extend(9u64.to_le_bytes());
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(2.5f64.to_le_bytes());
    publish_bytes(&publisher, &mut bytes);
    let taken = take(&one).unwrap();
    assert_eq!(unsafe { taken.read() }, Pair { id: 9, flag: true, value: 2.5 });
    let other = take(&two).unwrap();
    assert_eq!(place(taken.cast()), place(other.cast()), "the same memory");
    ok(give_back(&one, taken));
    ok(give_back(&two, other));

    // What is none is passed over by those who take.
    publish_bytes(&publisher, &mut bytes[..9]);
    assert!(take(&one).is_none());
    publish_bytes(&publisher, &mut bytes[..9]);
    publish_bytes(&publisher, &mut bytes);
    let taken = take(&one).unwrap();
    assert_eq!(unsafe { taken.read() }, Pair { id: 9, flag: true, value: 2.5 });
    ok(give_back(&one, taken));
}

#[test]
fn types_with_strings_are_not_lent() {
    let mut context = Context::new(new_domain());
    let node = context.node("texts");
    let publisher = node.publisher("/t", text(), &qos());
    let subscription = node.subscription("/t", text(), &qos());
    assert!(unsafe { !(*publisher.0).can_loan_messages && !(*subscription.0).can_loan_messages });
    let (mut message, mut taken) = (std::ptr::null_mut(), false);
    fails(unsafe { rmw_borrow_loaned_message(publisher.0, text(), &mut message) }, ffi::RMW_RET_UNSUPPORTED);
    fails(
        unsafe { rmw_take_loaned_message(subscription.0, &mut message, &mut taken, std::ptr::null_mut()) },
        ffi::RMW_RET_UNSUPPORTED,
    );
    assert!(message.is_null() && !taken);
}

#[test]
fn endpoints_may_go_with_loans_out() {
    let mut context = Context::new(new_domain());
    let node = context.node("leaving");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    borrow(&publisher);
    publisher.publish(&Pair::default());
    take(&subscription).unwrap();
    drop(subscription);
    drop(publisher);
}

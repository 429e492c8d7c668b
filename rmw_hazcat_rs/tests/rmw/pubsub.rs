//! Publishing and taking: plain and serialized messages, every way to take them, QoS.

use crate::events::{subscription_event, take};
use crate::support::*;
use crate::types::{other_pair, pair, text, Pair, Text};
use rmw_hazcat_rs::abi::publisher::{
    rmw_publish_serialized_message, rmw_publisher_count_matched_subscriptions, rmw_publisher_wait_for_all_acked,
};
use rmw_hazcat_rs::abi::serialize::{rmw_deserialize, rmw_get_serialized_message_size, rmw_serialize};
use rmw_hazcat_rs::abi::take::{rmw_take_sequence, rmw_take_serialized_message, rmw_take_with_info};
use rmw_hazcat_rs::abi::{gid::rmw_get_gid_for_publisher, publisher::rmw_publisher_get_actual_qos};
use rmw_hazcat_rs::ffi;
use rmw_hazcat_rs::typesupport::MessageType;
use std::time::Duration;

fn serialized() -> ffi::rmw_serialized_message_t {
    let mut message = unsafe { ffi::rcutils_get_zero_initialized_uint8_array() };
    assert_eq!(unsafe { ffi::rcutils_uint8_array_init(&mut message, 0, &default_allocator()) }, 0);
    message
}

fn bytes(message: &ffi::rmw_serialized_message_t) -> Vec<u8> {
    unsafe { std::slice::from_raw_parts(message.buffer, message.buffer_length) }.to_vec()
}

#[test]
fn plain_and_serialized_messages_arrive_in_order() {
    let mut context = Context::new(new_domain());
    let node = context.node("both");
    let (pairs, texts) = (node.publisher("/pair", pair(), &qos()), node.publisher("/text", text(), &qos()));
    let (pair_in, text_in) = (node.subscription("/pair", pair(), &qos()), node.subscription("/text", text(), &qos()));
    for id in 0..10 {
        pairs.publish(&Pair { id, flag: id % 2 == 0, value: id as f64 / 3.0 });
        texts.publish(&Text::of(&"x".repeat(id as usize * 100)));
    }
    let (mut one, mut other) = (Pair::default(), Text::new());
    for id in 0..10 {
        assert!(pair_in.take(&mut one));
        assert_eq!(one, Pair { id, flag: id % 2 == 0, value: id as f64 / 3.0 });
        assert!(text_in.take(&mut other));
        assert_eq!(other.get(), "x".repeat(id as usize * 100));
    }
    assert!(!pair_in.take(&mut one) && !text_in.take(&mut other));
}

/// rcl_action publishes sequences whose capacity it never sets.
#[test]
fn the_capacity_of_what_is_published_does_not_matter() {
    let mut context = Context::new(new_domain());
    let node = context.node("no_capacity");
    let (publisher, subscription) = (node.publisher("/t", text(), &qos()), node.subscription("/t", text(), &qos()));
    let mut message = Text::of("all of it");
    message.data.capacity = 0;
    publisher.publish(&message);
    let mut taken = Text::new();
    assert!(subscription.take(&mut taken));
    assert_eq!(taken.get(), "all of it");
}

#[test]
fn the_info_says_who_when_and_which() {
    let mut context = Context::new(new_domain());
    let node = context.node("info");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    let mut gid = ffi::rmw_gid_t::default();
    ok(unsafe { rmw_get_gid_for_publisher(publisher.0, &mut gid) });
    let mut last: Option<ffi::rmw_message_info_t> = None;
    for id in 0..3 {
        publisher.publish(&Pair { id, ..Pair::default() });
        let (mut message, mut taken, mut info) = (Pair::default(), false, ffi::rmw_message_info_t::default());
        ok(unsafe {
            rmw_take_with_info(
                subscription.0,
                std::ptr::from_mut(&mut message).cast(),
                &mut taken,
                &mut info,
                std::ptr::null_mut(),
            )
        });
        assert!(taken);
        assert_eq!(info.publisher_gid.data, gid.data);
        assert!(info.source_timestamp > 0 && info.source_timestamp <= info.received_timestamp);
        if let Some(last) = last {
            assert_eq!(info.publication_sequence_number, last.publication_sequence_number + 1);
            assert_eq!(info.reception_sequence_number, last.reception_sequence_number + 1);
        }
        last = Some(info);
    }
}

#[test]
fn a_sequence_takes_what_is_there() {
    let mut context = Context::new(new_domain());
    let node = context.node("sequence");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    for id in 0..3 {
        publisher.publish(&Pair { id, ..Pair::default() });
    }
    let mut messages = [Pair::default(); 5];
    let mut pointers = messages.each_mut().map(|message| std::ptr::from_mut(message).cast());
    let mut infos = [ffi::rmw_message_info_t::default(); 5];
    let mut allocator = default_allocator();
    let mut sequence =
        ffi::rmw_message_sequence_t { data: pointers.as_mut_ptr(), size: 0, capacity: 5, allocator: &mut allocator };
    let mut info_sequence =
        ffi::rmw_message_info_sequence_t { data: infos.as_mut_ptr(), size: 0, capacity: 5, allocator: &mut allocator };
    let mut taken = 99;
    let take = |count, sequence: &mut _, infos: &mut _, taken: &mut _| unsafe {
        rmw_take_sequence(subscription.0, count, sequence, infos, taken, std::ptr::null_mut())
    };
    ok(take(2, &mut sequence, &mut info_sequence, &mut taken));
    assert_eq!((taken, sequence.size, info_sequence.size), (2, 2, 2));
    assert_eq!((messages[0].id, messages[1].id), (0, 1));
    ok(take(5, &mut sequence, &mut info_sequence, &mut taken));
    assert_eq!((taken, sequence.size, messages[0].id), (1, 1, 2));
    ok(take(5, &mut sequence, &mut info_sequence, &mut taken));
    assert_eq!((taken, sequence.size, info_sequence.size), (0, 1, 1), "left as they were, as rmw's header says");
    fails(take(6, &mut sequence, &mut info_sequence, &mut taken), ffi::RMW_RET_INVALID_ARGUMENT);
}

#[test]
fn serialized_and_typed_sides_understand_each_other() {
    let mut context = Context::new(new_domain());
    let node = context.node("serialized");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    let sent = Pair { id: 7, flag: true, value: -1.5 };
    let mut message = serialized();
    ok(unsafe { rmw_serialize(std::ptr::from_ref(&sent).cast(), pair(), &mut message) });
    let mut limit = 0;
    let none = std::ptr::null();
    let code = unsafe { rmw_get_serialized_message_size(none, std::ptr::null(), &mut limit) };
    assert!(fails(code, ffi::RMW_RET_UNSUPPORTED).contains("without a type"));
    ok(unsafe { rmw_get_serialized_message_size(pair(), std::ptr::null(), &mut limit) });
    assert_eq!(limit, message.buffer_length, "a plain message always takes as much");

    // Serialized in, typed out.
    ok(unsafe { rmw_publish_serialized_message(publisher.0, &message, std::ptr::null_mut()) });
    let mut received = Pair::default();
    assert!(subscription.take(&mut received));
    assert_eq!(received, sent);

    // Typed in, serialized out: the same bytes.
    publisher.publish(&sent);
    let (mut out, mut taken) = (serialized(), false);
    ok(unsafe { rmw_take_serialized_message(subscription.0, &mut out, &mut taken, std::ptr::null_mut()) });
    assert!(taken);
    assert_eq!(bytes(&out), bytes(&message));

    // Serialized in, serialized out, and back into a message.
    ok(unsafe { rmw_publish_serialized_message(publisher.0, &message, std::ptr::null_mut()) });
    ok(unsafe { rmw_take_serialized_message(subscription.0, &mut out, &mut taken, std::ptr::null_mut()) });
    let mut back = Pair::default();
    ok(unsafe { rmw_deserialize(&out, pair(), std::ptr::from_mut(&mut back).cast()) });
    assert_eq!(back, sent);

    // Bytes of somebody else, who only says how many: to be read, not to be resized.
    let lent = ffi::rmw_serialized_message_t { buffer_capacity: 0, ..message };
    let mut back = Pair::default();
    ok(unsafe { rmw_deserialize(&lent, pair(), std::ptr::from_mut(&mut back).cast()) });
    assert_eq!(back, sent);
    ok(unsafe { rmw_publish_serialized_message(publisher.0, &lent, std::ptr::null_mut()) });
    assert!(subscription.take(&mut received));
    let nowhere = ffi::rmw_serialized_message_t { buffer: std::ptr::null_mut(), ..message };
    let code = unsafe { rmw_deserialize(&nowhere, pair(), std::ptr::from_mut(&mut back).cast()) };
    assert!(fails(code, ffi::RMW_RET_INVALID_ARGUMENT).contains("no buffer"));

    for message in [&mut message, &mut out] {
        assert_eq!(unsafe { ffi::rcutils_uint8_array_fini(message) }, 0);
    }
}

/// Another type may lie at the same address later.
#[test]
fn a_type_that_lies_in_no_library_is_not_remembered() {
    let read = || unsafe { MessageType::known(pair()) }.unwrap();
    assert!(!std::sync::Arc::ptr_eq(&read(), &read()));
}

/// rclpy ends its `spin` where taking is an error: anybody could end it.
#[test]
fn what_cannot_be_decoded_is_passed_over_and_counts_as_lost() {
    let mut context = Context::new(new_domain());
    let node = context.node("hostile");
    let publisher = node.publisher("/t", text(), &qos());
    let subscription = node.subscription("/t", text(), &qos());
    let event = subscription_event(&subscription, ffi::RMW_EVENT_MESSAGE_LOST);
    // A string that claims to be longer than the message; no string at all; a representation that nobody here writes.
    for bytes in [&[0u8, 1, 0, 0, 0xff, 0xff, 0, 0, b'a', 0][..], &[], &[0, 7, 0, 0, 2, 0, 0, 0, b'a', 0]] {
        let message = ffi::rmw_serialized_message_t {
            buffer: bytes.as_ptr().cast_mut(),
            buffer_length: bytes.len(),
            buffer_capacity: bytes.len(),
            allocator: default_allocator(),
        };
        ok(unsafe { rmw_publish_serialized_message(publisher.0, &message, std::ptr::null_mut()) });
    }
    publisher.publish(&Text::of("after them"));
    let mut out = Text::new();
    assert!(subscription.take(&mut out), "the next message is not affected");
    assert_eq!(out.get(), "after them");
    assert!(!subscription.take(&mut out));
    let status: ffi::rmw_message_lost_status_t = take(&event);
    assert_eq!((status.total_count, status.total_count_change), (3, 3));
}

#[test]
fn only_what_the_depth_keeps_is_left() {
    let mut context = Context::new(new_domain());
    let node = context.node("depth");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &ffi::rmw_qos_profile_t { depth: 3, ..qos() });
    for id in 0..20 {
        publisher.publish(&Pair { id, ..Pair::default() });
    }
    let mut message = Pair::default();
    for id in 17..20 {
        assert!(subscription.take(&mut message));
        assert_eq!(message.id, id);
    }
    assert!(!subscription.take(&mut message));
}

#[test]
fn transient_local_publishers_serve_late_subscriptions() {
    let mut context = Context::new(new_domain());
    let node = context.node("late");
    let lasting =
        ffi::rmw_qos_profile_t { durability: ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL, depth: 2, ..qos() };
    let publisher = node.publisher("/t", text(), &lasting);
    for number in 0..5 {
        publisher.publish(&Text::of(&number.to_string()));
    }
    let late = node.subscription("/t", text(), &lasting);
    let volatile = node.subscription("/t", text(), &qos());
    let mut message = Text::new();
    for expected in ["3", "4"] {
        assert!(late.take(&mut message));
        assert_eq!(message.get(), expected);
    }
    assert!(!late.take(&mut message) && !volatile.take(&mut message));
}

#[test]
fn what_does_not_match_is_not_delivered() {
    let mut context = Context::new(new_domain());
    let node = context.node("mismatch");
    let lazy = ffi::rmw_qos_profile_t { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() };
    let publisher = node.publisher("/t", pair(), &lazy);
    let strict = node.subscription("/t", pair(), &qos());
    let relaxed = node.subscription("/t", pair(), &lazy);
    let other = node.subscription("/t", other_pair(), &lazy);
    let local = ffi::rmw_subscription_options_t { ignore_local_publications: true, ..Default::default() };
    let ignoring = node.subscription_with("/t", pair(), &lazy, &local);
    let native = ffi::rmw_qos_profile_t { avoid_ros_namespace_conventions: true, ..lazy };
    let unmangled = node.subscription("/t", pair(), &native);

    let mut count = 99;
    ok(unsafe { rmw_publisher_count_matched_subscriptions(publisher.0, &mut count) });
    assert_eq!(count, 1, "only the relaxed one");
    publisher.publish(&Pair { id: 1, ..Pair::default() });
    let mut message = Pair::default();
    assert!(relaxed.take(&mut message));
    for refused in [&strict, &other, &ignoring, &unmangled] {
        assert!(!refused.take(&mut message));
    }
}

#[test]
fn refused_messages_do_not_use_up_the_depth() {
    let mut context = Context::new(new_domain());
    let node = context.node("foreign");
    let lazy = ffi::rmw_qos_profile_t { reliability: ffi::RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT, ..qos() };
    let (good, bad) = (node.publisher("/t", pair(), &qos()), node.publisher("/t", pair(), &lazy));
    let strict = node.subscription("/t", pair(), &ffi::rmw_qos_profile_t { depth: 2, ..qos() });
    let mut message = Pair::default();
    // So that it knows both.
    bad.publish(&message);
    assert!(!strict.take(&mut message));
    good.publish(&Pair { id: 42, ..message });
    for _ in 0..50 {
        bad.publish(&message);
    }
    assert!(strict.take(&mut message));
    assert_eq!(message.id, 42);
}

#[test]
fn defaults_are_reported_resolved() {
    let mut context = Context::new(new_domain());
    let node = context.node("defaults");
    let publisher = node.publisher("/t", pair(), &ffi::rmw_qos_profile_t::default());
    let mut actual = ffi::rmw_qos_profile_t::default();
    ok(unsafe { rmw_publisher_get_actual_qos(publisher.0, &mut actual) });
    assert_eq!(actual.history, ffi::RMW_QOS_POLICY_HISTORY_KEEP_LAST);
    assert_eq!(actual.reliability, ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE);
    assert_eq!(actual.durability, ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE);
    assert_eq!(actual.liveliness, ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC);
    assert_eq!((actual.deadline.sec, actual.deadline.nsec), (9_223_372_036, 854_775_807));
}

/// A subscription that never takes holds up nobody, and what was acknowledged outlives its publisher.
#[test]
fn acknowledgement_is_being_in_the_queue() {
    let mut context = Context::new(new_domain());
    let node = context.node("acked");
    let publisher = node.publisher("/t", pair(), &qos());
    let wait = |time| unsafe { rmw_publisher_wait_for_all_acked(publisher.0, duration(time)) };
    ok(wait(Duration::ZERO));
    let subscription = node.subscription("/t", pair(), &qos());
    publisher.publish(&Pair { id: 1, ..Pair::default() });
    ok(wait(Duration::ZERO));
    ok(wait(Duration::MAX));
    drop(publisher);
    let mut message = Pair::default();
    assert!(subscription.take(&mut message));
    assert_eq!(message.id, 1);
}

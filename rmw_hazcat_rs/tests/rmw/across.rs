//! Wait sets with entities of other contexts, in this domain and in others: what `domain_bridge` does.

use crate::events::{subscription_event, take};
use crate::support::*;
use crate::types::{ask, pair, Pair, Text};
use rmw_hazcat_rs::abi::client::{rmw_send_request, rmw_take_response};
use rmw_hazcat_rs::abi::service::{rmw_send_response, rmw_take_request};
use rmw_hazcat_rs::ffi;
use std::ffi::c_void;
use std::time::Duration;

struct Shared<T>(T);
unsafe impl<T> Send for Shared<T> {}
unsafe impl<T> Sync for Shared<T> {}

/// Waits while `act` runs in another thread, and long enough before that for the wait to be a sleep in most rounds.
fn wait_during(prompt: &Promptness, waits: &WaitSet, what: &mut For, act: impl FnOnce()) {
    let shared = Shared(act);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let shared = shared;
            std::thread::sleep(Duration::from_micros(500));
            (shared.0)();
        });
        prompt.wait(waits, what);
    });
}

#[test]
fn messages_in_two_domains_wake_one_wait_set_of_a_third() {
    let mut contexts = [new_domain(), new_domain(), new_domain()].map(Context::new);
    let (waits, prompt) = (contexts[0].wait_set(), Promptness::default());
    let nodes = [contexts[1].node("one"), contexts[2].node("two")];
    let publishers = nodes.each_ref().map(|node| node.publisher("/t", pair(), &qos()));
    let subscriptions = nodes.each_ref().map(|node| node.subscription("/t", pair(), &qos()));
    for round in 0..200 {
        let which = usize::from(round % 3 == 0);
        let mut what = For { subscriptions: subscriptions.iter().map(Subscription::data).collect(), ..For::default() };
        wait_during(&prompt, &waits, &mut what, || publishers[which].publish(&Pair { id: round, ..Pair::default() }));
        assert_eq!(what.subscriptions[which], subscriptions[which].data());
        assert!(what.subscriptions[1 - which].is_null(), "the other one is not ready");
        let mut message = Pair::default();
        assert!(subscriptions[which].take(&mut message) && message.id == round);
        let mut what = For { subscriptions: subscriptions.iter().map(Subscription::data).collect(), ..For::default() };
        assert_eq!(waits.wait(&mut what, Some(Duration::ZERO)), ffi::RMW_RET_TIMEOUT);
    }
}

#[test]
fn a_stream_from_another_domain_arrives_without_a_gap() {
    let (mut here, mut there) = (Context::new(new_domain()), Context::new(new_domain()));
    let (waits, node) = (here.wait_set(), there.node("there"));
    crate::waiting::stream(&waits, &node, 5_000, 100);
}

#[test]
fn requests_and_replies_of_another_context_wake() {
    let (mut here, mut there) = (Context::new(new_domain()), Context::new(new_domain()));
    let (waits, node) = (here.wait_set(), there.node("there"));
    let (client, service) = (node.client("/s", ask()), node.service("/s", ask()));
    let prompt = Promptness::default();
    let (client_data, service_data) = unsafe { ((*client.0).data, (*service.0).data) };
    for id in 0..50 {
        let both = || For { clients: vec![client_data], services: vec![service_data], ..For::default() };
        let mut what = both();
        let mut number = 0;
        wait_during(&prompt, &waits, &mut what, || {
            let request = Pair { id, ..Pair::default() };
            ok(unsafe { rmw_send_request(client.0, std::ptr::from_ref(&request).cast(), &mut number) });
        });
        assert_eq!((what.clients[0], what.services[0]), (std::ptr::null_mut(), service_data));
        let (mut header, mut request) = (ffi::rmw_service_info_t::default(), Pair::default());
        let mut taken = false;
        ok(unsafe { rmw_take_request(service.0, &mut header, std::ptr::from_mut(&mut request).cast(), &mut taken) });
        assert!(taken && request.id == id && header.request_id.sequence_number == number);
        let mut what = both();
        wait_during(&prompt, &waits, &mut what, || {
            let reply = Text::of("yes");
            let reply: *const c_void = std::ptr::from_ref(&reply).cast();
            ok(unsafe { rmw_send_response(service.0, &mut header.request_id, reply.cast_mut()) });
        });
        assert_eq!((what.clients[0], what.services[0]), (client_data, std::ptr::null_mut()));
        let (mut info, mut reply) = (ffi::rmw_service_info_t::default(), Text::new());
        ok(unsafe { rmw_take_response(client.0, &mut info, std::ptr::from_mut(&mut reply).cast(), &mut taken) });
        assert!(taken && reply.get() == "yes" && info.request_id.sequence_number == number);
    }
}

#[test]
fn events_and_guard_conditions_of_another_context_wake() {
    let (mut here, mut there) = (Context::new(new_domain()), Context::new(new_domain()));
    let (waits, node) = (here.wait_set(), there.node("there"));
    let publisher = node.publisher("/t", pair(), &qos());
    let shallow = ffi::rmw_qos_profile_t { depth: 1, ..qos() };
    let subscription = node.subscription("/t", pair(), &shallow);
    let mut event = subscription_event(&subscription, ffi::RMW_EVENT_MESSAGE_LOST);
    let prompt = Promptness::default();
    for round in 1..=20 {
        let mut what = For { events: vec![std::ptr::from_mut(&mut *event).cast()], ..For::default() };
        wait_during(&prompt, &waits, &mut what, || (0..2).for_each(|_| publisher.publish(&Pair::default())));
        let status: ffi::rmw_message_lost_status_t = take(&event);
        assert_eq!(status.total_count, round);
        assert!(subscription.take(&mut Pair::default()));
    }
    // The graph's guard condition of a node that belongs to another context.
    let data = unsafe { (*node.graph_guard_condition()).data };
    let waited = || For { guard_conditions: vec![data], ..For::default() };
    while waits.wait(&mut waited(), Some(Duration::from_millis(100))) == OK {}
    let mut what = waited();
    let mut made = None;
    wait_during(&prompt, &waits, &mut what, || made = Some(node.publisher("/new", pair(), &qos())));
    assert_eq!(what.guard_conditions, [data]);
}

//! Uses that are wrong as a whole: after the shutdown, on two threads at once, with things of another context.

use crate::fixture::null;
use crate::support::*;
use crate::types::{ask, pair, Pair};
use rmw_hazcat_rs::abi::client::{rmw_create_client, rmw_service_server_is_available};
use rmw_hazcat_rs::abi::guard_condition::*;
use rmw_hazcat_rs::abi::init::{rmw_context_fini, rmw_init, rmw_shutdown};
use rmw_hazcat_rs::abi::init_options::rmw_init_options_fini;
use rmw_hazcat_rs::abi::node::{rmw_create_node, rmw_destroy_node};
use rmw_hazcat_rs::abi::publisher::{rmw_create_publisher, rmw_destroy_publisher, rmw_publish};
use rmw_hazcat_rs::abi::service::rmw_create_service;
use rmw_hazcat_rs::abi::subscription::rmw_create_subscription;
use rmw_hazcat_rs::ffi;
use std::time::Duration;

fn refused<T>(made: *mut T) {
    assert!(made.is_null());
    assert!(error().contains("shut down"));
}

#[test]
fn after_the_shutdown_nothing_new_is_made_and_what_is_there_can_be_ended() {
    let mut context = Context::new(new_domain());
    let raw: *mut ffi::rmw_context_t = &mut *context.0;
    let (waits, node) = (context.wait_set(), context.node("late"));
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    let client = node.client("/s", ask());
    let _service = node.service("/s", ask());
    let guard = unsafe { rmw_create_guard_condition(raw) };
    publisher.publish(&Pair { id: 1, ..Pair::default() });
    ok(unsafe { rmw_shutdown(raw) });
    // Once more is no mistake.
    ok(unsafe { rmw_shutdown(raw) });
    let (name, profile) = (c"/other".as_ptr(), qos());
    unsafe {
        refused(rmw_create_node(raw, c"n".as_ptr(), c"/".as_ptr()));
        refused(rmw_create_publisher(node.0, pair(), name, &profile, &ffi::rmw_publisher_options_t::default()));
        refused(rmw_create_subscription(node.0, pair(), name, &profile, &ffi::rmw_subscription_options_t::default()));
        refused(rmw_create_client(node.0, ask(), name, &profile));
        refused(rmw_create_service(node.0, ask(), name, &profile));
    }
    // What is there goes on working until it is destroyed: executors end on the guard condition of the shutdown.
    publisher.publish(&Pair { id: 2, ..Pair::default() });
    let mut message = Pair::default();
    assert!(subscription.take(&mut message) && message.id == 1);
    assert!(subscription.take(&mut message) && message.id == 2);
    let mut available = false;
    ok(unsafe { rmw_service_server_is_available(node.0, client.0, &mut available) });
    ok(unsafe { rmw_trigger_guard_condition(guard) });
    let mut what = For { guard_conditions: vec![unsafe { (*guard).data }], ..For::default() };
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    ok(unsafe { rmw_destroy_guard_condition(guard) });
}

#[test]
fn a_context_may_be_finished_before_its_entities() {
    let domain = new_domain();
    let mut options = options(domain, default_allocator());
    let mut context = Box::new(ffi::rmw_context_t::default());
    ok(unsafe { rmw_init(&options, &mut *context) });
    ok(unsafe { rmw_init_options_fini(&mut options) });
    let node = unsafe { rmw_create_node(&mut *context, c"n".as_ptr(), c"/".as_ptr()) };
    let publisher =
        unsafe { rmw_create_publisher(node, pair(), c"/t".as_ptr(), &qos(), &ffi::rmw_publisher_options_t::default()) };
    ok(unsafe { rmw_shutdown(&mut *context) });
    ok(unsafe { rmw_context_fini(&mut *context) });
    assert!(context.impl_.is_null() && context.implementation_identifier.is_null());
    ok(unsafe { rmw_publish(publisher, std::ptr::from_ref(&Pair::default()).cast(), null()) });
    ok(unsafe { rmw_destroy_publisher(node, publisher) });
    ok(unsafe { rmw_destroy_node(node) });
    // And the context can be used again.
    let mut again = crate::support::options(domain, default_allocator());
    ok(unsafe { rmw_init(&again, &mut *context) });
    ok(unsafe { rmw_init_options_fini(&mut again) });
    ok(unsafe { rmw_shutdown(&mut *context) });
    ok(unsafe { rmw_context_fini(&mut *context) });
}

#[test]
fn one_wait_set_serves_one_thread_at_a_time() {
    struct Shared<T>(T);
    unsafe impl<T> Sync for Shared<T> {}
    let mut context = Context::new(new_domain());
    let raw: *mut ffi::rmw_context_t = &mut *context.0;
    let guard = unsafe { rmw_create_guard_condition(raw) };
    let other = context.wait_set();
    let shared = Shared((context.wait_set(), guard));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let shared = &shared;
            let mut what = For { guard_conditions: vec![unsafe { (*shared.0 .1).data }], ..For::default() };
            let code = shared.0 .0.wait(&mut what, Some(WATCHDOG));
            (code, what.guard_conditions[0].is_null())
        });
        // As soon as the other one waits, this one is refused.
        let refused = || shared.0 .0.wait(&mut For::default(), Some(Duration::ZERO)) == ffi::RMW_RET_ERROR;
        until("the second thread is refused", refused);
        assert!(!error().is_empty());
        // A refused wait shows nothing as ready, and takes no trigger.
        let triggered = unsafe { rmw_create_guard_condition(raw) };
        ok(unsafe { rmw_trigger_guard_condition(triggered) });
        let data = unsafe { (*triggered).data };
        let mut what = For { guard_conditions: vec![data], ..For::default() };
        fails(shared.0 .0.wait(&mut what, Some(Duration::ZERO)), ffi::RMW_RET_ERROR);
        assert!(what.guard_conditions[0].is_null());
        what.guard_conditions[0] = data;
        ok(other.wait(&mut what, Some(Duration::ZERO)));
        ok(unsafe { rmw_destroy_guard_condition(triggered) });
        ok(unsafe { rmw_trigger_guard_condition(guard) });
        assert_eq!(waiting.join().unwrap(), (OK, false));
    });
    ok(unsafe { rmw_destroy_guard_condition(guard) });
}

#[test]
fn a_null_entry_to_wait_for_is_refused_and_nothing_is_taken() {
    let mut context = Context::new(new_domain());
    let waits = context.wait_set();
    let guard = unsafe { rmw_create_guard_condition(&mut *context.0) };
    ok(unsafe { rmw_trigger_guard_condition(guard) });
    let data = unsafe { (*guard).data };
    for at in 0..5 {
        let mut what = For { guard_conditions: vec![data], ..For::default() };
        let list = match at {
            0 => &mut what.subscriptions,
            1 => &mut what.guard_conditions,
            2 => &mut what.services,
            3 => &mut what.clients,
            _ => &mut what.events,
        };
        list.push(null());
        fails(waits.wait(&mut what, Some(WATCHDOG)), ffi::RMW_RET_INVALID_ARGUMENT);
    }
    // The trigger is still there: a refused wait takes nothing.
    let mut what = For { guard_conditions: vec![data], ..For::default() };
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    ok(unsafe { rmw_destroy_guard_condition(guard) });
}

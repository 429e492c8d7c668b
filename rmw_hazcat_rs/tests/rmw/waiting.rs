//! Waiting: for nothing, for everything, for ever.

use crate::support::*;
use crate::types::{pair, Pair};
use rmw_hazcat_rs::abi::guard_condition::*;
use rmw_hazcat_rs::ffi;
use std::time::{Duration, Instant};

struct Guard(*mut ffi::rmw_guard_condition_t);

impl Guard {
    fn new(context: &mut Context) -> Self {
        let guard = unsafe { rmw_create_guard_condition(&mut *context.0) };
        assert!(!guard.is_null(), "{}", error());
        Self(guard)
    }

    fn trigger(&self) {
        ok(unsafe { rmw_trigger_guard_condition(self.0) });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        ok(unsafe { rmw_destroy_guard_condition(self.0) });
    }
}

unsafe impl Send for Guard {}
unsafe impl Sync for Guard {}

#[test]
fn waiting_for_nothing_takes_its_time() {
    let mut context = Context::new(new_domain());
    let waits = context.wait_set();
    for (time, least) in [(0, 0), (30, 30)] {
        let start = Instant::now();
        assert_eq!(waits.wait(&mut For::default(), Some(Duration::from_millis(time))), ffi::RMW_RET_TIMEOUT);
        assert!(start.elapsed() >= Duration::from_millis(least));
    }
    // A timeout is an answer, not an error: nothing is left behind that a later error would "overwrite".
    assert!(!unsafe { ffi::rcutils_error_is_set() });
}

#[test]
fn a_trigger_ends_an_endless_wait() {
    let mut context = Context::new(new_domain());
    let (waits, guard, idle) = (context.wait_set(), Guard::new(&mut context), Guard::new(&mut context));
    let data = unsafe { (*guard.0).data };
    let prompt = Promptness::default();
    for _ in 0..100 {
        let mut what = For { guard_conditions: vec![unsafe { (*idle.0).data }, data], ..For::default() };
        std::thread::scope(|scope| {
            scope.spawn(|| guard.trigger());
            prompt.wait_for(&waits, &mut what, None);
        });
        assert_eq!(what.guard_conditions, [std::ptr::null_mut(), data]);
        // The wait has taken the trigger.
        let mut what = For { guard_conditions: vec![data], ..For::default() };
        assert_eq!(waits.wait(&mut what, Some(Duration::ZERO)), ffi::RMW_RET_TIMEOUT);
    }
}

/// Publishes in another thread, with a pause after each `burst`, and takes in this one, sleeping in between: all, in order.
pub fn stream(waits: &WaitSet, node: &Node, count: u64, burst: u64) {
    let everything = ffi::rmw_qos_profile_t { history: ffi::RMW_QOS_POLICY_HISTORY_KEEP_ALL, ..qos() };
    let subscription = node.subscription("/t", pair(), &everything);
    struct Shared<'a>(Publisher<'a>);
    unsafe impl Send for Shared<'_> {}
    let publisher = Shared(node.publisher("/t", pair(), &everything));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let publisher = publisher;
            for id in 0..count {
                publisher.0.publish(&Pair { id, ..Pair::default() });
                if id % burst == 0 {
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
        });
        let (mut message, mut next, prompt) = (Pair::default(), 0, Promptness::default());
        while next < count {
            let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
            prompt.wait(waits, &mut what);
            while subscription.take(&mut message) {
                assert_eq!(message.id, next);
                next += 1;
            }
        }
    });
}

#[test]
fn messages_from_another_thread_arrive_without_a_gap() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("gapless"));
    stream(&waits, &node, 20_000, 1000);
}

#[test]
fn two_wait_sets_on_one_subscription_both_wake() {
    let mut context = Context::new(new_domain());
    let sets = [context.wait_set(), context.wait_set()];
    let node = context.node("two");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    struct Shared<T>(T);
    unsafe impl<T> Send for Shared<T> {}
    let prompt = Promptness::default();
    for _ in 0..50 {
        std::thread::scope(|scope| {
            for set in &sets {
                let (prompt, shared) = (&prompt, Shared((set, subscription.data())));
                scope.spawn(move || {
                    let shared = shared;
                    let (set, data) = shared.0;
                    let mut what = For { subscriptions: vec![data], ..For::default() };
                    prompt.wait(set, &mut what);
                });
            }
            std::thread::sleep(Duration::from_micros(300));
            publisher.publish(&Pair::default());
        });
        assert!(subscription.take(&mut Pair::default()));
    }
}

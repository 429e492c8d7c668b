//! In steady state, publishing, waiting for and taking a plain message allocates nothing, in either way (copied and on
//! loan), and neither does counting what matches, nor judging messages by a content filter.
//!
//! Alone in its binary, because it replaces the allocator.

#![allow(clippy::multiple_unsafe_ops_per_block, clippy::undocumented_unsafe_blocks, dead_code)]

#[path = "rmw/support.rs"]
mod support;
#[path = "rmw/types.rs"]
mod types;

use rmw_hazcat_rs::abi::loan::*;
use rmw_hazcat_rs::abi::publisher::rmw_publisher_count_matched_subscriptions;
use rmw_hazcat_rs::ffi;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;
use support::*;
use types::{pair, text, Pair, Text};

struct Counting;

thread_local! {
    /// Of this thread alone: the core's own threads look around once a second and may allocate then.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: forwarded.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: forwarded.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_plain_message_allocates_nothing() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("steady"));
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    let data = subscription.data();

    let round = |id: u64| {
        let wait = || {
            let mut entry = data;
            let mut subscriptions = ffi::rmw_subscriptions_t { subscriber_count: 1, subscribers: &mut entry };
            let timeout = duration(Duration::from_secs(1));
            let code = unsafe {
                rmw_hazcat_rs::abi::wait::rmw_wait(
                    &mut subscriptions,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    waits.0,
                    &timeout,
                )
            };
            assert_eq!(code, OK);
        };
        // Copied.
        publisher.publish(&Pair { id, ..Pair::default() });
        wait();
        let mut message = Pair::default();
        assert!(subscription.take(&mut message));
        assert_eq!(message.id, id);
        // On loan.
        let mut loan = std::ptr::null_mut();
        ok(unsafe { rmw_borrow_loaned_message(publisher.0, pair(), &mut loan) });
        unsafe { loan.cast::<Pair>().write(Pair { id, ..Pair::default() }) };
        ok(unsafe { rmw_publish_loaned_message(publisher.0, loan, std::ptr::null_mut()) });
        wait();
        let (mut taken_at, mut taken) = (std::ptr::null_mut(), false);
        ok(unsafe { rmw_take_loaned_message(subscription.0, &mut taken_at, &mut taken, std::ptr::null_mut()) });
        assert!(taken && unsafe { taken_at.cast::<Pair>().read() }.id == id);
        ok(unsafe { rmw_return_loaned_message_from_subscription(subscription.0, taken_at) });
        let mut count = 0;
        ok(unsafe { rmw_publisher_count_matched_subscriptions(publisher.0, &mut count) });
        assert_eq!(count, 1);
    };
    for id in 0..10_000 {
        round(id);
    }
    let before = ALLOCATIONS.get();
    assert!(before > 0, "the counter works");
    for id in 0..10_000 {
        round(id);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations for 20,000 messages");
}

#[test]
fn a_filtered_message_allocates_nothing() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("steady"));
    let pairs = (node.publisher("/pairs", pair(), &qos()), node.subscription("/pairs", pair(), &qos()));
    let texts = (node.publisher("/texts", text(), &qos()), node.subscription("/texts", text(), &qos()));
    let filter = |subscription: &Subscription<'_>, expression: &'static std::ffi::CStr| {
        let options = ffi::rmw_subscription_content_filter_options_t {
            filter_expression: expression.as_ptr().cast_mut(),
            ..ffi::rmw_subscription_content_filter_options_t::default()
        };
        ok(unsafe {
            rmw_hazcat_rs::abi::content_filter::rmw_subscription_set_content_filter(subscription.0, &options)
        });
    };
    filter(&pairs.1, c"id > 5 AND value BETWEEN 0 AND 1 OR flag = TRUE");
    filter(&texts.1, c"data LIKE '%y%' OR data MATCH 'w(an)?ted'");
    let (wanted, unwanted) = (Text::of("wanted"), Text::of("no"));
    let (mut got, mut message) = (Text::new(), Pair::default());
    let mut round = || {
        for subscription in [&pairs.1, &texts.1] {
            let wait = |expected| {
                let mut entry = subscription.data();
                let mut subscriptions = ffi::rmw_subscriptions_t { subscriber_count: 1, subscribers: &mut entry };
                let timeout = ffi::rmw_time_t::default();
                let code = unsafe {
                    rmw_hazcat_rs::abi::wait::rmw_wait(
                        &mut subscriptions,
                        std::ptr::null_mut(),
                        std::ptr::null_mut(),
                        std::ptr::null_mut(),
                        std::ptr::null_mut(),
                        waits.0,
                        &timeout,
                    )
                };
                assert_eq!(code, expected);
            };
            pairs.0.publish(&Pair { id: 5, ..Pair::default() });
            texts.0.publish(&unwanted);
            wait(ffi::RMW_RET_TIMEOUT);
            pairs.0.publish(&Pair { id: 6, ..Pair::default() });
            texts.0.publish(&wanted);
            wait(OK);
            assert!(pairs.1.take(&mut message) && !pairs.1.take(&mut message));
            assert!(texts.1.take(&mut got) && !texts.1.take(&mut got));
        }
    };
    (0..2_000).for_each(|_| round());
    let before = ALLOCATIONS.get();
    (0..2_000).for_each(|_| round());
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations for 16,000 filtered messages");
    assert_eq!(got.get(), "wanted");
}

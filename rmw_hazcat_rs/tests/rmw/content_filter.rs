//! Content filters through the C interface: at creation, set and removed later, asked for, refused.

use crate::support::*;
use crate::types::{pair, text, Pair, Text};
use rmw_hazcat_rs::abi::callbacks::rmw_subscription_set_on_new_message_callback;
use rmw_hazcat_rs::abi::content_filter::*;
use rmw_hazcat_rs::abi::subscription::rmw_create_subscription;
use rmw_hazcat_rs::abi::take::rmw_take_serialized_message;
use rmw_hazcat_rs::ffi;
use std::ffi::{c_char, c_void, CStr, CString};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Filter options and what they point to.
struct Filter {
    _expression: CString,
    _parameters: Vec<CString>,
    _pointers: Vec<*mut c_char>,
    options: ffi::rmw_subscription_content_filter_options_t,
}

fn filter(expression: &str, parameters: &[&str]) -> Box<Filter> {
    let expression = CString::new(expression).unwrap();
    let parameters: Vec<CString> = parameters.iter().map(|text| CString::new(*text).unwrap()).collect();
    let mut pointers: Vec<*mut c_char> = parameters.iter().map(|text| text.as_ptr().cast_mut()).collect();
    let options = ffi::rmw_subscription_content_filter_options_t {
        filter_expression: expression.as_ptr().cast_mut(),
        expression_parameters: ffi::rcutils_string_array_t {
            size: pointers.len(),
            data: if pointers.is_empty() { std::ptr::null_mut() } else { pointers.as_mut_ptr() },
            allocator: default_allocator(),
        },
    };
    Box::new(Filter { _expression: expression, _parameters: parameters, _pointers: pointers, options })
}

fn created_with(filter: &mut Filter) -> ffi::rmw_subscription_options_t {
    ffi::rmw_subscription_options_t {
        content_filter_options: &mut filter.options,
        ..ffi::rmw_subscription_options_t::default()
    }
}

fn set(subscription: &Subscription<'_>, expression: &str, parameters: &[&str]) -> ffi::rmw_ret_t {
    unsafe { rmw_subscription_set_content_filter(subscription.0, &filter(expression, parameters).options) }
}

fn is_enabled(subscription: &Subscription<'_>) -> bool {
    unsafe { (*subscription.0).is_cft_enabled }
}

fn take_ids(subscription: &Subscription<'_>) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut message = Pair::default();
    while subscription.take(&mut message) {
        ids.push(message.id);
    }
    ids
}

/// What the subscription says its filter is; freed again.
fn get(subscription: &Subscription<'_>) -> (String, Vec<String>) {
    let mut out = ffi::rmw_subscription_content_filter_options_t::default();
    let mut allocator = default_allocator();
    ok(unsafe { rmw_subscription_get_content_filter(subscription.0, &mut allocator, &mut out) });
    let read = |text: *mut c_char| unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
    let parameters = &mut out.expression_parameters;
    let texts = (0..parameters.size).map(|index| read(unsafe { *parameters.data.add(index) })).collect();
    let result = (read(out.filter_expression), texts);
    unsafe { libc::free(out.filter_expression.cast()) };
    for index in 0..parameters.size {
        unsafe { libc::free((*parameters.data.add(index)).cast()) };
    }
    unsafe { libc::free(parameters.data.cast()) };
    result
}

#[test]
fn a_filter_at_creation_decides_what_is_taken_and_what_wakes() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("filtering"));
    let mut wanted = filter("id BETWEEN %0 AND %1 AND flag = TRUE", &["3", "5"]);
    let subscription = node.subscription_with("/t", pair(), &qos(), &created_with(&mut wanted));
    drop(wanted);
    assert!(is_enabled(&subscription));
    assert!(unsafe { (*subscription.0).options.content_filter_options }.is_null(), "it is the caller's own");
    assert_eq!(get(&subscription), ("id BETWEEN %0 AND %1 AND flag = TRUE".to_owned(), vec!["3".into(), "5".into()]));
    let publisher = node.publisher("/t", pair(), &qos());
    for id in 0..10 {
        publisher.publish(&Pair { id, flag: id != 4, value: 0.0 });
    }
    assert_eq!(take_ids(&subscription), [3, 5]);
    publisher.publish(&Pair { id: 6, flag: true, value: 0.0 });
    let wait = |time| {
        let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
        waits.wait(&mut what, Some(time))
    };
    assert_eq!(wait(Duration::from_millis(50)), ffi::RMW_RET_TIMEOUT);
    publisher.publish(&Pair { id: 5, flag: true, value: 0.0 });
    ok(wait(WATCHDOG));
    assert_eq!(take_ids(&subscription), [5]);
}

#[test]
fn a_filter_can_be_set_changed_and_removed() {
    let mut context = Context::new(new_domain());
    let node = context.node("filtering");
    let subscription = node.subscription("/t", pair(), &qos());
    let publisher = node.publisher("/t", pair(), &qos());
    let publish = || (1..=6).for_each(|id| publisher.publish(&Pair { id, flag: false, value: id as f64 / 2.0 }));
    let mut out = ffi::rmw_subscription_content_filter_options_t::default();
    let code = unsafe { rmw_subscription_get_content_filter(subscription.0, &mut default_allocator(), &mut out) };
    assert!(fails(code, ffi::RMW_RET_ERROR).contains("/t"), "no filter to get");
    // Removing what is not there leaves no filter, as asked.
    ok(set(&subscription, "", &[]));
    publish();
    ok(set(&subscription, "id >= 4", &[]));
    assert!(is_enabled(&subscription));
    // What lies there was not filtered when it arrived.
    assert_eq!(take_ids(&subscription), [1, 2, 3, 4, 5, 6]);
    publish();
    assert_eq!(take_ids(&subscription), [4, 5, 6]);
    ok(set(&subscription, "value < %0", &["1.25"]));
    publish();
    assert_eq!(get(&subscription), ("value < %0".to_owned(), vec!["1.25".to_owned()]));
    ok(set(&subscription, "", &[]));
    assert!(!is_enabled(&subscription));
    publish();
    assert_eq!(take_ids(&subscription), [1, 2, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn texts_are_filtered_too_and_in_every_way_of_taking() {
    let mut context = Context::new(new_domain());
    let node = context.node("filtering");
    let mut wanted = filter("data LIKE %0", &["'yes%'"]);
    let subscription = node.subscription_with("/t", text(), &qos(), &created_with(&mut wanted));
    let publisher = node.publisher("/t", text(), &qos());
    for data in ["no", "yes, one", "not yes", "yes, two"] {
        publisher.publish(&Text::of(data));
    }
    let mut message = Text::new();
    assert!(subscription.take(&mut message));
    assert_eq!(message.get(), "yes, one");
    let mut serialized =
        ffi::rmw_serialized_message_t { allocator: default_allocator(), ..ffi::rmw_serialized_message_t::default() };
    let mut taken = false;
    let take = |serialized: &mut _, taken: &mut _| unsafe {
        rmw_take_serialized_message(subscription.0, serialized, taken, std::ptr::null_mut())
    };
    ok(take(&mut serialized, &mut taken));
    let bytes = unsafe { std::slice::from_raw_parts(serialized.buffer.cast::<u8>(), serialized.buffer_length) };
    assert!(taken && bytes.windows(8).any(|window| window == b"yes, two"));
    ok(take(&mut serialized, &mut taken));
    assert!(!taken);
    unsafe { libc::free(serialized.buffer.cast()) };
}

#[test]
fn callbacks_count_what_passes() {
    unsafe extern "C" fn count(data: *const c_void, events: usize) {
        unsafe { &*data.cast::<AtomicUsize>() }.fetch_add(events, Ordering::SeqCst);
    }
    let mut context = Context::new(new_domain());
    let node = context.node("filtering");
    for history in [ffi::RMW_QOS_POLICY_HISTORY_KEEP_LAST, ffi::RMW_QOS_POLICY_HISTORY_KEEP_ALL] {
        let mut wanted = filter("id = 1", &[]);
        let profile = ffi::rmw_qos_profile_t { history, depth: 1000, ..qos() };
        let subscription = node.subscription_with("/t", pair(), &profile, &created_with(&mut wanted));
        let publisher = node.publisher("/t", pair(), &profile);
        let counter = AtomicUsize::new(0);
        let register = |function| unsafe {
            rmw_subscription_set_on_new_message_callback(subscription.0, function, std::ptr::from_ref(&counter).cast())
        };
        let publish = || (0..300).for_each(|id| publisher.publish(&Pair { id: id % 3, ..Pair::default() }));
        publish();
        ok(register(Some(count)));
        if history == ffi::RMW_QOS_POLICY_HISTORY_KEEP_LAST {
            assert_eq!(counter.load(Ordering::SeqCst), 100, "what lay there");
        }
        let before = counter.load(Ordering::SeqCst);
        assert!(before >= 100);
        publish();
        until("the callback for all that passed", || counter.load(Ordering::SeqCst) == before + 100);
        publisher.publish(&Pair { id: 2, ..Pair::default() });
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(counter.load(Ordering::SeqCst), before + 100);
        assert_eq!(take_ids(&subscription).len(), 200);
        ok(register(None));
    }
}

#[test]
fn a_malformed_filter_is_an_invalid_argument_that_says_where() {
    let mut context = Context::new(new_domain());
    let node = context.node("filtering");
    let subscription = node.subscription("/chatter", pair(), &qos());
    ok(set(&subscription, "id = 7", &[]));
    for (expression, parameters, expected) in [
        ("id = ", &[][..], "at character 6"),
        ("id == 7", &[], "found '= 7'"),
        ("nonsense = 7", &[], "has no field 'nonsense'"),
        ("id = 7 AND value = 'x'", &[], "at character 12"),
        ("id = %2", &["1"], "there is no parameter %2"),
        ("id = %0", &["x"], "parameter %0 (x)"),
    ] {
        let error = fails(set(&subscription, expression, parameters), ffi::RMW_RET_INVALID_ARGUMENT);
        assert!(error.contains("/chatter") && error.contains(expected), "{error}");
        // At creation as well.
        let mut wrong = filter(expression, parameters);
        let (profile, options) = (qos(), created_with(&mut wrong));
        let made = unsafe { rmw_create_subscription(node.0, pair(), c"/chatter".as_ptr(), &profile, &options) };
        assert!(made.is_null());
        let error = crate::support::error();
        assert!(error.contains("/chatter") && error.contains(expected), "{error}");
    }
    // The filter that was there is still there.
    assert_eq!(get(&subscription).0, "id = 7");
    let publisher = node.publisher("/chatter", pair(), &qos());
    publisher.publish(&Pair { id: 6, ..Pair::default() });
    publisher.publish(&Pair { id: 7, ..Pair::default() });
    assert_eq!(take_ids(&subscription), [7]);
    // Options that are none.
    let mut broken = filter("id = %0", &["1"]);
    broken.options.expression_parameters.data = std::ptr::null_mut();
    let set = |options: *const _| unsafe { rmw_subscription_set_content_filter(subscription.0, options) };
    fails(set(&broken.options), ffi::RMW_RET_INVALID_ARGUMENT);
    broken.options.filter_expression = std::ptr::null_mut();
    fails(set(&broken.options), ffi::RMW_RET_INVALID_ARGUMENT);
    fails(set(std::ptr::null()), ffi::RMW_RET_INVALID_ARGUMENT);
    let latin = CString::new(b"id = '\xfc'".to_vec()).unwrap();
    broken.options.filter_expression = latin.as_ptr().cast_mut();
    assert!(fails(set(&broken.options), ffi::RMW_RET_INVALID_ARGUMENT).contains("UTF-8"));
}

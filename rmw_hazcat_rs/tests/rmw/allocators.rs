//! Allocators that fail: every single allocation, one after the other, without a leak.

use crate::support::*;
use crate::types::{ask, pair, text, Pair, Text};
use rmw_hazcat_rs::abi::client::{rmw_create_client, rmw_destroy_client, rmw_send_request, rmw_take_response};
use rmw_hazcat_rs::abi::content_filter::*;
use rmw_hazcat_rs::abi::endpoint_info::*;
use rmw_hazcat_rs::abi::graph::*;
use rmw_hazcat_rs::abi::guard_condition::{rmw_create_guard_condition, rmw_destroy_guard_condition};
use rmw_hazcat_rs::abi::init::{rmw_context_fini, rmw_init, rmw_shutdown};
use rmw_hazcat_rs::abi::init_options::{rmw_init_options_copy, rmw_init_options_fini};
use rmw_hazcat_rs::abi::network_flow::*;
use rmw_hazcat_rs::abi::node::{rmw_create_node, rmw_destroy_node};
use rmw_hazcat_rs::abi::publisher::{rmw_create_publisher, rmw_destroy_publisher};
use rmw_hazcat_rs::abi::serialize::rmw_serialize;
use rmw_hazcat_rs::abi::service::{rmw_create_service, rmw_destroy_service, rmw_send_response, rmw_take_request};
use rmw_hazcat_rs::abi::subscription::{rmw_create_subscription, rmw_destroy_subscription};
use rmw_hazcat_rs::abi::take::{rmw_take_serialized_message, rmw_take_serialized_message_with_info};
use rmw_hazcat_rs::abi::wait::{rmw_create_wait_set, rmw_destroy_wait_set};
use rmw_hazcat_rs::ffi;
use std::ffi::c_void;
use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts what is out, and fails when `left` has run down to zero (negative: never).
struct Bomb {
    left: AtomicIsize,
    out: AtomicIsize,
}

impl Bomb {
    fn new() -> Box<Self> {
        Box::new(Self { left: AtomicIsize::new(-1), out: AtomicIsize::new(0) })
    }

    fn arm(&self, left: isize) {
        self.left.store(left, Ordering::Relaxed);
    }

    fn out(&self) -> isize {
        self.out.load(Ordering::Relaxed)
    }

    fn allocator(&self) -> ffi::rcutils_allocator_t {
        ffi::rcutils_allocator_t {
            allocate: Some(allocate),
            deallocate: Some(deallocate),
            reallocate: Some(reallocate),
            zero_allocate: Some(zero_allocate),
            state: std::ptr::from_ref(self).cast_mut().cast(),
        }
    }
}

fn goes_off(state: *mut c_void) -> bool {
    let bomb = unsafe { &*state.cast::<Bomb>() };
    if bomb.left.load(Ordering::Relaxed) == 0 {
        return true;
    }
    bomb.left.fetch_sub(1, Ordering::Relaxed);
    bomb.out.fetch_add(1, Ordering::Relaxed);
    false
}

unsafe extern "C" fn allocate(size: usize, state: *mut c_void) -> *mut c_void {
    if goes_off(state) {
        return std::ptr::null_mut();
    }
    unsafe { libc::malloc(size) }
}

unsafe extern "C" fn zero_allocate(count: usize, size: usize, state: *mut c_void) -> *mut c_void {
    if goes_off(state) {
        return std::ptr::null_mut();
    }
    unsafe { libc::calloc(count, size) }
}

unsafe extern "C" fn reallocate(pointer: *mut c_void, size: usize, state: *mut c_void) -> *mut c_void {
    if goes_off(state) {
        return std::ptr::null_mut();
    }
    if !pointer.is_null() {
        unsafe { &*state.cast::<Bomb>() }.out.fetch_sub(1, Ordering::Relaxed);
    }
    unsafe { libc::realloc(pointer, size) }
}

unsafe extern "C" fn deallocate(pointer: *mut c_void, state: *mut c_void) {
    if !pointer.is_null() {
        unsafe { &*state.cast::<Bomb>() }.out.fetch_sub(1, Ordering::Relaxed);
        unsafe { libc::free(pointer) };
    }
}

/// A copy of a text as a caller makes it.
fn text_of(bomb: &Bomb, value: &str) -> *mut std::ffi::c_char {
    let copy: *mut std::ffi::c_char =
        unsafe { allocate(value.len() + 1, std::ptr::from_ref(bomb).cast_mut().cast()) }.cast();
    unsafe { copy.copy_from_nonoverlapping(value.as_ptr().cast(), value.len()) };
    unsafe { copy.add(value.len()).write(0) };
    copy
}

/// Options that own all that options can own.
fn full_options(bomb: &Bomb) -> ffi::rmw_init_options_t {
    let mut options = options(new_domain(), bomb.allocator());
    options.security_options.security_root_path = text_of(bomb, "/nowhere");
    #[cfg(rmw_discovery_options)]
    {
        let state: *mut c_void = std::ptr::from_ref(bomb).cast_mut().cast();
        let peers = unsafe { zero_allocate(2, size_of::<ffi::rmw_peer_address_t>(), state) };
        options.discovery_options.static_peers = peers.cast();
        options.discovery_options.static_peers_count = 2;
    }
    options
}

/// Creates with every allocation failing in turn, until none does; destroys what was created.
fn every_allocation<T>(
    bomb: &Bomb,
    mut create: impl FnMut() -> *mut T,
    mut destroy: impl FnMut(*mut T) -> ffi::rmw_ret_t,
) {
    let before = bomb.out();
    for left in 0.. {
        bomb.arm(left);
        let made = create();
        bomb.arm(-1);
        if made.is_null() {
            assert!(!error().is_empty());
            assert_eq!(bomb.out(), before, "leak when allocation {left} fails");
        } else {
            assert!(left > 0, "nothing was allocated with the given allocator");
            ok(destroy(made));
            assert_eq!(bomb.out(), before, "leak at the end");
            return;
        }
    }
}

#[test]
fn creating_entities() {
    let bomb = Bomb::new();
    {
        let mut context = Context::with(options(new_domain(), bomb.allocator()));
        let raw: *mut ffi::rmw_context_t = &mut *context.0;
        every_allocation(
            &bomb,
            || unsafe { rmw_create_node(raw, c"n".as_ptr(), c"/".as_ptr()) },
            |node| unsafe { rmw_destroy_node(node) },
        );
        every_allocation(
            &bomb,
            || unsafe { rmw_create_guard_condition(raw) },
            |guard| unsafe { rmw_destroy_guard_condition(guard) },
        );
        every_allocation(&bomb, || unsafe { rmw_create_wait_set(raw, 0) }, |set| unsafe { rmw_destroy_wait_set(set) });
        let node = context.node("owner");
        let (name, qos) = (c"/t".as_ptr(), qos());
        let publisher_options = ffi::rmw_publisher_options_t::default();
        every_allocation(
            &bomb,
            || unsafe { rmw_create_publisher(node.0, pair(), name, &qos, &publisher_options) },
            |publisher| unsafe { rmw_destroy_publisher(node.0, publisher) },
        );
        let subscription_options = ffi::rmw_subscription_options_t::default();
        every_allocation(
            &bomb,
            || unsafe { rmw_create_subscription(node.0, pair(), name, &qos, &subscription_options) },
            |subscription| unsafe { rmw_destroy_subscription(node.0, subscription) },
        );
        let mut parameters = [c"1".as_ptr().cast_mut()];
        let mut filter = ffi::rmw_subscription_content_filter_options_t {
            filter_expression: c"id = %0".as_ptr().cast_mut(),
            expression_parameters: ffi::rcutils_string_array_t {
                size: 1,
                data: parameters.as_mut_ptr(),
                ..ffi::rcutils_string_array_t::default()
            },
        };
        let mut with_filter = ffi::rmw_subscription_options_t {
            content_filter_options: &mut filter,
            ..ffi::rmw_subscription_options_t::default()
        };
        every_allocation(
            &bomb,
            || unsafe { rmw_create_subscription(node.0, pair(), name, &qos, &with_filter) },
            |subscription| unsafe { rmw_destroy_subscription(node.0, subscription) },
        );
        // What fails for another reason leaves nothing either.
        let before = bomb.out();
        let mut wrong = ffi::rmw_subscription_content_filter_options_t {
            filter_expression: c"id = ".as_ptr().cast_mut(),
            ..ffi::rmw_subscription_content_filter_options_t::default()
        };
        with_filter.content_filter_options = &mut wrong;
        assert!(unsafe { rmw_create_subscription(node.0, pair(), name, &qos, &with_filter) }.is_null());
        let unknown = ffi::rmw_qos_profile_t { history: ffi::RMW_QOS_POLICY_HISTORY_UNKNOWN, ..qos };
        assert!(unsafe { rmw_create_publisher(node.0, pair(), name, &unknown, &publisher_options) }.is_null());
        assert!(unsafe { rmw_create_client(node.0, ask(), name, &unknown) }.is_null());
        assert!(unsafe { rmw_create_service(node.0, ask(), name, &unknown) }.is_null());
        assert!(!error().is_empty());
        assert_eq!(bomb.out(), before);
        every_allocation(
            &bomb,
            || unsafe { rmw_create_client(node.0, ask(), name, &qos) },
            |client| unsafe { rmw_destroy_client(node.0, client) },
        );
        every_allocation(
            &bomb,
            || unsafe { rmw_create_service(node.0, ask(), name, &qos) },
            |service| unsafe { rmw_destroy_service(node.0, service) },
        );
    }
    assert_eq!(bomb.out(), 0, "leak of the context");
}

#[test]
fn options_and_contexts() {
    let bomb = Bomb::new();
    let mut source = full_options(&bomb);
    let owned = bomb.out();
    assert!(owned >= 2);
    let before = owned;
    for left in 0.. {
        let mut copy = ffi::rmw_init_options_t::default();
        bomb.arm(left);
        let code = unsafe { rmw_init_options_copy(&source, &mut copy) };
        bomb.arm(-1);
        if code == OK {
            assert_eq!(bomb.out(), 2 * owned, "a copy owns as much as what it is a copy of");
            assert_eq!(left, owned, "in as many allocations");
            ok(unsafe { rmw_init_options_fini(&mut copy) });
            assert_eq!(bomb.out(), before);
            break;
        }
        fails(code, ffi::RMW_RET_BAD_ALLOC);
        assert!(copy.implementation_identifier.is_null());
        assert_eq!(bomb.out(), before);
    }
    for left in 0.. {
        let mut context = Box::new(ffi::rmw_context_t::default());
        bomb.arm(left);
        let code = unsafe { rmw_init(&source, &mut *context) };
        bomb.arm(-1);
        if code == OK {
            ok(unsafe { rmw_shutdown(&mut *context) });
            ok(unsafe { rmw_context_fini(&mut *context) });
            assert_eq!(bomb.out(), before);
            break;
        }
        fails(code, ffi::RMW_RET_BAD_ALLOC);
        assert!(context.implementation_identifier.is_null() && context.impl_.is_null());
        assert_eq!(bomb.out(), before);
    }
    // What fails for another reason, after the options were copied, gives them back as well.
    source.domain_id = usize::MAX - 1;
    let mut context = Box::new(ffi::rmw_context_t::default());
    fails(unsafe { rmw_init(&source, &mut *context) }, ffi::RMW_RET_INVALID_ARGUMENT);
    assert_eq!(bomb.out(), before);
    ok(unsafe { rmw_init_options_fini(&mut source) });
    assert_eq!(bomb.out(), 0);
}

#[test]
fn serializing_into_a_message_that_cannot_grow() {
    let bomb = Bomb::new();
    bomb.arm(0);
    let mut message = ffi::rmw_serialized_message_t { allocator: bomb.allocator(), ..Default::default() };
    let sent = crate::types::Pair::default();
    let code = unsafe { rmw_serialize(std::ptr::from_ref(&sent).cast(), pair(), &mut message) };
    fails(code, ffi::RMW_RET_BAD_ALLOC);
    assert!(message.buffer.is_null() && message.buffer_length == 0);
    // One that has a buffer keeps it, with what is in it, where it cannot get a larger one.
    bomb.arm(1);
    let serialize =
        |sent: &Text, message: &mut _| unsafe { rmw_serialize(std::ptr::from_ref(sent).cast(), text(), message) };
    ok(serialize(&Text::of("short"), &mut message));
    let (buffer, length) = (message.buffer, message.buffer_length);
    let bytes = |message: &ffi::rmw_serialized_message_t| unsafe {
        std::slice::from_raw_parts(message.buffer, message.buffer_length).to_vec()
    };
    let before = bytes(&message);
    let long = Text::of(&"long".repeat(100));
    fails(serialize(&long, &mut message), ffi::RMW_RET_BAD_ALLOC);
    assert!(message.buffer == buffer && message.buffer_length == length && bytes(&message) == before);
    bomb.arm(1);
    ok(serialize(&long, &mut message));
    assert!(message.buffer_length > 400);
    unsafe { deallocate(message.buffer.cast(), message.allocator.state) };
    assert_eq!(bomb.out(), 0);
}

/// Fills a fresh out-parameter with every allocation failing in turn, until none does; gives back what was filled in.
fn every_allocation_into<T>(
    bomb: &Bomb,
    what: &str,
    mut empty: impl FnMut() -> T,
    mut fill: impl FnMut(&mut T) -> ffi::rmw_ret_t,
    mut free: impl FnMut(&mut T),
) {
    let before = bomb.out();
    for left in 0.. {
        let mut out = empty();
        bomb.arm(left);
        let code = fill(&mut out);
        bomb.arm(-1);
        if code == OK {
            assert!(left > 0, "{what}: nothing was allocated with the given allocator");
            free(&mut out);
            assert_eq!(bomb.out(), before, "{what}: not everything was freed");
            return;
        }
        assert_eq!(code, ffi::RMW_RET_BAD_ALLOC, "{what}: allocation {left}: {}", error());
        assert!(!error().is_empty());
        assert_eq!(bomb.out(), before, "{what}: leak when allocation {left} fails");
    }
}

fn free_strings(list: &mut ffi::rcutils_string_array_t) {
    let Some(deallocate) = list.allocator.deallocate.filter(|_| !list.data.is_null()) else { return };
    for index in 0..list.size {
        unsafe { deallocate((*list.data.add(index)).cast(), list.allocator.state) };
    }
    unsafe { deallocate(list.data.cast(), list.allocator.state) };
}

fn free_names(list: &mut ffi::rmw_names_and_types_t) {
    let allocator = list.names.allocator;
    for index in 0..list.names.size {
        free_strings(unsafe { &mut *list.types.add(index) });
    }
    unsafe { allocator.deallocate.unwrap()(list.types.cast(), allocator.state) };
    free_strings(&mut list.names);
}

fn free_infos(list: &mut ffi::rmw_topic_endpoint_info_array_t, allocator: &ffi::rcutils_allocator_t) {
    let free = |pointer: *mut c_void| unsafe { allocator.deallocate.unwrap()(pointer, allocator.state) };
    for index in 0..list.size {
        let info = unsafe { list.info_array.add(index).read() };
        for text in [info.node_name, info.node_namespace, info.topic_type] {
            free(text.cast_mut().cast());
        }
    }
    free(list.info_array.cast());
}

#[test]
fn asking_the_graph() {
    let bomb = Bomb::new();
    {
        let mut context = Context::with(options(new_domain(), bomb.allocator()));
        let node = context.node("asked");
        let _publishers = (node.publisher("/a", pair(), &qos()), node.publisher("/b", pair(), &qos()));
        let _subscription = node.subscription("/a", pair(), &qos());
        let (_client, _service) = (node.client("/s", ask()), node.service("/s", ask()));
        let mut allocator = bomb.allocator();
        // (The lists of nodes come from the process's default allocator: there is no argument for one.)
        let (name, namespace) = (c"asked".as_ptr(), c"/ns".as_ptr());
        let lists = ffi::rmw_names_and_types_t::default;
        macro_rules! names_and_types {
            ($($function:ident($($argument:expr),*))*) => {$(
                every_allocation_into(
                    &bomb,
                    stringify!($function),
                    lists,
                    |out| unsafe { $function(node.0, &mut allocator, $($argument,)* out) },
                    free_names,
                );
            )*};
        }
        names_and_types!(
            rmw_get_topic_names_and_types(false)
            rmw_get_topic_names_and_types(true)
            rmw_get_service_names_and_types()
            rmw_get_publisher_names_and_types_by_node(name, namespace, false)
            rmw_get_publisher_names_and_types_by_node(name, namespace, true)
            rmw_get_subscriber_names_and_types_by_node(name, namespace, false)
            rmw_get_subscriber_names_and_types_by_node(name, namespace, true)
            rmw_get_service_names_and_types_by_node(name, namespace)
            rmw_get_client_names_and_types_by_node(name, namespace)
        );
        let given = bomb.allocator();
        let infos = ffi::rmw_topic_endpoint_info_array_t::default;
        every_allocation_into(
            &bomb,
            "publishers' infos",
            infos,
            |out| unsafe { rmw_get_publishers_info_by_topic(node.0, &mut allocator, c"/a".as_ptr(), false, out) },
            |out| free_infos(out, &given),
        );
        every_allocation_into(
            &bomb,
            "subscriptions' infos",
            infos,
            |out| unsafe { rmw_get_subscriptions_info_by_topic(node.0, &mut allocator, c"/a".as_ptr(), false, out) },
            |out| free_infos(out, &given),
        );
        every_allocation_into(
            &bomb,
            "infos with mangled names",
            infos,
            |out| unsafe {
                rmw_get_publishers_info_by_topic(node.0, &mut allocator, c"rq/sRequest".as_ptr(), true, out)
            },
            |out| free_infos(out, &given),
        );
        // What there is nothing of takes no memory, and what is not supported takes none either.
        bomb.arm(0);
        let mut out = infos();
        ok(unsafe { rmw_get_publishers_info_by_topic(node.0, &mut allocator, c"/none".as_ptr(), false, &mut out) });
        assert!(out.size == 0 && out.info_array.is_null());
        let (publisher, subscription) = (_publishers.0 .0, _subscription.0);
        let mut flows = ffi::rmw_network_flow_endpoint_array_t::default();
        for code in unsafe {
            [
                rmw_publisher_get_network_flow_endpoints(publisher, &mut allocator, &mut flows),
                rmw_subscription_get_network_flow_endpoints(subscription, &mut allocator, &mut flows),
            ]
        } {
            assert_eq!(code, ffi::RMW_RET_UNSUPPORTED, "{}", error());
        }
        bomb.arm(-1);
    }
    assert_eq!(bomb.out(), 0);
}

#[test]
fn messages_take_nothing_from_the_callers_allocator() {
    let bomb = Bomb::new();
    {
        let mut context = Context::with(options(new_domain(), bomb.allocator()));
        let (waits, node) = (context.wait_set(), context.node("frugal"));
        let (publisher, subscription) = (node.publisher("/t", pair(), &qos()), node.subscription("/t", pair(), &qos()));
        let (client, service) = (node.client("/s", ask()), node.service("/s", ask()));
        bomb.arm(0);
        for id in 0..3 {
            let sent = Pair { id, ..Pair::default() };
            publisher.publish(&sent);
            let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
            ok(waits.wait(&mut what, Some(WATCHDOG)));
            let mut got = Pair::default();
            assert!(subscription.take(&mut got) && got == sent);
            let (mut number, mut taken, mut header) = (0, false, ffi::rmw_service_info_t::default());
            let (mut reply, place) = (Text::of("yes"), std::ptr::from_mut(&mut got).cast::<c_void>());
            ok(unsafe { rmw_send_request(client.0, place, &mut number) });
            ok(unsafe { rmw_take_request(service.0, &mut header, place, &mut taken) });
            assert!(taken);
            let place = std::ptr::from_mut(&mut reply).cast::<c_void>();
            ok(unsafe { rmw_send_response(service.0, &mut header.request_id, place) });
            ok(unsafe { rmw_take_response(client.0, &mut header, place, &mut taken) });
            assert!(taken && header.request_id.sequence_number == number);
        }
        bomb.arm(-1);
    }
    assert_eq!(bomb.out(), 0);
}

#[test]
fn asking_for_a_content_filter() {
    let bomb = Bomb::new();
    let mut context = Context::new(new_domain());
    let node = context.node("filtering");
    let subscription = node.subscription("/t", pair(), &qos());
    let mut parameters = [c"1".as_ptr().cast_mut(), c"2".as_ptr().cast_mut()];
    let options = ffi::rmw_subscription_content_filter_options_t {
        filter_expression: c"id = %0 OR id = %1".as_ptr().cast_mut(),
        expression_parameters: ffi::rcutils_string_array_t {
            size: 2,
            data: parameters.as_mut_ptr(),
            ..ffi::rcutils_string_array_t::default()
        },
    };
    ok(unsafe { rmw_subscription_set_content_filter(subscription.0, &options) });
    let mut allocator = bomb.allocator();
    every_allocation_into(
        &bomb,
        "content filter",
        ffi::rmw_subscription_content_filter_options_t::default,
        |out| unsafe { rmw_subscription_get_content_filter(subscription.0, &mut allocator, out) },
        |out| {
            unsafe { deallocate(out.filter_expression.cast(), out.expression_parameters.allocator.state) };
            free_strings(&mut out.expression_parameters);
        },
    );
    assert_eq!(bomb.out(), 0);
}

/// Taken serialized: as it lies there, and made from a plain message.
#[test]
fn a_message_that_could_not_be_taken_for_want_of_memory() {
    let bomb = Bomb::new();
    let mut context = Context::new(new_domain());
    let node = context.node("taking");
    for with_info in [false, true] {
        let subscriptions = [node.subscription("/p", pair(), &qos()), node.subscription("/t", text(), &qos())];
        let publishers = [node.publisher("/p", pair(), &qos()), node.publisher("/t", text(), &qos())];
        for (subscription, publisher) in subscriptions.iter().zip(&publishers) {
            for _ in 0..2 {
                if std::ptr::eq(publisher, &publishers[0]) {
                    publisher.publish(&Pair::default());
                } else {
                    publisher.publish(&Text::of("sixteen letters."));
                }
            }
            let mut message = ffi::rmw_serialized_message_t { allocator: bomb.allocator(), ..Default::default() };
            let (mut taken, mut info) = (true, ffi::rmw_message_info_t::default());
            let mut take = |message: &mut _, taken: &mut _| unsafe {
                let null = std::ptr::null_mut();
                if with_info {
                    rmw_take_serialized_message_with_info(subscription.0, message, taken, &mut info, null)
                } else {
                    rmw_take_serialized_message(subscription.0, message, taken, null)
                }
            };
            bomb.arm(0);
            fails(take(&mut message, &mut taken), ffi::RMW_RET_BAD_ALLOC);
            assert!(!taken && message.buffer.is_null());
            bomb.arm(-1);
            ok(take(&mut message, &mut taken));
            assert!(taken && message.buffer_length > 16);
            unsafe { deallocate(message.buffer.cast(), message.allocator.state) };
            assert_eq!(bomb.out(), 0);
        }
    }
}

//! Allocators that fail: every single allocation, one after the other, without a leak.

use crate::support::*;
use crate::types::{ask, pair};
use rmw_hazcat_rs::abi::client::{rmw_create_client, rmw_destroy_client};
use rmw_hazcat_rs::abi::content_filter::*;
use rmw_hazcat_rs::abi::endpoint_info::*;
use rmw_hazcat_rs::abi::graph::*;
use rmw_hazcat_rs::abi::guard_condition::{rmw_create_guard_condition, rmw_destroy_guard_condition};
use rmw_hazcat_rs::abi::init::{rmw_context_fini, rmw_init, rmw_shutdown};
use rmw_hazcat_rs::abi::init_options::{rmw_init_options_copy, rmw_init_options_fini};
use rmw_hazcat_rs::abi::node::{rmw_create_node, rmw_destroy_node};
use rmw_hazcat_rs::abi::publisher::{rmw_create_publisher, rmw_destroy_publisher};
use rmw_hazcat_rs::abi::serialize::rmw_serialize;
use rmw_hazcat_rs::abi::service::{rmw_create_service, rmw_destroy_service};
use rmw_hazcat_rs::abi::subscription::{rmw_create_subscription, rmw_destroy_subscription};
use rmw_hazcat_rs::abi::take::rmw_take_serialized_message;
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
    let mut source = options(new_domain(), bomb.allocator());
    let before = bomb.out();
    for left in 0.. {
        let mut copy = ffi::rmw_init_options_t::default();
        bomb.arm(left);
        let code = unsafe { rmw_init_options_copy(&source, &mut copy) };
        bomb.arm(-1);
        if code == OK {
            ok(unsafe { rmw_init_options_fini(&mut copy) });
            assert!(left > 0);
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
            break;
        }
        fails(code, ffi::RMW_RET_BAD_ALLOC);
        assert!(context.implementation_identifier.is_null() && context.impl_.is_null());
        assert_eq!(bomb.out(), before);
    }
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
            rmw_get_service_names_and_types()
            rmw_get_publisher_names_and_types_by_node(name, namespace, false)
            rmw_get_subscriber_names_and_types_by_node(name, namespace, false)
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

#[test]
fn a_message_that_could_not_be_taken_for_want_of_memory() {
    let bomb = Bomb::new();
    let mut context = Context::new(new_domain());
    let node = context.node("taking");
    let subscription = node.subscription("/t", pair(), &qos());
    let publisher = node.publisher("/t", pair(), &qos());
    publisher.publish(&crate::types::Pair { id: 1, ..Default::default() });
    publisher.publish(&crate::types::Pair { id: 2, ..Default::default() });
    let mut message = ffi::rmw_serialized_message_t { allocator: bomb.allocator(), ..Default::default() };
    let mut taken = true;
    let take = |message: &mut _, taken: &mut _| unsafe {
        rmw_take_serialized_message(subscription.0, message, taken, std::ptr::null_mut())
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

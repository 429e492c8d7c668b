//! Allocators that fail: every single allocation, one after the other, without a leak.

use crate::support::*;
use crate::types::{ask, pair};
use rmw_hazcat_rs::abi::client::{rmw_create_client, rmw_destroy_client};
use rmw_hazcat_rs::abi::guard_condition::{rmw_create_guard_condition, rmw_destroy_guard_condition};
use rmw_hazcat_rs::abi::init::{rmw_context_fini, rmw_init, rmw_shutdown};
use rmw_hazcat_rs::abi::init_options::{rmw_init_options_copy, rmw_init_options_fini};
use rmw_hazcat_rs::abi::node::{rmw_create_node, rmw_destroy_node};
use rmw_hazcat_rs::abi::publisher::{rmw_create_publisher, rmw_destroy_publisher};
use rmw_hazcat_rs::abi::serialize::rmw_serialize;
use rmw_hazcat_rs::abi::service::{rmw_create_service, rmw_destroy_service};
use rmw_hazcat_rs::abi::subscription::{rmw_create_subscription, rmw_destroy_subscription};
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

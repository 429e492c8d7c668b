//! One of everything, and copies of it that belong to another middleware or to nobody.

use crate::support::{self, new_domain, ok, Context};
use crate::types::{ask, pair, Pair};
use rmw_hazcat_rs::abi::client::{rmw_create_client, rmw_destroy_client};
use rmw_hazcat_rs::abi::event::rmw_subscription_event_init;
use rmw_hazcat_rs::abi::guard_condition::{rmw_create_guard_condition, rmw_destroy_guard_condition};
use rmw_hazcat_rs::abi::node::{rmw_create_node, rmw_destroy_node};
use rmw_hazcat_rs::abi::publisher::{rmw_create_publisher, rmw_destroy_publisher, rmw_publish};
use rmw_hazcat_rs::abi::service::{rmw_create_service, rmw_destroy_service};
use rmw_hazcat_rs::abi::subscription::{rmw_create_subscription, rmw_destroy_subscription};
use rmw_hazcat_rs::abi::take::rmw_take;
use rmw_hazcat_rs::abi::wait::{rmw_create_wait_set, rmw_destroy_wait_set};
use rmw_hazcat_rs::ffi;
use std::cell::UnsafeCell;
use std::ffi::{c_char, c_void, CStr};

/// What a function answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Code(i32),
    /// A null pointer, from a function that makes something.
    Null,
    /// Something was made.
    Made,
}

impl From<ffi::rmw_ret_t> for Answer {
    fn from(code: ffi::rmw_ret_t) -> Self {
        Self::Code(code)
    }
}

impl<T> From<*mut T> for Answer {
    fn from(pointer: *mut T) -> Self {
        if pointer.is_null() {
            Self::Null
        } else {
            Self::Made
        }
    }
}

impl<T> From<*const T> for Answer {
    fn from(pointer: *const T) -> Self {
        pointer.cast_mut().into()
    }
}

/// One wrong call.
pub struct Case {
    pub function: &'static str,
    pub what: &'static str,
    pub expected: Answer,
    pub run: Box<dyn Fn(&Fixture) -> Answer>,
}

/// A row with the code it is to answer.
#[macro_export]
macro_rules! row {
    ($cases:ident, $function:ident, $what:expr, $expected:expr, |$f:ident| $call:expr) => {
        $cases.push($crate::fixture::Case {
            function: stringify!($function),
            what: $what,
            expected: $expected.into(),
            run: Box::new(move |$f: &$crate::fixture::Fixture| {
                let _ = $f;
                #[allow(unused_unsafe)]
                unsafe { $call }.into()
            }),
        })
    };
}

/// Rows for null pointers: "invalid argument", or null from what makes something.
#[macro_export]
macro_rules! null_rows {
    ($cases:ident, $function:ident, $expected:expr, $(|$f:ident| $name:literal: $call:expr),+ $(,)?) => {
        $($crate::row!($cases, $function, concat!("null ", $name), $expected, |$f| $call);)+
    };
}

/// Rows for one handle argument: null, of another middleware, zero-initialised.
#[macro_export]
macro_rules! handle_rows {
    ($cases:ident, $function:ident, $handle:ident, |$f:ident, $h:ident| $call:expr) => {
        $crate::handle_rows!(
            $cases,
            $function,
            $handle,
            rmw_hazcat_rs::ffi::RMW_RET_INVALID_ARGUMENT,
            rmw_hazcat_rs::ffi::RMW_RET_INCORRECT_RMW_IMPLEMENTATION,
            |$f, $h| $call
        );
    };
    (null: $cases:ident, $function:ident, $handle:ident, |$f:ident, $h:ident| $call:expr) => {
        $crate::handle_rows!(
            $cases,
            $function,
            $handle,
            $crate::fixture::Answer::Null,
            $crate::fixture::Answer::Null,
            |$f, $h| $call
        );
    };
    ($cases:ident, $function:ident, $handle:ident, $null:expr, $foreign:expr, |$f:ident, $h:ident| $call:expr) => {
        $crate::row!($cases, $function, concat!("null ", stringify!($handle)), $null, |$f| {
            let $h = $crate::fixture::null_like($f.own.$handle);
            $call
        });
        $crate::row!($cases, $function, concat!("foreign ", stringify!($handle)), $foreign, |$f| {
            let $h = $f.foreign.$handle;
            $call
        });
        $crate::row!($cases, $function, concat!("zero-initialised ", stringify!($handle)), $foreign, |$f| {
            let $h = $f.zeroed.$handle;
            $call
        });
    };
}

pub fn null_like<T>(_: *mut T) -> *mut T {
    std::ptr::null_mut()
}

pub fn null<T>() -> *mut T {
    std::ptr::null_mut()
}

/// A pointer to each kind of handle.
pub struct Handles {
    pub node: *mut ffi::rmw_node_t,
    pub publisher: *mut ffi::rmw_publisher_t,
    pub subscription: *mut ffi::rmw_subscription_t,
    pub client: *mut ffi::rmw_client_t,
    pub service: *mut ffi::rmw_service_t,
    pub guard: *mut ffi::rmw_guard_condition_t,
    pub waits: *mut ffi::rmw_wait_set_t,
    pub event: *mut ffi::rmw_event_t,
}

const FOREIGN: &CStr = c"rmw_of_somebody_else";

impl Handles {
    /// Copies of which only the identifier differs (never freed: as many as there are tests).
    fn foreign(own: &Self) -> Self {
        macro_rules! copy {
            ($handle:ident) => {{
                let mut copy = unsafe { own.$handle.read() };
                copy.implementation_identifier = FOREIGN.as_ptr();
                kept(copy)
            }};
        }
        Self {
            node: copy!(node),
            publisher: copy!(publisher),
            subscription: copy!(subscription),
            client: copy!(client),
            service: copy!(service),
            guard: copy!(guard),
            waits: copy!(waits),
            event: copy!(event),
        }
    }

    fn zeroed() -> Self {
        fn zero<T>() -> *mut T {
            kept(unsafe { std::mem::zeroed() })
        }
        Self {
            node: zero(),
            publisher: zero(),
            subscription: zero(),
            client: zero(),
            service: zero(),
            guard: zero(),
            waits: zero(),
            event: zero(),
        }
    }
}

/// Reachable for as long as the program runs, so that a leak checker sees that it is meant to stay.
fn kept<T>(value: T) -> *mut T {
    static KEPT: std::sync::Mutex<Vec<usize>> = std::sync::Mutex::new(Vec::new());
    let pointer = Box::into_raw(Box::new(value));
    KEPT.lock().unwrap().push(pointer as usize);
    pointer
}

pub struct Fixture {
    pub own: Handles,
    pub foreign: Handles,
    pub zeroed: Handles,
    /// A context of another middleware, and one that is zero-initialised.
    pub foreign_context: *mut ffi::rmw_context_t,
    pub zeroed_context: *mut ffi::rmw_context_t,
    /// Room for what functions write.
    scratch: Box<UnsafeCell<[u64; 512]>>,
    message: Box<UnsafeCell<Pair>>,
    qos: ffi::rmw_qos_profile_t,
    allocator: Box<UnsafeCell<ffi::rcutils_allocator_t>>,
    event: Box<UnsafeCell<ffi::rmw_event_t>>,
    context: UnsafeCell<Context>,
}

impl Fixture {
    pub fn new() -> Self {
        let mut context = Context::new(new_domain());
        let raw: *mut ffi::rmw_context_t = &mut *context.0;
        let (name, qos) = (c"/t".as_ptr(), support::qos());
        let event = Box::new(UnsafeCell::new(ffi::rmw_event_t::default()));
        let own = unsafe {
            let node = rmw_create_node(raw, c"n".as_ptr(), c"/".as_ptr());
            Handles {
                node,
                publisher: rmw_create_publisher(node, pair(), name, &qos, &ffi::rmw_publisher_options_t::default()),
                subscription: rmw_create_subscription(
                    node,
                    pair(),
                    name,
                    &qos,
                    &ffi::rmw_subscription_options_t::default(),
                ),
                client: rmw_create_client(node, ask(), name, &qos),
                service: rmw_create_service(node, ask(), name, &qos),
                guard: rmw_create_guard_condition(raw),
                waits: rmw_create_wait_set(raw, 0),
                event: event.get(),
            }
        };
        assert!(!own.waits.is_null() && !own.service.is_null() && !own.subscription.is_null());
        ok(unsafe { rmw_subscription_event_init(own.event, own.subscription, ffi::RMW_EVENT_MESSAGE_LOST) });
        let foreign = Handles::foreign(&own);
        let mut foreign_context = unsafe { raw.read() };
        foreign_context.implementation_identifier = FOREIGN.as_ptr();
        Self {
            foreign,
            zeroed: Handles::zeroed(),
            own,
            foreign_context: kept(foreign_context),
            zeroed_context: kept(ffi::rmw_context_t::default()),
            scratch: Box::new(UnsafeCell::new([0; 512])),
            message: Box::default(),
            qos,
            allocator: Box::new(UnsafeCell::new(support::default_allocator())),
            event,
            context: UnsafeCell::new(context),
        }
    }

    pub fn context(&self) -> *mut ffi::rmw_context_t {
        unsafe { &mut *(*self.context.get()).0 }
    }

    /// Zeroed room for an out-parameter.
    pub fn out<T>(&self) -> *mut T {
        assert!(std::mem::size_of::<T>() <= 4096);
        unsafe { self.scratch.get().write([0; 512]) };
        self.scratch.get().cast()
    }

    pub fn message(&self) -> *mut c_void {
        self.message.get().cast()
    }

    pub fn qos(&self) -> *const ffi::rmw_qos_profile_t {
        &self.qos
    }

    pub fn allocator(&self) -> *mut ffi::rcutils_allocator_t {
        self.allocator.get()
    }

    pub fn name(&self) -> *const c_char {
        c"/t".as_ptr()
    }

    /// After all that, a message still arrives.
    pub fn still_works(&self) {
        let sent = Pair { id: 9, ..Pair::default() };
        ok(unsafe { rmw_publish(self.own.publisher, std::ptr::from_ref(&sent).cast(), null()) });
        let (mut got, mut taken) = (Pair::default(), false);
        ok(unsafe { rmw_take(self.own.subscription, std::ptr::from_mut(&mut got).cast(), &mut taken, null()) });
        assert!(taken && got == sent);
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        unsafe {
            ok(rmw_destroy_wait_set(self.own.waits));
            ok(rmw_destroy_guard_condition(self.own.guard));
            ok(rmw_destroy_client(self.own.node, self.own.client));
            ok(rmw_destroy_service(self.own.node, self.own.service));
            ok(rmw_destroy_subscription(self.own.node, self.own.subscription));
            ok(rmw_destroy_publisher(self.own.node, self.own.publisher));
            ok(rmw_destroy_node(self.own.node));
        }
    }
}

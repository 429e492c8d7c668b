//! Contexts, nodes and endpoints with guards, and what every test needs to wait for things.

use crate::types::{MessageHandle, ServiceHandle};
use rmw_hazcat_rs::abi::client::{rmw_create_client, rmw_destroy_client};
use rmw_hazcat_rs::abi::init::{rmw_context_fini, rmw_init, rmw_shutdown};
use rmw_hazcat_rs::abi::init_options::{rmw_init_options_fini, rmw_init_options_init};
use rmw_hazcat_rs::abi::node::{rmw_create_node, rmw_destroy_node, rmw_node_get_graph_guard_condition};
use rmw_hazcat_rs::abi::publisher::{rmw_create_publisher, rmw_destroy_publisher, rmw_publish};
use rmw_hazcat_rs::abi::service::{rmw_create_service, rmw_destroy_service};
use rmw_hazcat_rs::abi::subscription::{rmw_create_subscription, rmw_destroy_subscription};
use rmw_hazcat_rs::abi::take::rmw_take;
use rmw_hazcat_rs::abi::wait::{rmw_create_wait_set, rmw_destroy_wait_set, rmw_wait};
use rmw_hazcat_rs::ffi;
use std::ffi::{c_void, CStr, CString};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const OK: ffi::rmw_ret_t = ffi::RMW_RET_OK;
/// Nothing here takes so long; a test that waits for something fails after this time.
pub const WATCHDOG: Duration = Duration::from_secs(20);

/// The calling thread's error string; resets it.
pub fn error() -> String {
    let text = unsafe { ffi::rcutils_get_error_string() };
    unsafe { ffi::rcutils_reset_error() };
    unsafe { CStr::from_ptr(text.str_.as_ptr()) }.to_string_lossy().into_owned()
}

#[track_caller]
pub fn ok(code: ffi::rmw_ret_t) {
    assert_eq!(code, OK, "{}", error());
}

/// A failure with this code, which left an error string.
#[track_caller]
pub fn fails(code: ffi::rmw_ret_t, expected: ffi::rmw_ret_t) -> String {
    assert_eq!(code, expected, "{}", error());
    let text = error();
    assert!(!text.is_empty() && text != "error not set", "no error string");
    text
}

/// A domain that no other test of this or another run has.
pub fn new_domain() -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < 256);
    1_000_000 + std::process::id() as usize % 0x40_0000 * 256 + number as usize
}

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < WATCHDOG, "{what} never happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn default_allocator() -> ffi::rcutils_allocator_t {
    unsafe { ffi::rcutils_get_default_allocator() }
}

pub fn options(domain: usize, allocator: ffi::rcutils_allocator_t) -> ffi::rmw_init_options_t {
    let mut options = ffi::rmw_init_options_t::default();
    ok(unsafe { rmw_init_options_init(&mut options, allocator) });
    options.domain_id = domain;
    options.enclave = unsafe { options.allocator.allocate.unwrap()(2, options.allocator.state) }.cast();
    unsafe { options.enclave.copy_from_nonoverlapping(c"/".as_ptr(), 2) };
    options
}

/// A context. Its address is stable, since handles point to it.
pub struct Context(pub Box<ffi::rmw_context_t>);

impl Context {
    pub fn new(domain: usize) -> Self {
        Self::with(options(domain, default_allocator()))
    }

    /// Uses up the options.
    pub fn with(mut options: ffi::rmw_init_options_t) -> Self {
        let mut context = Box::new(ffi::rmw_context_t::default());
        ok(unsafe { rmw_init(&options, &mut *context) });
        ok(unsafe { rmw_init_options_fini(&mut options) });
        Self(context)
    }

    pub fn node(&mut self, name: &str) -> Node {
        let name = CString::new(name).unwrap();
        let node = unsafe { rmw_create_node(&mut *self.0, name.as_ptr(), c"/ns".as_ptr()) };
        assert!(!node.is_null(), "{}", error());
        Node(node)
    }

    pub fn wait_set(&mut self) -> WaitSet {
        let wait_set = unsafe { rmw_create_wait_set(&mut *self.0, 0) };
        assert!(!wait_set.is_null(), "{}", error());
        WaitSet(wait_set)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        ok(unsafe { rmw_shutdown(&mut *self.0) });
        ok(unsafe { rmw_context_fini(&mut *self.0) });
    }
}

pub struct Node(pub *mut ffi::rmw_node_t);

impl Drop for Node {
    fn drop(&mut self) {
        ok(unsafe { rmw_destroy_node(self.0) });
    }
}

pub fn qos() -> ffi::rmw_qos_profile_t {
    ffi::rmw_qos_profile_t {
        history: ffi::RMW_QOS_POLICY_HISTORY_KEEP_LAST,
        depth: 10,
        reliability: ffi::RMW_QOS_POLICY_RELIABILITY_RELIABLE,
        durability: ffi::RMW_QOS_POLICY_DURABILITY_VOLATILE,
        liveliness: ffi::RMW_QOS_POLICY_LIVELINESS_AUTOMATIC,
        ..ffi::rmw_qos_profile_t::default()
    }
}

impl Node {
    pub fn graph_guard_condition(&self) -> *const ffi::rmw_guard_condition_t {
        let condition = unsafe { rmw_node_get_graph_guard_condition(self.0) };
        assert!(!condition.is_null(), "{}", error());
        condition
    }

    pub fn publisher(&self, topic: &str, kind: *const MessageHandle, qos: &ffi::rmw_qos_profile_t) -> Publisher<'_> {
        self.publisher_with(topic, kind, qos, &ffi::rmw_publisher_options_t::default())
    }

    pub fn publisher_with(
        &self,
        topic: &str,
        kind: *const MessageHandle,
        qos: &ffi::rmw_qos_profile_t,
        options: &ffi::rmw_publisher_options_t,
    ) -> Publisher<'_> {
        let topic = CString::new(topic).unwrap();
        let publisher = unsafe { rmw_create_publisher(self.0, kind, topic.as_ptr(), qos, options) };
        assert!(!publisher.is_null(), "{}", error());
        Publisher(publisher, self)
    }

    pub fn subscription(
        &self,
        topic: &str,
        kind: *const MessageHandle,
        qos: &ffi::rmw_qos_profile_t,
    ) -> Subscription<'_> {
        self.subscription_with(topic, kind, qos, &ffi::rmw_subscription_options_t::default())
    }

    pub fn subscription_with(
        &self,
        topic: &str,
        kind: *const MessageHandle,
        qos: &ffi::rmw_qos_profile_t,
        options: &ffi::rmw_subscription_options_t,
    ) -> Subscription<'_> {
        let topic = CString::new(topic).unwrap();
        let subscription = unsafe { rmw_create_subscription(self.0, kind, topic.as_ptr(), qos, options) };
        assert!(!subscription.is_null(), "{}", error());
        Subscription(subscription, self)
    }

    pub fn client(&self, service: &str, kind: *const ServiceHandle) -> Client<'_> {
        self.client_with(service, kind, &qos())
    }

    pub fn client_with(&self, service: &str, kind: *const ServiceHandle, qos: &ffi::rmw_qos_profile_t) -> Client<'_> {
        let service = CString::new(service).unwrap();
        let client = unsafe { rmw_create_client(self.0, kind, service.as_ptr(), qos) };
        assert!(!client.is_null(), "{}", error());
        Client(client, self)
    }

    pub fn service(&self, service: &str, kind: *const ServiceHandle) -> Service<'_> {
        self.service_with(service, kind, &qos())
    }

    pub fn service_with(&self, service: &str, kind: *const ServiceHandle, qos: &ffi::rmw_qos_profile_t) -> Service<'_> {
        let service = CString::new(service).unwrap();
        let server = unsafe { rmw_create_service(self.0, kind, service.as_ptr(), qos) };
        assert!(!server.is_null(), "{}", error());
        Service(server, self)
    }
}

pub struct Publisher<'a>(pub *mut ffi::rmw_publisher_t, &'a Node);

impl Publisher<'_> {
    #[track_caller]
    pub fn publish<T>(&self, message: &T) {
        ok(unsafe { rmw_publish(self.0, std::ptr::from_ref(message).cast(), std::ptr::null_mut()) });
    }
}

impl Drop for Publisher<'_> {
    fn drop(&mut self) {
        ok(unsafe { rmw_destroy_publisher(self.1 .0, self.0) });
    }
}

pub struct Subscription<'a>(pub *mut ffi::rmw_subscription_t, &'a Node);

impl Subscription<'_> {
    /// Takes into `message`; tells whether there was one.
    #[track_caller]
    pub fn take<T>(&self, message: &mut T) -> bool {
        let mut taken = false;
        ok(unsafe { rmw_take(self.0, std::ptr::from_mut(message).cast(), &mut taken, std::ptr::null_mut()) });
        taken
    }

    pub fn data(&self) -> *mut c_void {
        unsafe { (*self.0).data }
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        ok(unsafe { rmw_destroy_subscription(self.1 .0, self.0) });
    }
}

pub struct Client<'a>(pub *mut ffi::rmw_client_t, &'a Node);

impl Drop for Client<'_> {
    fn drop(&mut self) {
        ok(unsafe { rmw_destroy_client(self.1 .0, self.0) });
    }
}

pub struct Service<'a>(pub *mut ffi::rmw_service_t, &'a Node);

impl Drop for Service<'_> {
    fn drop(&mut self) {
        ok(unsafe { rmw_destroy_service(self.1 .0, self.0) });
    }
}

pub struct WaitSet(pub *mut ffi::rmw_wait_set_t);

impl Drop for WaitSet {
    fn drop(&mut self) {
        ok(unsafe { rmw_destroy_wait_set(self.0) });
    }
}

/// What to wait for, by `data` pointers (events: by address).
#[derive(Default)]
pub struct For {
    pub subscriptions: Vec<*mut c_void>,
    pub guard_conditions: Vec<*mut c_void>,
    pub services: Vec<*mut c_void>,
    pub clients: Vec<*mut c_void>,
    pub events: Vec<*mut c_void>,
}

pub fn duration(time: Duration) -> ffi::rmw_time_t {
    ffi::rmw_time_t { sec: time.as_secs(), nsec: time.subsec_nanos().into() }
}

/// Whether waits are ended by whoever makes something ready. One that nobody rings ends as well, since every process looks
/// again once a second, so a single wait cannot tell; most of many must be quicker than that, however busy the machine is.
#[derive(Default)]
pub struct Promptness {
    quick: AtomicU32,
    all: AtomicU32,
}

impl Promptness {
    pub fn wait(&self, waits: &WaitSet, what: &mut For) {
        self.wait_for(waits, what, Some(WATCHDOG));
    }

    pub fn wait_for(&self, waits: &WaitSet, what: &mut For, timeout: Option<Duration>) {
        let start = Instant::now();
        ok(waits.wait(what, timeout));
        self.all.fetch_add(1, Ordering::Relaxed);
        self.quick.fetch_add(u32::from(start.elapsed() < Duration::from_millis(300)), Ordering::Relaxed);
    }
}

impl Drop for Promptness {
    fn drop(&mut self) {
        let (quick, all) = (self.quick.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        assert!(std::thread::panicking() || quick * 2 > all, "of {all} waits only {quick} were ended by a ring");
    }
}

impl WaitSet {
    /// Waits; what is not ready is null afterwards.
    pub fn wait(&self, what: &mut For, timeout: Option<Duration>) -> ffi::rmw_ret_t {
        let timeout = timeout.map(duration);
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let mut subscriptions = ffi::rmw_subscriptions_t {
            subscriber_count: what.subscriptions.len(),
            subscribers: what.subscriptions.as_mut_ptr(),
        };
        let mut guard_conditions = ffi::rmw_guard_conditions_t {
            guard_condition_count: what.guard_conditions.len(),
            guard_conditions: what.guard_conditions.as_mut_ptr(),
        };
        let mut services =
            ffi::rmw_services_t { service_count: what.services.len(), services: what.services.as_mut_ptr() };
        let mut clients = ffi::rmw_clients_t { client_count: what.clients.len(), clients: what.clients.as_mut_ptr() };
        let mut events = ffi::rmw_events_t { event_count: what.events.len(), events: what.events.as_mut_ptr() };
        unsafe {
            rmw_wait(
                &mut subscriptions,
                &mut guard_conditions,
                &mut services,
                &mut clients,
                &mut events,
                self.0,
                timeout,
            )
        }
    }
}

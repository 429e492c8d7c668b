//! Many threads on one thing: what rmw allows (publishing, taking), and what it does not (destroying what is waited for),
//! which must not crash either.

use crate::random::Random;
use crate::support::*;
use crate::types::{ask, pair, Pair};
use rmw_hazcat_rs::abi::client::{rmw_create_client, rmw_destroy_client};
use rmw_hazcat_rs::abi::graph::*;
use rmw_hazcat_rs::abi::guard_condition::{rmw_create_guard_condition, rmw_destroy_guard_condition};
use rmw_hazcat_rs::abi::init::{rmw_context_fini, rmw_init, rmw_shutdown};
use rmw_hazcat_rs::abi::init_options::rmw_init_options_fini;
use rmw_hazcat_rs::abi::node::{rmw_create_node, rmw_destroy_node, rmw_node_get_graph_guard_condition};
use rmw_hazcat_rs::abi::service::{rmw_create_service, rmw_destroy_service};
use rmw_hazcat_rs::abi::subscription::{rmw_create_subscription, rmw_destroy_subscription};
use rmw_hazcat_rs::abi::take::rmw_take_with_info;
use rmw_hazcat_rs::ffi;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Duration;

#[derive(Clone, Copy)]
struct Shared<T>(T);
unsafe impl<T> Send for Shared<T> {}
unsafe impl<T> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    /// (A method, so that closures capture the whole and not the field.)
    fn get(&self) -> T {
        self.0
    }
}

/// How often each is tried: `HAZCAT_TEST_ABUSE` times as often as usual.
fn times(usual: u64) -> u64 {
    usual * std::env::var("HAZCAT_TEST_ABUSE").map_or(1, |text| text.parse().expect("HAZCAT_TEST_ABUSE is a number"))
}

fn count(node: &Node, kind: &str) -> usize {
    let mut count = usize::MAX;
    let (node, name, out) = (node.0, c"/t".as_ptr(), &mut count);
    ok(unsafe {
        match kind {
            "subscription" => rmw_count_subscribers(node, name, out),
            "client" => rmw_count_clients(node, name, out),
            _ => rmw_count_services(node, name, out),
        }
    });
    count
}

/// Waits for ever for something that another thread destroys: the wait ends with nothing ready, and the graph has
/// forgotten the thing as soon as the function that destroys it has returned.
fn destroyed_while_waited_for(kind: &str, other_context: bool) {
    let domain = new_domain();
    let (mut context, mut other) = (Context::new(domain), Context::new(domain));
    let waits = if other_context { other.wait_set() } else { context.wait_set() };
    let raw: *mut ffi::rmw_context_t = &mut *context.0;
    let node = context.node("owner");
    let (name, profile) = (c"/t".as_ptr(), qos());
    let (mut random, prompt) = (Random::new("pauses"), Promptness::default());
    for round in 0..times(30) {
        let mut what = For::default();
        let destroy: Box<dyn Fn() -> ffi::rmw_ret_t> = unsafe {
            match kind {
                "subscription" => {
                    let options = ffi::rmw_subscription_options_t::default();
                    let made = rmw_create_subscription(node.0, pair(), name, &profile, &options);
                    what.subscriptions.push((*made).data);
                    Box::new(move || rmw_destroy_subscription(node.0, made))
                }
                "client" => {
                    let made = rmw_create_client(node.0, ask(), name, &profile);
                    what.clients.push((*made).data);
                    Box::new(move || rmw_destroy_client(node.0, made))
                }
                "service" => {
                    let made = rmw_create_service(node.0, ask(), name, &profile);
                    what.services.push((*made).data);
                    Box::new(move || rmw_destroy_service(node.0, made))
                }
                "node" => {
                    let made = rmw_create_node(raw, c"short".as_ptr(), c"/".as_ptr());
                    let condition = rmw_node_get_graph_guard_condition(made);
                    // The news of the node itself must not end the wait.
                    let data = (*condition).data;
                    while is_triggered_soon(&waits, data) {}
                    what.guard_conditions.push(data);
                    Box::new(move || rmw_destroy_node(made))
                }
                _ => {
                    let made = rmw_create_guard_condition(raw);
                    what.guard_conditions.push((*made).data);
                    Box::new(move || rmw_destroy_guard_condition(made))
                }
            }
        };
        // The first destroys come before, during and after the wait falls asleep, the others later. (A wait must have begun:
        // what is destroyed before is gone.)
        let pause = Duration::from_micros(random.below(if round % 2 == 0 { 300 } else { 3000 }) as u64);
        let (destroy, watched) = (Shared(&destroy), Shared(&node));
        let begun = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let begun = &begun;
            scope.spawn(move || {
                until("the wait", || begun.load(Ordering::Acquire) == 1);
                std::thread::sleep(Duration::from_millis(1) + pause);
                ok((destroy.get())());
                if !matches!(kind, "guard condition" | "node") {
                    assert_eq!(count(watched.get(), kind), 0, "round {round}");
                }
            });
            begun.store(1, Ordering::Release);
            prompt.wait(&waits, &mut what);
        });
        let left = [what.subscriptions, what.clients, what.services, what.guard_conditions].concat();
        // (The graph may have changed before its condition was destroyed.)
        assert!(kind == "node" || left == [std::ptr::null_mut::<c_void>()], "round {round}: {left:?}");
    }
}

fn is_triggered_soon(waits: &WaitSet, guard_condition: *mut c_void) -> bool {
    let mut what = For { guard_conditions: vec![guard_condition], ..For::default() };
    waits.wait(&mut what, Some(Duration::from_millis(10))) == OK
}

#[test]
fn a_subscription_is_destroyed_while_it_is_waited_for() {
    destroyed_while_waited_for("subscription", false);
    destroyed_while_waited_for("subscription", true);
}

#[test]
fn clients_services_and_guard_conditions_are_destroyed_while_they_are_waited_for() {
    for kind in ["client", "service", "guard condition", "node"] {
        destroyed_while_waited_for(kind, false);
    }
    destroyed_while_waited_for("service", true);
}

/// rclcpp's executors do not own the guard conditions that they wait for: one that goes just before the wait begins ends it,
/// and what lies in its place by then stays as it is.
#[test]
fn a_guard_condition_is_destroyed_before_it_is_waited_for() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("owner"));
    let raw: *mut ffi::rmw_context_t = &mut *context.0;
    for kind in ["guard condition", "graph"] {
        let data = unsafe {
            if kind == "graph" {
                let other = rmw_create_node(raw, c"other".as_ptr(), c"/".as_ptr());
                let data = (*rmw_node_get_graph_guard_condition(other)).data;
                ok(rmw_destroy_node(other));
                data
            } else {
                let made = rmw_create_guard_condition(raw);
                let data = (*made).data;
                ok(rmw_destroy_guard_condition(made));
                data
            }
        };
        // (Not by calloc, which does not take what was freed last.)
        let zeros = |size| [0_u8; 200][..size].to_vec();
        let others: Vec<Vec<u8>> = (1..200).map(zeros).collect();
        let mut what = For { guard_conditions: vec![data], ..For::default() };
        ok(waits.wait(&mut what, Some(WATCHDOG)));
        assert_eq!(what.guard_conditions, [std::ptr::null_mut::<c_void>()]);
        assert!(others.iter().flatten().all(|byte| *byte == 0));
    }
    drop(node);
}

/// One publisher used by several threads, one subscription by several others: every message arrives once, whole, and the
/// messages of a thread in their order.
#[test]
fn many_threads_publish_and_take() {
    const PUBLISHING: u64 = 4;
    const TAKING: usize = 4;
    let each = times(3_000);
    let mut context = Context::new(new_domain());
    let node = context.node("crowded");
    let everything = ffi::rmw_qos_profile_t { history: ffi::RMW_QOS_POLICY_HISTORY_KEEP_ALL, ..qos() };
    let subscription = node.subscription("/t", pair(), &everything);
    let shared = Shared(subscription.0);
    let publisher = node.publisher("/t", pair(), &everything);
    // Of each message: number of its publication, of its reception, and its id.
    let got: Mutex<Vec<(u64, u64, u64)>> = Mutex::default();
    let taken_by_now = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (publisher, got, taken_by_now) = (Shared(&publisher), &got, &taken_by_now);
        for thread in 0..PUBLISHING {
            scope.spawn(move || {
                for number in 0..each {
                    let id = thread << 32 | number;
                    publisher.get().publish(&Pair { id, flag: id % 2 == 1, value: id as f64 });
                }
            });
        }
        for _ in 0..TAKING {
            scope.spawn(move || {
                let mut own = Vec::new();
                until("all messages", || {
                    while let Some((info, message)) = take_with_info(shared.get()) {
                        assert_eq!((message.flag, message.value), (message.id % 2 == 1, message.id as f64));
                        own.push((info.publication_sequence_number, info.reception_sequence_number, message.id));
                        taken_by_now.fetch_add(1, Ordering::Relaxed);
                    }
                    taken_by_now.load(Ordering::Relaxed) == PUBLISHING * each
                });
                got.lock().unwrap().extend(own);
            });
        }
    });
    let mut got = got.into_inner().unwrap();
    got.sort_unstable();
    let numbers: Vec<u64> = got.iter().map(|(publication, _, _)| *publication).collect();
    assert_eq!(numbers, (numbers[0]..numbers[0] + PUBLISHING * each).collect::<Vec<_>>(), "each number once");
    let mut receptions: Vec<u64> = got.iter().map(|(_, reception, _)| *reception).collect();
    receptions.sort_unstable();
    assert_eq!(receptions, (receptions[0]..receptions[0] + PUBLISHING * each).collect::<Vec<_>>());
    let mut next = [0; PUBLISHING as usize];
    for (_, _, id) in got {
        let thread = (id >> 32) as usize;
        assert_eq!(id & u64::from(u32::MAX), next[thread], "in the order of thread {thread}");
        next[thread] += 1;
    }
    assert_eq!(next, [each; PUBLISHING as usize]);
    assert!(take_with_info(subscription.0).is_none());
}

fn take_with_info(subscription: *const ffi::rmw_subscription_t) -> Option<(ffi::rmw_message_info_t, Pair)> {
    let (mut message, mut info, mut taken) = (Pair::default(), ffi::rmw_message_info_t::default(), false);
    let out: *mut Pair = &mut message;
    ok(unsafe { rmw_take_with_info(subscription, out.cast(), &mut taken, &mut info, std::ptr::null_mut()) });
    taken.then_some((info, message))
}

/// Contexts come and go in several threads at once, two of them in one domain, each with a topic of its own that works; what
/// is left of them is nothing.
#[test]
fn contexts_come_and_go_in_many_threads() {
    let rounds = times(8);
    let domains = [new_domain(), new_domain()];
    let mut observers = domains.map(Context::new);
    let observers = observers.each_mut().map(|context| context.node("observer"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..rounds {
                    come_and_go(domains[thread % 2], thread as u64 * 1_000 + round);
                }
            });
        }
    });
    for observer in &observers {
        until("everybody has left", || node_names(observer) == 1);
        let mut topics = ffi::rmw_names_and_types_t::default();
        let mut allocator = default_allocator();
        ok(unsafe { rmw_get_topic_names_and_types(observer.0, &mut allocator, true, &mut topics) });
        assert_eq!(topics.names.size, 0);
    }
}

fn come_and_go(domain: usize, id: u64) {
    let mut context = Context::new(domain);
    let waits = context.wait_set();
    let node = context.node(&format!("n{id}"));
    let topic = format!("/t{id}");
    let subscription = node.subscription(&topic, pair(), &qos());
    let publisher = node.publisher(&topic, pair(), &qos());
    let (client, service) = (node.client("/s", ask()), node.service("/s", ask()));
    publisher.publish(&Pair { id, ..Pair::default() });
    let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    let mut message = Pair::default();
    assert!(subscription.take(&mut message) && message.id == id);
    // In any order: the server last, or the client.
    if id % 2 == 0 {
        drop(client);
        drop(service);
    }
}

fn node_names(node: &Node) -> usize {
    let mut names = ffi::rcutils_string_array_t::default();
    let mut namespaces = ffi::rcutils_string_array_t::default();
    ok(unsafe { rmw_get_node_names(node.0, &mut names, &mut namespaces) });
    let count = names.size;
    let _ = unsafe { ffi::rcutils_string_array_fini(&mut names) };
    let _ = unsafe { ffi::rcutils_string_array_fini(&mut namespaces) };
    count
}

/// The same context is shut down by several threads while others use it: each gets what it asks for or an error.
#[test]
fn a_context_is_shut_down_while_others_create() {
    let domain = new_domain();
    for _ in 0..times(20) {
        let mut options = options(domain, default_allocator());
        let mut context = Box::new(ffi::rmw_context_t::default());
        ok(unsafe { rmw_init(&options, &mut *context) });
        ok(unsafe { rmw_init_options_fini(&mut options) });
        let context = Shared(std::ptr::from_mut(&mut *context));
        let made = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let made = &made;
                scope.spawn(move || {
                    for number in 0..20 {
                        let name = std::ffi::CString::new(format!("n{thread}_{number}")).unwrap();
                        let node = unsafe { rmw_create_node(context.get(), name.as_ptr(), c"/".as_ptr()) };
                        if node.is_null() {
                            assert!(error().contains("shut down"));
                        } else {
                            made.fetch_add(1, Ordering::Relaxed);
                            ok(unsafe { rmw_destroy_node(node) });
                        }
                    }
                });
            }
            for _ in 0..2 {
                let made = &made;
                scope.spawn(move || {
                    until("the first node", || made.load(Ordering::Relaxed) > 0);
                    ok(unsafe { rmw_shutdown(context.get()) });
                });
            }
        });
        ok(unsafe { rmw_context_fini(context.get()) });
    }
}

/// A program that waits for SIGTERM with `sigwait` has blocked it in its own threads; it must not end because of ours.
#[test]
fn threads_of_ours_take_no_signals() {
    let context = Context::new(new_domain());
    let mut looked_at = Vec::new();
    // A thread gives itself its name.
    until("both threads", || {
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            // Threads of other tests end meanwhile.
            let Ok(status) = std::fs::read_to_string(task.unwrap().path().join("status")) else { continue };
            let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
            if !field("Name:").starts_with("hazcat-") {
                continue;
            }
            let blocked = u64::from_str_radix(field("SigBlk:"), 16).unwrap();
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGALRM, libc::SIGUSR1] {
                assert!(blocked & 1 << (signal - 1) != 0, "{} takes signal {signal}", field("Name:"));
            }
            looked_at.push(field("Name:").to_owned());
        }
        ["hazcat-news", "hazcat-dispatch"].iter().all(|name| looked_at.iter().any(|other| other == name))
    });
    drop(context);
}

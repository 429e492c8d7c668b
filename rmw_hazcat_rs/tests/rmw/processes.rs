//! Two processes: this test binary, started again with a part to play.

use crate::support::*;
use crate::types::{ask, pair, text, Pair, Text};
use rmw_hazcat_rs::abi::client::{rmw_send_request, rmw_service_server_is_available, rmw_take_response};
use rmw_hazcat_rs::abi::graph::rmw_count_publishers;
use rmw_hazcat_rs::abi::service::{rmw_send_response, rmw_take_request};
use rmw_hazcat_rs::ffi;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PART: &str = "HAZCAT_TEST_PART";

/// Starts this binary again, to run only the ignored test `part`; or the one that `HAZCAT_TEST_PEER` names, which was built at
/// another ROS 2 level.
pub fn start(part: &str, domain: usize) -> Process {
    let peer = std::env::var_os("HAZCAT_TEST_PEER").map(std::path::PathBuf::from);
    let child = Command::new(peer.unwrap_or_else(|| std::env::current_exe().unwrap()))
        .args(["--exact", &format!("processes::{part}"), "--ignored", "--nocapture"])
        .env(PART, domain.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Process(child)
}

pub struct Process(Child);

impl Process {
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Process {
    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.0.id()).unwrap();
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn domain() -> Option<usize> {
    std::env::var(PART).ok().map(|text| text.parse().unwrap())
}

/// Plays until it is killed.
#[test]
#[ignore = "a part of other tests"]
fn talker() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let node = context.node("talker");
    let (pairs, texts) = (node.publisher("/pair", pair(), &qos()), node.publisher("/text", text(), &qos()));
    for id in 0.. {
        pairs.publish(&Pair { id, flag: true, value: id as f64 });
        texts.publish(&Text::of(&format!("text {id}")));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Publishes regularly, with a deadline and leases, until it is killed.
#[test]
#[ignore = "a part of other tests"]
fn metronome() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let node = context.node("metronome");
    let manual = crate::liveliness::manual(METRONOME_LEASE);
    let automatic = crate::liveliness::automatic(METRONOME_LEASE);
    let publishers = [
        node.publisher("/manual", pair(), &manual),
        node.publisher("/automatic", pair(), &automatic),
        node.publisher("/deadline", pair(), &crate::deadlines::every(METRONOME_LEASE)),
        node.publisher("/endless", pair(), &qos()),
    ];
    loop {
        for publisher in &publishers {
            publisher.publish(&Pair::default());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Deadline and lease of the metronome: long beside the pauses of a loaded machine.
pub const METRONOME_LEASE: Duration = Duration::from_millis(400);

/// Answers until it is killed.
#[test]
#[ignore = "a part of other tests"]
fn server() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("server"));
    let service = node.service("/ask", ask());
    loop {
        let mut what = For { services: vec![unsafe { (*service.0).data }], ..For::default() };
        ok(waits.wait(&mut what, None));
        let (mut request, mut info, mut taken) = (Pair::default(), ffi::rmw_service_info_t::default(), false);
        ok(unsafe { rmw_take_request(service.0, &mut info, std::ptr::from_mut(&mut request).cast(), &mut taken) });
        if taken {
            let mut response = Text::of(&format!("{} squared is {}", request.id, request.id * request.id));
            let id = &mut info.request_id;
            ok(unsafe { rmw_send_response(service.0, id, std::ptr::from_mut(&mut response).cast()) });
        }
    }
}

/// Takes requests and never answers, until it is killed. Publishes those that it has.
#[test]
#[ignore = "a part of other tests"]
fn sink() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("sink"));
    let service = node.service("/ask", ask());
    let taken = node.publisher("/taken", pair(), &qos());
    loop {
        let mut what = For { services: vec![unsafe { (*service.0).data }], ..For::default() };
        ok(waits.wait(&mut what, None));
        if let Some((request, _)) = crate::services::take_request(&service) {
            taken.publish(&request);
        }
    }
}

/// Asks without end, never looks for answers, until it is killed.
#[test]
#[ignore = "a part of other tests"]
fn asker() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let node = context.node("asker");
    let client = node.client("/ask", ask());
    for id in 0.. {
        crate::services::send(&client, id);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn messages_cross_processes_and_the_dead_leave_the_graph() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("listener"));
    let (pairs, texts) = (node.subscription("/pair", pair(), &qos()), node.subscription("/text", text(), &qos()));
    let mut talker = start("talker", domain);
    let (mut message, mut line, mut last, mut received) = (Pair::default(), Text::new(), None, 0);
    while received < 100 {
        let mut what = For { subscriptions: vec![pairs.data(), texts.data()], ..For::default() };
        ok(waits.wait(&mut what, Some(WATCHDOG)));
        while pairs.take(&mut message) {
            assert_eq!((message.flag, message.value), (true, message.id as f64));
            assert!(last.is_none_or(|last| message.id > last), "in order");
            last = Some(message.id);
            received += 1;
        }
        while texts.take(&mut line) {
            assert!(line.get().starts_with("text "));
        }
    }
    let publishers = || {
        let mut count = 99;
        ok(unsafe { rmw_count_publishers(node.0, c"/pair".as_ptr(), &mut count) });
        count
    };
    until("the talker's appearance", || publishers() == 1);
    talker.kill();
    until("the talker's disappearance", || publishers() == 0);
    // And a new one is heard.
    let _talker = start("talker", domain);
    while pairs.take(&mut message) {}
    let mut what = For { subscriptions: vec![pairs.data()], ..For::default() };
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    assert!(pairs.take(&mut message));
}

#[test]
fn services_cross_processes() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("client"));
    let client = node.client("/ask", ask());
    let mut server = start("server", domain);
    let available = || {
        let mut available = false;
        ok(unsafe { rmw_service_server_is_available(node.0, client.0, &mut available) });
        available
    };
    until("the server's appearance", available);
    for id in 0..200 {
        let (request, mut number) = (Pair { id, ..Pair::default() }, 0);
        ok(unsafe { rmw_send_request(client.0, std::ptr::from_ref(&request).cast(), &mut number) });
        let mut what = For { clients: vec![unsafe { (*client.0).data }], ..For::default() };
        ok(waits.wait(&mut what, Some(WATCHDOG)));
        let (mut response, mut info, mut taken) = (Text::new(), ffi::rmw_service_info_t::default(), false);
        let out = std::ptr::from_mut(&mut response).cast();
        ok(unsafe { rmw_take_response(client.0, &mut info, out, &mut taken) });
        assert!(taken);
        assert_eq!(info.request_id.sequence_number, number);
        assert_eq!(response.get(), format!("{id} squared is {}", id * id));
    }
    server.kill();
    until("the server's disappearance", || !available());
}

/// A forked child owns nothing of its parent's: it may give everything back, but reaches nobody.
#[test]
fn a_forked_child_is_refused_and_can_clean_up() {
    let mut context = Context::new(new_domain());
    let (node, waits) = (context.node("parent"), context.wait_set());
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &qos());
    // SAFETY: the child uses only what works behind a fork, and ends without running any handlers.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let message = std::ptr::from_ref(&Pair::default()).cast();
        let refused = unsafe { rmw_hazcat_rs::abi::publisher::rmw_publish(publisher.0, message, std::ptr::null_mut()) };
        let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
        let waited = waits.wait(&mut what, Some(Duration::from_millis(1)));
        drop((subscription, publisher));
        drop((waits, node));
        drop(context);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if refused != OK && waited == ffi::RMW_RET_ERROR { 0 } else { 1 }) };
    }
    let mut status = -1;
    until("the end of the child", || unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child);
    assert_eq!(status, 0, "the child's exit status");
    publisher.publish(&Pair { id: 8, ..Pair::default() });
    let mut message = Pair::default();
    assert!(subscription.take(&mut message), "the parent has lost nothing");
    assert_eq!(message.id, 8);
}

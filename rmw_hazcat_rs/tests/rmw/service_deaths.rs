//! Servers and clients that are killed in the middle, and what the others see of it.

use crate::processes::{start, Process};
use crate::services::{is_available, respond, send, take_request, take_response};
use crate::support::*;
use crate::types::{ask, pair, Pair};
use rmw_hazcat_rs::ffi;
use std::collections::HashSet;
use std::time::Duration;

fn wait_for_answer(waits: &WaitSet, client: &Client<'_>) -> (String, i64) {
    let mut what = For { clients: vec![unsafe { (*client.0).data }], ..For::default() };
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    take_response(client).expect("it was woken for an answer")
}

/// A server that takes requests and never answers.
fn start_sink(domain: usize, node: &Node) -> Process {
    let process = start("sink", domain);
    until("the server's announcement", || {
        let mut count = 0;
        let name = c"/taken".as_ptr();
        ok(unsafe { rmw_hazcat_rs::abi::graph::rmw_count_publishers(node.0, name, &mut count) });
        count == 1
    });
    process
}

#[test]
fn a_server_that_dies_with_a_request_leaves_the_client_usable() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("client"));
    let client = node.client("/ask", ask());
    let taken = node.subscription("/taken", pair(), &qos());
    let mut sink = start_sink(domain, &node);
    until("the server", || is_available(&node, &client));

    let first = send(&client, 3);
    let mut what = For { subscriptions: vec![taken.data()], ..For::default() };
    ok(waits.wait(&mut what, Some(WATCHDOG)));
    assert!(taken.take(&mut Pair::default()), "the server has the request");
    // One more, which it may or may not take before it dies.
    send(&client, 4);
    sink.kill();
    until("the end of the server", || !is_available(&node, &client));
    let mut what = For { clients: vec![unsafe { (*client.0).data }], ..For::default() };
    assert_eq!(waits.wait(&mut what, Some(Duration::from_millis(50))), ffi::RMW_RET_TIMEOUT, "nobody answers");

    // Its successor answers what comes from now on, and nothing of before.
    let _server = start("server", domain);
    until("the next server", || is_available(&node, &client));
    let number = send(&client, 5);
    assert_eq!(wait_for_answer(&waits, &client), ("5 squared is 25".into(), number));
    assert!(number > first && take_response(&client).is_none());
}

#[test]
fn the_other_server_goes_on() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("client"));
    let client = node.client("/ask", ask());
    let mut sink = start_sink(domain, &node);
    let server = node.service("/ask", ask());
    for id in 0..60 {
        let number = send(&client, id);
        if id == 30 {
            sink.kill();
        }
        let (request, info) = take_request(&server).expect("this server gets every request");
        assert_eq!(request.id, id);
        respond(&server, &info.request_id, "here");
        assert_eq!(wait_for_answer(&waits, &client), ("here".into(), number));
    }
    assert!(is_available(&node, &client));
}

/// Requests of the dead are still there, and answering them is no error; the living are served.
#[test]
fn a_client_that_dies_costs_the_server_nothing() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("server"));
    let deep = ffi::rmw_qos_profile_t { depth: 1000, ..qos() };
    let service = node.service_with("/ask", ask(), &deep);
    let client = node.client("/ask", ask());
    let mut askers = [start("asker", domain), start("asker", domain)];
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    while seen.len() < 2 || ids.len() < 20 {
        let mut what = For { services: vec![unsafe { (*service.0).data }], ..For::default() };
        ok(waits.wait(&mut what, Some(WATCHDOG)));
        while let Some((_, info)) = take_request(&service) {
            seen.insert(info.request_id.writer_guid);
            ids.push(info.request_id);
            // Of some, the way to the client is open when it dies.
            if ids.len() % 2 == 0 {
                respond(&service, &info.request_id, "in time");
            }
        }
    }
    for asker in &mut askers {
        asker.kill();
    }
    let number = send(&client, 9);
    for id in &ids {
        respond(&service, id, "too late");
    }
    // What the dead had asked comes first, then what the living asks.
    let (mut request, mut info) = take_request(&service).expect("at least one");
    while request.id != 9 || info.request_id.sequence_number != number || seen.contains(&info.request_id.writer_guid) {
        respond(&service, &info.request_id, "too late");
        (request, info) = take_request(&service).expect("the last one is the living client's");
    }
    respond(&service, &info.request_id, "alive");
    assert_eq!(wait_for_answer(&waits, &client), ("alive".into(), number));

    // Nothing of the dead clients' reply topics stays. (One way is the living client's.)
    until("the end of their reply topics", || reply_topics(domain) == 1);
}

fn reply_topics(domain: usize) -> usize {
    let folder = format!("/dev/shm/hazcat-{}-{domain}/topics", unsafe { libc::getuid() });
    let files = std::fs::read_dir(&folder).unwrap().flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with("rr")).count()
}

/// Programs make a client for every call. The graph may never have shown it when it is gone.
#[test]
fn clients_that_come_and_go_leave_no_way_open() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let (waits, node) = (context.wait_set(), context.node("calls"));
    let service = node.service("/ask", ask());
    let mut gone = Vec::new();
    for id in 0..50 {
        let client = node.client("/ask", ask());
        let number = send(&client, id);
        let (_, info) = take_request(&service).expect("the request");
        respond(&service, &info.request_id, "here");
        assert_eq!(wait_for_answer(&waits, &client), ("here".into(), number));
        assert!(reply_topics(domain) <= 2, "of call {id}");
        gone.push(info.request_id);
    }
    // To answer them once more opens nothing.
    gone.iter().for_each(|id| respond(&service, id, "again"));
    assert!(reply_topics(domain) <= 1);
}

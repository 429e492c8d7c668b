//! Services and clients.

use crate::support::*;
use crate::types::{ask, Pair, Text};
use rmw_hazcat_rs::abi::client::{rmw_send_request, rmw_service_server_is_available, rmw_take_response};
use rmw_hazcat_rs::abi::service::{rmw_send_response, rmw_take_request};
use rmw_hazcat_rs::ffi;
use std::time::Duration;

pub fn send(client: &Client<'_>, id: u64) -> i64 {
    let (request, mut number) = (Pair { id, ..Pair::default() }, 0);
    ok(unsafe { rmw_send_request(client.0, std::ptr::from_ref(&request).cast(), &mut number) });
    number
}

pub fn take_request(service: &Service<'_>) -> Option<(Pair, ffi::rmw_service_info_t)> {
    let (mut request, mut info, mut taken) = (Pair::default(), ffi::rmw_service_info_t::default(), false);
    ok(unsafe { rmw_take_request(service.0, &mut info, std::ptr::from_mut(&mut request).cast(), &mut taken) });
    taken.then_some((request, info))
}

pub fn respond(service: &Service<'_>, id: &ffi::rmw_request_id_t, text: &str) {
    let (mut id, mut response) = (*id, Text::of(text));
    ok(unsafe { rmw_send_response(service.0, &mut id, std::ptr::from_mut(&mut response).cast()) });
}

pub fn take_response(client: &Client<'_>) -> Option<(String, i64)> {
    let (mut response, mut info, mut taken) = (Text::new(), ffi::rmw_service_info_t::default(), false);
    ok(unsafe { rmw_take_response(client.0, &mut info, std::ptr::from_mut(&mut response).cast(), &mut taken) });
    taken.then(|| (response.get(), info.request_id.sequence_number))
}

pub fn is_available(node: &Node, client: &Client<'_>) -> bool {
    let mut available = false;
    ok(unsafe { rmw_service_server_is_available(node.0, client.0, &mut available) });
    available
}

#[test]
fn every_client_gets_its_own_answers() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (server_node, client_node) = (here.node("server"), there.node("clients"));
    let service = server_node.service("/ask", ask());
    let clients = [client_node.client("/ask", ask()), client_node.client("/ask", ask())];
    until("the server's appearance", || is_available(&client_node, &clients[0]));

    let numbers = [send(&clients[0], 10), send(&clients[1], 20), send(&clients[0], 11)];
    assert_ne!(numbers[0], numbers[2]);
    for _ in 0..3 {
        let (request, info) = take_request(&service).expect("a request");
        respond(&service, &info.request_id, &format!("answer {}", request.id));
    }
    assert!(take_request(&service).is_none());
    assert_eq!(take_response(&clients[0]), Some(("answer 10".into(), numbers[0])));
    assert_eq!(take_response(&clients[0]), Some(("answer 11".into(), numbers[2])));
    assert_eq!(take_response(&clients[0]), None);
    assert_eq!(take_response(&clients[1]), Some(("answer 20".into(), numbers[1])));
}

#[test]
fn requests_and_answers_wake_wait_sets() {
    let mut context = Context::new(new_domain());
    let (waits, node) = (context.wait_set(), context.node("waits"));
    let (service, client) = (node.service("/ask", ask()), node.client("/ask", ask()));
    let mut what = For {
        services: vec![unsafe { (*service.0).data }],
        clients: vec![unsafe { (*client.0).data }],
        ..For::default()
    };
    assert_eq!(waits.wait(&mut what, Some(Duration::from_millis(1))), ffi::RMW_RET_TIMEOUT);
    assert!(what.services[0].is_null() && what.clients[0].is_null());

    send(&client, 1);
    what.services[0] = unsafe { (*service.0).data };
    what.clients[0] = unsafe { (*client.0).data };
    ok(waits.wait(&mut what, None));
    assert!(!what.services[0].is_null() && what.clients[0].is_null());
    let (_, info) = take_request(&service).unwrap();
    respond(&service, &info.request_id, "yes");
    what.clients[0] = unsafe { (*client.0).data };
    ok(waits.wait(&mut what, None));
    assert!(what.services[0].is_null() && !what.clients[0].is_null());
}

#[test]
fn a_client_that_is_gone_is_no_error_and_leaves_nothing() {
    let domain = new_domain();
    let mut here = Context::new(domain);
    let server_node = here.node("server");
    let service = server_node.service("/ask", ask());
    let id = {
        let mut there = Context::new(domain);
        let node = there.node("client");
        let client = node.client("/ask", ask());
        send(&client, 1);
        let (_, info) = take_request(&service).unwrap();
        respond(&service, &info.request_id, "in time");
        assert_eq!(take_response(&client).unwrap().0, "in time");
        info.request_id
    };
    respond(&service, &id, "too late");
    // The way to the client closes when the news has come.
    let folder = format!("/dev/shm/hazcat-{}-{domain}/topics", unsafe { libc::getuid() });
    until("the end of the reply topic", || {
        std::fs::read_dir(&folder).unwrap().flatten().all(|file| !file.file_name().to_string_lossy().starts_with("rr"))
            || {
                respond(&service, &id, "still nobody");
                false
            }
    });
}

#[test]
fn availability_follows_the_server() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (server_node, client_node) = (here.node("server"), there.node("client"));
    let client = client_node.client("/ask", ask());
    assert!(!is_available(&client_node, &client));
    let service = server_node.service("/ask", ask());
    until("the server's appearance", || is_available(&client_node, &client));
    drop(service);
    until("the server's disappearance", || !is_available(&client_node, &client));
}

/// Every server answers every request; the client tells the answers apart by nothing, as over DDS.
#[test]
fn two_servers_both_answer() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (one, other) = (here.node("one"), there.node("other"));
    let servers = [one.service("/ask", ask()), other.service("/ask", ask())];
    let clients = [one.client("/ask", ask()), other.client("/ask", ask())];
    for (at, client) in clients.iter().enumerate() {
        let number = send(client, at as u64);
        for (name, server) in ["first", "second"].into_iter().zip(&servers) {
            let (request, info) = take_request(server).expect("a request for each server");
            assert_eq!((request.id, info.request_id.sequence_number), (at as u64, number));
            respond(server, &info.request_id, name);
        }
        assert_eq!(take_response(client), Some(("first".into(), number)));
        assert_eq!(take_response(client), Some(("second".into(), number)));
    }
    assert!(clients.iter().all(|client| take_response(client).is_none()));
}

#[test]
fn a_thousand_requests_and_answers_wait_unread() {
    const MANY: usize = 1000;
    let mut context = Context::new(new_domain());
    let node = context.node("deep");
    let deep = ffi::rmw_qos_profile_t { depth: MANY, ..qos() };
    let (service, client) = (node.service_with("/ask", ask(), &deep), node.client_with("/ask", ask(), &deep));
    let numbers: Vec<i64> = (0..MANY as u64).map(|id| send(&client, id)).collect();
    for id in 0..MANY as u64 {
        let (request, info) = take_request(&service).expect("none is lost");
        assert_eq!(request.id, id);
        respond(&service, &info.request_id, &id.to_string());
    }
    for (id, number) in numbers.into_iter().enumerate() {
        assert_eq!(take_response(&client), Some((id.to_string(), number)));
    }
    assert!(take_response(&client).is_none());
}

/// Ten thousand, where the first endpoint says so.
#[test]
fn ten_thousand_requests_wait_unread() {
    let mut context = Context::new(new_domain());
    let node = context.node("deep");
    let deep = ffi::rmw_qos_profile_t { depth: 10_000, ..qos() };
    let (service, client) = (node.service_with("/ask", ask(), &deep), node.client("/ask", ask()));
    for id in 0..10_000 {
        send(&client, id);
    }
    for id in 0..10_000 {
        assert_eq!(take_request(&service).expect("none is lost").0.id, id);
    }
}

#[test]
fn every_request_and_every_answer_is_called_back() {
    use crate::events::Told;
    use rmw_hazcat_rs::abi::callbacks::{
        rmw_client_set_on_new_response_callback, rmw_service_set_on_new_request_callback,
    };
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (one, other) = (here.node("one"), there.node("other"));
    let (service, client) = (one.service("/ask", ask()), other.client("/ask", ask()));
    let (requests, answers) = (Told::default(), Told::default());
    ok(unsafe { rmw_service_set_on_new_request_callback(service.0, Some(crate::events::tell), requests.data()) });
    ok(unsafe { rmw_client_set_on_new_response_callback(client.0, Some(crate::events::tell), answers.data()) });
    for round in 1..=50 {
        send(&client, round as u64);
        until("the request's callback", || requests.events() == round);
        let (_, info) = take_request(&service).unwrap();
        respond(&service, &info.request_id, "yes");
        until("the answer's callback", || answers.events() == round);
        assert!(take_response(&client).is_some());
    }
}

/// Bytes of shared memory that a domain has.
fn memory(domain: usize) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fn of(folder: &std::path::Path) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => of(&entry.path()),
            // A second name of the same file counts for nothing.
            Ok(meta) => meta.blocks() * 512 / meta.nlink().max(1),
            Err(_) => 0,
        };
        entries.map(bytes).sum()
    }
    let folders = std::fs::read_dir("/dev/shm").unwrap().flatten().map(|entry| entry.path());
    let own = format!("hazcat-{}-{domain}", unsafe { libc::getuid() });
    folders.filter(|path| path.to_string_lossy().contains(&own)).map(|path| of(&path)).sum()
}

/// Many ask for the same map once, and keep their clients.
#[test]
fn large_answers_do_not_keep_their_memory() {
    const MANY: usize = 30;
    const LARGE: usize = 2 << 20;
    let domain = new_domain();
    let mut context = Context::new(domain);
    let node = context.node("map");
    let service = node.service("/map", ask());
    let map = "m".repeat(LARGE);
    let clients: Vec<_> = (0..MANY).map(|_| node.client("/map", ask())).collect();
    let ask_once = |client: &Client<'_>| {
        send(client, 1);
        let (_, info) = take_request(&service).unwrap();
        respond(&service, &info.request_id, &map);
    };
    for client in &clients {
        ask_once(client);
        assert_eq!(take_response(client).unwrap().0.len(), LARGE);
    }
    assert!(memory(domain) < 60 << 20, "{} bytes", memory(domain));
    // What nobody has read yet is not lost with the way, and goes when it is read.
    for client in &clients[..MANY / 2] {
        ask_once(client);
        ask_once(client);
    }
    for client in &clients[..MANY / 2] {
        assert_eq!([take_response(client).unwrap().0.len(), take_response(client).unwrap().0.len()], [LARGE; 2]);
    }
    until("the end of what was read", || memory(domain) < 80 << 20);
}

//! Services and clients.

use crate::support::*;
use crate::types::{ask, Pair, Text};
use rmw_hazcat_rs::abi::client::{rmw_send_request, rmw_service_server_is_available, rmw_take_response};
use rmw_hazcat_rs::abi::service::{rmw_send_response, rmw_take_request};
use rmw_hazcat_rs::ffi;
use std::time::Duration;

fn send(client: &Client<'_>, id: u64) -> i64 {
    let (request, mut number) = (Pair { id, ..Pair::default() }, 0);
    ok(unsafe { rmw_send_request(client.0, std::ptr::from_ref(&request).cast(), &mut number) });
    number
}

fn take_request(service: &Service<'_>) -> Option<(Pair, ffi::rmw_service_info_t)> {
    let (mut request, mut info, mut taken) = (Pair::default(), ffi::rmw_service_info_t::default(), false);
    ok(unsafe { rmw_take_request(service.0, &mut info, std::ptr::from_mut(&mut request).cast(), &mut taken) });
    taken.then_some((request, info))
}

fn respond(service: &Service<'_>, id: &ffi::rmw_request_id_t, text: &str) {
    let (mut id, mut response) = (*id, Text::of(text));
    ok(unsafe { rmw_send_response(service.0, &mut id, std::ptr::from_mut(&mut response).cast()) });
}

fn take_response(client: &Client<'_>) -> Option<(String, i64)> {
    let (mut response, mut info, mut taken) = (Text::new(), ffi::rmw_service_info_t::default(), false);
    ok(unsafe { rmw_take_response(client.0, &mut info, std::ptr::from_mut(&mut response).cast(), &mut taken) });
    taken.then(|| (response.get(), info.request_id.sequence_number))
}

fn is_available(node: &Node, client: &Client<'_>) -> bool {
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

//! Questions about the graph, over two contexts.

use crate::support::*;
use crate::types::{ask, other_pair, pair, text};
use rmw_hazcat_rs::abi::endpoint_info::*;
use rmw_hazcat_rs::abi::graph::*;
use rmw_hazcat_rs::abi::node::rmw_node_get_graph_guard_condition;
use rmw_hazcat_rs::ffi;
use std::collections::BTreeMap;
use std::ffi::{c_char, CStr, CString};

fn string(pointer: *const c_char) -> String {
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned()
}

fn strings(array: &ffi::rcutils_string_array_t) -> Vec<String> {
    (0..array.size).map(|index| string(unsafe { *array.data.add(index) })).collect()
}

/// Reads names and types and gives them back.
fn names(
    fill: impl FnOnce(*mut ffi::rcutils_allocator_t, *mut ffi::rmw_names_and_types_t) -> ffi::rmw_ret_t,
) -> BTreeMap<String, Vec<String>> {
    let (mut allocator, mut out) = (default_allocator(), ffi::rmw_names_and_types_t::default());
    ok(fill(&mut allocator, &mut out));
    let found = strings(&out.names)
        .into_iter()
        .enumerate()
        .map(|(index, name)| (name, strings(unsafe { &*out.types.add(index) })))
        .collect();
    for index in 0..out.names.size {
        assert_eq!(unsafe { ffi::rcutils_string_array_fini(out.types.add(index)) }, 0);
    }
    unsafe { libc::free(out.types.cast()) };
    assert_eq!(unsafe { ffi::rcutils_string_array_fini(&mut out.names) }, 0);
    found
}

fn topics(node: &Node, mangled: bool) -> BTreeMap<String, Vec<String>> {
    names(|allocator, out| unsafe { rmw_get_topic_names_and_types(node.0, allocator, mangled, out) })
}

fn map<const N: usize>(entries: [(&str, &[&str]); N]) -> BTreeMap<String, Vec<String>> {
    let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
    entries.into_iter().map(|(name, types)| (name.to_owned(), owned(types))).collect()
}

#[test]
fn topics_and_services_with_their_types() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (node, asking) = (here.node("full"), there.node("asking"));
    let native = ffi::rmw_qos_profile_t { avoid_ros_namespace_conventions: true, ..qos() };
    let _endpoints = (
        node.publisher("/t", pair(), &qos()),
        node.subscription("/t", other_pair(), &qos()),
        node.publisher("raw", text(), &native),
        node.service("/ask", ask()),
        node.client("/ask", ask()),
        node.service_with("/native", ask(), &native),
        node.client_with("/native", ask(), &native),
    );
    let ros = map([("/t", &["test/msg/OtherPair", "test/msg/Pair"])]);
    until("the news", || topics(&asking, false) == ros);
    let mangled = map([
        ("/nativeReply", &["test::srv::dds_::Ask_Response_"]),
        ("/nativeRequest", &["test::srv::dds_::Ask_Request_"]),
        ("raw", &["test::msg::dds_::Text_"]),
        ("rq/askRequest", &["test::srv::dds_::Ask_Request_"]),
        ("rr/askReply", &["test::srv::dds_::Ask_Response_"]),
        ("rt/t", &["test::msg::dds_::OtherPair_", "test::msg::dds_::Pair_"]),
    ]);
    until("the news", || topics(&asking, true) == mangled);
    let services = names(|allocator, out| unsafe { rmw_get_service_names_and_types(asking.0, allocator, out) });
    assert_eq!(services, map([("/ask", &["test/srv/Ask"])]));

    type ByNode = unsafe extern "C" fn(
        *const ffi::rmw_node_t,
        *mut ffi::rcutils_allocator_t,
        *const c_char,
        *const c_char,
        bool,
        *mut ffi::rmw_names_and_types_t,
    ) -> ffi::rmw_ret_t;
    let by_node = |function: ByNode, mangled| {
        names(|allocator, out| unsafe {
            function(asking.0, allocator, c"full".as_ptr(), c"/ns".as_ptr(), mangled, out)
        })
    };
    let published = by_node(rmw_get_publisher_names_and_types_by_node, false);
    assert_eq!(published, map([("/t", &["test/msg/Pair"])]));
    let subscribed = by_node(rmw_get_subscriber_names_and_types_by_node, false);
    assert_eq!(subscribed, map([("/t", &["test/msg/OtherPair"])]));
    // The clients came last, and their request topics were known from the services already.
    until("the news", || by_node(rmw_get_publisher_names_and_types_by_node, true).len() == 6);

    for function in [rmw_get_service_names_and_types_by_node, rmw_get_client_names_and_types_by_node] {
        let found =
            names(|allocator, out| unsafe { function(asking.0, allocator, c"full".as_ptr(), c"/ns".as_ptr(), out) });
        assert_eq!(found, map([("/ask", &["test/srv/Ask"])]));
    }
    let (mut allocator, mut out) = (default_allocator(), ffi::rmw_names_and_types_t::default());
    let code = unsafe {
        rmw_get_service_names_and_types_by_node(asking.0, &mut allocator, c"nobody".as_ptr(), c"/ns".as_ptr(), &mut out)
    };
    assert!(fails(code, ffi::RMW_RET_NODE_NAME_NON_EXISTENT).contains("nobody"));
}

#[test]
fn counts() {
    let mut context = Context::new(new_domain());
    let node = context.node("counting");
    let _endpoints = (
        node.publisher("/t", pair(), &qos()),
        node.publisher("/t", other_pair(), &qos()),
        node.subscription("/t", pair(), &qos()),
        node.client("/t", ask()),
    );
    type Count = unsafe extern "C" fn(*const ffi::rmw_node_t, *const c_char, *mut usize) -> ffi::rmw_ret_t;
    let count = |function: Count, name: &CStr| {
        let mut count = 99;
        ok(unsafe { function(node.0, name.as_ptr(), &mut count) });
        count
    };
    assert_eq!(count(rmw_count_publishers, c"/t"), 2);
    assert_eq!(count(rmw_count_subscribers, c"/t"), 1);
    assert_eq!(count(rmw_count_clients, c"/t"), 1);
    assert_eq!(count(rmw_count_services, c"/t"), 0);
    assert_eq!(count(rmw_count_publishers, c"/other"), 0);
}

#[test]
fn nodes_with_namespace_and_enclave() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (node, _other) = (here.node("first"), there.node("second"));
    let read = || {
        let mut arrays = [ffi::rcutils_string_array_t::default(); 3];
        let [names, namespaces, enclaves] = &mut arrays;
        ok(unsafe { rmw_get_node_names_with_enclaves(node.0, names, namespaces, enclaves) });
        let found = arrays.each_ref().map(strings);
        for array in &mut arrays {
            assert_eq!(unsafe { ffi::rcutils_string_array_fini(array) }, 0);
        }
        found
    };
    until("the news", || read()[0].len() == 2);
    let [mut names, namespaces, enclaves] = read();
    names.sort();
    assert_eq!(names, ["first", "second"]);
    assert_eq!((namespaces, enclaves), (vec!["/ns".to_owned(); 2], vec!["/".to_owned(); 2]));
}

#[test]
fn endpoints_of_a_topic() {
    let mut context = Context::new(new_domain());
    let node = context.node("info");
    let short = ffi::rmw_qos_profile_t { lifespan: ffi::rmw_time_t { sec: 1, nsec: 5 }, depth: 3, ..qos() };
    let _endpoints = (node.publisher("/t", pair(), &short), node.service("/ask", ask()));
    type Info = unsafe extern "C" fn(
        *const ffi::rmw_node_t,
        *mut ffi::rcutils_allocator_t,
        *const c_char,
        bool,
        *mut ffi::rmw_topic_endpoint_info_array_t,
    ) -> ffi::rmw_ret_t;
    let read = |function: Info, topic: &str, mangled, check: &dyn Fn(&ffi::rmw_topic_endpoint_info_t)| {
        let (mut allocator, mut out) = (default_allocator(), ffi::rmw_topic_endpoint_info_array_t::default());
        let topic = CString::new(topic).unwrap();
        ok(unsafe { function(node.0, &mut allocator, topic.as_ptr(), mangled, &mut out) });
        for index in 0..out.size {
            let info = unsafe { &*out.info_array.add(index) };
            check(info);
            for text in [info.node_name, info.node_namespace, info.topic_type] {
                unsafe { libc::free(text.cast_mut().cast()) };
            }
        }
        unsafe { libc::free(out.info_array.cast()) };
        out.size
    };
    let plain = |info: &ffi::rmw_topic_endpoint_info_t| {
        assert_eq!(string(info.node_name), "info");
        assert_eq!(string(info.node_namespace), "/ns");
        assert_eq!(string(info.topic_type), "test/msg/Pair");
        assert_eq!(info.endpoint_type, ffi::RMW_ENDPOINT_PUBLISHER);
        assert_eq!((info.qos_profile.lifespan.sec, info.qos_profile.lifespan.nsec, info.qos_profile.depth), (1, 5, 3));
        assert!(info.endpoint_gid.iter().any(|byte| *byte != 0));
    };
    assert_eq!(read(rmw_get_publishers_info_by_topic, "/t", false, &plain), 1);
    assert_eq!(read(rmw_get_subscriptions_info_by_topic, "/t", false, &plain), 0);
    let is = |expected: &'static str| {
        move |info: &ffi::rmw_topic_endpoint_info_t| assert_eq!(string(info.topic_type), expected)
    };
    assert_eq!(read(rmw_get_publishers_info_by_topic, "rt/t", true, &is("test::msg::dds_::Pair_")), 1);
    let request = is("test::srv::dds_::Ask_Request_");
    assert_eq!(read(rmw_get_subscriptions_info_by_topic, "rq/askRequest", true, &request), 1);
    let response = is("test::srv::dds_::Ask_Response_");
    assert_eq!(read(rmw_get_publishers_info_by_topic, "rr/askReply", true, &response), 1);
    assert_eq!(read(rmw_get_publishers_info_by_topic, "/t", true, &plain), 0);
}

#[test]
fn the_graph_guard_condition_tells_of_changes_elsewhere() {
    let domain = new_domain();
    let (mut here, mut there) = (Context::new(domain), Context::new(domain));
    let (waits, node) = (here.wait_set(), here.node("watcher"));
    let guard = unsafe { (*rmw_node_get_graph_guard_condition(node.0)).data };
    for round in 0..3 {
        let mut what = For { guard_conditions: vec![guard], ..For::default() };
        // What was there before.
        let _ = waits.wait(&mut what, Some(std::time::Duration::from_millis(30)));
        let _other = there.node(&format!("other{round}"));
        what.guard_conditions[0] = guard;
        ok(waits.wait(&mut what, Some(WATCHDOG)));
        assert!(!what.guard_conditions[0].is_null());
    }
}

//! Questions about the graph.

use crate::fixture::{null, Case};
use crate::{handle_rows, null_rows, row};
use rmw_hazcat_rs::abi::endpoint_info::*;
use rmw_hazcat_rs::abi::graph::*;
use rmw_hazcat_rs::ffi;

const INVALID: i32 = ffi::RMW_RET_INVALID_ARGUMENT;

/// A string array and names with types that hold something already.
fn full_strings() -> ffi::rcutils_string_array_t {
    ffi::rcutils_string_array_t { size: 1, ..ffi::rcutils_string_array_t::default() }
}

fn full_names() -> ffi::rmw_names_and_types_t {
    ffi::rmw_names_and_types_t { names: full_strings(), ..ffi::rmw_names_and_types_t::default() }
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let c = &mut all;
    // An out-parameter of its own each: `out` has room for one at a time.
    fn strings() -> *mut ffi::rcutils_string_array_t {
        thread_local!(static EMPTY: std::cell::UnsafeCell<[ffi::rcutils_string_array_t; 1]> = std::cell::UnsafeCell::default());
        EMPTY.with(|empty| empty.get().cast())
    }
    handle_rows!(c, rmw_get_node_names, node, |f, node| rmw_get_node_names(node, strings(), strings()));
    null_rows!(c, rmw_get_node_names, INVALID,
        |f| "names": rmw_get_node_names(f.own.node, null(), f.out()),
        |f| "namespaces": rmw_get_node_names(f.own.node, f.out(), null()),
    );
    row!(c, rmw_get_node_names, "full names", INVALID, |f| {
        rmw_get_node_names(f.own.node, &mut full_strings(), f.out())
    });
    row!(c, rmw_get_node_names, "full namespaces", INVALID, |f| {
        rmw_get_node_names(f.own.node, f.out(), &mut full_strings())
    });
    handle_rows!(c, rmw_get_node_names_with_enclaves, node, |f, node| {
        rmw_get_node_names_with_enclaves(node, strings(), strings(), strings())
    });
    null_rows!(c, rmw_get_node_names_with_enclaves, INVALID,
        |f| "names": rmw_get_node_names_with_enclaves(f.own.node, null(), strings(), f.out()),
        |f| "namespaces": rmw_get_node_names_with_enclaves(f.own.node, strings(), null(), f.out()),
        |f| "enclaves": rmw_get_node_names_with_enclaves(f.own.node, strings(), f.out(), null()),
    );
    row!(c, rmw_get_node_names_with_enclaves, "full enclaves", INVALID, |f| {
        rmw_get_node_names_with_enclaves(f.own.node, strings(), f.out(), &mut full_strings())
    });

    handle_rows!(c, rmw_get_topic_names_and_types, node, |f, node| {
        rmw_get_topic_names_and_types(node, f.allocator(), false, f.out())
    });
    null_rows!(c, rmw_get_topic_names_and_types, INVALID,
        |f| "allocator": rmw_get_topic_names_and_types(f.own.node, null(), false, f.out()),
        |f| "list": rmw_get_topic_names_and_types(f.own.node, f.allocator(), false, null()),
    );
    row!(c, rmw_get_topic_names_and_types, "full list", INVALID, |f| {
        rmw_get_topic_names_and_types(f.own.node, f.allocator(), false, &mut full_names())
    });
    row!(c, rmw_get_topic_names_and_types, "incomplete allocator", INVALID, |f| {
        rmw_get_topic_names_and_types(f.own.node, &mut ffi::rcutils_allocator_t::default(), false, f.out())
    });
    handle_rows!(c, rmw_get_service_names_and_types, node, |f, node| {
        rmw_get_service_names_and_types(node, f.allocator(), f.out())
    });
    null_rows!(c, rmw_get_service_names_and_types, INVALID,
        |f| "allocator": rmw_get_service_names_and_types(f.own.node, null(), f.out()),
        |f| "list": rmw_get_service_names_and_types(f.own.node, f.allocator(), null()),
    );
    row!(c, rmw_get_service_names_and_types, "full list", INVALID, |f| {
        rmw_get_service_names_and_types(f.own.node, f.allocator(), &mut full_names())
    });

    macro_rules! by_node {
        ($function:ident $(, $demangle:literal)?) => {
            handle_rows!(c, $function, node, |f, node| {
                $function(node, f.allocator(), c"n".as_ptr(), c"/".as_ptr(), $($demangle,)? f.out())
            });
            null_rows!(c, $function, INVALID,
                |f| "allocator": $function(f.own.node, null(), c"n".as_ptr(), c"/".as_ptr(), $($demangle,)? f.out()),
                |f| "name": $function(f.own.node, f.allocator(), null(), c"/".as_ptr(), $($demangle,)? f.out()),
                |f| "namespace": $function(f.own.node, f.allocator(), c"n".as_ptr(), null(), $($demangle,)? f.out()),
                |f| "list": $function(f.own.node, f.allocator(), c"n".as_ptr(), c"/".as_ptr(), $($demangle,)? null()),
            );
            row!(c, $function, "full list", INVALID, |f| {
                $function(f.own.node, f.allocator(), c"n".as_ptr(), c"/".as_ptr(), $($demangle,)? &mut full_names())
            });
            row!(c, $function, "invalid name", INVALID, |f| {
                $function(f.own.node, f.allocator(), c"a b".as_ptr(), c"/".as_ptr(), $($demangle,)? f.out())
            });
            row!(c, $function, "invalid namespace", INVALID, |f| {
                $function(f.own.node, f.allocator(), c"n".as_ptr(), c"ns".as_ptr(), $($demangle,)? f.out())
            });
            row!(c, $function, "unknown node", ffi::RMW_RET_NODE_NAME_NON_EXISTENT, |f| {
                $function(f.own.node, f.allocator(), c"nobody".as_ptr(), c"/".as_ptr(), $($demangle,)? f.out())
            });
        };
    }
    by_node!(rmw_get_publisher_names_and_types_by_node, false);
    by_node!(rmw_get_subscriber_names_and_types_by_node, false);
    by_node!(rmw_get_service_names_and_types_by_node);
    by_node!(rmw_get_client_names_and_types_by_node);

    macro_rules! counts {
        ($($function:ident)*) => {$(
            handle_rows!(c, $function, node, |f, node| $function(node, f.name(), f.out()));
            null_rows!(c, $function, INVALID,
                |f| "name": $function(f.own.node, null(), f.out()),
                |f| "count": $function(f.own.node, f.name(), null()),
            );
            row!(c, $function, "invalid name", INVALID, |f| $function(f.own.node, c"/a b".as_ptr(), f.out()));
        )*};
    }
    counts!(rmw_count_publishers rmw_count_subscribers rmw_count_clients rmw_count_services);

    macro_rules! infos {
        ($($function:ident)*) => {$(
            handle_rows!(c, $function, node, |f, node| $function(node, f.allocator(), f.name(), false, f.out()));
            null_rows!(c, $function, INVALID,
                |f| "allocator": $function(f.own.node, null(), f.name(), false, f.out()),
                |f| "name": $function(f.own.node, f.allocator(), null(), false, f.out()),
                |f| "list": $function(f.own.node, f.allocator(), f.name(), false, null()),
            );
            row!(c, $function, "full list", INVALID, |f| {
                let mut full = ffi::rmw_topic_endpoint_info_array_t { size: 1, ..Default::default() };
                $function(f.own.node, f.allocator(), f.name(), false, &mut full)
            });
        )*};
    }
    infos!(rmw_get_publishers_info_by_topic rmw_get_subscriptions_info_by_topic);
    all
}

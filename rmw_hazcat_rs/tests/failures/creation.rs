//! What makes and ends things: options, contexts, nodes, endpoints, wait sets.

use crate::fixture::{null, Answer::Null, Case};
use crate::support::{default_allocator, options};
use crate::types::{ask, pair};
use crate::{handle_rows, null_rows, row};
use rmw_hazcat_rs::abi::client::*;
use rmw_hazcat_rs::abi::guard_condition::*;
use rmw_hazcat_rs::abi::init::*;
use rmw_hazcat_rs::abi::init_options::*;
use rmw_hazcat_rs::abi::node::*;
use rmw_hazcat_rs::abi::publisher::*;
use rmw_hazcat_rs::abi::service::*;
use rmw_hazcat_rs::abi::subscription::*;
use rmw_hazcat_rs::abi::wait::*;
use rmw_hazcat_rs::ffi;

const INVALID: i32 = ffi::RMW_RET_INVALID_ARGUMENT;
const INCORRECT: i32 = ffi::RMW_RET_INCORRECT_RMW_IMPLEMENTATION;
const UNSUPPORTED: i32 = ffi::RMW_RET_UNSUPPORTED;
const ERROR: i32 = ffi::RMW_RET_ERROR;

/// Options of this or of another middleware, given to `with` and then ended properly.
fn with_options<T>(foreign: bool, with: impl FnOnce(&mut ffi::rmw_init_options_t) -> T) -> T {
    let mut made = options(0, default_allocator());
    let own = made.implementation_identifier;
    if foreign {
        made.implementation_identifier = c"rmw_of_somebody_else".as_ptr();
    }
    let result = with(&mut made);
    made.implementation_identifier = own;
    assert_eq!(unsafe { rmw_init_options_fini(&mut made) }, ffi::RMW_RET_OK);
    result
}

pub fn cases() -> Vec<Case> {
    let mut c = Vec::new();
    options_and_contexts(&mut c);
    nodes_and_waits(&mut c);
    endpoints(&mut c);
    c
}

fn options_and_contexts(c: &mut Vec<Case>) {
    null_rows!(c, rmw_init_options_init, INVALID, |f| "options": rmw_init_options_init(null(), *f.allocator()));
    row!(c, rmw_init_options_init, "incomplete allocator", INVALID, |f| {
        rmw_init_options_init(f.out(), ffi::rcutils_allocator_t::default())
    });
    row!(c, rmw_init_options_init, "initialised options", INVALID, |f| {
        with_options(false, |made| rmw_init_options_init(made, *f.allocator()))
    });
    null_rows!(c, rmw_init_options_copy, INVALID,
        |f| "src": rmw_init_options_copy(null(), f.out()),
        |f| "dst": with_options(false, |made| rmw_init_options_copy(made, null())),
    );
    row!(c, rmw_init_options_copy, "zero-initialised src", INVALID, |f| {
        rmw_init_options_copy(&ffi::rmw_init_options_t::default(), f.out())
    });
    row!(c, rmw_init_options_copy, "foreign src", INCORRECT, |f| {
        with_options(true, |made| rmw_init_options_copy(made, f.out()))
    });
    row!(c, rmw_init_options_copy, "initialised dst", INVALID, |f| {
        with_options(false, |src| with_options(false, |dst| rmw_init_options_copy(src, dst)))
    });
    null_rows!(c, rmw_init_options_fini, INVALID, |f| "options": rmw_init_options_fini(null()));
    row!(c, rmw_init_options_fini, "zero-initialised", INVALID, |f| rmw_init_options_fini(f.out()));
    row!(c, rmw_init_options_fini, "foreign", INCORRECT, |f| {
        with_options(true, |made| rmw_init_options_fini(made))
    });

    null_rows!(c, rmw_init, INVALID,
        |f| "options": rmw_init(null(), f.out()),
        |f| "context": with_options(false, |made| rmw_init(made, null())),
    );
    row!(c, rmw_init, "zero-initialised options", INVALID, |f| {
        rmw_init(&ffi::rmw_init_options_t::default(), f.zeroed_context)
    });
    row!(c, rmw_init, "foreign options", INCORRECT, |f| with_options(true, |made| rmw_init(made, f.zeroed_context)));
    row!(c, rmw_init, "no enclave", INVALID, |f| {
        with_options(false, |made| {
            let enclave = std::mem::replace(&mut made.enclave, null());
            let code = rmw_init(made, f.zeroed_context);
            made.enclave = enclave;
            code
        })
    });
    row!(c, rmw_init, "initialised context", INVALID, |f| with_options(false, |made| rmw_init(made, f.context())));
    row!(c, rmw_init, "domain beyond 32 bits", INVALID, |f| {
        with_options(false, |made| {
            made.domain_id = 1 << 40;
            rmw_init(made, f.zeroed_context)
        })
    });
    null_rows!(c, rmw_shutdown, INVALID, |f| "context": rmw_shutdown(null()));
    row!(c, rmw_shutdown, "zero-initialised context", INVALID, |f| rmw_shutdown(f.zeroed_context));
    row!(c, rmw_shutdown, "foreign context", INCORRECT, |f| rmw_shutdown(f.foreign_context));
    null_rows!(c, rmw_context_fini, INVALID, |f| "context": rmw_context_fini(null()));
    row!(c, rmw_context_fini, "zero-initialised context", INVALID, |f| rmw_context_fini(f.zeroed_context));
    row!(c, rmw_context_fini, "foreign context", INCORRECT, |f| rmw_context_fini(f.foreign_context));
    row!(c, rmw_context_fini, "not shut down", INVALID, |f| rmw_context_fini(f.context()));
}

fn nodes_and_waits(c: &mut Vec<Case>) {
    null_rows!(c, rmw_create_node, Null,
        |f| "context": rmw_create_node(null(), c"n".as_ptr(), c"/".as_ptr()),
        |f| "name": rmw_create_node(f.context(), null(), c"/".as_ptr()),
        |f| "namespace": rmw_create_node(f.context(), c"n".as_ptr(), null()),
    );
    row!(c, rmw_create_node, "zero-initialised context", Null, |f| {
        rmw_create_node(f.zeroed_context, c"n".as_ptr(), c"/".as_ptr())
    });
    row!(c, rmw_create_node, "foreign context", Null, |f| {
        rmw_create_node(f.foreign_context, c"n".as_ptr(), c"/".as_ptr())
    });
    for name in [c"", c"1n", c"a b", c"a/b", c"n\xff", c"a-b"] {
        row!(c, rmw_create_node, "invalid name", Null, |f| rmw_create_node(f.context(), name.as_ptr(), c"/".as_ptr()));
    }
    for namespace in [c"", c"ns", c"/ns/", c"//", c"/1", c"/a b", c"/\xff"] {
        row!(c, rmw_create_node, "invalid namespace", Null, |f| {
            rmw_create_node(f.context(), c"n".as_ptr(), namespace.as_ptr())
        });
    }
    row!(c, rmw_create_node, "name too long", Null, |f| {
        let name = std::ffi::CString::new("n".repeat(256)).unwrap();
        rmw_create_node(f.context(), name.as_ptr(), c"/".as_ptr())
    });
    handle_rows!(c, rmw_destroy_node, node, |f, node| rmw_destroy_node(node));
    handle_rows!(null: c, rmw_node_get_graph_guard_condition, node, |f, node| rmw_node_get_graph_guard_condition(node));

    null_rows!(c, rmw_create_guard_condition, Null, |f| "context": rmw_create_guard_condition(null()));
    row!(c, rmw_create_guard_condition, "foreign context", Null, |f| rmw_create_guard_condition(f.foreign_context));
    row!(c, rmw_create_guard_condition, "zeroed context", Null, |f| rmw_create_guard_condition(f.zeroed_context));
    handle_rows!(c, rmw_destroy_guard_condition, guard, |f, guard| rmw_destroy_guard_condition(guard));
    handle_rows!(c, rmw_trigger_guard_condition, guard, |f, guard| rmw_trigger_guard_condition(guard));

    null_rows!(c, rmw_create_wait_set, Null, |f| "context": rmw_create_wait_set(null(), 0));
    row!(c, rmw_create_wait_set, "foreign context", Null, |f| rmw_create_wait_set(f.foreign_context, 0));
    row!(c, rmw_create_wait_set, "zeroed context", Null, |f| rmw_create_wait_set(f.zeroed_context, 0));
    // Upstream's test wants "error" for null here.
    handle_rows!(c, rmw_destroy_wait_set, waits, ERROR, INCORRECT, |f, waits| rmw_destroy_wait_set(waits));
    handle_rows!(c, rmw_wait, waits, |f, waits| rmw_wait(null(), null(), null(), null(), null(), waits, null()));
}

fn endpoints(c: &mut Vec<Case>) {
    handle_rows!(null: c, rmw_create_publisher, node, |f, node| {
        rmw_create_publisher(node, pair(), f.name(), f.qos(), f.out())
    });
    null_rows!(c, rmw_create_publisher, Null,
        |f| "type support": rmw_create_publisher(f.own.node, null(), f.name(), f.qos(), f.out()),
        |f| "topic name": rmw_create_publisher(f.own.node, pair(), null(), f.qos(), f.out()),
        |f| "QoS": rmw_create_publisher(f.own.node, pair(), f.name(), null(), f.out()),
        |f| "options": rmw_create_publisher(f.own.node, pair(), f.name(), f.qos(), null()),
    );
    handle_rows!(null: c, rmw_create_subscription, node, |f, node| {
        rmw_create_subscription(node, pair(), f.name(), f.qos(), f.out())
    });
    null_rows!(c, rmw_create_subscription, Null,
        |f| "type support": rmw_create_subscription(f.own.node, null(), f.name(), f.qos(), f.out()),
        |f| "topic name": rmw_create_subscription(f.own.node, pair(), null(), f.qos(), f.out()),
        |f| "QoS": rmw_create_subscription(f.own.node, pair(), f.name(), null(), f.out()),
        |f| "options": rmw_create_subscription(f.own.node, pair(), f.name(), f.qos(), null()),
    );
    handle_rows!(null: c, rmw_create_client, node, |f, node| rmw_create_client(node, ask(), f.name(), f.qos()));
    null_rows!(c, rmw_create_client, Null,
        |f| "type support": rmw_create_client(f.own.node, null(), f.name(), f.qos()),
        |f| "service name": rmw_create_client(f.own.node, ask(), null(), f.qos()),
        |f| "QoS": rmw_create_client(f.own.node, ask(), f.name(), null()),
    );
    handle_rows!(null: c, rmw_create_service, node, |f, node| rmw_create_service(node, ask(), f.name(), f.qos()));
    null_rows!(c, rmw_create_service, Null,
        |f| "type support": rmw_create_service(f.own.node, null(), f.name(), f.qos()),
        |f| "service name": rmw_create_service(f.own.node, ask(), null(), f.qos()),
        |f| "QoS": rmw_create_service(f.own.node, ask(), f.name(), null()),
    );
    for name in [c"", c"/", c"t", c"/a b", c"/1", c"//t", c"/t/", c"/\xff", c"/t-x"] {
        row!(c, rmw_create_publisher, "invalid name", Null, |f| {
            rmw_create_publisher(f.own.node, pair(), name.as_ptr(), f.qos(), f.out())
        });
        row!(c, rmw_create_subscription, "invalid name", Null, |f| {
            rmw_create_subscription(f.own.node, pair(), name.as_ptr(), f.qos(), f.out())
        });
        row!(c, rmw_create_client, "invalid name", Null, |f| {
            rmw_create_client(f.own.node, ask(), name.as_ptr(), f.qos())
        });
        row!(c, rmw_create_service, "invalid name", Null, |f| {
            rmw_create_service(f.own.node, ask(), name.as_ptr(), f.qos())
        });
    }
    // Policies that no profile for creation may have ("unknown", or nothing at all).
    fn broken(which: usize) -> ffi::rmw_qos_profile_t {
        let mut profile = crate::support::qos();
        match which {
            0 => profile.history = ffi::RMW_QOS_POLICY_HISTORY_UNKNOWN,
            1 => profile.reliability = ffi::RMW_QOS_POLICY_RELIABILITY_UNKNOWN,
            2 => profile.durability = ffi::RMW_QOS_POLICY_DURABILITY_UNKNOWN,
            3 => profile.liveliness = ffi::RMW_QOS_POLICY_LIVELINESS_UNKNOWN,
            _ => profile.reliability.0 = 77,
        }
        profile
    }
    for which in 0..5 {
        row!(c, rmw_create_publisher, "invalid QoS", Null, |f| {
            rmw_create_publisher(f.own.node, pair(), f.name(), &broken(which), f.out())
        });
        row!(c, rmw_create_subscription, "invalid QoS", Null, |f| {
            rmw_create_subscription(f.own.node, pair(), f.name(), &broken(which), f.out())
        });
        row!(c, rmw_create_client, "invalid QoS", Null, |f| {
            rmw_create_client(f.own.node, ask(), f.name(), &broken(which))
        });
        row!(c, rmw_create_service, "invalid QoS", Null, |f| {
            rmw_create_service(f.own.node, ask(), f.name(), &broken(which))
        });
    }
    handle_rows!(c, rmw_destroy_publisher, node, |f, node| rmw_destroy_publisher(node, f.own.publisher));
    handle_rows!(c, rmw_destroy_publisher, publisher, |f, own| rmw_destroy_publisher(f.own.node, own));
    handle_rows!(c, rmw_destroy_subscription, node, |f, node| rmw_destroy_subscription(node, f.own.subscription));
    handle_rows!(c, rmw_destroy_subscription, subscription, |f, own| rmw_destroy_subscription(f.own.node, own));
    handle_rows!(c, rmw_destroy_client, node, |f, node| rmw_destroy_client(node, f.own.client));
    handle_rows!(c, rmw_destroy_client, client, |f, own| rmw_destroy_client(f.own.node, own));
    handle_rows!(c, rmw_destroy_service, node, |f, node| rmw_destroy_service(node, f.own.service));
    handle_rows!(c, rmw_destroy_service, service, |f, own| rmw_destroy_service(f.own.node, own));
    // There is nothing to allocate ahead.
    row!(c, rmw_init_publisher_allocation, "any", UNSUPPORTED, |f| {
        rmw_init_publisher_allocation(pair(), null(), f.out())
    });
    row!(c, rmw_fini_publisher_allocation, "any", UNSUPPORTED, |f| rmw_fini_publisher_allocation(f.out()));
    row!(c, rmw_init_subscription_allocation, "any", UNSUPPORTED, |f| {
        rmw_init_subscription_allocation(pair(), null(), f.out())
    });
    row!(c, rmw_fini_subscription_allocation, "any", UNSUPPORTED, |f| rmw_fini_subscription_allocation(f.out()));
}

//! What is asked of endpoints: QoS, matches, identities, filters, flows; and dynamic messages.

use crate::fixture::{null, Case};
use crate::{handle_rows, null_rows, row};
use rmw_hazcat_rs::abi::client::*;
use rmw_hazcat_rs::abi::content_filter::*;
#[cfg(rmw_dynamic_messages)]
use rmw_hazcat_rs::abi::dynamic::*;
use rmw_hazcat_rs::abi::features::rmw_set_log_severity;
use rmw_hazcat_rs::abi::gid::*;
use rmw_hazcat_rs::abi::network_flow::*;
use rmw_hazcat_rs::abi::publisher::*;
use rmw_hazcat_rs::abi::qos::rmw_qos_profile_check_compatible;
use rmw_hazcat_rs::abi::service::*;
use rmw_hazcat_rs::abi::subscription::*;
use rmw_hazcat_rs::ffi;

const INVALID: i32 = ffi::RMW_RET_INVALID_ARGUMENT;
const INCORRECT: i32 = ffi::RMW_RET_INCORRECT_RMW_IMPLEMENTATION;
const UNSUPPORTED: i32 = ffi::RMW_RET_UNSUPPORTED;

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let c = &mut all;
    macro_rules! asked {
        ($($function:ident($handle:ident))*) => {$(
            handle_rows!(c, $function, $handle, |f, own| $function(own, f.out()));
            null_rows!(c, $function, INVALID, |f| "answer": $function(f.own.$handle, null()));
        )*};
    }
    asked!(
        rmw_publisher_get_actual_qos(publisher)
        rmw_subscription_get_actual_qos(subscription)
        rmw_client_request_publisher_get_actual_qos(client)
        rmw_client_response_subscription_get_actual_qos(client)
        rmw_service_response_publisher_get_actual_qos(service)
        rmw_service_request_subscription_get_actual_qos(service)
        rmw_publisher_count_matched_subscriptions(publisher)
        rmw_subscription_count_matched_publishers(subscription)
        rmw_get_gid_for_publisher(publisher)
        rmw_get_gid_for_client(client)
    );
    fn gid(identifier: *const std::ffi::c_char) -> ffi::rmw_gid_t {
        ffi::rmw_gid_t { implementation_identifier: identifier, ..ffi::rmw_gid_t::default() }
    }
    fn own() -> ffi::rmw_gid_t {
        gid(rmw_hazcat_rs::abi::features::rmw_get_implementation_identifier())
    }
    null_rows!(c, rmw_compare_gids_equal, INVALID,
        |f| "gid1": rmw_compare_gids_equal(null(), &own(), f.out()),
        |f| "gid2": rmw_compare_gids_equal(&own(), null(), f.out()),
        |f| "result": rmw_compare_gids_equal(&own(), &own(), null()),
    );
    row!(c, rmw_compare_gids_equal, "foreign gid1", INCORRECT, |f| {
        rmw_compare_gids_equal(&gid(c"other".as_ptr()), &own(), f.out())
    });
    row!(c, rmw_compare_gids_equal, "foreign gid2", INCORRECT, |f| {
        rmw_compare_gids_equal(&own(), &gid(c"other".as_ptr()), f.out())
    });
    row!(c, rmw_compare_gids_equal, "zero-initialised gid", INCORRECT, |f| {
        rmw_compare_gids_equal(&own(), &gid(null()), f.out())
    });

    fn filter() -> ffi::rmw_subscription_content_filter_options_t {
        ffi::rmw_subscription_content_filter_options_t {
            filter_expression: c"id = 1".as_ptr().cast_mut(),
            ..Default::default()
        }
    }
    handle_rows!(c, rmw_subscription_set_content_filter, subscription, |f, own| {
        rmw_subscription_set_content_filter(own, &filter())
    });
    null_rows!(c, rmw_subscription_set_content_filter, INVALID,
        |f| "options": rmw_subscription_set_content_filter(f.own.subscription, null()),
        |f| "expression": rmw_subscription_set_content_filter(f.own.subscription, f.out()),
    );
    handle_rows!(c, rmw_subscription_get_content_filter, subscription, |f, own| {
        rmw_subscription_get_content_filter(own, f.allocator(), f.out())
    });
    null_rows!(c, rmw_subscription_get_content_filter, INVALID,
        |f| "allocator": rmw_subscription_get_content_filter(f.own.subscription, null(), f.out()),
        |f| "options": rmw_subscription_get_content_filter(f.own.subscription, f.allocator(), null()),
    );
    row!(c, rmw_subscription_get_content_filter, "no filter", ffi::RMW_RET_ERROR, |f| {
        rmw_subscription_get_content_filter(f.own.subscription, f.allocator(), f.out())
    });

    handle_rows!(c, rmw_publisher_get_network_flow_endpoints, publisher, |f, own| {
        rmw_publisher_get_network_flow_endpoints(own, f.allocator(), f.out())
    });
    handle_rows!(c, rmw_subscription_get_network_flow_endpoints, subscription, |f, own| {
        rmw_subscription_get_network_flow_endpoints(own, f.allocator(), f.out())
    });
    null_rows!(c, rmw_publisher_get_network_flow_endpoints, INVALID,
        |f| "allocator": rmw_publisher_get_network_flow_endpoints(f.own.publisher, null(), f.out()),
        |f| "list": rmw_publisher_get_network_flow_endpoints(f.own.publisher, f.allocator(), null()),
    );
    null_rows!(c, rmw_subscription_get_network_flow_endpoints, INVALID,
        |f| "allocator": rmw_subscription_get_network_flow_endpoints(f.own.subscription, null(), f.out()),
        |f| "list": rmw_subscription_get_network_flow_endpoints(f.own.subscription, f.allocator(), null()),
    );
    row!(c, rmw_publisher_get_network_flow_endpoints, "there is no network", UNSUPPORTED, |f| {
        rmw_publisher_get_network_flow_endpoints(f.own.publisher, f.allocator(), f.out())
    });
    row!(c, rmw_subscription_get_network_flow_endpoints, "there is no network", UNSUPPORTED, |f| {
        rmw_subscription_get_network_flow_endpoints(f.own.subscription, f.allocator(), f.out())
    });

    null_rows!(c, rmw_qos_profile_check_compatible, INVALID,
        |f| "answer": rmw_qos_profile_check_compatible(*f.qos(), *f.qos(), null(), null(), 0),
        |f| "reason": rmw_qos_profile_check_compatible(*f.qos(), *f.qos(), f.out(), null(), 10),
    );
    row!(c, rmw_set_log_severity, "no severity", INVALID, |f| rmw_set_log_severity(ffi::rmw_log_severity_t(99)));
    #[cfg(rmw_dynamic_messages)]
    dynamic(c);
    all
}

#[cfg(rmw_dynamic_messages)]
fn dynamic(c: &mut Vec<Case>) {
    fn taken() -> *mut bool {
        thread_local!(static TAKEN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
        TAKEN.with(std::cell::Cell::as_ptr)
    }
    handle_rows!(c, rmw_take_dynamic_message, subscription, |f, own| {
        rmw_take_dynamic_message(own, f.out(), taken(), null())
    });
    null_rows!(c, rmw_take_dynamic_message, INVALID,
        |f| "message": rmw_take_dynamic_message(f.own.subscription, null(), taken(), null()),
        |f| "taken": rmw_take_dynamic_message(f.own.subscription, f.out(), null(), null()),
    );
    handle_rows!(c, rmw_take_dynamic_message_with_info, subscription, |f, own| {
        rmw_take_dynamic_message_with_info(own, f.out(), taken(), f.message().cast(), null())
    });
    null_rows!(c, rmw_take_dynamic_message_with_info, INVALID,
        |f| "message":
            rmw_take_dynamic_message_with_info(f.own.subscription, null(), taken(), f.message().cast(), null()),
        |f| "taken":
            rmw_take_dynamic_message_with_info(f.own.subscription, f.out(), null(), f.message().cast(), null()),
        |f| "info": rmw_take_dynamic_message_with_info(f.own.subscription, f.out(), taken(), null(), null()),
    );
    null_rows!(c, rmw_serialization_support_init, INVALID,
        |f| "name": rmw_serialization_support_init(null(), f.allocator(), f.out()),
        |f| "allocator": rmw_serialization_support_init(c"x".as_ptr(), null(), f.out()),
        |f| "answer": rmw_serialization_support_init(c"x".as_ptr(), f.allocator(), null()),
    );
}

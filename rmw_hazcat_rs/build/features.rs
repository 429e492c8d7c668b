//! Which features the headers have, found in their text, and told to the compiler as `cfg`s.

use crate::headers::{without_comments, Headers};
use std::fs;

/// A `cfg` and the text (an identifier) whose presence in the headers turns it on. These are the
/// `cfg`s that the crate may use.
const FEATURES: [(&str, &str); 22] = [
    // rosidl
    ("rosidl_type_hash", "rosidl_type_hash_t"),
    ("rosidl_message_keys", "has_any_key_member_"),
    ("rosidl_service_event", "event_members_"),
    // rmw: structs
    ("rmw_discovery_options", "rmw_discovery_options_t"),
    ("rmw_localhost_only", "rmw_localhost_only_t"),
    ("rmw_endpoint_type_hash", "topic_type_hash"),
    ("rmw_service_endpoint_info", "rmw_service_endpoint_info_t"),
    ("rmw_best_available", "RMW_QOS_POLICY_RELIABILITY_BEST_AVAILABLE"),
    ("rmw_subscription_buffer_backends", "acceptable_buffer_backends"),
    // rmw: events
    ("rmw_event_incompatible_type", "RMW_EVENT_SUBSCRIPTION_INCOMPATIBLE_TYPE"),
    ("rmw_event_matched", "RMW_EVENT_SUBSCRIPTION_MATCHED"),
    ("rmw_event_type_max", "RMW_EVENT_TYPE_MAX"),
    // rmw: features
    ("rmw_feature_type_discovery", "RMW_MIDDLEWARE_SUPPORTS_TYPE_DISCOVERY"),
    ("rmw_feature_take_dynamic_message", "RMW_MIDDLEWARE_CAN_TAKE_DYNAMIC_MESSAGE"),
    // rmw: functions an implementation defines
    ("rmw_dynamic_messages", "rmw_take_dynamic_message"),
    ("rmw_serialization_support", "rmw_serialization_support_init"),
    ("rmw_count_clients", "rmw_count_clients"),
    ("rmw_count_services", "rmw_count_services"),
    ("rmw_get_gid_for_client", "rmw_get_gid_for_client"),
    ("rmw_clients_info_by_service", "rmw_get_clients_info_by_service"),
    ("rmw_event_type_is_supported", "rmw_event_type_is_supported"),
    ("rmw_node_assert_liveliness", "rmw_node_assert_liveliness"),
];

/// `cfg`s with a rule of their own.
const COMPUTED: [&str; 3] = ["rmw_gid_16", "rmw_request_id_unsigned", "rmw_own_headers"];

/// The names of the `cfg`s that are on.
pub fn detect(text: &str, own_rmw: bool) -> Vec<&'static str> {
    let mut on: Vec<&'static str> =
        FEATURES.iter().filter(|(_, needle)| has_identifier(text, needle)).map(|(cfg, _)| *cfg).collect();
    if has_words(text, &["RMW_GID_STORAGE_SIZE", "16u"]) {
        on.push("rmw_gid_16");
    }
    if has_words(text, &["uint8_t", "writer_guid"]) {
        on.push("rmw_request_id_unsigned");
    }
    if own_rmw {
        on.push("rmw_own_headers");
    }
    on
}

/// Declares all `cfg`s to the compiler and sets those that are on.
pub fn emit(on: &[&str]) {
    for name in FEATURES.iter().map(|(cfg, _)| *cfg).chain(COMPUTED) {
        println!("cargo:rustc-check-cfg=cfg({name})");
    }
    for name in on {
        println!("cargo:rustc-cfg={name}");
    }
}

/// The C++ introspection structs are read through the C declarations of them. Fails if a level's
/// headers do not declare the two alike.
pub fn check_introspection_layouts(headers: &Headers) -> Result<(), String> {
    for (stem, structs) in [
        ("message_introspection", ["MessageMember", "MessageMembers"]),
        ("service_introspection", ["ServiceMembers", "ServiceMembers"]),
    ] {
        let c_name = format!("rosidl_typesupport_introspection_c/{stem}.h");
        let cpp_name = format!("rosidl_typesupport_introspection_cpp/{stem}.hpp");
        let (Some(c), Some(cpp)) = (headers.file(&c_name), headers.file(&cpp_name)) else {
            continue; // no C++ type support here, so nothing of it can arrive
        };
        let read = |path: &std::path::Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
        let (c, cpp) = (read(&c)?, read(&cpp)?);
        for name in structs {
            let (ours, theirs) = (fields(&c, name), fields(&cpp, name));
            if ours.is_none() || ours != theirs {
                return Err(format!("{name} is not declared alike in {c_name} and {cpp_name}:\n{ours:?}\n{theirs:?}"));
            }
        }
    }
    Ok(())
}

/// The declarations between the braces of `struct ..name_s`, in one spelling for both languages.
fn fields(header: &str, name: &str) -> Option<Vec<String>> {
    let text = without_comments(header);
    let start = text.find(&format!("{name}_s"))?;
    let body = text.get(start..)?;
    let open = body.find('{')?;
    let close = body.find('}')?;
    let normal = |field: &str| -> String {
        let field = field
            .replace("rosidl_typesupport_introspection_c__", "")
            .replace("enum rosidl_runtime_c__message_initialization", "INIT")
            .replace("rosidl_runtime_cpp::MessageInitialization", "INIT")
            // C reports a failed allocation by false, C++ throws.
            .replace("bool (* resize_function)", "void (* resize_function)");
        field.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let fields: Vec<String> =
        body.get(open + 1..close)?.split(';').map(normal).filter(|field| !field.is_empty()).collect();
    Some(fields)
}

fn has_identifier(text: &str, name: &str) -> bool {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(name)
        .any(|(at, _)| boundary(text[..at].chars().next_back()) && boundary(text[at + name.len()..].chars().next()))
}

/// Whether the words follow each other, whatever the white space.
fn has_words(text: &str, words: &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return true;
    };
    text.match_indices(first).any(|(at, _)| {
        let mut tail = &text[at + first.len()..];
        rest.iter().all(|word| {
            tail = tail.trim_start();
            tail.strip_prefix(word).map(|after| tail = after).is_some()
        })
    })
}

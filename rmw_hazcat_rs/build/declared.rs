//! The project's declaration of the rmw interface and the real one of that level, item by item, for a
//! test to compare.

use crate::headers::{prefixes, Headers};
use bindgen::Formatter;
use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};

/// Headers of the real rmw that declare what ours declares.
const HEADERS: [&str; 13] = [
    "rmw/event.h",
    "rmw/features.h",
    "rmw/get_network_flow_endpoints.h",
    "rmw/get_node_info_and_types.h",
    "rmw/get_service_names_and_types.h",
    "rmw/get_topic_endpoint_info.h",
    "rmw/get_topic_names_and_types.h",
    "rmw/qos_profiles.h",
    "rmw/qos_string_conversions.h",
    "rmw/rmw.h",
    "rmw/validate_full_topic_name.h",
    "rmw/validate_namespace.h",
    "rmw/validate_node_name.h",
];

/// Prefixes to look for real headers in, besides those sourced.
pub const VARIABLE: &str = "HAZCAT_TEST_HUMBLE_PREFIX";

/// Rust constants `OURS` and `THEIRS`, lists of items; both are empty where there is nothing to
/// compare with.
pub fn generate(headers: &Headers) -> Result<String, String> {
    let mut folders: Vec<PathBuf> =
        env::var_os(VARIABLE).map(|value| env::split_paths(&value).collect()).unwrap_or_default();
    folders.extend(prefixes());
    let real = folders
        .iter()
        .map(|prefix| prefix.join("include"))
        .flat_map(|include| [include.join("rmw"), include])
        .find(|folder| folder.join("rmw/rmw.h").is_file())
        // Older than this level: no feature queries. Newer: options for discovery.
        .filter(|rmw| rmw.join("rmw/features.h").is_file() && !rmw.join("rmw/discovery_options.h").is_file());
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    if let Some(real) = real {
        println!("cargo:rerun-if-changed={}", real.join("rmw").display());
        let umbrella: String = HEADERS.iter().map(|name| format!("#include \"{name}\"\n")).collect();
        theirs = items(&real, &umbrella, headers)?;
        ours = items(&headers.own()?, "#include \"rmw/rmw.h\"\n", headers)?;
    }
    Ok(format!("const OURS: &[&str] = &{ours:?};\nconst THEIRS: &[&str] = &{theirs:?};\n")
        .replace("&{", "&[")
        .replace("};", "];"))
}

/// Every item whose name begins with `rmw_` or `RMW_`, in one spelling.
fn items(rmw: &Path, umbrella: &str, headers: &Headers) -> Result<BTreeSet<String>, String> {
    let bindings = bindgen::Builder::default()
        .header_contents("declared.h", umbrella)
        .clang_arg(format!("-I{}", rmw.display()))
        .clang_args(headers.include.iter().map(|folder| format!("-I{}", folder.display())))
        .allowlist_item("(rmw|RMW)_.*")
        .allowlist_recursively(false)
        .prepend_enum_name(false)
        .layout_tests(false)
        .generate_comments(false)
        .formatter(Formatter::Prettyplease)
        .generate()
        .map_err(|e| format!("bindgen: {e}"))?
        .to_string();
    let mut items = BTreeSet::new();
    let mut item = String::new();
    for line in bindings.lines().map(str::trim) {
        let starts_item = item.is_empty();
        let skipped = line.is_empty() || line == "}" || line.starts_with("unsafe extern") || line.starts_with("/*");
        if line.starts_with("#[") || (starts_item && skipped) {
            continue;
        }
        item.push_str(line);
        item.push(' ');
        let open = item.matches(['{', '(']).count();
        let closed = item.matches(['}', ')']).count();
        if open == closed && (item.ends_with("; ") || item.ends_with("} ")) {
            items.insert(std::mem::take(&mut item).trim_end().to_owned());
        }
    }
    Ok(items)
}

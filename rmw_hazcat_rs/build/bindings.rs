//! Runs bindgen over the headers found.

use crate::headers::Headers;
use bindgen::callbacks::{IntKind, ParseCallbacks};
use bindgen::EnumVariation;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// Types that macros' numbers get.
#[derive(Debug)]
struct Constants;

impl ParseCallbacks for Constants {
    fn int_macro(&self, name: &str, _value: i64) -> Option<IntKind> {
        let custom = |name: &'static str| IntKind::Custom { name, is_signed: true };
        if name.starts_with("RMW_RET_") {
            Some(custom("rmw_ret_t"))
        } else if name.starts_with("RCUTILS_RET_") {
            Some(custom("rcutils_ret_t"))
        } else if name.contains("_INVALID_") || name.ends_with("_VALID") {
            Some(IntKind::Int) // verdicts on names
        } else if name.ends_with("_SIZE")
            || name.contains("_MAX_")
            || name.ends_with("_LENGTH")
            || name.ends_with("STRLEN")
        {
            Some(custom("usize"))
        } else {
            None
        }
    }
}

/// The source of the bindings.
pub fn generate(headers: &Headers, text: &str, features: &[&str]) -> Result<String, String> {
    let mut builder = bindgen::Builder::default()
        .header_contents("rmw_hazcat_rs_bound.h", &headers.umbrella())
        .clang_args(headers.include.iter().map(|folder| format!("-I{}", folder.display())))
        .allowlist_type("(rmw|rcutils|rosidl)_.*")
        .allowlist_var("(RMW|RCUTILS|ROSIDL)_.*")
        .allowlist_function("rcutils_(allocator|string_array|uint8_array|error)_.*")
        .allowlist_function("rcutils_get_(default|zero_initialized|error)_.*")
        .allowlist_function("rcutils_(set_error_state|reset_error|system_time_now)")
        // An enum that C fills may hold any number: a newtype of an integer, not a Rust enum.
        .default_enum_style(EnumVariation::NewType { is_bitfield: false, is_global: true })
        // An enum without a name (found by its variant) is only a way to say a number.
        .constified_enum("RMW_QOS_POLICY_DEPTH_SYSTEM_DEFAULT")
        .prepend_enum_name(false)
        .derive_default(true)
        .derive_eq(true)
        .layout_tests(false)
        .generate_comments(false)
        .sort_semantically(true)
        .use_core()
        .formatter(bindgen::Formatter::Prettyplease)
        .parse_callbacks(Box::new(Constants));
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return Err("only Linux is supported".to_owned());
    }
    let largest = largest_values(text);
    for (name, _) in &largest {
        builder = builder.blocklist_item(name);
    }
    let bindings = builder.generate().map_err(|e| format!("bindgen: {e}"))?;

    let mut source = bindings.to_string();
    source.push_str(&durations(text));
    for (name, kind) in &largest {
        source.push_str(&format!("pub const {name}: {kind} = {kind}::MAX;\n"));
    }
    writeln!(source, "/// The `cfg`s that the headers turned on.\npub const HEADER_FEATURES: &[&str] = &{features:?};")
        .map_err(|e| e.to_string())?;
    Ok(source)
}

/// Writes a file of generated source into `OUT_DIR`.
pub fn write(name: &str, source: &str) -> Result<(), String> {
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| "OUT_DIR is not set".to_owned())?.join(name);
    fs::write(&out, source).map_err(|e| format!("{}: {e}", out.display()))
}

/// Macros that stand for the largest value of a type, which bindgen takes for -1.
fn largest_values(text: &str) -> Vec<(&str, &'static str)> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.trim().strip_prefix("#define ")?.split_whitespace();
            let name = words.next().filter(|name| name.starts_with("RMW_"))?;
            let kind = match (words.next()?, words.next()) {
                ("SIZE_MAX", None) => "usize",
                ("UINT64_MAX", None) => "u64",
                _ => return None,
            };
            Some((name, kind))
        })
        .collect()
}

/// Macros of the form `{seconds, nanoseconds}`, which bindgen cannot express.
fn durations(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("#define RMW_") else {
            continue;
        };
        let Some((name, value)) = rest.split_once(char::is_whitespace) else {
            continue;
        };
        let Some(inner) = value.trim().strip_prefix('{').and_then(|v| v.strip_suffix('}')) else {
            continue;
        };
        let numbers: Vec<u64> =
            inner.split(',').filter_map(|n| n.trim().trim_end_matches(['L', 'U', 'l', 'u']).parse().ok()).collect();
        if let [sec, nsec] = numbers[..] {
            out.push_str(&format!(
                "/// Seconds and nanoseconds of the macro of this name.\n\
                 pub const RMW_{name}: rmw_time_t = rmw_time_s {{ sec: {sec}, nsec: {nsec} }};\n"
            ));
        }
    }
    out
}

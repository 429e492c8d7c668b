//! Where the headers are, and the text of those that matter.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// One package with C headers that the bindings need.
const PACKAGES: [(&str, &str); 5] = [
    // (package, a header that proves it is there)
    ("rcutils", "rcutils/allocator.h"),
    ("rosidl_runtime_c", "rosidl_runtime_c/message_type_support_struct.h"),
    ("rosidl_typesupport_interface", "rosidl_typesupport_interface/macros.h"),
    ("rosidl_typesupport_introspection_c", "rosidl_typesupport_introspection_c/message_introspection.h"),
    ("rmw", "rmw/rmw.h"),
];

/// Needed where the real `rmw` includes them.
const OPTIONAL_PACKAGES: [(&str, &str); 3] = [
    ("rosidl_dynamic_typesupport", "rosidl_dynamic_typesupport/types.h"),
    ("rosidl_typesupport_introspection_cpp", "rosidl_typesupport_introspection_cpp/message_introspection.hpp"),
    ("rosidl_buffer", "rosidl_buffer/c_helpers.h"),
];

/// Every header that is bound where it exists (`rmw/rmw.h` does not include all of the others).
const BOUND: [&str; 30] = [
    "rcutils/allocator.h",
    "rcutils/error_handling.h",
    "rcutils/logging.h",
    "rcutils/time.h",
    "rcutils/types.h",
    "rcutils/types/string_array.h",
    "rcutils/types/uint8_array.h",
    "rosidl_runtime_c/message_initialization.h",
    "rosidl_runtime_c/message_type_support_struct.h",
    "rosidl_runtime_c/primitives_sequence.h",
    "rosidl_runtime_c/service_type_support_struct.h",
    "rosidl_runtime_c/string.h",
    "rosidl_runtime_c/type_hash.h",
    "rosidl_runtime_c/u16string.h",
    "rosidl_typesupport_introspection_c/field_types.h",
    "rosidl_typesupport_introspection_c/message_introspection.h",
    "rosidl_typesupport_introspection_c/service_introspection.h",
    "rmw/event.h",
    "rmw/features.h",
    "rmw/get_network_flow_endpoints.h",
    "rmw/get_node_info_and_types.h",
    "rmw/get_service_endpoint_info.h",
    "rmw/get_service_names_and_types.h",
    "rmw/get_topic_endpoint_info.h",
    "rmw/get_topic_names_and_types.h",
    "rmw/rmw.h",
    "rmw/validate_full_topic_name.h",
    "rmw/validate_namespace.h",
    "rmw/validate_node_name.h",
    "rmw_hazcat_rs/memory_domain.h",
];

/// The include folders found, and where `librcutils.so` is.
pub struct Headers {
    /// Folders for `-I`, most wanted first.
    pub include: Vec<PathBuf>,
    /// Whether the `rmw` headers are the project's own.
    pub own_rmw: bool,
    libraries: Vec<PathBuf>,
}

impl Headers {
    /// Looks through the sourced prefixes, then the system.
    pub fn find() -> Result<Self, String> {
        let prefixes = prefixes();
        let own = own_folder()?;
        let mut include: Vec<PathBuf> = Vec::new();
        let mut own_rmw = false;
        for (package, proof) in PACKAGES {
            let folder = match find_package(&prefixes, package, proof) {
                Some(folder) => folder,
                None if package == "rmw" => {
                    own_rmw = true;
                    own.clone()
                }
                None => {
                    return Err(format!(
                        "no headers of {package} ({proof}) under {}; source a ROS 2, or install \
                         Debian's librcutils-dev, librosidl-runtime-c-cpp-dev, \
                         librosidl-typesupport-interface-dev and \
                         librosidl-typesupport-introspection-c-cpp-dev",
                        list(&prefixes)
                    ))
                }
            };
            if !include.contains(&folder) {
                include.push(folder);
            }
        }
        for (package, proof) in OPTIONAL_PACKAGES {
            if let Some(folder) = find_package(&prefixes, package, proof) {
                if !include.contains(&folder) {
                    include.push(folder);
                }
            }
        }
        // What this library declares beside rmw.
        include.push(own_interface_folder()?);
        let libraries = prefixes.iter().flat_map(|p| library_folders(p)).collect();
        Ok(Self { include, own_rmw, libraries })
    }

    /// The folder of the project's own declaration of rmw.
    pub fn own(&self) -> Result<PathBuf, String> {
        own_folder()
    }

    /// The file that `#include "name"` would open.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.include.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    /// A header that includes all that is bound.
    pub fn umbrella(&self) -> String {
        BOUND.iter().filter(|name| self.file(name).is_some()).map(|name| format!("#include \"{name}\"\n")).collect()
    }

    /// The text of all files of the bound packages' folders `rmw`, `rosidl_runtime_c` and the C
    /// introspection, without comments. Also asks cargo to watch them.
    pub fn text(&self) -> Result<String, String> {
        let mut text = String::new();
        for name in [
            "rmw/rmw.h",
            "rosidl_runtime_c/message_type_support_struct.h",
            "rosidl_typesupport_introspection_c/message_introspection.h",
        ] {
            let file = self.file(name).ok_or_else(|| format!("no {name}"))?;
            let folder = file.parent().ok_or_else(|| format!("no folder of {name}"))?;
            println!("cargo:rerun-if-changed={}", folder.display());
            append_folder(folder, &mut text)?;
        }
        Ok(text)
    }

    /// Links librcutils, the one library besides libc.
    pub fn emit_link_flags(&self) {
        for folder in &self.libraries {
            if folder.join("librcutils.so").is_file() {
                println!("cargo:rustc-link-search=native={}", folder.display());
                break;
            }
        }
        println!("cargo:rustc-link-lib=dylib=rcutils");
    }
}

/// `text` without `//` and `/* */` comments.
pub fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        if after.starts_with("//") {
            rest = after.find('\n').map_or("", |end| &after[end..]);
        } else if after.starts_with("/*") {
            out.push(' ');
            rest = after.find("*/").map_or("", |end| &after[end + 2..]);
        } else {
            out.push('/');
            rest = &after[1..];
        }
    }
    out.push_str(rest);
    out
}

fn own_folder() -> Result<PathBuf, String> {
    Ok(own_interface_folder()?.join("humble"))
}

fn own_interface_folder() -> Result<PathBuf, String> {
    env::var_os("CARGO_MANIFEST_DIR")
        .map(|folder| PathBuf::from(folder).join("include"))
        .ok_or_else(|| "CARGO_MANIFEST_DIR is not set".to_owned())
}

/// Sourced prefixes in their order, then `/usr`.
pub fn prefixes() -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = Vec::new();
    for variable in ["AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"] {
        if let Some(value) = env::var_os(variable) {
            prefixes.extend(env::split_paths(&value).filter(|p| !p.as_os_str().is_empty()));
        }
    }
    prefixes.push(PathBuf::from("/usr"));
    let mut seen: Vec<PathBuf> = Vec::new();
    prefixes.retain(|p| {
        let new = !seen.contains(p);
        if new {
            seen.push(p.clone());
        }
        new
    });
    prefixes
}

/// Newer installations keep each package's headers in a folder of its own, older ones do not.
fn find_package(prefixes: &[PathBuf], package: &str, proof: &str) -> Option<PathBuf> {
    prefixes
        .iter()
        .flat_map(|prefix| {
            let flat = prefix.join("include");
            [flat.join(package), flat]
        })
        .find(|folder| folder.join(proof).is_file())
}

fn library_folders(prefix: &Path) -> Vec<PathBuf> {
    let lib = prefix.join("lib");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    vec![lib.clone(), lib.join(format!("{arch}-linux-gnu"))]
}

fn append_folder(folder: &Path, text: &mut String) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            append_folder(&path, text)?;
        } else if path.extension().is_some_and(|e| e == "h") {
            let content = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            text.push_str(&without_comments(&content));
            text.push('\n');
        }
    }
    Ok(())
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    names.join(", ")
}

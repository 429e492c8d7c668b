//! Messages as rosidl generated and colcon built them: those of `test/interfaces`, and test_msgs.

use rmw_hazcat_rs::ffi;
use rmw_hazcat_rs::typesupport::{MessageType, ServiceType};
use std::ffi::{c_void, CStr, CString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every message, as named in `test/interfaces/msg`.
pub const MESSAGES: [&str; 21] = [
    "Arrays",
    "BoundedPlainSequences",
    "BoundedSequences",
    "Bytes",
    "Constants",
    "Defaults",
    "Empty",
    "Fixed1k",
    "Fixed1m",
    "Fixed64k",
    "Fixed8k",
    "Fixed8m",
    "MultiNested",
    "Nested",
    "PlainArrays",
    "Primitives",
    "Stamp",
    "Stamped",
    "Strings",
    "UnboundedSequences",
    "WStrings",
];

/// Every service, as named in `test/interfaces/srv`.
pub const SERVICES: [&str; 3] = ["Add", "Empty", "Everything"];

/// Every message of the ROS 2 package test_msgs.
pub const TEST_MSGS: [&str; 13] = [
    "Arrays",
    "BasicTypes",
    "BoundedPlainSequences",
    "BoundedSequences",
    "Builtins",
    "Constants",
    "Defaults",
    "Empty",
    "MultiNested",
    "Nested",
    "Strings",
    "UnboundedSequences",
    "WStrings",
];

/// The type support libraries of one package, C and C++.
pub struct Package {
    name: &'static str,
    lib: PathBuf,
}

impl Package {
    /// The test messages, in the folder that `HAZCAT_TEST_INTERFACES_PREFIX` names. Without that
    /// variable there is nothing to test, which is said, and which cannot happen under colcon.
    pub fn own() -> Option<Self> {
        let Some(prefix) = std::env::var_os("HAZCAT_TEST_INTERFACES_PREFIX") else {
            println!("skipped: HAZCAT_TEST_INTERFACES_PREFIX is not set, so there are no generated messages");
            return None;
        };
        Some(Self { name: "rmw_hazcat_rs", lib: PathBuf::from(prefix).join("lib") })
    }

    /// test_msgs, where a ROS 2 that has it is sourced.
    pub fn test_msgs() -> Option<Self> {
        let Some(lib) = in_sourced_lib("libtest_msgs__rosidl_typesupport_introspection_c.so") else {
            println!("skipped: no ROS 2 with test_msgs is sourced");
            return None;
        };
        Some(Self { name: "test_msgs", lib })
    }

    /// A message in both languages, C first.
    pub fn message(&self, name: &str) -> [Arc<MessageType>; 2] {
        self.handles("message", "msg", name, "_introspection")
            // SAFETY: generated handles of libraries that are never closed.
            .map(|handle| unsafe { MessageType::from_handle(handle.cast()) }.unwrap())
    }

    /// A service in both languages, C first.
    pub fn service(&self, name: &str) -> [Arc<ServiceType>; 2] {
        self.handles("service", "srv", name, "_introspection")
            // SAFETY: generated handles of libraries that are never closed.
            .map(|handle| unsafe { ServiceType::from_handle(handle.cast()) }.unwrap())
    }

    /// Whether there are the dispatching libraries, whose handles rcl passes on.
    pub fn has_dispatch(&self) -> bool {
        self.lib.join(format!("lib{}__rosidl_typesupport_c.so", self.name)).exists()
    }

    /// The handles that rcl would pass: of the dispatching type support, C first.
    pub fn dispatch_handles(&self, name: &str) -> [*const ffi::rosidl_message_type_support_t; 2] {
        self.handles("message", "msg", name, "").map(<*const c_void>::cast)
    }

    fn handles(&self, what: &str, folder: &str, name: &str, kind: &str) -> [*const c_void; 2] {
        let package = self.name;
        ["c", "cpp"].map(|language| {
            let library = self.lib.join(format!("lib{package}__rosidl_typesupport{kind}_{language}.so"));
            let library = open(&library);
            let getter = format!(
                "rosidl_typesupport{kind}_{language}__get_{what}_type_support_handle__{package}__{folder}__{name}"
            );
            // SAFETY: the generated function of this name has this type.
            let function = unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_void>(symbol(library, &getter))
            };
            // SAFETY: no requirements.
            unsafe { function() }
        })
    }
}

/// The first of the sourced prefixes' `lib` folders that has this file.
pub fn in_sourced_lib(file: &str) -> Option<PathBuf> {
    let prefixes = std::env::var_os("AMENT_PREFIX_PATH")?;
    std::env::split_paths(&prefixes).map(|prefix| prefix.join("lib")).find(|lib| lib.join(file).exists())
}

/// Loads a library, for ever.
pub fn open(path: &Path) -> *mut c_void {
    let name = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated name.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        // SAFETY: it returns null or a NUL-terminated text.
        let why = unsafe { CStr::from_ptr(libc::dlerror()) };
        panic!("{}: {}", path.display(), why.to_string_lossy());
    }
    library
}

/// A function of a library.
pub fn symbol(library: *mut c_void, name: &str) -> *mut c_void {
    let name = CString::new(name).unwrap();
    // SAFETY: an open library and a NUL-terminated name.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "no {name:?}");
    found
}

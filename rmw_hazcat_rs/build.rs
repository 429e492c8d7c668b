//! Makes the Rust side of the C interfaces from headers: `OUT_DIR/bindings.rs`, and a `cfg` for every
//! feature that the headers turn out to have.
//!
//! Headers come from the ROS 2 that is sourced (`AMENT_PREFIX_PATH`, `CMAKE_PREFIX_PATH`), else from
//! the system's packages; where no real `rmw` is found, the project's own declaration of it
//! (`include/humble`) is used. What is in the headers decides, never the name of a distribution.

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/declared.rs"]
mod declared;
#[path = "build/features.rs"]
mod features;
#[path = "build/headers.rs"]
mod headers;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=include");
    for variable in ["AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", declared::VARIABLE] {
        println!("cargo:rerun-if-env-changed={variable}");
    }

    // By this name our headers' functions find the library that the process has loaded, from wherever.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librmw_hazcat_rs.so");

    let result = headers::Headers::find().and_then(|headers| {
        let text = headers.text()?;
        features::check_introspection_layouts(&headers)?;
        let features = features::detect(&text, headers.own_rmw);
        features::emit(&features);
        headers.emit_link_flags();
        bindings::write("declared.rs", &declared::generate(&headers)?)?;
        bindings::write("bindings.rs", &bindings::generate(&headers, &text, &features)?)
    });
    if let Err(message) = result {
        // A build script reports by failing; cargo prints what it wrote to stderr.
        eprintln!("rmw_hazcat_rs: {message}");
        std::process::exit(1);
    }
}

//! What holds with a driver. Each test is run in a process of its own; `child` is the other process of those that need one.

mod contract;
mod deaths;
mod devices;
mod failures;
mod measuring;
mod order;
mod processes;
mod scene;
mod sharing;

/// The suite that every memory domain passes.
mod conformance {
    use hazcat_core::domain::registry::resolve;

    hazcat_core::domain_conformance!(first_device, resolve("cuda:0"));
    hazcat_core::domain_conformance!(second_device, resolve("cuda:1"));
}

/// The other process: does what its first argument says.
#[test]
fn child() {
    processes::play();
}

//! CUDA domains, on a driver without a GPU (`tests/fake_cuda`), and on a real one where there is one.
//!
//! The driver is found when a process starts, so each test of `inside/` is run in a process of its own, with the fake one. Run by
//! themselves (`cargo test --test cuda inside::`), these tests use whatever driver the machine has: on a machine with a GPU that is
//! the real one, and those that need to order failures say that they did nothing.
#![cfg(feature = "cuda")]

mod absent;
mod fake;
mod inside;

use std::time::Duration;

/// All tests of `inside/`, each in a process of its own.
fn all_inside(what: &str, environment: &[(&str, &str)]) {
    let Some(folder) = fake::folder() else { return };
    let names = fake::names("inside::");
    assert!(names.len() >= 25, "only {} tests: {names:?}", names.len());
    let mut failed = Vec::new();
    for name in &names {
        let output = fake::run(name, folder, environment, Duration::from_secs(60));
        let text = format!("{}{}", output.text, output.errors);
        if !output.passed || text.contains("not tested") {
            println!("---- {name}\n{text}");
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{what}: {failed:?}");
}

#[test]
fn everything_holds_on_a_driver_with_two_devices() {
    all_inside("two devices", &[("FAKE_CUDA_DEVICES", "2")]);
}

/// Streams that cannot wait for words, no read-only mappings and registrations, no direct way between devices.
#[test]
fn everything_holds_on_a_driver_that_can_do_little() {
    let environment = [
        ("FAKE_CUDA_DEVICES", "2"),
        ("FAKE_CUDA_LACKS", "122,113"),
        ("FAKE_CUDA_NO_READ_ONLY", "1"),
        ("FAKE_CUDA_PEERS", "0"),
    ];
    all_inside("little", &environment);
}

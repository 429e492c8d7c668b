//! Bugs to order: that the tests here find what they look for is shown by having them look at a queue that is broken.

use hazcat_core::fault;
use std::process::{Command, Stdio};

const BUG: &str = "HAZCAT_TEST_BUG";

/// Plants the bug that the parent test ordered, if there is one.
pub fn plant_what_was_ordered() {
    if let Ok(bug) = std::env::var(BUG) {
        fault::plant(&bug).expect("a bug that can be planted");
    }
}

/// Runs a test of this binary with a bug planted in it and in all its children. It must fail, with `complaint` in its output.
pub fn expect_found(bug: &str, test: &str, complaint: &str) {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(BUG, bug).stdin(Stdio::null());
    let output = command.output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{test} has not noticed {bug}");
    assert!(text.contains(complaint), "{test} failed with {bug}, but not by it:\n{text}");
    println!("{test} finds {bug}");
}

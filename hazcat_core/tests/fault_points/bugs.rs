//! Bugs to order: that the tests here find what they look for is shown by having them look at a queue that is broken.

use hazcat_core::fault;

const BUG: &str = "HAZCAT_TEST_BUG";

/// Plants the bug that the parent test ordered, if there is one.
pub fn plant_what_was_ordered() {
    if let Ok(bug) = std::env::var(BUG) {
        fault::plant(&bug).expect("a bug that can be planted");
    }
}

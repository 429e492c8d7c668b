//! The one suite that every memory domain passes: host, simulated device, CUDA, and those of other crates.
//!
//! In a test binary of your own:
//!
//! ```ignore
//! hazcat_core::domain_conformance!(mine, hazcat_core::domain::registry::resolve("mine:0"));
//! ```
//!
//! makes a module `mine` of tests, each a contract of [`super::DomainAllocator`], [`super::MemoryDomain`] or
//! [`super::RemoteMemory`]. A violation panics and says what was promised. Where the domain is
//! [`DomainError::NotAvailable`] (no device, no driver), the tests say so and pass.
//!
//! | file | what |
//! |---|---|
//! | `bench.rs` | a place for an allocator's files, random numbers, contents that show damage |
//! | `operations.rs` | random operations against a model |
//! | `limits.rs` | budgets, and what does not fit |
//! | `remapping.rs` | the same bytes seen by others, in this process and in another one, before and after the owner's death |

mod bench;
mod limits;
mod operations;
mod remapping;

pub use bench::Bench;
pub use limits::{exhaustion_is_an_error_that_ends, promises_of_room_are_kept, what_is_out_of_bounds_is_refused};
pub use operations::random_operations_agree_with_a_model;
pub use remapping::{child, others_read_what_was_written, what_is_mapped_outlives_its_owner};

use super::{DomainError, MemoryDomain};
use std::sync::Arc;

/// The domain, or `None` (said on standard error) where it is not available on this machine.
///
/// # Panics
/// On any other answer.
pub fn available(domain: Result<Arc<dyn MemoryDomain>, DomainError>) -> Option<Arc<dyn MemoryDomain>> {
    match domain {
        Ok(domain) => Some(domain),
        Err(error @ DomainError::NotAvailable { .. }) => {
            eprintln!("not tested: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Makes a module of tests for a domain: `domain_conformance!(name, resolve("kind:0"))`.
#[macro_export]
macro_rules! domain_conformance {
    ($name:ident, $domain:expr) => {
        mod $name {
            use super::*;
            use $crate::domain::conformance;

            fn bench() -> Option<conformance::Bench> {
                conformance::available($domain).map(conformance::Bench::new)
            }

            #[test]
            fn random_operations_agree_with_a_model() {
                bench().iter().for_each(conformance::random_operations_agree_with_a_model);
            }

            #[test]
            fn what_is_out_of_bounds_is_refused() {
                bench().iter().for_each(conformance::what_is_out_of_bounds_is_refused);
            }

            #[test]
            fn exhaustion_is_an_error_that_ends() {
                bench().iter().for_each(conformance::exhaustion_is_an_error_that_ends);
            }

            #[test]
            fn promises_of_room_are_kept() {
                bench().iter().for_each(conformance::promises_of_room_are_kept);
            }

            #[test]
            fn others_read_what_was_written() {
                bench().iter().for_each(conformance::others_read_what_was_written);
            }

            #[test]
            fn what_is_mapped_outlives_its_owner() {
                let child = concat!(module_path!(), "::child");
                bench().iter().for_each(|bench| conformance::what_is_mapped_outlives_its_owner(bench, child));
            }

            /// Not a test: what the other process runs.
            #[test]
            fn child() {
                conformance::child(|| conformance::available($domain));
            }
        }
    };
}

//! Without a driver, or with one that will not do: an answer with the reason, and everything else works.

use crate::fake;
use hazcat_core::domain::registry::resolve;
use hazcat_core::domain::{cuda, DomainError};
use std::time::Duration;

const EXPECTED: &str = "HAZCAT_TEST_EXPECTED";

fn expect(case: &str, expected: &str, environment: &[(&str, &str)]) {
    let mut all = vec![(EXPECTED, expected)];
    if let Some(folder) = fake::folder() {
        all.push(("LD_LIBRARY_PATH", folder.to_str().expect("a name")));
    }
    all.extend(environment);
    let ended = fake::run_with("absent::child", &all, Duration::from_secs(60));
    assert!(ended.passed, "{case}:\n{}{}", ended.text, ended.errors);
}

#[test]
fn what_is_missing_is_named_and_nothing_else_suffers() {
    if fake::folder().is_none() {
        return;
    }
    expect("no device", "cuInit: CUDA_ERROR_NO_DEVICE", &[("FAKE_CUDA_DEVICES", "0")]);
    expect(
        "another module in the kernel",
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        &[("FAKE_CUDA_FAIL", "cuInit=803:0:99")],
    );
    expect("an error that is newer than we are", "CUDA error 12345", &[("FAKE_CUDA_FAIL", "cuInit=12345:0:99")]);
    expect("an old driver", "for CUDA 11.8, needed is 12.0", &[("FAKE_CUDA_VERSION", "11080")]);
    expect("no virtual memory", "virtual memory management", &[("FAKE_CUDA_LACKS", "102")]);
    expect("no descriptors", "exported as a file descriptor", &[("FAKE_CUDA_LACKS", "103")]);
    expect(
        "no context",
        "cuDevicePrimaryCtxRetain: CUDA_ERROR_OUT_OF_MEMORY",
        &[("FAKE_CUDA_FAIL", "cuDevicePrimaryCtxRetain=2:0:99")],
    );
}

#[test]
fn a_library_without_functions_and_one_that_is_none_are_no_driver() {
    if let Some(hollow) = fake::hollow() {
        expect("hollow", "the driver has no function cuInit", &[("LD_LIBRARY_PATH", hollow.to_str().expect("a name"))]);
    }
    let none = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("no_cuda");
    std::fs::create_dir_all(&none).expect("a folder");
    for name in ["libcuda.so.1", "libcuda.so"] {
        std::fs::write(none.join(name), "no library").expect("write");
    }
    expect("no library", "no CUDA driver (", &[("LD_LIBRARY_PATH", none.to_str().expect("a name"))]);
}

/// What the other processes run.
#[test]
fn child() {
    let Ok(expected) = std::env::var(EXPECTED) else { return };
    for text in ["cuda:0", "cuda", "cuda:GPU-fa4e", "cuda:0"] {
        let error = resolve(text).map(|domain| domain.id()).expect_err("not there");
        assert!(matches!(error, DomainError::NotAvailable { .. }), "{error:?}");
        assert!(error.to_string().contains(&expected), "{error}, expected was {expected}");
    }
    assert!(matches!(resolve("cuda:x").map(|domain| domain.id()), Err(DomainError::Malformed { .. })));
    let _ = cuda::devices();
    // The rest is there.
    for text in ["host", "sim:0"] {
        let bench = hazcat_core::domain::conformance::Bench::new(resolve(text).expect("always there"));
        hazcat_core::domain::conformance::others_read_what_was_written(&bench);
    }
}

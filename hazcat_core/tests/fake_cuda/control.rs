//! What tests tell the driver, and ask it.

use crate::{devices, state, VIOLATIONS};
use std::ffi::{c_char, CStr};
use std::sync::atomic::Ordering;

/// Calls that fail.
pub(crate) struct Failure {
    name: String,
    code: u32,
    after: u32,
    times: u32,
}

pub(crate) fn failures_from_env() -> Vec<Failure> {
    let text = std::env::var("FAKE_CUDA_FAIL").unwrap_or_default();
    let parse = |part: &str| {
        let (name, numbers) = part.split_once('=')?;
        let mut numbers = numbers.split(':').map_while(|number| number.parse().ok());
        let (code, after, times) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(Failure { name: name.to_owned(), code, after, times })
    };
    text.split(',').filter_map(parse).collect()
}

pub(crate) fn due(failures: &mut [Failure], name: &str) -> Option<u32> {
    let failure = failures.iter_mut().find(|failure| failure.name == name && failure.times > 0)?;
    if failure.after > 0 {
        failure.after -= 1;
        return None;
    }
    failure.times -= 1;
    Some(failure.code)
}

/// From now on, after so many calls, so many calls of a function fail.
#[no_mangle]
pub unsafe extern "C" fn fake_cuda_fail(name: *const c_char, code: u32, after: u32, times: u32) {
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    state().failures.push(Failure { name, code, after, times });
}

/// Ends the context of a device, as a kernel does that touches what it must not.
#[no_mangle]
pub extern "C" fn fake_cuda_break(device: i32) {
    state().ended.insert(devices::real(device).unwrap_or(device), crate::ILLEGAL_ADDRESS);
}

/// Begins to capture a stream into a graph, in the global mode, or ends it.
#[no_mangle]
pub extern "C" fn fake_cuda_capture(stream: usize, on: bool) {
    let captured = &mut state().captured;
    captured.retain(|other| *other != stream);
    if on {
        captured.push(stream);
    }
}

/// What CUDA's documentation calls potentially unsafe.
pub(crate) fn may_disturb_a_capture(name: &str) -> bool {
    name.starts_with("cuMem")
        || matches!(name, "cuStreamSynchronize" | "cuStreamQuery" | "cuEventQuery" | "cuStreamCreate")
}

/// How often this process did what it must not.
#[no_mangle]
pub extern "C" fn fake_cuda_violations() -> u32 {
    VIOLATIONS.load(Ordering::Relaxed)
}

/// What is in use: physical allocations, reservations, mappings, registrations, streams, events.
#[no_mangle]
pub unsafe extern "C" fn fake_cuda_in_use(counts: *mut [u32; 6]) {
    let state = state();
    let counted = [
        state.physical.len(),
        state.reserved.len(),
        state.mapped.len(),
        state.registered.len(),
        state.streams.keys().filter(|handle| **handle > 0x1000_0000).count(),
        state.events.len(),
    ];
    unsafe { *counts = counted.map(|count| count as u32) };
}

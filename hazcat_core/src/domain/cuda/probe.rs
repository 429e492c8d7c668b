//! What a device does by itself, without anything of ours: what our copies are measured against.

use super::device::Device;
use super::driver::CudaError;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long `times` copies of `len` bytes take, each by itself: from device memory to page-locked host memory, both allocated by
/// the driver.
///
/// # Errors
/// The driver's.
pub fn bare_copies(device: &Arc<Device>, len: usize, times: usize) -> Result<Vec<Duration>, CudaError> {
    let _current = device.current()?;
    let driver = device.driver();
    let mut host = Pinned { device, at: std::ptr::null_mut() };
    // SAFETY: writes one address.
    unsafe { driver.cuMemAllocHost(&raw mut host.at, len) }?;
    let mut memory = Memory { device, at: 0 };
    // SAFETY: writes one address.
    unsafe { driver.cuMemAlloc(&raw mut memory.at, len) }?;
    let copy = || {
        device.submit_and_wait(|driver, stream| {
            // SAFETY: `len` bytes on both sides, which are there until the stream is done.
            unsafe { driver.cuMemcpyDtoHAsync(host.at, memory.at, len, stream) }
        })
    };
    // The first one is slower: it is not counted.
    copy()?;
    let timed = (0..times).map(|_| {
        let began = Instant::now();
        copy().map(|()| began.elapsed())
    });
    timed.collect()
}

struct Pinned<'a> {
    device: &'a Device,
    at: *mut c_void,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        if self.at.is_null() {
            return;
        }
        if let Ok(_current) = self.device.current() {
            // SAFETY: allocated above, freed once.
            let _ = unsafe { self.device.driver().cuMemFreeHost(self.at) };
        }
    }
}

struct Memory<'a> {
    device: &'a Device,
    at: cudarc::driver::sys::CUdeviceptr,
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        if self.at == 0 {
            return;
        }
        if let Ok(_current) = self.device.current() {
            // SAFETY: allocated above, freed once.
            let _ = unsafe { self.device.driver().cuMemFree(self.at) };
        }
    }
}

//! Code for devices: what the demo does to an image, and what checks bytes in tests and measurements.
//!
//! Shipped as PTX (`kernels.ptx`, made of `kernels.cu` by `scripts/cuda_kernels.py`), which the driver compiles for the device at hand: neither CUDA's toolkit
//! nor NVRTC is needed where it runs.
//!
//! Addresses are those of loans and taken messages on the device. Filling is quicker where they are multiples of eight.

use super::device::{raw_stream, Device, Handle};
use super::driver::CudaError;
use crate::domain::Stream;
use cudarc::driver::sys;
use std::ffi::{c_void, CString};
use std::sync::Arc;

const PTX: &str = include_str!("kernels.ptx");
const BLOCK: u32 = 256;
/// Most blocks of a launch: each thread takes as many bytes as are left to it.
const MOST_BLOCKS: u64 = 2048;

type Function = Handle<sys::CUfunc_st>;

/// The kernels, compiled for one device. Never unloaded.
pub struct Kernels {
    device: Arc<Device>,
    fill: Function,
    verify: Function,
    invert: Function,
    spin: Function,
}

impl Kernels {
    /// Compiles the kernels for a device.
    ///
    /// # Errors
    /// The driver's.
    pub fn load(device: &Arc<Device>) -> Result<Self, CudaError> {
        let _current = device.current()?;
        let text = CString::new(PTX).map_err(|_| CudaError::ours("cuModuleLoadData", "HAZCAT_BAD_PTX"))?;
        let mut module = std::ptr::null_mut();
        // SAFETY: a text that ends with a zero; writes one handle.
        unsafe { device.driver().cuModuleLoadData(&raw mut module, text.as_ptr().cast()) }?;
        let function = |name: &std::ffi::CStr| -> Result<Function, CudaError> {
            let mut function = std::ptr::null_mut();
            // SAFETY: the module just loaded, which is never unloaded; writes one handle.
            unsafe { device.driver().cuModuleGetFunction(&raw mut function, module, name.as_ptr()) }?;
            Ok(Handle::new(function))
        };
        Ok(Self {
            device: Arc::clone(device),
            fill: function(c"hazcat_fill")?,
            verify: function(c"hazcat_verify")?,
            invert: function(c"hazcat_invert")?,
            spin: function(c"hazcat_spin")?,
        })
    }

    /// Starts a kernel whose parameters are all of 64 bits.
    ///
    /// # Safety
    /// The function has so many parameters, and the addresses among them are of memory that the kernel may use until `stream` is
    /// done with it.
    unsafe fn launch(
        &self,
        function: Function,
        stream: Stream,
        threads: u64,
        parameters: &mut [u64],
    ) -> Result<(), CudaError> {
        let _current = self.device.current_to_submit(stream)?;
        let blocks = threads.div_ceil(u64::from(BLOCK)).clamp(1, MOST_BLOCKS) as u32;
        let mut places: Vec<*mut c_void> =
            parameters.iter_mut().map(|parameter| (&raw mut *parameter).cast()).collect();
        let none = std::ptr::null_mut();
        // SAFETY: one place per parameter, read before the call returns; the rest is the caller's to promise.
        unsafe {
            let driver = self.device.driver();
            driver.cuLaunchKernel(
                function.raw(),
                blocks,
                1,
                1,
                BLOCK,
                1,
                1,
                0,
                raw_stream(stream),
                places.as_mut_ptr(),
                none,
            )
        }
    }

    /// Has a stream fill `len` bytes with a pattern that depends on `seed` and on the place of each byte; does not wait.
    ///
    /// # Safety
    /// `len` writable bytes of this device's memory, until the stream is done.
    ///
    /// # Errors
    /// The driver's.
    pub unsafe fn fill(&self, stream: Stream, at: *mut u8, len: usize, seed: u64) -> Result<(), CudaError> {
        // SAFETY: three parameters, see kernels.cu; the caller vouches for the memory.
        unsafe { self.launch(self.fill, stream, len as u64 / 8 + 1, &mut [at as u64, len as u64, seed]) }
    }

    /// Has a stream turn an image into its negative, in place; does not wait.
    ///
    /// # Safety
    /// As for [`Kernels::fill`].
    ///
    /// # Errors
    /// The driver's.
    pub unsafe fn invert(&self, stream: Stream, at: *mut u8, len: usize) -> Result<(), CudaError> {
        // SAFETY: two parameters, see kernels.cu; the caller vouches for the memory.
        unsafe { self.launch(self.invert, stream, len as u64, &mut [at as u64, len as u64]) }
    }

    /// Keeps a stream busy for so many nanoseconds; does not wait.
    ///
    /// # Errors
    /// The driver's.
    pub fn spin(&self, stream: Stream, nanoseconds: u64) -> Result<(), CudaError> {
        // SAFETY: one parameter, see kernels.cu; it touches no memory.
        unsafe { self.launch(self.spin, stream, 1, &mut [nanoseconds]) }
    }

    /// Counts the bytes that differ from what [`Kernels::fill`] writes, behind all that was submitted to `stream`; waits for it.
    ///
    /// # Safety
    /// `len` readable bytes of this device's memory.
    ///
    /// # Errors
    /// The driver's.
    pub unsafe fn wrong_bytes(&self, stream: Stream, at: *const u8, len: usize, seed: u64) -> Result<u64, CudaError> {
        let driver = self.device.driver();
        let counter = Counter::new(&self.device, stream)?;
        // SAFETY: four parameters, see kernels.cu; the caller vouches for the memory, the counter is there until the stream is
        // done.
        unsafe { self.launch(self.verify, stream, len as u64, &mut [at as u64, len as u64, seed, counter.0]) }?;
        let mut wrong = 0u64;
        let _current = self.device.current_for(stream)?;
        // SAFETY: eight bytes, on both sides; they are there until the stream is done.
        unsafe { driver.cuMemcpyDtoHAsync((&raw mut wrong).cast(), counter.0, size_of::<u64>(), raw_stream(stream)) }?;
        // SAFETY: the caller's stream.
        unsafe { driver.cuStreamSynchronize(raw_stream(stream)) }?;
        drop(counter);
        Ok(wrong)
    }
}

/// Eight bytes on a device, zero; freed on drop.
struct Counter<'a>(sys::CUdeviceptr, &'a Device);

impl<'a> Counter<'a> {
    fn new(device: &'a Device, stream: Stream) -> Result<Self, CudaError> {
        let _current = device.current()?;
        let mut at = 0;
        // SAFETY: writes one address.
        unsafe { device.driver().cuMemAlloc(&raw mut at, size_of::<u64>()) }?;
        let counter = Self(at, device);
        static ZERO: u64 = 0;
        // SAFETY: eight bytes on both sides; the source is there for ever.
        unsafe {
            device.driver().cuMemcpyHtoDAsync(at, (&raw const ZERO).cast(), size_of::<u64>(), raw_stream(stream))
        }?;
        Ok(counter)
    }
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        if let Ok(_current) = self.1.current() {
            // SAFETY: allocated above, freed once; the driver waits for what still uses it.
            let _ = unsafe { self.1.driver().cuMemFree(self.0) };
        }
    }
}

/// A stream of its own on a device, for programs that have no other way to make one; destroyed on drop.
pub struct OwnStream {
    device: Arc<Device>,
    handle: Handle<sys::CUstream_st>,
}

impl OwnStream {
    /// A new one; it does not wait for the default stream.
    ///
    /// # Errors
    /// The driver's.
    pub fn new(device: &Arc<Device>) -> Result<Self, CudaError> {
        let _current = device.current()?;
        Ok(Self { device: Arc::clone(device), handle: device.new_stream()? })
    }

    /// As endpoints know it.
    pub fn stream(&self) -> Stream {
        Stream(self.handle.raw() as usize)
    }

    /// Whether all that was submitted to it is done.
    ///
    /// # Errors
    /// The driver's: also what went wrong in the work.
    pub fn is_done(&self) -> Result<bool, CudaError> {
        let _current = self.device.current()?;
        // SAFETY: our own stream; only asks.
        match unsafe { self.device.driver().cuStreamQuery(self.handle.raw()) } {
            Err(error) if error.is(sys::CUresult::CUDA_ERROR_NOT_READY) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Waits until all that was submitted to it is done.
    ///
    /// # Errors
    /// The driver's: also what went wrong in the work.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        let _current = self.device.current()?;
        // SAFETY: our own stream.
        unsafe { self.device.driver().cuStreamSynchronize(self.handle.raw()) }
    }
}

impl Drop for OwnStream {
    fn drop(&mut self) {
        if let Ok(_current) = self.device.current() {
            // SAFETY: our own stream, destroyed once; what was submitted to it is still done.
            let _ = unsafe { self.device.driver().cuStreamDestroy(self.handle.raw()) };
        }
    }
}

//! A device and its primary context.
//!
//! The primary context is the one that CUDA's runtime interface uses too, so memory and streams of libraries in the same
//! process fit together. It is retained for as long as the process lives. A context is current per thread: every call here
//! pushes it and pops it afterwards, so that callers keep theirs ([`Device::current`]). A forked child has no CUDA. A program that
//! resets the device (`cudaDeviceReset`) destroys the context for everybody in the process: what then fails stays failed.

use super::driver::{CudaError, Driver};
use super::exit::{self, Inside};
use super::uuid::DeviceUuid;
use crate::domain::{CopyError, DeviceError, DomainId, Stream};
use crate::sys::fork::ForkMark;
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint, CStr};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// Handles up to this one are default streams (`CU_STREAM_PER_THREAD`): of whatever context is current.
const LAST_DEFAULT_STREAM: usize = 2;

/// A handle of the driver's. Not a pointer to anything of ours.
pub(super) struct Handle<T>(*mut T);

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> Handle<T> {
    pub(super) fn new(raw: *mut T) -> Self {
        Self(raw)
    }

    pub(super) fn raw(self) -> *mut T {
        self.0
    }
}

// SAFETY: contexts, streams, modules and functions may be used from every thread; nothing is dereferenced here.
unsafe impl<T> Send for Handle<T> {}
// SAFETY: as for Send.
unsafe impl<T> Sync for Handle<T> {}

/// A CUDA device, ready to be used. The same object for the whole process.
pub struct Device {
    driver: &'static Driver,
    number: sys::CUdevice,
    uuid: DeviceUuid,
    name: String,
    context: Handle<sys::CUctx_st>,
    /// Whether streams can wait for and write 64-bit words.
    stream_words: bool,
    read_only_pins: bool,
    granularity: usize,
    streams: Mutex<Vec<Handle<sys::CUstream_st>>>,
    mark: ForkMark,
}

impl Device {
    /// The devices that this process can see, by number.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn list() -> Result<Vec<DeviceUuid>, String> {
        let driver = Driver::get()?;
        let _inside = Inside::new().ok_or("the process is ending")?;
        let mut count = 0;
        // SAFETY: writes one number.
        unsafe { driver.cuDeviceGetCount(&raw mut count) }.map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the driver knows no device".into());
        }
        (0..count).map(|number| Self::uuid_of(driver, number).map_err(|error| error.to_string())).collect()
    }

    fn uuid_of(driver: &Driver, number: c_int) -> Result<DeviceUuid, CudaError> {
        let mut device = 0;
        // SAFETY: writes one number.
        unsafe { driver.cuDeviceGet(&raw mut device, number) }?;
        let mut uuid = sys::CUuuid { bytes: [0; 16] };
        // SAFETY: writes 16 bytes.
        unsafe { driver.cuDeviceGetUuid(&raw mut uuid, device) }?;
        Ok(DeviceUuid(uuid.bytes.map(|byte| byte as u8)))
    }

    /// Device `number` of this process.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    pub(super) fn open(number: c_int) -> Result<Arc<Self>, String> {
        static OPEN: Mutex<Option<HashMap<DeviceUuid, Arc<Device>>>> = Mutex::new(None);
        let driver = Driver::get()?;
        let uuid = Self::uuid_of(driver, number).map_err(|error| error.to_string())?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        // A forked child opens anew, and is told by the driver that it cannot.
        if let Some(device) = open.get(&uuid).filter(|device| device.mark.check().is_ok()) {
            return Ok(Arc::clone(device));
        }
        let device = Arc::new(Self::new(driver, number, uuid)?);
        open.insert(uuid, Arc::clone(&device));
        Ok(device)
    }

    fn new(driver: &'static Driver, number: c_int, uuid: DeviceUuid) -> Result<Self, String> {
        let say = |error: CudaError| format!("device {number} ({uuid}): {error}");
        let mut device = 0;
        // SAFETY: writes one number.
        unsafe { driver.cuDeviceGet(&raw mut device, number) }.map_err(say)?;
        let has = |attribute: Attribute| {
            let mut value = 0;
            // SAFETY: writes one number.
            unsafe { driver.cuDeviceGetAttribute(&raw mut value, attribute, device) }.is_ok() && value != 0
        };
        for (attribute, what) in [
            (Attribute::CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, "unified addressing"),
            (Attribute::CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, "virtual memory management"),
            (
                Attribute::CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
                "memory that can be exported as a file descriptor",
            ),
        ] {
            if !has(attribute) {
                return Err(format!("device {number} ({uuid}) has no {what} ({attribute:?} is 0)"));
            }
        }
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: writes at most so many bytes, the last of them zero.
        unsafe { driver.cuDeviceGetName(name.as_mut_ptr(), name.len() as c_int, device) }.map_err(say)?;
        // SAFETY: the driver ends the name with a zero; the last byte was zero before.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let mut granularity = 0;
        let (properties, option) =
            (memory_properties(device), sys::CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
        // SAFETY: reads the properties, writes one number.
        unsafe { driver.cuMemGetAllocationGranularity(&raw mut granularity, &raw const properties, option) }
            .map_err(say)?;
        let mut context = std::ptr::null_mut();
        // SAFETY: writes one handle; never released, so it stays valid.
        unsafe { driver.cuDevicePrimaryCtxRetain(&raw mut context, device) }.map_err(say)?;
        exit::look_out();
        Ok(Self {
            driver,
            number: device,
            uuid,
            name,
            context: Handle::new(context),
            stream_words: has(Attribute::CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS),
            read_only_pins: has(Attribute::CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED),
            granularity: granularity.max(4096),
            streams: Mutex::default(),
            mark: ForkMark::here(),
        })
    }

    /// Its UUID.
    pub fn uuid(&self) -> DeviceUuid {
        self.uuid
    }

    /// Its memory domain.
    pub fn domain(&self) -> DomainId {
        self.uuid.domain()
    }

    /// What the vendor calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The driver's number for it, in this process.
    pub fn number(&self) -> i32 {
        self.number
    }

    /// What of it depends on device and driver, for people: for logs and beside measurements.
    pub fn abilities(&self) -> String {
        let mut version = 0;
        // SAFETY: writes one number; may be asked at any time.
        let _ = unsafe { self.driver.cuDriverGetVersion(&raw mut version) };
        let have = |has: bool| if has { "yes" } else { "no" };
        format!(
            "driver for CUDA {}.{}, streams write and wait for words: {}, read-only host memory registered: {}, memory in \
             multiples of {} KiB",
            version / 1000,
            version % 1000 / 10,
            have(self.stream_words),
            have(self.read_only_pins),
            self.granularity >> 10
        )
    }

    pub(super) fn driver(&self) -> &'static Driver {
        self.driver
    }

    pub(super) fn context(&self) -> sys::CUcontext {
        self.context.raw()
    }

    pub(super) fn has_stream_words(&self) -> bool {
        self.stream_words
    }

    pub(super) fn has_read_only_pins(&self) -> bool {
        self.read_only_pins
    }

    /// Device memory is made and mapped in multiples of so many bytes.
    pub(super) fn granularity(&self) -> usize {
        self.granularity
    }

    pub(super) fn properties(&self) -> sys::CUmemAllocationProp {
        memory_properties(self.number)
    }

    /// Makes the device's context the calling thread's, until what is answered is dropped.
    pub(super) fn current(&self) -> Result<Current<'_>, CudaError> {
        self.push(self.context())
    }

    /// The same with the context that a user's stream belongs to, which need not be the primary one, or this device's.
    pub(super) fn current_for(&self, stream: Stream) -> Result<Current<'_>, CudaError> {
        if stream.0 <= LAST_DEFAULT_STREAM {
            return self.current();
        }
        let inside = self.enter()?;
        let mut context = std::ptr::null_mut();
        // SAFETY: the user vouches for the stream; writes one handle.
        unsafe { self.driver.cuStreamGetCtx(raw_stream(stream), &raw mut context) }?;
        drop(inside);
        self.push(context)
    }

    /// The same, where something is to be submitted to the stream: refused while it is being captured into a graph.
    pub(super) fn current_to_submit(&self, stream: Stream) -> Result<Current<'_>, CudaError> {
        let current = self.current_for(stream)?;
        let mut status: c_uint = 0;
        // SAFETY: the user vouches for the stream; writes one number, of the size of the enum.
        unsafe { self.driver.cuStreamIsCapturing(raw_stream(stream), (&raw mut status).cast()) }?;
        if status == sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE as c_uint {
            Ok(current)
        } else {
            Err(CudaError::ours("cuStreamIsCapturing", "HAZCAT_STREAM_IS_CAPTURING"))
        }
    }

    /// Whether this is the process that opened the device.
    pub(super) fn is_ours(&self) -> bool {
        self.mark.check().is_ok()
    }

    fn enter(&self) -> Result<Inside, CudaError> {
        let failed = |name| CudaError::ours("cuCtxPushCurrent", name);
        self.mark.check().map_err(|_| failed("HAZCAT_FORKED_CHILD"))?;
        Inside::new().ok_or_else(|| failed("HAZCAT_EXITING"))
    }

    fn push(&self, context: sys::CUcontext) -> Result<Current<'_>, CudaError> {
        let inside = self.enter()?;
        // SAFETY: a context that is never released, or that of a stream in use; popped again by `Current`.
        unsafe { self.driver.cuCtxPushCurrent(context) }?;
        let mut current = Current { device: self, mode: None, _inside: inside, _this_thread: PhantomData };
        current.mode = self.exchange_capture_mode(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED as c_uint);
        Ok(current)
    }

    /// Sets how much of CUDA this thread may use while some thread captures a graph. Answers how much it was.
    fn exchange_capture_mode(&self, mode: c_uint) -> Option<c_uint> {
        let mut mode = mode;
        // SAFETY: reads and writes one number, of the size of the enum; one of the enum's on the way in.
        unsafe { self.driver.cuThreadExchangeStreamCaptureMode((&raw mut mode).cast()) }.ok()?;
        Some(mode)
    }

    /// Whether another device can reach this one's memory directly.
    pub(super) fn is_reachable_from(&self, other: &Self) -> bool {
        let mut can = 0;
        // SAFETY: writes one number.
        unsafe { self.driver.cuDeviceCanAccessPeer(&raw mut can, other.number, self.number) }.is_ok() && can != 0
    }

    /// Has `work` submit to a stream that nobody else uses, and waits until it is done.
    pub(super) fn submit_and_wait(
        &self,
        work: impl FnOnce(&'static Driver, sys::CUstream) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let _current = self.current()?;
        let spare = self.streams.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let stream = match spare {
            Some(stream) => stream,
            None => self.new_stream()?,
        };
        let submitted = work(self.driver, stream.raw());
        // Also where submitting failed: what was submitted before must not go on behind the caller's back.
        // SAFETY: a stream of this context that is in nobody else's hands.
        let done = unsafe { self.driver.cuStreamSynchronize(stream.raw()) };
        if submitted.is_ok() && done.is_ok() {
            self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        } else {
            // SAFETY: as above; not used again.
            let _ = unsafe { self.driver.cuStreamDestroy(stream.raw()) };
        }
        submitted.and(done)
    }

    /// A stream that does not wait for the legacy default stream. The context is current.
    pub(super) fn new_stream(&self) -> Result<Handle<sys::CUstream_st>, CudaError> {
        let mut stream = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: writes one handle, of the current context.
        unsafe { self.driver.cuStreamCreate(&raw mut stream, flags) }?;
        Ok(Handle::new(stream))
    }

    /// The error that makes the device unusable for this process, if there was one.
    pub(super) fn failure(&self) -> Option<CudaError> {
        let _current = match self.current() {
            Ok(current) => current,
            Err(_) if exit::is_exiting() => return None,
            Err(error) => return Some(error),
        };
        // The per-thread default stream: every call reports an error that ended the context.
        let per_thread = LAST_DEFAULT_STREAM as sys::CUstream;
        // SAFETY: a handle that CUDA defines; only asks.
        match unsafe { self.driver.cuStreamQuery(per_thread) } {
            Err(error) if !error.is(sys::CUresult::CUDA_ERROR_NOT_READY) => Some(error),
            _ => None,
        }
    }

    /// An error as the rest of hazcat knows it.
    pub(super) fn explain(&self, what: &'static str, error: CudaError) -> DeviceError {
        let out_of_memory = error.is_out_of_memory();
        DeviceError { domain: self.domain(), what, name: error.name, out_of_memory }
    }

    pub(super) fn copy_error(&self, what: &'static str) -> impl Fn(CudaError) -> CopyError + '_ {
        move |error| CopyError::Device(self.explain(what, error))
    }
}

/// The device's context is the thread's current one, and no call disturbs a graph that some thread is capturing: what is not
/// submitted to a user's stream has nothing to do with it.
pub(super) struct Current<'a> {
    device: &'a Device,
    /// What the thread's capture mode was.
    mode: Option<c_uint>,
    _inside: Inside,
    _this_thread: PhantomData<*const ()>,
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        if let Some(mode) = self.mode {
            self.device.exchange_capture_mode(mode);
        }
        let mut context = std::ptr::null_mut();
        // SAFETY: pops what `Device::current` pushed; this guard cannot leave its thread.
        let _ = unsafe { self.device.driver.cuCtxPopCurrent(&raw mut context) };
    }
}

/// Memory on a device that other processes can be given.
fn memory_properties(device: sys::CUdevice) -> sys::CUmemAllocationProp {
    sys::CUmemAllocationProp {
        type_: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
        // Must be said here already: memory that was made without it cannot be exported.
        requestedHandleTypes: sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
        location: location(device),
        win32HandleMetaData: std::ptr::null_mut(),
        allocFlags: sys::CUmemAllocationProp_st__bindgen_ty_1 {
            compressionType: 0,
            gpuDirectRDMACapable: 0,
            usage: 0,
            reserved: [0; 4],
        },
    }
}

pub(super) fn location(device: sys::CUdevice) -> sys::CUmemLocation {
    sys::CUmemLocation { type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE, id: device }
}

/// A stream as the driver knows it.
pub(super) fn raw_stream(stream: Stream) -> sys::CUstream {
    stream.0 as sys::CUstream
}

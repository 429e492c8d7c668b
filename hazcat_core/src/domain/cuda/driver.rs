//! CUDA's driver, found at run time.
//!
//! Types and values are cudarc's. The table of functions is our own, for three reasons: cudarc's loader panics where the
//! library or any one of its 500 functions is missing, here a missing driver is an answer; we need 50 functions, so older and
//! partial drivers do; and a result is kept as the number it is, because a newer driver's error code is not a value of
//! cudarc's enum. The compiler compares every signature with cudarc's (`agrees_with_cudarc`).
//!
//! Nothing is loaded before somebody asks for a CUDA domain.

use super::exit;
use cudarc::driver::sys;
use libloading::Library;
use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void, CStr};
use std::sync::{Mutex, PoisonError};

/// Where the driver is looked for, in this order.
const LIBRARIES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
/// Oldest driver that is used: the first one of CUDA 12.
const OLDEST_VERSION: c_int = 12_000;

/// A driver function's result.
pub(super) type Code = c_uint;

/// What the driver answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{function}: {name}")]
pub struct CudaError {
    /// The driver's function.
    pub function: &'static str,
    /// CUDA's name for the error, such as `CUDA_ERROR_ILLEGAL_ADDRESS`; ours begin with `HAZCAT_`.
    pub name: String,
    /// CUDA's number for the error; zero for ours.
    pub code: u32,
}

impl CudaError {
    /// An error that CUDA has no name for.
    pub(super) fn ours(function: &'static str, name: &str) -> Self {
        Self { function, name: name.to_owned(), code: 0 }
    }

    /// Whether the device has no memory left.
    pub fn is_out_of_memory(&self) -> bool {
        self.code == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY as Code
    }

    /// Whether it is this one.
    pub(super) fn is(&self, code: sys::CUresult) -> bool {
        self.code == code as Code
    }
}

macro_rules! driver_functions {
    ($($field:ident = $symbol:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        /// The functions of the driver that are used here, by CUDA's names without version suffix.
        #[allow(non_snake_case)]
        struct Functions { $($field: unsafe extern "C" fn($($type),*) -> Code,)* }

        impl Functions {
            fn load(library: &Library) -> Result<Self, String> {
                Ok(Self {
                    $($field: {
                        let name = concat!(stringify!($symbol), "\0");
                        // SAFETY: the type is that of CUDA's header for this name (`agrees_with_cudarc`; results are
                        // 32-bit numbers); the pointer is used only while the library is loaded, which is for ever.
                        let found = unsafe { library.get::<unsafe extern "C" fn($($type),*) -> Code>(name.as_bytes()) };
                        *found.map_err(|_| format!("the driver has no function {}", stringify!($symbol)))?
                    },)*
                })
            }
        }

        /// Fails to compile where a signature differs from cudarc's.
        #[allow(dead_code)]
        fn agrees_with_cudarc(lib: &sys::Lib) {
            $(let _: unsafe extern "C" fn($($type),*) -> sys::CUresult = lib.$symbol;)*
        }

        impl Driver {
            $(
                /// CUDA's function of this name.
                ///
                /// # Safety
                /// As CUDA's documentation of the function has it.
                #[allow(non_snake_case, clippy::too_many_arguments)]
                #[inline]
                pub(super) unsafe fn $field(&self, $($argument: $type),*) -> Result<(), CudaError> {
                    // SAFETY: the caller keeps the function's rules.
                    let code = unsafe { (self.functions.$field)($($argument),*) };
                    self.check(stringify!($field), code)
                }
            )*
        }
    };
}

driver_functions! {
    cuInit = cuInit(flags: c_uint);
    cuDriverGetVersion = cuDriverGetVersion(version: *mut c_int);
    cuDeviceGetCount = cuDeviceGetCount(count: *mut c_int);
    cuDeviceGet = cuDeviceGet(device: *mut sys::CUdevice, ordinal: c_int);
    cuDeviceGetUuid = cuDeviceGetUuid_v2(uuid: *mut sys::CUuuid, device: sys::CUdevice);
    cuDeviceGetName = cuDeviceGetName(name: *mut c_char, len: c_int, device: sys::CUdevice);
    cuDeviceGetAttribute =
        cuDeviceGetAttribute(value: *mut c_int, attribute: sys::CUdevice_attribute, device: sys::CUdevice);
    cuDeviceCanAccessPeer =
        cuDeviceCanAccessPeer(can: *mut c_int, device: sys::CUdevice, peer: sys::CUdevice);
    cuDevicePrimaryCtxRetain = cuDevicePrimaryCtxRetain(context: *mut sys::CUcontext, device: sys::CUdevice);
    cuCtxPushCurrent = cuCtxPushCurrent_v2(context: sys::CUcontext);
    cuCtxPopCurrent = cuCtxPopCurrent_v2(context: *mut sys::CUcontext);
    cuMemGetAllocationGranularity = cuMemGetAllocationGranularity(
        granularity: *mut usize,
        properties: *const sys::CUmemAllocationProp,
        option: sys::CUmemAllocationGranularity_flags,
    );
    cuMemCreate = cuMemCreate(
        handle: *mut sys::CUmemGenericAllocationHandle,
        size: usize,
        properties: *const sys::CUmemAllocationProp,
        flags: c_ulonglong,
    );
    cuMemRelease = cuMemRelease(handle: sys::CUmemGenericAllocationHandle);
    cuMemAddressReserve = cuMemAddressReserve(
        address: *mut sys::CUdeviceptr,
        size: usize,
        alignment: usize,
        wish: sys::CUdeviceptr,
        flags: c_ulonglong,
    );
    cuMemAddressFree = cuMemAddressFree(address: sys::CUdeviceptr, size: usize);
    cuMemMap = cuMemMap(
        address: sys::CUdeviceptr,
        size: usize,
        offset: usize,
        handle: sys::CUmemGenericAllocationHandle,
        flags: c_ulonglong,
    );
    cuMemUnmap = cuMemUnmap(address: sys::CUdeviceptr, size: usize);
    cuMemSetAccess = cuMemSetAccess(
        address: sys::CUdeviceptr,
        size: usize,
        access: *const sys::CUmemAccessDesc,
        count: usize,
    );
    cuMemExportToShareableHandle = cuMemExportToShareableHandle(
        shareable: *mut c_void,
        handle: sys::CUmemGenericAllocationHandle,
        kind: sys::CUmemAllocationHandleType,
        flags: c_ulonglong,
    );
    cuMemImportFromShareableHandle = cuMemImportFromShareableHandle(
        handle: *mut sys::CUmemGenericAllocationHandle,
        shareable: *mut c_void,
        kind: sys::CUmemAllocationHandleType,
    );
    cuMemAlloc = cuMemAlloc_v2(address: *mut sys::CUdeviceptr, size: usize);
    cuMemFree = cuMemFree_v2(address: sys::CUdeviceptr);
    cuMemAllocHost = cuMemAllocHost_v2(at: *mut *mut c_void, len: usize);
    cuMemFreeHost = cuMemFreeHost(at: *mut c_void);
    cuMemHostRegister = cuMemHostRegister_v2(at: *mut c_void, len: usize, flags: c_uint);
    cuMemHostUnregister = cuMemHostUnregister(at: *mut c_void);
    cuMemHostGetDevicePointer =
        cuMemHostGetDevicePointer_v2(address: *mut sys::CUdeviceptr, at: *mut c_void, flags: c_uint);
    cuMemcpyHtoDAsync = cuMemcpyHtoDAsync_v2(
        to: sys::CUdeviceptr,
        from: *const c_void,
        len: usize,
        stream: sys::CUstream,
    );
    cuMemcpyDtoHAsync = cuMemcpyDtoHAsync_v2(
        to: *mut c_void,
        from: sys::CUdeviceptr,
        len: usize,
        stream: sys::CUstream,
    );
    cuMemcpyDtoDAsync = cuMemcpyDtoDAsync_v2(
        to: sys::CUdeviceptr,
        from: sys::CUdeviceptr,
        len: usize,
        stream: sys::CUstream,
    );
    cuMemcpyPeerAsync = cuMemcpyPeerAsync(
        to: sys::CUdeviceptr,
        to_context: sys::CUcontext,
        from: sys::CUdeviceptr,
        from_context: sys::CUcontext,
        len: usize,
        stream: sys::CUstream,
    );
    cuStreamCreate = cuStreamCreate(stream: *mut sys::CUstream, flags: c_uint);
    cuStreamDestroy = cuStreamDestroy_v2(stream: sys::CUstream);
    cuStreamSynchronize = cuStreamSynchronize(stream: sys::CUstream);
    cuStreamIsCapturing = cuStreamIsCapturing(stream: sys::CUstream, status: *mut sys::CUstreamCaptureStatus);
    cuThreadExchangeStreamCaptureMode = cuThreadExchangeStreamCaptureMode(mode: *mut sys::CUstreamCaptureMode);
    cuEventCreate = cuEventCreate(event: *mut sys::CUevent, flags: c_uint);
    cuEventRecord = cuEventRecord(event: sys::CUevent, stream: sys::CUstream);
    cuEventQuery = cuEventQuery(event: sys::CUevent);
    cuEventDestroy = cuEventDestroy_v2(event: sys::CUevent);
    cuStreamGetCtx = cuStreamGetCtx(stream: sys::CUstream, context: *mut sys::CUcontext);
    cuStreamQuery = cuStreamQuery(stream: sys::CUstream);
    cuStreamWriteValue64 = cuStreamWriteValue64_v2(
        stream: sys::CUstream,
        address: sys::CUdeviceptr,
        value: sys::cuuint64_t,
        flags: c_uint,
    );
    cuStreamWaitValue64 = cuStreamWaitValue64_v2(
        stream: sys::CUstream,
        address: sys::CUdeviceptr,
        value: sys::cuuint64_t,
        flags: c_uint,
    );
    cuLaunchHostFunc = cuLaunchHostFunc(stream: sys::CUstream, function: sys::CUhostFn, argument: *mut c_void);
    cuModuleLoadData = cuModuleLoadData(module: *mut sys::CUmodule, image: *const c_void);
    cuModuleGetFunction = cuModuleGetFunction(
        function: *mut sys::CUfunction,
        module: sys::CUmodule,
        name: *const c_char,
    );
    cuLaunchKernel = cuLaunchKernel(
        function: sys::CUfunction,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: sys::CUstream,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    );
}

/// The one that names errors takes the number as it is.
type ErrorName = unsafe extern "C" fn(Code, *mut *const c_char) -> Code;

/// The loaded, initialised driver.
pub(super) struct Driver {
    functions: Functions,
    error_name: ErrorName,
}

impl Driver {
    /// The driver of this process; found and initialised by the first call that succeeds. Never unloaded.
    ///
    /// # Errors
    /// Why there is none, for people: no library, no device, CUDA's name for what `cuInit` answered.
    pub(super) fn get() -> Result<&'static Self, String> {
        static DRIVER: Mutex<Option<&'static Driver>> = Mutex::new(None);
        let mut driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = *driver {
            return Ok(driver);
        }
        let found = Self::load()?;
        // SAFETY: to be called once before all else, from any thread.
        unsafe { found.cuInit(0) }.map_err(|error| error.to_string())?;
        exit::look_out();
        let mut version = 0;
        // SAFETY: writes one number.
        unsafe { found.cuDriverGetVersion(&raw mut version) }.map_err(|error| error.to_string())?;
        if version < OLDEST_VERSION {
            let text = |version: c_int| format!("{}.{}", version / 1000, version % 1000 / 10);
            return Err(format!("the driver is for CUDA {}, needed is {}", text(version), text(OLDEST_VERSION)));
        }
        Ok(driver.insert(Box::leak(Box::new(found))))
    }

    fn load() -> Result<Self, String> {
        let mut why = String::new();
        for name in LIBRARIES {
            // SAFETY: CUDA's library; what it runs when it is loaded is the vendor's, and safe to run at any time.
            match unsafe { Library::new(name) } {
                Ok(library) => {
                    let functions = Functions::load(&library)?;
                    // SAFETY: the type of CUDA's header, but for numbers instead of an enum of the same size.
                    let error_name = unsafe { library.get::<ErrorName>(b"cuGetErrorName\0") };
                    let error_name = *error_name.map_err(|_| "the driver has no function cuGetErrorName")?;
                    // Kept for ever: its threads and exit handlers do not survive being unloaded.
                    std::mem::forget(library);
                    return Ok(Self { functions, error_name });
                }
                // The first name is the driver's own; what is said about it says most.
                Err(error) if why.is_empty() => why = format!("no CUDA driver ({error})"),
                Err(_) => {}
            }
        }
        Err(why)
    }

    #[inline]
    fn check(&self, function: &'static str, code: Code) -> Result<(), CudaError> {
        if code == 0 {
            Ok(())
        } else {
            Err(self.error(function, code))
        }
    }

    #[cold]
    fn error(&self, function: &'static str, code: Code) -> CudaError {
        let mut name = std::ptr::null();
        // SAFETY: may be asked about any number, at any time; writes one pointer.
        let known = unsafe { (self.error_name)(code, &raw mut name) };
        let name = if known == 0 && !name.is_null() {
            // SAFETY: a text of the driver's that is never freed.
            unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
        } else {
            format!("CUDA error {code}")
        };
        CudaError { function, name, code }
    }
}

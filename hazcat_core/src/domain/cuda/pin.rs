//! Host memory that devices reach directly: registered with the driver, so that copies run at the full speed of the bus and
//! streams can write words into it.

use super::device::Device;
use super::driver::CudaError;
use cudarc::driver::sys;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What is registered, by address: how often, since the driver takes a range only once for all devices.
fn pins() -> MutexGuard<'static, HashMap<usize, Pinned>> {
    static PINS: OnceLock<Mutex<HashMap<usize, Pinned>>> = OnceLock::new();
    PINS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

struct Pinned {
    len: usize,
    users: usize,
}

/// A registered range; undone on drop, which must come before the memory is unmapped.
pub(super) struct Pin {
    device: Arc<Device>,
    at: usize,
}

impl Pin {
    /// Registers `len` bytes of a mapping, for all devices. Memory that is mapped read-only has to be said to be.
    pub(super) fn new(device: &Arc<Device>, at: *const u8, len: usize, writable: bool) -> Result<Self, CudaError> {
        if !writable && !device.has_read_only_pins() {
            return Err(CudaError::ours("cuMemHostRegister", "HAZCAT_NO_READ_ONLY_PINS"));
        }
        let _current = device.current()?;
        let mut pins = pins();
        if let Some(pinned) = pins.get_mut(&(at as usize)) {
            if pinned.len != len {
                return Err(CudaError::ours("cuMemHostRegister", "HAZCAT_PINNED_OTHERWISE"));
            }
            pinned.users += 1;
        } else {
            let mut flags = sys::CU_MEMHOSTREGISTER_PORTABLE | sys::CU_MEMHOSTREGISTER_DEVICEMAP;
            if !writable {
                flags |= sys::CU_MEMHOSTREGISTER_READ_ONLY;
            }
            // SAFETY: mapped memory of the caller's, unregistered before it is unmapped (by dropping the pin).
            unsafe { device.driver().cuMemHostRegister(at.cast_mut().cast(), len, flags) }?;
            pins.insert(at as usize, Pinned { len, users: 1 });
        }
        Ok(Self { device: Arc::clone(device), at: at as usize })
    }

    /// The address by which devices know the first byte.
    pub(super) fn device_address(&self) -> Result<sys::CUdeviceptr, CudaError> {
        let _current = self.device.current()?;
        let mut address = 0;
        // SAFETY: registered memory; writes one address.
        unsafe { self.device.driver().cuMemHostGetDevicePointer(&raw mut address, self.at as *mut _, 0) }?;
        Ok(address)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // A forked child has no CUDA, and perhaps a lock that nobody will open.
        if !self.device.is_ours() {
            return;
        }
        let mut pins = pins();
        let Some(pinned) = pins.get_mut(&self.at) else { return };
        pinned.users -= 1;
        if pinned.users > 0 {
            return;
        }
        pins.remove(&self.at);
        if let Ok(_current) = self.device.current() {
            // SAFETY: registered in `new`, and nobody uses it any more.
            let _ = unsafe { self.device.driver().cuMemHostUnregister(self.at as *mut _) };
        }
    }
}

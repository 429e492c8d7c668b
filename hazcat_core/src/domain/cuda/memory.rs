//! A piece of device memory that other processes can map: exported virtual-memory handles.
//!
//! Chosen over IPC memory handles (`cuIpcGetMemHandle`): a physical allocation lives as long as anybody has it mapped or a
//! descriptor of it open, so it outlives the process that made it; an IPC handle does not, and what is mapped through it
//! becomes invalid under its readers. It is also mapped read-only where it is not ours, and to chosen devices only.
//!
//! The descriptor is made once, at creation, and kept; the driver's own handle is released as soon as the memory is mapped.

use super::device::{location, Device};
use super::driver::CudaError;
use crate::sys::fork::ForkGuarded;
use cudarc::driver::sys;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

const KIND: sys::CUmemAllocationHandleType = sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

/// The descriptor of exported memory: keeps the memory, and gives it to others. A forked child does not have it.
pub(super) struct MemoryDescriptor(ForkGuarded<OwnedFd>);

impl MemoryDescriptor {
    pub(super) fn new(open: impl FnOnce() -> Result<OwnedFd, CudaError>) -> Result<Self, CudaError> {
        let guarded = ForkGuarded::open(|| {
            let descriptor = open()?;
            // The driver may have left that open for programs that are executed later.
            nix::fcntl::fcntl(&descriptor, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))
                .map_err(|errno| CudaError::ours("fcntl", &errno.to_string()))?;
            Ok(descriptor)
        });
        guarded.map(Self)
    }

    /// One that came from another process.
    pub(super) fn from_guarded(descriptor: ForkGuarded<OwnedFd>) -> Self {
        Self(descriptor)
    }

    pub(super) fn get(&self) -> Result<BorrowedFd<'_>, CudaError> {
        match self.0.get() {
            Ok(descriptor) => Ok(descriptor.as_fd()),
            Err(_) => Err(CudaError::ours("cuMemExportToShareableHandle", "HAZCAT_FORKED_CHILD")),
        }
    }
}

/// Mapped device memory; unmapped on drop.
pub(super) struct DeviceMemory {
    device: Arc<Device>,
    address: sys::CUdeviceptr,
    len: usize,
    access: sys::CUmemAccess_flags,
}

/// A physical allocation, as the driver's handle for it. Released on drop; it lives on where it is mapped.
struct Physical<'a> {
    device: &'a Device,
    handle: sys::CUmemGenericAllocationHandle,
}

impl Drop for Physical<'_> {
    fn drop(&mut self) {
        // SAFETY: made or imported by us, released once.
        let _ = unsafe { self.device.driver().cuMemRelease(self.handle) };
    }
}

impl DeviceMemory {
    /// New memory of at least `len` bytes (rounded up to the device's granularity), writable here, and its descriptor.
    pub(super) fn create(device: &Arc<Device>, len: usize) -> Result<(Self, MemoryDescriptor), CudaError> {
        let len = whole(len, device.granularity());
        let _current = device.current()?;
        let mut handle = 0;
        let properties = device.properties();
        // SAFETY: writes one handle; `len` is a multiple of the granularity for these properties.
        unsafe { device.driver().cuMemCreate(&raw mut handle, len, &raw const properties, 0) }?;
        let physical = Physical { device, handle };
        let descriptor = MemoryDescriptor::new(|| {
            let mut descriptor: c_int = -1;
            // SAFETY: for this kind of handle the driver writes one descriptor number; the memory was made exportable.
            unsafe { device.driver().cuMemExportToShareableHandle((&raw mut descriptor).cast(), handle, KIND, 0) }?;
            // SAFETY: a new descriptor, ours alone.
            Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
        })?;
        let memory = Self::map(device, &physical, len, sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE)?;
        Ok((memory, descriptor))
    }

    /// Maps memory that somebody else made, to be read. `len` is what its maker says it has, a multiple of his granularity.
    pub(super) fn import(device: &Arc<Device>, descriptor: BorrowedFd<'_>, len: usize) -> Result<Self, CudaError> {
        let _current = device.current()?;
        let mut handle = 0;
        let number: RawFd = descriptor.as_raw_fd();
        // SAFETY: for this kind of handle the driver takes the descriptor's number in place of the pointer, and does not close
        // it. It writes one handle.
        unsafe {
            device.driver().cuMemImportFromShareableHandle(&raw mut handle, number as usize as *mut c_void, KIND)
        }?;
        let physical = Physical { device, handle };
        match Self::map(device, &physical, len, sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READ) {
            // Not every driver has read-only mappings of device memory, and they do not agree on how to say so.
            Err(error) if !error.is_out_of_memory() => {
                Self::map(device, &physical, len, sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
            }
            other => other,
        }
    }

    /// Maps memory for its own device. The context is current.
    fn map(
        device: &Arc<Device>,
        physical: &Physical<'_>,
        len: usize,
        access: sys::CUmemAccess_flags,
    ) -> Result<Self, CudaError> {
        let mut address = 0;
        // SAFETY: writes one address; reserves addresses that nobody else has.
        unsafe { device.driver().cuMemAddressReserve(&raw mut address, len, 0, 0, 0) }?;
        // SAFETY: the whole of the range just reserved, and the whole of the memory.
        if let Err(error) = unsafe { device.driver().cuMemMap(address, len, 0, physical.handle, 0) } {
            // SAFETY: reserved above, nothing is mapped there.
            let _ = unsafe { device.driver().cuMemAddressFree(address, len) };
            return Err(error);
        }
        // From here on, dropping unmaps it.
        let memory = Self { device: Arc::clone(device), address, len, access };
        memory.grant(device, access)?;
        Ok(memory)
    }

    /// Lets code on another device reach the memory. The context is current.
    pub(super) fn grant_to_other(&self, device: &Device) -> Result<(), CudaError> {
        let all = sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
        // As in `import`: not every driver can do less.
        self.grant(device, self.access).or_else(|_| self.grant(device, all))
    }

    fn grant(&self, device: &Device, access: sys::CUmemAccess_flags) -> Result<(), CudaError> {
        let access = sys::CUmemAccessDesc { location: location(device.number()), flags: access };
        // SAFETY: the whole of a mapping of ours; reads one description.
        unsafe { self.device.driver().cuMemSetAccess(self.address, self.len, &raw const access, 1) }
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Bytes that are mapped.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Address of `len` bytes at `offset`; `None` outside.
    #[inline]
    pub(super) fn address(&self, offset: usize, len: usize) -> Option<sys::CUdeviceptr> {
        offset.checked_add(len).filter(|end| *end <= self.len)?;
        Some(self.address + offset as sys::CUdeviceptr)
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        let Ok(_current) = self.device.current() else { return };
        // SAFETY: mapped in `map`, unmapped once; whoever has an address of it keeps this object until its work is done.
        let _ = unsafe { self.device.driver().cuMemUnmap(self.address, self.len) };
        // SAFETY: reserved in `map`, given back once.
        let _ = unsafe { self.device.driver().cuMemAddressFree(self.address, self.len) };
    }
}

pub(super) fn whole(len: usize, unit: usize) -> usize {
    len.div_ceil(unit) * unit
}

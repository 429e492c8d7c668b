//! Device memory, and host memory that devices reach.

use crate::{
    current, devices, driver, state, violation, State, ALREADY_REGISTERED, ILLEGAL_ADDRESS, INVALID_VALUE,
    NOT_REGISTERED, NOT_SUPPORTED, OUT_OF_MEMORY,
};
use std::ffi::{c_char, c_int, c_long, c_uint, c_void, CString};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

const GRANULARITY: usize = 2 << 20;
/// Registered memory has this added to its address where devices know it: nobody may take the one for the other.
const REGISTERED: u64 = 1 << 56;
/// All a device has.
const DEVICE_BYTES: usize = 8 << 30;

extern "C" {
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
    fn mmap(at: *mut c_void, len: usize, protection: c_int, flags: c_int, file: c_int, offset: c_long) -> *mut c_void;
    fn munmap(at: *mut c_void, len: usize) -> c_int;
    fn dup(file: c_int) -> c_int;
}

const SHARED: c_int = 1;
const PRIVATE: c_int = 2;
const ANONYMOUS: c_int = 0x20;
const NO_RESERVE: c_int = 0x4000;
const READ_WRITE: c_int = 3;

#[repr(C)]
pub struct Location {
    kind: u32,
    id: c_int,
}

#[repr(C)]
pub struct Properties {
    kind: u32,
    handles: u32,
    location: Location,
    windows: *mut c_void,
    compression: u8,
    rdma: u8,
    usage: u16,
    reserved: [u8; 4],
}

#[repr(C)]
pub struct Access {
    location: Location,
    flags: u32,
}

pub(crate) struct Physical {
    file: File,
    len: usize,
    device: i32,
    exportable: bool,
}

pub(crate) struct Mapped {
    /// Where the bytes are for the fake.
    alias: usize,
    len: usize,
    /// Devices that reach it: 1 to read, 3 to write.
    access: Vec<(i32, u32)>,
}

pub(crate) struct Registered {
    len: usize,
    writable: bool,
}

/// The bytes behind an address that a device knows; an error where it may not reach them.
pub(crate) fn reach(state: &State, device: i32, at: u64, len: usize, write: bool) -> Result<*mut u8, u32> {
    if at >= REGISTERED {
        let at = (at - REGISTERED) as usize;
        let inside = |(from, registered): (&usize, &Registered)| {
            *from <= at && at + len <= from + registered.len && (registered.writable || !write)
        };
        return state.registered.iter().any(inside).then_some(at as *mut u8).ok_or(ILLEGAL_ADDRESS);
    }
    for (from, mapped) in &state.mapped {
        if *from <= at && at + len as u64 <= from + mapped.len as u64 {
            let needed = if write { 3 } else { 1 };
            let granted = mapped.access.iter().any(|(to, flags)| *to == device && flags & needed == needed);
            return granted.then_some((mapped.alias + (at - from) as usize) as *mut u8).ok_or(ILLEGAL_ADDRESS);
        }
    }
    Err(ILLEGAL_ADDRESS)
}

/// Whether the host memory of a copy is there: anything but what devices have.
pub(crate) fn is_host(state: &State, at: u64) -> bool {
    at < REGISTERED && !state.reserved.iter().any(|(from, len)| *from <= at && at < from + *len as u64)
}

/// Whether host memory is page-locked: what is not, the driver has read, or written, when a call returns.
pub(crate) fn is_registered(state: &State, at: usize, len: usize) -> bool {
    state.registered.iter().any(|(from, registered)| *from <= at && at + len <= from + registered.len)
}

fn exportable_memory(device: i32, len: usize) -> Result<File, u32> {
    let name = CString::new(format!("fake-cuda-{device}-{len}")).map_err(|_| INVALID_VALUE)?;
    let file = unsafe { memfd_create(name.as_ptr(), 1) };
    if file < 0 {
        return Err(OUT_OF_MEMORY);
    }
    let file = unsafe { File::from_raw_fd(file) };
    file.set_len(len as u64).map_err(|_| OUT_OF_MEMORY)?;
    Ok(file)
}

fn check(properties: *const Properties) -> Result<i32, u32> {
    let properties = unsafe { &*properties };
    let zero = properties.compression == 0 && properties.usage == 0 && properties.reserved == [0; 4];
    if properties.kind != 1 || properties.location.kind != 1 || !properties.windows.is_null() || !zero {
        return Err(INVALID_VALUE);
    }
    devices::real(properties.location.id)
}

driver! {
    fn cuMemGetAllocationGranularity(granularity: *mut usize, properties: *const Properties, option: u32) {
        check(properties)?;
        if option > 1 {
            return Err(INVALID_VALUE);
        }
        unsafe { *granularity = GRANULARITY };
        Ok(())
    }

    fn cuMemCreate(handle: *mut u64, size: usize, properties: *const Properties, flags: u64) {
        let device = check(properties)?;
        if size == 0 || size % GRANULARITY != 0 || flags != 0 {
            return Err(INVALID_VALUE);
        }
        let mut state = state();
        let used: usize = state.mapped.values().map(|mapped| mapped.len).sum();
        if used + size > DEVICE_BYTES {
            return Err(OUT_OF_MEMORY);
        }
        let exportable = unsafe { &*properties }.handles == 1;
        let physical = Physical { file: exportable_memory(device, size)?, len: size, device, exportable };
        let number = state.new_handle();
        state.physical.insert(number, physical);
        unsafe { *handle = number };
        Ok(())
    }

    fn cuMemRelease(handle: u64) {
        state().physical.remove(&handle).map(drop).ok_or(INVALID_VALUE)
    }

    fn cuMemAddressReserve(address: *mut u64, size: usize, alignment: usize, wish: u64, flags: u64) {
        if size == 0 || size % GRANULARITY != 0 || wish != 0 || flags != 0 || alignment != 0 {
            return Err(INVALID_VALUE);
        }
        let at = unsafe { mmap(std::ptr::null_mut(), size, 0, PRIVATE | ANONYMOUS | NO_RESERVE, -1, 0) };
        if at as isize == -1 {
            return Err(OUT_OF_MEMORY);
        }
        state().reserved.insert(at as u64, size);
        unsafe { *address = at as u64 };
        Ok(())
    }

    fn cuMemAddressFree(address: u64, size: usize) {
        let mut state = state();
        if state.mapped.contains_key(&address) || state.reserved.get(&address) != Some(&size) {
            violation("addresses given back that are mapped or not reserved");
            return Err(INVALID_VALUE);
        }
        state.reserved.remove(&address);
        unsafe { munmap(address as *mut c_void, size) };
        Ok(())
    }

    fn cuMemMap(address: u64, size: usize, offset: usize, handle: u64, flags: u64) {
        let mut state = state();
        let physical = state.physical.get(&handle).ok_or(INVALID_VALUE)?;
        let fits = physical.len == size && offset == 0 && flags == 0 && state.reserved.get(&address) == Some(&size);
        if !fits || state.mapped.contains_key(&address) {
            return Err(INVALID_VALUE);
        }
        let file = physical.file.as_raw_fd();
        let alias = unsafe { mmap(std::ptr::null_mut(), size, READ_WRITE, SHARED, file, 0) };
        if alias as isize == -1 {
            return Err(OUT_OF_MEMORY);
        }
        state.mapped.insert(address, Mapped { alias: alias as usize, len: size, access: Vec::new() });
        Ok(())
    }

    fn cuMemUnmap(address: u64, size: usize) {
        let mut state = state();
        if state.mapped.get(&address).is_none_or(|mapped| mapped.len != size) {
            violation("memory unmapped that is not mapped so");
            return Err(INVALID_VALUE);
        }
        let mapped = state.mapped.remove(&address).ok_or(INVALID_VALUE)?;
        drop(state);
        // A stream may be in the middle of a copy; what a device does then is undefined, here it is only kept.
        crate::streams::wait_for_all();
        unsafe { munmap(mapped.alias as *mut c_void, size) };
        Ok(())
    }

    fn cuMemSetAccess(address: u64, size: usize, access: *const Access, count: usize) {
        let mut state = state();
        let mapped = state.mapped.get_mut(&address).filter(|mapped| mapped.len == size).ok_or(INVALID_VALUE)?;
        for access in unsafe { std::slice::from_raw_parts(access, count) } {
            if access.location.kind != 1 || !matches!(access.flags, 1 | 3) {
                return Err(INVALID_VALUE);
            }
            if access.flags == 1 && std::env::var_os("FAKE_CUDA_NO_READ_ONLY").is_some() {
                return Err(NOT_SUPPORTED);
            }
            let device = devices::real(access.location.id)?;
            mapped.access.retain(|(to, _)| *to != device);
            mapped.access.push((device, access.flags));
        }
        Ok(())
    }

    fn cuMemExportToShareableHandle(shareable: *mut c_int, handle: u64, kind: u32, flags: u64) {
        let state = state();
        let physical = state.physical.get(&handle).ok_or(INVALID_VALUE)?;
        if kind != 1 || flags != 0 || !physical.exportable {
            return Err(INVALID_VALUE);
        }
        // Without close-on-exec, as some drivers do.
        unsafe { *shareable = dup(physical.file.as_raw_fd()) };
        Ok(())
    }

    fn cuMemImportFromShareableHandle(handle: *mut u64, shareable: *mut c_void, kind: u32) {
        if kind != 1 {
            return Err(INVALID_VALUE);
        }
        let number = shareable as usize as c_int;
        let name = std::fs::read_link(format!("/proc/self/fd/{number}")).map_err(|_| INVALID_VALUE)?;
        let name = name.to_string_lossy().into_owned();
        let (_, rest) = name.split_once("fake-cuda-").ok_or(INVALID_VALUE)?;
        let mut parts = rest.split(['-', ' ']).map_while(|part| part.parse::<usize>().ok());
        let (device, len) = (parts.next().ok_or(INVALID_VALUE)? as i32, parts.next().ok_or(INVALID_VALUE)?);
        // The caller's descriptor stays the caller's.
        let file = unsafe { File::from_raw_fd(number) };
        let own = file.try_clone();
        let _ = file.into_raw_fd();
        let mut state = state();
        let number = state.new_handle();
        let physical = Physical { file: own.map_err(|_| INVALID_VALUE)?, len, device, exportable: true };
        debug_assert!(physical.device >= 0);
        state.physical.insert(number, physical);
        unsafe { *handle = number };
        Ok(())
    }

    fn cuMemAlloc_v2(address: *mut u64, size: usize) {
        let device = current()?;
        let len = size.div_ceil(GRANULARITY) * GRANULARITY;
        let at = unsafe { mmap(std::ptr::null_mut(), len, 0, PRIVATE | ANONYMOUS | NO_RESERVE, -1, 0) };
        let alias = unsafe { mmap(std::ptr::null_mut(), len, READ_WRITE, PRIVATE | ANONYMOUS, -1, 0) };
        if at as isize == -1 || alias as isize == -1 {
            return Err(OUT_OF_MEMORY);
        }
        let mut state = state();
        state.reserved.insert(at as u64, len);
        state.mapped.insert(at as u64, Mapped { alias: alias as usize, len, access: vec![(device, 3)] });
        unsafe { *address = at as u64 };
        Ok(())
    }

    fn cuMemFree_v2(address: u64) {
        current()?;
        crate::streams::wait_for_all();
        let mut state = state();
        let mapped = state.mapped.remove(&address).ok_or(INVALID_VALUE)?;
        state.reserved.remove(&address);
        unsafe { munmap(address as *mut c_void, mapped.len) };
        unsafe { munmap(mapped.alias as *mut c_void, mapped.len) };
        Ok(())
    }

    fn cuMemAllocHost_v2(at: *mut *mut c_void, size: usize) {
        current()?;
        let len = size.div_ceil(4096) * 4096;
        let memory = unsafe { mmap(std::ptr::null_mut(), len, READ_WRITE, PRIVATE | ANONYMOUS, -1, 0) };
        if memory as isize == -1 {
            return Err(OUT_OF_MEMORY);
        }
        state().registered.insert(memory as usize, Registered { len, writable: true });
        unsafe { *at = memory };
        Ok(())
    }

    fn cuMemFreeHost(at: *mut c_void) {
        current()?;
        crate::streams::wait_for_all();
        let registered = state().registered.remove(&(at as usize)).ok_or(INVALID_VALUE)?;
        unsafe { munmap(at, registered.len) };
        Ok(())
    }

    fn cuMemHostRegister_v2(at: *mut c_void, len: usize, flags: c_uint) {
        current()?;
        let (from, end) = (at as usize, at as usize + len);
        let mut state = state();
        if state.registered.iter().any(|(other, registered)| *other < end && from < other + registered.len) {
            return Err(ALREADY_REGISTERED);
        }
        // Pinning to be written needs a writable mapping; every page of it must be there.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mut covered = from;
        let writable = flags & 8 == 0;
        for line in maps.lines() {
            let Some((range, rest)) = line.split_once(' ') else { continue };
            let Some((low, high)) = range.split_once('-') else { continue };
            let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
            let usable = rest.starts_with("rw") || (!writable && rest.starts_with('r'));
            if number(low) <= covered && covered < number(high) && usable {
                covered = number(high);
            }
        }
        if covered < end || flags & !0xb != 0 {
            return Err(INVALID_VALUE);
        }
        state.registered.insert(from, Registered { len, writable });
        Ok(())
    }

    fn cuMemHostUnregister(at: *mut c_void) {
        current()?;
        {
            let state = state();
            let len = state.registered.get(&(at as usize)).map_or(0, |registered| registered.len as u64);
            let first = at as u64 + REGISTERED;
            if state.ended.is_empty() && state.awaited.iter().any(|word| (first..first + len).contains(word)) {
                violation("memory unregistered that a stream has still to look at");
            }
        }
        crate::streams::wait_for_all();
        if state().registered.remove(&(at as usize)).is_none() {
            violation("unregistered what is not registered");
            return Err(NOT_REGISTERED);
        }
        Ok(())
    }

    fn cuMemHostGetDevicePointer_v2(address: *mut u64, at: *mut c_void, flags: c_uint) {
        current()?;
        if flags != 0 || !state().registered.contains_key(&(at as usize)) {
            return Err(INVALID_VALUE);
        }
        unsafe { *address = at as u64 + REGISTERED };
        Ok(())
    }
}

//! The driver itself, devices, and contexts.

use crate::{driver, state, violation, CONTEXTS, INVALID_CONTEXT, INVALID_DEVICE, INVALID_VALUE, NO_DEVICE};
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

extern "C" {
    fn atexit(function: extern "C" fn()) -> c_int;
    fn _exit(code: c_int) -> !;
}

static DOWN: AtomicBool = AtomicBool::new(false);

/// What the driver does at exit.
extern "C" fn take_down() {
    DOWN.store(true, Ordering::SeqCst);
}

/// The real one may crash.
pub(crate) fn check_not_down(name: &str) {
    if DOWN.load(Ordering::SeqCst) {
        violation(&format!("{name} after the driver has been taken down"));
        unsafe { _exit(77) };
    }
}

/// Context of device `n`.
const CONTEXT: usize = 0x100;

fn number(name: &str, default: i32) -> i32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The devices this process sees, by what they really are.
fn visible() -> Vec<i32> {
    let all = number("FAKE_CUDA_DEVICES", 1);
    match std::env::var("FAKE_CUDA_ORDER") {
        Ok(order) => order.split(',').filter_map(|text| text.parse().ok()).filter(|n| *n < all).collect(),
        Err(_) => (0..all).collect(),
    }
}

/// Which device it really is that has this number here.
pub(crate) fn real(device: i32) -> Result<i32, u32> {
    usize::try_from(device).ok().and_then(|at| visible().get(at).copied()).ok_or(INVALID_DEVICE)
}

pub(crate) fn of_context(context: usize) -> i32 {
    (context - CONTEXT) as i32
}

pub(crate) fn context_of(device: i32) -> usize {
    CONTEXT + device as usize
}

driver! {
    fn cuInit(flags: u32) {
        if flags != 0 {
            return Err(INVALID_VALUE);
        }
        if visible().is_empty() {
            return Err(NO_DEVICE);
        }
        let mut state = state();
        // A forked child of a process that initialised the driver cannot.
        if state.initialised_in != 0 && state.initialised_in != std::process::id() {
            return Err(crate::NOT_INITIALIZED);
        }
        if state.initialised_in == 0 {
            unsafe { atexit(take_down) };
        }
        state.initialised_in = std::process::id();
        Ok(())
    }

    fn cuDriverGetVersion(version: *mut c_int) {
        unsafe { *version = number("FAKE_CUDA_VERSION", 12_040) };
        Ok(())
    }

    fn cuDeviceGetCount(count: *mut c_int) {
        unsafe { *count = visible().len() as c_int };
        Ok(())
    }

    fn cuDeviceGet(device: *mut c_int, ordinal: c_int) {
        real(ordinal)?;
        unsafe { *device = ordinal };
        Ok(())
    }

    fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) {
        let real = real(device)?;
        let mut bytes = *b"\xfa\x4ehazcat fake...";
        bytes[0] = 0xfa + real as u8;
        unsafe { *uuid = bytes };
        Ok(())
    }

    fn cuDeviceGetName(name: *mut c_char, len: c_int, device: c_int) {
        let text = format!("Fake GPU {}\0", real(device)?);
        if (len as usize) < text.len() {
            return Err(INVALID_VALUE);
        }
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), name.cast(), text.len()) };
        Ok(())
    }

    fn cuDeviceGetAttribute(value: *mut c_int, attribute: u32, device: c_int) {
        real(device)?;
        let lacks = std::env::var("FAKE_CUDA_LACKS").unwrap_or_default();
        let lacks = lacks.split(',').any(|number| number.parse() == Ok(attribute));
        // Unified addressing, virtual memory, descriptors, read-only registration, words for streams.
        let known = matches!(attribute, 41 | 102 | 103 | 113 | 122);
        if !known {
            violation(&format!("attribute {attribute} is none that hazcat needs"));
            return Err(INVALID_VALUE);
        }
        unsafe { *value = c_int::from(!lacks) };
        Ok(())
    }

    fn cuDeviceCanAccessPeer(can: *mut c_int, device: c_int, peer: c_int) {
        (real(device)?, real(peer)?);
        unsafe { *can = c_int::from(device != peer && number("FAKE_CUDA_PEERS", 1) != 0) };
        Ok(())
    }

    fn cuDevicePrimaryCtxRetain(context: *mut usize, device: c_int) {
        unsafe { *context = context_of(real(device)?) };
        Ok(())
    }

    fn cuDevicePrimaryCtxRelease_v2(device: c_int) {
        real(device).map(drop)
    }

    fn cuCtxSetCurrent(context: usize) {
        if context != 0 && !(CONTEXT..CONTEXT + 64).contains(&context) {
            return Err(INVALID_CONTEXT);
        }
        CONTEXTS.with_borrow_mut(|contexts| {
            contexts.pop();
            contexts.extend((context != 0).then_some(context));
        });
        Ok(())
    }

    fn cuCtxPushCurrent_v2(context: usize) {
        if !(CONTEXT..CONTEXT + 64).contains(&context) {
            return Err(INVALID_CONTEXT);
        }
        CONTEXTS.with_borrow_mut(|contexts| contexts.push(context));
        Ok(())
    }

    fn cuCtxPopCurrent_v2(context: *mut usize) {
        let popped = CONTEXTS.with_borrow_mut(Vec::pop);
        unsafe { *context = popped.ok_or(INVALID_CONTEXT)? };
        Ok(())
    }
}

#[no_mangle]
pub unsafe extern "C" fn cuGetErrorName(code: u32, name: *mut *const c_char) -> u32 {
    let text = match code {
        0 => c"CUDA_SUCCESS",
        1 => c"CUDA_ERROR_INVALID_VALUE",
        2 => c"CUDA_ERROR_OUT_OF_MEMORY",
        3 => c"CUDA_ERROR_NOT_INITIALIZED",
        100 => c"CUDA_ERROR_NO_DEVICE",
        101 => c"CUDA_ERROR_INVALID_DEVICE",
        201 => c"CUDA_ERROR_INVALID_CONTEXT",
        218 => c"CUDA_ERROR_INVALID_PTX",
        400 => c"CUDA_ERROR_INVALID_HANDLE",
        500 => c"CUDA_ERROR_NOT_FOUND",
        600 => c"CUDA_ERROR_NOT_READY",
        700 => c"CUDA_ERROR_ILLEGAL_ADDRESS",
        712 => c"CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
        713 => c"CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
        800 => c"CUDA_ERROR_NOT_PERMITTED",
        900 => c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        801 => c"CUDA_ERROR_NOT_SUPPORTED",
        803 => c"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        _ => {
            unsafe { *name = std::ptr::null() };
            return INVALID_VALUE;
        }
    };
    unsafe { *name = text.as_ptr() };
    0
}

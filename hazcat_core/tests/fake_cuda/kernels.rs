//! Modules and kernels: those of hazcat, in Rust.

use crate::{current, driver, memory, state, streams, INVALID_HANDLE, INVALID_PTX, INVALID_VALUE, NOT_FOUND};
use std::ffi::{c_char, c_uint, c_void, CStr};
use std::time::Duration;

fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn expected(seed: u64, at: usize) -> u8 {
    (mix(seed ^ (at as u64 / 8)) >> (at % 8 * 8)) as u8
}

fn run(device: i32, kernel: &str, parameters: &[u64]) -> Result<(), u32> {
    let bytes = |at: u64, len: u64, write: bool| -> Result<&'static mut [u8], u32> {
        let at = memory::reach(&state(), device, at, len as usize, write)?;
        Ok(unsafe { std::slice::from_raw_parts_mut(at, len as usize) })
    };
    match (kernel, parameters) {
        ("hazcat_fill", [at, len, seed]) => {
            bytes(*at, *len, true)?.iter_mut().enumerate().for_each(|(at, byte)| *byte = expected(*seed, at));
        }
        ("hazcat_verify", [at, len, seed, wrong]) => {
            let count = bytes(*at, *len, false)?.iter().enumerate().filter(|(at, byte)| **byte != expected(*seed, *at));
            let count = count.count() as u64;
            let word = bytes(*wrong, 8, true)?;
            let sum = u64::from_le_bytes(word.try_into().map_err(|_| INVALID_VALUE)?) + count;
            bytes(*wrong, 8, true)?.copy_from_slice(&sum.to_le_bytes());
        }
        ("hazcat_invert", [at, len]) => bytes(*at, *len, true)?.iter_mut().for_each(|byte| *byte = 255 - *byte),
        ("hazcat_spin", [nanoseconds]) => std::thread::sleep(Duration::from_nanos(*nanoseconds)),
        _ => return Err(INVALID_VALUE),
    }
    Ok(())
}

driver! {
    fn cuModuleLoadData(module: *mut usize, image: *const c_void) {
        current()?;
        let text = unsafe { CStr::from_ptr(image.cast()) }.to_string_lossy().into_owned();
        if !text.contains(".version") || !text.contains(".target") {
            return Err(INVALID_PTX);
        }
        let mut state = state();
        let handle = state.new_handle() as usize;
        state.modules.insert(handle, text);
        unsafe { *module = handle };
        Ok(())
    }

    fn cuModuleGetFunction(function: *mut usize, module: usize, name: *const c_char) {
        current()?;
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        let mut state = state();
        let text = state.modules.get(&module).ok_or(INVALID_HANDLE)?;
        let (_, entry) = text.split_once(&format!(".entry {name}(")).ok_or(NOT_FOUND)?;
        let parameters = entry.split(')').next().unwrap_or("").matches(".param .u64").count();
        let handle = state.new_handle() as usize;
        state.functions.insert(handle, format!("{parameters} {name}"));
        unsafe { *function = handle };
        Ok(())
    }

    fn cuLaunchKernel(
        function: usize,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared: c_uint,
        stream: usize,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        let whole = [grid_x, grid_y, grid_z, block_x, block_y, block_z].iter().all(|count| *count > 0);
        if !whole || block_x * block_y * block_z > 1024 || shared > 48 << 10 || !extra.is_null() {
            return Err(INVALID_VALUE);
        }
        let kernel = state().functions.get(&function).cloned().ok_or(INVALID_HANDLE)?;
        let (count, name) = kernel.split_once(' ').ok_or(INVALID_VALUE)?;
        let (count, name): (usize, String) = (count.parse().map_err(|_| INVALID_VALUE)?, name.to_owned());
        // Read before the call returns, as the real one does.
        let parameters: Vec<u64> =
            (0..count).map(|at| unsafe { **parameters.add(at).cast::<*const u64>() }).collect();
        streams::submit(stream, move |device| run(device, &name, &parameters))
    }
}

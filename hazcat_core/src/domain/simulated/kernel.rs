//! Code on a simulated device: what a CUDA kernel is to a GPU.
//!
//! Addresses are those that loans and taken messages have; they may point into the middle of a message.

use super::segment::SimulatedSegment;
use crate::domain::CopyError;

/// The segment and offset of an address; an error for one that is not simulated device memory of this process.
fn find(address: *const u8, len: usize) -> Result<(std::sync::Arc<SimulatedSegment>, usize), CopyError> {
    SimulatedSegment::at(address).ok_or(CopyError::Bounds { len, room: 0 })
}

/// Whether an address is one of a simulated device, in this process.
pub fn contains(address: *const u8) -> bool {
    SimulatedSegment::at(address).is_some()
}

/// Runs a function over `len` bytes of device memory; what it changes is there afterwards.
///
/// # Errors
/// [`CopyError::Bounds`] where that is not all device memory, [`CopyError::ReadOnly`] for a message that was taken.
pub fn run(address: *mut u8, len: usize, kernel: impl FnOnce(&mut [u8])) -> Result<(), CopyError> {
    let mut bytes = vec![0; len];
    read(address, &mut bytes)?;
    kernel(&mut bytes);
    write(address, &bytes)
}

/// Reads device memory as code on the device does: not a copy to the host, and not counted as one.
///
/// # Errors
/// [`CopyError::Bounds`] where that is not all device memory.
pub fn read(address: *const u8, to: &mut [u8]) -> Result<(), CopyError> {
    let (segment, offset) = find(address, to.len())?;
    segment.read(offset, to)
}

/// Writes device memory as code on the device does.
///
/// # Errors
/// [`CopyError::Bounds`] where that is not all device memory, [`CopyError::ReadOnly`] for a message that was taken.
pub fn write(address: *mut u8, from: &[u8]) -> Result<(), CopyError> {
    let (segment, offset) = find(address, from.len())?;
    segment.write(offset, from)
}

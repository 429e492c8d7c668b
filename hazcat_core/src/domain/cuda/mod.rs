//! Memory of CUDA devices (`cuda:0`, `cuda:GPU-8f2c...`).
//!
//! The driver is found at run time: one binary for machines with and without. Where there is no driver, no device, or not the
//! device that was asked for, the answer is [`DomainError::NotAvailable`] with the reason and CUDA's name for it. Nothing here
//! needs CUDA's toolkit, to build or to run.
//!
//! | file | what |
//! |---|---|
//! | `driver.rs`, `exit.rs` | the driver's functions, and its errors as values; the end of the process |
//! | `device.rs`, `uuid.rs` | a device by number or UUID; its context and streams |
//! | `memory.rs` | device memory that other processes can map |
//! | `record.rs` | the file that stands for a segment: what it is, and when messages are there |
//! | `share/` | how a segment's descriptor travels |
//! | `segment.rs` | memory and file together |
//! | `allocator.rs`, `remote.rs` | the owner's side and everybody else's |
//! | `pin.rs` | host memory that devices reach directly |
//! | `keeper.rs` | the thread that looks after what devices have been told to do |
//! | `rescue.rs` | the thread that ends the waiting for producers that died |
//! | `kernels.rs`, `probe.rs` | code for devices: images, and checking bytes; what a device does by itself, for comparison |
//!
//! # Which device
//!
//! A number is that of the driver, in this process (`CUDA_VISIBLE_DEVICES` changes it). A UUID, or the beginning of one, names the
//! same device everywhere, and so does the [`DomainId`] that lies in shared memory: it is made of the UUID.
//!
//! # What waits for what
//!
//! A publisher names the stream that fills a message ([`super::DomainAllocator::mark_ready`]): that costs one call of the driver and
//! waits for nothing. A reader names the stream that will use it ([`super::RemoteMemory::wait_ready`]): the stream waits, on the device.
//! Without a stream, the thread waits. Copies made here are on streams of our own and done when the call returns. Memory that is
//! given back while its stream still writes to it is not handed out before that is over.
//!
//! # Limits
//!
//! * A segment whose process died before anybody else had mapped it is lost with its messages (`share/`).
//! * CUDA does not know the order that marks make between processes. Several processes that wait for each other's streams in a
//!   circle wait for ever.
//! * At most 4,096 messages of a segment can be under way on streams; the next publish waits for its stream.
//! * A stream that is being captured into a graph can neither fill nor read messages (`HAZCAT_STREAM_IS_CAPTURING`): a mark is
//!   written once, a graph runs often. Other streams' captures are not disturbed, whatever their mode.
//! * A forked child has no CUDA: every operation fails with `HAZCAT_FORKED_CHILD`; so does a process that is ending, with
//!   `HAZCAT_EXITING`.

mod allocator;
mod device;
mod driver;
mod exit;
mod keeper;
pub mod kernels;
mod memory;
mod pin;
pub mod probe;
mod record;
mod remote;
mod rescue;
mod segment;
mod share;
mod uuid;

pub use device::Device;
pub use driver::CudaError;
pub use uuid::DeviceUuid;

use super::registry::DomainFactory;
use super::{AllocateError, DomainAllocator, DomainError, DomainId, MemoryDomain, RemoteMemory, SegmentFolder};
use crate::ids::{Identity, SegmentId};
use allocator::CudaAllocator;
use remote::RemoteCudaMemory;
use segment::CudaSegment;
use std::any::Any;
use std::sync::Arc;

/// Kind of these domains.
pub const KIND: &str = "cuda";

/// The devices that this process can see, in the order of their numbers: UUIDs.
///
/// # Errors
/// [`DomainError::NotAvailable`] where there is no driver or no device.
pub fn devices() -> Result<Vec<DeviceUuid>, DomainError> {
    Device::list().map_err(|why| not_available("cuda", why))
}

/// The device that a user calls `cuda:instance`: a number (none: 0), a UUID or the beginning of one.
///
/// # Errors
/// [`DomainError::Malformed`] or [`DomainError::NotAvailable`].
pub fn device(instance: &str) -> Result<Arc<Device>, DomainError> {
    let text = format!("{KIND}:{instance}");
    let is_uuid = instance.starts_with("GPU-") || instance.starts_with("MIG-");
    let number = if instance.is_empty() { Some(0) } else { instance.parse::<u32>().ok() };
    let number = number.filter(|_| !instance.starts_with('+') && !is_uuid);
    if number.is_none() && !is_uuid {
        return Err(DomainError::Malformed { text });
    }
    let devices = Device::list().map_err(|why| not_available(&text, why))?;
    let found: Vec<usize> = match number {
        Some(number) if DeviceUuid::is_hashed(number) => of_domain(&devices, number),
        Some(number) => usize::try_from(number).into_iter().filter(|number| *number < devices.len()).collect(),
        None => {
            (0..devices.len()).filter(|at| devices.get(*at).is_some_and(|uuid| uuid.begins_with(instance))).collect()
        }
    };
    match found[..] {
        [number] => Device::open(number as i32).map_err(|why| not_available(&text, why)),
        [] => {
            let known: Vec<_> =
                devices.iter().enumerate().map(|(number, uuid)| format!("{number} is {uuid}")).collect();
            Err(not_available(&text, format!("no such device ({})", known.join(", "))))
        }
        _ => Err(not_available(&text, "several devices are called so".into())),
    }
}

fn of_domain(devices: &[DeviceUuid], instance: u32) -> Vec<usize> {
    let is_it = |at: &usize| devices.get(*at).is_some_and(|uuid| uuid.domain().instance() == instance);
    (0..devices.len()).filter(is_it).collect()
}

fn not_available(text: &str, why: String) -> DomainError {
    DomainError::NotAvailable { text: text.to_owned(), why }
}

/// A device as a memory domain.
struct CudaDomain(Arc<Device>);

impl MemoryDomain for CudaDomain {
    fn id(&self) -> DomainId {
        self.0.domain()
    }

    fn description(&self) -> String {
        format!("{} ({}, number {} in this process)", self.0.name(), self.0.uuid(), self.0.number())
    }

    fn allocator(
        &self,
        folder: &SegmentFolder,
        owner: Identity,
        budget: usize,
    ) -> Result<Box<dyn DomainAllocator>, AllocateError> {
        Ok(Box::new(CudaAllocator::new(Arc::clone(&self.0), folder.clone(), owner, budget)))
    }

    fn remap(
        &self,
        folder: &SegmentFolder,
        segment: SegmentId,
        owner: u64,
    ) -> Result<Arc<dyn RemoteMemory>, AllocateError> {
        Ok(Arc::new(RemoteCudaMemory::new(CudaSegment::open(&self.0, folder, segment, owner)?)))
    }

    fn pin_host(&self, at: *const u8, len: usize, writable: bool) -> Option<Box<dyn Any + Send + Sync>> {
        pin_host(&self.0, at, len, writable)
    }
}

/// Registers host memory with the driver, so that copies between it and devices run at the full speed of the bus; undone when
/// what is answered is dropped, which must come before the memory is unmapped. `None` where the driver does not want it:
/// copies work all the same.
pub fn pin_host(device: &Arc<Device>, at: *const u8, len: usize, writable: bool) -> Option<Box<dyn Any + Send + Sync>> {
    match pin::Pin::new(device, at, len, writable) {
        Ok(pin) => Some(Box::new(pin)),
        Err(error) => {
            crate::log::debug_log!("{len} bytes of host memory are not pinned for {}: {error}", device.domain());
            None
        }
    }
}

/// Makes the domains of kind `cuda`.
pub(super) struct CudaDevices;

impl DomainFactory for CudaDevices {
    fn resolve(&self, instance: &str) -> Result<Arc<dyn MemoryDomain>, DomainError> {
        Ok(Arc::new(CudaDomain(device(instance)?)))
    }

    fn open(&self, id: DomainId) -> Result<Arc<dyn MemoryDomain>, DomainError> {
        self.resolve(&id.instance().to_string())
    }
}

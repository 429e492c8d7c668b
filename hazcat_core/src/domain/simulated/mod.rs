//! A device without hardware (`sim:0`, `sim:1`, ...): every path between domains can be taken, and tested, on any machine.
//!
//! Its memory is a file in the payload folder that nobody maps. The addresses it hands out are its own in every process, and
//! there is nothing behind them: host code that dereferences one dies of it, as it would with device memory. Only the
//! operations here reach the bytes, by `pread` and `pwrite`; code "on the device" is a function given to [`run`].
//!
//! Operations and bytes are counted per process and device ([`SimulatedDevice::counters`]), and copies can be made slow or
//! failing, by [`SimulatedDevice::set_trouble`] or from outside:
//!
//! | environment variable | what |
//! |---|---|
//! | `HAZCAT_SIM_COPY_DELAY_US` | every copy takes so many microseconds longer |
//! | `HAZCAT_SIM_FAIL_COPIES` | so many copies fail, from the first one on |

mod allocator;
mod counters;
mod kernel;
mod segment;
mod trouble;

pub use counters::{SimulatedCounters, Transfers};
pub use kernel::{contains, read, run, write};
pub use trouble::Trouble;

use super::registry::DomainFactory;
use super::{AllocateError, DomainAllocator, DomainError, DomainId, MemoryDomain, RemoteMemory, SegmentFolder};
use crate::ids::{Identity, SegmentId};
use allocator::{RemoteSimulatedMemory, SimulatedAllocator};
use counters::CounterCells;
use segment::SimulatedSegment;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use trouble::TroubleCells;

/// Kind of these domains.
pub const KIND: &str = "sim";

/// One simulated device, as this process sees it.
pub struct SimulatedDevice {
    id: DomainId,
    counters: CounterCells,
    trouble: TroubleCells,
}

impl SimulatedDevice {
    /// Device `number`: the same object for the whole process. `None` above [`DomainId::MAX_INSTANCE`].
    pub fn get(number: u32) -> Option<Arc<Self>> {
        static DEVICES: OnceLock<Mutex<HashMap<u32, Arc<SimulatedDevice>>>> = OnceLock::new();
        let id = DomainId::new(KIND, number)?;
        let mut devices = DEVICES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Self { id, counters: CounterCells::default(), trouble: TroubleCells::from_env() });
        Some(Arc::clone(devices.entry(number).or_insert_with(new)))
    }

    /// What was done on it in this process.
    pub fn counters(&self) -> SimulatedCounters {
        self.counters.read()
    }

    /// Makes its copies slow or failing from now on, in this process.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.trouble.set(trouble);
    }
}

/// The device as a memory domain: the device itself is shared by what outlives the call that made it.
struct SimulatedDomain(Arc<SimulatedDevice>);

impl MemoryDomain for SimulatedDomain {
    fn id(&self) -> DomainId {
        self.0.id
    }

    fn description(&self) -> String {
        format!("simulated device {}", self.0.id.instance())
    }

    fn allocator(
        &self,
        folder: &SegmentFolder,
        owner: Identity,
        budget: usize,
    ) -> Result<Box<dyn DomainAllocator>, AllocateError> {
        Ok(Box::new(SimulatedAllocator::new(Arc::clone(&self.0), folder.clone(), owner, budget)))
    }

    fn remap(
        &self,
        folder: &SegmentFolder,
        segment: SegmentId,
        owner: u64,
    ) -> Result<Arc<dyn RemoteMemory>, AllocateError> {
        let segment = SimulatedSegment::open(&folder.path(segment, owner), segment, self.0.id)?;
        Ok(Arc::new(RemoteSimulatedMemory::new(Arc::clone(&self.0), segment)))
    }
}

/// Makes the domains of kind `sim`.
pub(super) struct SimulatedDevices;

impl DomainFactory for SimulatedDevices {
    fn resolve(&self, instance: &str) -> Result<Arc<dyn MemoryDomain>, DomainError> {
        let number = if instance.is_empty() { Some(0) } else { instance.parse().ok() };
        let device = number.filter(|_| !instance.starts_with('+')).and_then(SimulatedDevice::get);
        match device {
            Some(device) => Ok(Arc::new(SimulatedDomain(device))),
            None => Err(DomainError::Malformed { text: format!("{KIND}:{instance}") }),
        }
    }

    fn open(&self, id: DomainId) -> Result<Arc<dyn MemoryDomain>, DomainError> {
        self.resolve(&id.instance().to_string())
    }
}

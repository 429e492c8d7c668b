//! What was done on a simulated device.

use std::sync::atomic::{AtomicU64, Ordering};

/// Copies of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transfers {
    /// How many.
    pub operations: u64,
    /// Bytes they moved.
    pub bytes: u64,
}

/// What was done on a device in this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SimulatedCounters {
    /// Pieces of memory handed out.
    pub allocations: u64,
    /// Pieces given back.
    pub deallocations: u64,
    /// Segments of other allocators that were mapped.
    pub remaps: u64,
    /// Copies from host memory to the device.
    pub from_host: Transfers,
    /// Copies from the device to host memory.
    pub to_host: Transfers,
    /// Copies on the device, and from another simulated device to it.
    pub within: Transfers,
}

impl SimulatedCounters {
    /// Pieces of memory in use.
    pub fn in_use(&self) -> u64 {
        self.allocations.saturating_sub(self.deallocations)
    }
}

#[derive(Default)]
pub(super) struct TransferCells {
    operations: AtomicU64,
    bytes: AtomicU64,
}

impl TransferCells {
    pub(super) fn add(&self, bytes: usize) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> Transfers {
        Transfers { operations: self.operations.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

#[derive(Default)]
pub(super) struct CounterCells {
    pub(super) allocations: AtomicU64,
    pub(super) deallocations: AtomicU64,
    pub(super) remaps: AtomicU64,
    pub(super) from_host: TransferCells,
    pub(super) to_host: TransferCells,
    pub(super) within: TransferCells,
}

impl CounterCells {
    pub(super) fn read(&self) -> SimulatedCounters {
        SimulatedCounters {
            allocations: self.allocations.load(Ordering::Relaxed),
            deallocations: self.deallocations.load(Ordering::Relaxed),
            remaps: self.remaps.load(Ordering::Relaxed),
            from_host: self.from_host.read(),
            to_host: self.to_host.read(),
            within: self.within.read(),
        }
    }
}

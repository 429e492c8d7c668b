//! Chunks, and the private books of the one who owns them (what `queue::pool::Pool` does around the pure modules).

use crate::harness::{message, seen};
use hazcat_core::ids::Sequence;
use hazcat_core::ring::held::HeldScan;
use hazcat_core::ring::word::MessageRef;
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering;
use std::collections::VecDeque;

/// Shared chunks of one owner: a position and a payload each.
pub struct Chunks<const N: usize> {
    /// `ChunkHeader::sequence`.
    sequences: [AtomicU64; N],
    payloads: [UnsafeCell<u64>; N],
}

// SAFETY: loom checks every access to the payloads: one that the protocol does not order ends the run.
unsafe impl<const N: usize> Sync for Chunks<N> {}

impl<const N: usize> Chunks<N> {
    pub fn new() -> Self {
        Self {
            sequences: std::array::from_fn(|_| AtomicU64::new(0)),
            payloads: std::array::from_fn(|_| UnsafeCell::new(0)),
        }
    }

    /// Writes a payload, as who borrowed the chunk does.
    pub fn write(&self, chunk: u32, value: u64) {
        self.payloads[chunk as usize].with_mut(|payload| {
            // SAFETY: loom ends the run if anybody else accesses the cell now.
            unsafe { *payload = value }
        });
    }

    /// Reads a payload behind a validated announcement.
    pub fn read(&self, chunk: u32) -> u64 {
        self.payloads[chunk as usize].with(|payload| {
            // SAFETY: loom ends the run if anybody writes to the cell now.
            unsafe { *payload }
        })
    }

    /// `ChunkHeader::set_sequence`.
    pub fn set_sequence(&self, chunk: u32, at: Sequence) {
        self.sequences[chunk as usize].store(at.0, Ordering::Relaxed);
    }

    /// `ChunkHeader::sequence`.
    pub fn sequence(&self, chunk: u32) -> Sequence {
        Sequence(self.sequences[chunk as usize].load(Ordering::Relaxed))
    }
}

/// A published message in its owner's books.
#[derive(Clone, Copy)]
pub struct Published {
    pub at: Sequence,
    pub chunk: u32,
}

/// One owner's chunks: free, published, or removed but perhaps still held.
pub struct Pool {
    publisher: u16,
    pub free: Vec<u32>,
    pub published: VecDeque<Published>,
    pub removed: Vec<Published>,
}

impl Pool {
    pub fn new(publisher: u16, free: Vec<u32>) -> Self {
        Self { publisher, free, published: VecDeque::new(), removed: Vec::new() }
    }

    pub fn message(&self, chunk: u32) -> MessageRef {
        message(self.publisher, chunk)
    }

    /// `Pool::allocate` and `allocate_under_pressure`: a free chunk; if there is none, the oldest messages are removed by
    /// `remove`, one by one, until one is free that nobody holds. `gather` collects what is announced.
    pub fn allocate(
        &mut self,
        remove: impl Fn(&Published),
        gather: impl Fn(&HeldScan) -> Vec<MessageRef>,
    ) -> Option<u32> {
        loop {
            if let Some(chunk) = self.free.pop() {
                return Some(chunk);
            }
            let oldest = self.published.pop_front()?;
            remove(&oldest);
            self.removed.push(oldest);
            self.free_removed(&gather);
        }
    }

    /// `Pool::free_removed` and `cursors::gather_held`.
    pub fn free_removed(&mut self, gather: impl Fn(&HeldScan) -> Vec<MessageRef>) {
        let scan = HeldScan::start();
        let held = gather(&scan);
        scan.finish();
        let publisher = self.publisher;
        let is_held = |removed: &Published| held.contains(&message(publisher, removed.chunk));
        let (kept, freed): (Vec<_>, Vec<_>) = self.removed.drain(..).partition(is_held);
        if !kept.is_empty() {
            seen("a chunk was spared because it was held");
        }
        self.removed = kept;
        self.free.extend(freed.into_iter().map(|removed| removed.chunk));
    }
}

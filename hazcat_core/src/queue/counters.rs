//! What publishers and subscriptions count, for whoever wants to know where messages lie, and how often they are copied.
//!
//! Counters lie in the endpoint's record of the topic file, begin at zero with the endpoint, and are written by it alone: anybody
//! may read them at any time ([`crate::inspect`], [`super::Publisher::counters`], [`super::Subscription::counters`]). Each is
//! exact; several of them, read while the endpoint works, may be one message apart.

use super::layout::{counter, taken, PublisherRecord, SubscriptionRecord};
use super::publisher::Publisher;
use super::subscription::Subscription;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a publisher has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PublisherCounters {
    /// Messages published.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Messages dropped before every subscription had seen them, for want of memory.
    pub dropped: u64,
    /// Messages published in device memory.
    pub on_device: u64,
    /// Messages that were copied from host memory to the device before they were published.
    pub copied_to_device: u64,
    /// Messages that were copied as they are into shared memory on the host.
    pub copied_in: u64,
    /// Messages that were serialized into shared memory.
    pub serialized: u64,
    /// Bytes that were copied or serialized.
    pub bytes_copied: u64,
}

impl PublisherCounters {
    /// Reads them from a record.
    pub fn of(record: &PublisherRecord) -> Self {
        let read = |which| read(&record.counters, which);
        Self {
            messages: read(counter::MESSAGES),
            bytes: read(counter::BYTES),
            dropped: read(counter::DROPPED),
            on_device: read(counter::ON_DEVICE),
            copied_to_device: read(counter::COPIED_TO_DEVICE),
            copied_in: read(counter::COPIED_IN),
            serialized: read(counter::SERIALIZED),
            bytes_copied: read(counter::BYTES_COPIED),
        }
    }

    /// Messages that were made where they lie.
    pub fn in_place(&self) -> u64 {
        self.messages.saturating_sub(sum([self.copied_to_device, self.copied_in, self.serialized]))
    }
}

/// What a subscription has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionCounters {
    /// Messages taken.
    pub messages: u64,
    /// Messages lost.
    pub lost: u64,
    /// Of those taken: had from a copy that another taker had made.
    pub shared_copies: u64,
    /// Copies it made from a device to the host.
    pub to_host: u64,
    /// Copies it made from the host to a device.
    pub to_device: u64,
    /// Copies it made from one device to another.
    pub between_devices: u64,
    /// Of the copies it made, those that nobody else could use.
    pub private_copies: u64,
    /// Bytes of the copies it made.
    pub bytes_copied: u64,
    /// Of those taken: handed out where they lay, in another domain than its own.
    pub as_they_lay: u64,
    /// Of those taken: copied as they are to their taker's own memory.
    pub copied_out: u64,
    /// Of those taken: deserialized to their taker's own memory.
    pub deserialized: u64,
    /// Bytes that were copied out or deserialized.
    pub bytes_out: u64,
}

impl SubscriptionCounters {
    /// Reads them from a record.
    pub fn of(record: &SubscriptionRecord) -> Self {
        let read = |which| read(&record.counters, which);
        Self {
            messages: read(taken::MESSAGES),
            lost: read(taken::LOST),
            shared_copies: read(taken::SHARED_COPIES),
            to_host: read(taken::TO_HOST),
            to_device: read(taken::TO_DEVICE),
            between_devices: read(taken::BETWEEN_DEVICES),
            private_copies: read(taken::PRIVATE_COPIES),
            bytes_copied: read(taken::BYTES_COPIED),
            as_they_lay: read(taken::AS_THEY_LAY),
            copied_out: read(taken::COPIED_OUT),
            deserialized: read(taken::DESERIALIZED),
            bytes_out: read(taken::BYTES_OUT),
        }
    }

    /// Copies it made from one domain to another.
    pub fn copies(&self) -> u64 {
        sum([self.to_host, self.to_device, self.between_devices])
    }

    /// Messages that it had where their publisher had put them.
    pub fn without_copy(&self) -> u64 {
        self.messages.saturating_sub(sum([self.copies(), self.shared_copies]))
    }

    /// Messages that were read where they lay, nothing being copied out.
    pub fn in_place(&self) -> u64 {
        self.messages.saturating_sub(sum([self.copied_out, self.deserialized]))
    }
}

/// How a message got into the memory in which it is published, or out of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    /// Copied byte by byte.
    Copied,
    /// Serialized or deserialized.
    Serialized,
}

impl Publisher {
    /// What it has done so far.
    pub fn counters(&self) -> PublisherCounters {
        self.record().map(PublisherCounters::of).unwrap_or_default()
    }

    /// Counts a message of `bytes` bytes that did not come into being in its loan: for a layer above that copies.
    #[inline]
    pub fn count_copied_in(&self, passage: Passage, bytes: usize) {
        let Some(record) = self.record() else { return };
        let which = if passage == Passage::Copied { counter::COPIED_IN } else { counter::SERIALIZED };
        // One exchange for the lock is less than one for each counter.
        self.alone(|| {
            add(&record.counters, which, 1);
            add(&record.counters, counter::BYTES_COPIED, bytes);
        });
    }
}

impl Subscription {
    /// What it has done so far.
    pub fn counters(&self) -> SubscriptionCounters {
        self.record().map(SubscriptionCounters::of).unwrap_or_default()
    }

    pub(super) fn count_as_it_lay(&self) {
        if let Some(record) = self.record() {
            self.alone(|| add(&record.counters, taken::AS_THEY_LAY, 1));
        }
    }

    /// Counts a message that was taken and then copied to `bytes` bytes of the taker's own: for a layer above that copies.
    #[inline]
    pub fn count_copied_out(&self, passage: Passage, bytes: usize) {
        let Some(record) = self.record() else { return };
        let which = if passage == Passage::Copied { taken::COPIED_OUT } else { taken::DESERIALIZED };
        self.alone(|| {
            add(&record.counters, which, 1);
            add(&record.counters, taken::BYTES_OUT, bytes);
        });
    }
}

/// Of numbers that anybody may have written.
fn sum<const N: usize>(counts: [u64; N]) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

fn read(counters: &[AtomicU64], which: usize) -> u64 {
    counters.get(which).map_or(0, |counter| counter.load(Ordering::Relaxed))
}

/// Under the endpoint's lock, on a cache line that no other process writes to.
#[inline]
pub(super) fn add(counters: &[AtomicU64], which: usize, more: usize) {
    if let Some(counter) = counters.get(which) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(more as u64), Ordering::Relaxed);
    }
}

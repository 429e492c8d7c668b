//! What the bytes of a topic file mean.
//!
//! ```text
//! 0        header: kind, version, capacity, closed, type hash, names
//! 2048     head (a line of its own) | armed (one bit per subscription) | space (keep-all) | table sizes
//! 2304     memory domains, 8 of 32 bytes
//! 4096     subscription records, 512 of 384 bytes
//! ...      publisher records, 1024 of 448 bytes
//! ...      slots, `capacity` words
//! ...      places for copies, `capacity` words per memory domain
//! ```
//!
//! The file has its full size from the beginning, but only what is in use is backed by memory: the records of a table are
//! reserved a page at a time before the table's high-water mark is raised over them, and nobody looks beyond that mark.

use crate::domain::host::HostAllocator;
use crate::domain::{Allocation, DomainAllocator, DomainId};
use crate::ids::{Gid, Identity};
use crate::ring::place::PlacesView;
use crate::ring::word::{MAX_PUBLISHERS, MAX_SEGMENTS};
use crate::ring::RingView;
use crate::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
use crate::sys::mapping::{Mapping, Place, SharedRecord};
use crate::sys::random::random_u64;
use crate::sys::shm_file::FileHeader;

/// First word of a topic file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"hazcatTP");
/// Version of this layout.
pub const VERSION: u64 = 4;
/// Subscriptions a topic can have.
pub const MAX_SUBSCRIPTIONS: usize = 512;
/// Messages a subscription can hold at a time.
pub const MAX_HELD: usize = 25;
/// Longest topic or type name, in bytes.
pub const MAX_NAME: usize = 900;

/// Memory domains a topic can have, the host among them.
pub const MAX_DOMAINS: usize = 8;
/// Row of the host in a topic's domain table.
pub const HOST_ROW: u8 = 0;

/// State of a record that is taken but not in use yet, or not any more.
pub const INACTIVE: u32 = 0;
/// State of a record in use.
pub const ACTIVE: u32 = 1;
/// State of a keep-all publisher that has left before everything was read: its history still serves those who were lapped.
pub const DEPARTED: u32 = 2;

/// Flag of a subscription that must not miss anything.
pub const KEEP_ALL: u32 = 1;
/// Flag of a publisher whose history serves late subscriptions.
pub const TRANSIENT_LOCAL: u32 = 2;
/// Flag of a record that is no publisher's but names the memory in which a subscription makes copies: in no graph, without a
/// history, its messages in places only.
pub const COPIER: u32 = 4;

/// The first page but for the hot lines.
#[repr(C)]
pub struct TopicHeaderLayout {
    /// Kind and version.
    pub file: FileHeader,
    /// Number of slots.
    pub capacity: AtomicU64,
    /// Not zero once the file is being removed: who joins must open the name again.
    pub closed: AtomicU32,
    pad: AtomicU32,
    /// Hash over the type's structure, low and high half.
    pub type_hash: [AtomicU64; 2],
    /// Lengths of the two names that follow, in bytes.
    pub name_lengths: [AtomicU32; 2],
}

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for TopicHeaderLayout {}

/// The words that are written during publications and waits, each kind on a cache line of its own.
#[repr(C, align(64))]
pub struct HotLayout {
    /// Next position to be published.
    pub head: AtomicU64,
    pad0: [AtomicU64; 7],
    /// One bit per subscription that sleeps; cleared by the sleeper alone.
    pub armed: [AtomicU64; MAX_SUBSCRIPTIONS / 64],
    /// Not zero while a keep-all publisher waits for room.
    pub space_wanted: AtomicU32,
    /// What such a publisher sleeps on.
    pub space_bell: AtomicU32,
    pad1: [AtomicU64; 7],
    /// Subscription records ever used: nobody looks beyond.
    pub subscriptions: AtomicU32,
    /// Publisher records ever used.
    pub publishers: AtomicU32,
    pad2: [AtomicU64; 7],
}

const _: () = assert!(size_of::<HotLayout>() == 256);

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for HotLayout {}

/// One memory domain of a topic. The first row is the host's; the others belong to whom registers first, for as long as the
/// file lives.
#[repr(C, align(32))]
pub struct DomainRecord {
    /// Word of its [`crate::domain::DomainId`]; zero: free.
    pub domain: AtomicU64,
    /// Not zero once its places for copies are backed by memory.
    pub has_places: AtomicU32,
    pad: AtomicU32,
    /// Copies made into it, for places and for the taker alone.
    pub copies: AtomicU64,
    /// Bytes of these copies.
    pub bytes: AtomicU64,
}

const _: () = assert!(size_of::<DomainRecord>() == 32);

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for DomainRecord {}

/// One subscription.
#[repr(C, align(64))]
pub struct SubscriptionRecord {
    /// Identity of its participant; zero: free.
    pub owner: AtomicU64,
    /// [`ACTIVE`] or [`INACTIVE`].
    pub state: AtomicU32,
    /// [`KEEP_ALL`].
    pub flags: AtomicU32,
    /// Next position it reads.
    pub cursor: AtomicU64,
    /// Messages it keeps.
    pub depth: AtomicU32,
    /// Bell to ring when its bit in `armed` is set, in the page of `owner`.
    pub bell: AtomicU32,
    /// Entries of `held` that have ever been used.
    pub held_used: AtomicU32,
    /// Row of the memory domain it prefers.
    pub domain: AtomicU32,
    /// Its gid.
    pub gid: [AtomicU64; 2],
    /// What it is reading right now.
    pub held: [AtomicU64; MAX_HELD],
    /// The word given at creation, for publishers to decide on.
    pub traits: AtomicU64,
    /// Counters for whoever inspects the topic, see [`taken`]. Those of every take lie in one cache line with `traits`.
    pub counters: [AtomicU64; 15],
}

const _: () = assert!(size_of::<SubscriptionRecord>() == 384);

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for SubscriptionRecord {}

/// One publisher.
#[repr(C, align(64))]
pub struct PublisherRecord {
    /// Identity of its participant, an [`orphan_word`], or zero: free.
    pub owner: AtomicU64,
    /// [`ACTIVE`] or [`INACTIVE`].
    pub state: AtomicU32,
    /// [`TRANSIENT_LOCAL`], [`KEEP_ALL`].
    pub flags: AtomicU32,
    /// The word given at creation, for subscriptions to decide on.
    pub traits: AtomicU64,
    /// Its gid.
    pub gid: [AtomicU64; 2],
    /// Identity under which its segments' files were created.
    pub creator: AtomicU64,
    /// Byte offset of the history in its first segment, and the number of words; zero words: none.
    pub history_offset: AtomicU32,
    /// See `history_offset`.
    pub history_depth: AtomicU32,
    /// Row of the memory domain of its messages.
    pub domain: AtomicU32,
    pad: AtomicU32,
    /// Ids of its segments; zero: none yet. Written before a message lies in the segment.
    pub segments: [AtomicU64; MAX_SEGMENTS],
    /// Random, never the same twice, zero while the fields above are being written: tells the publishers apart that have the
    /// record one after the other.
    pub instance: AtomicU64,
    /// Counters for whoever inspects the topic, see [`counter`].
    pub counters: [AtomicU64; 8],
    /// Of a [`DEPARTED`] publisher: the position behind its last message.
    pub kept_until: AtomicU64,
    /// When it published last; see [`super::signs`].
    pub published_at: AtomicU64,
    /// When it showed last that it is alive, or that it has left; see [`super::signs`].
    pub shown_at: AtomicU64,
    /// Ids of its device segments; zero: none yet. Written before a message lies in the segment.
    pub device_segments: [AtomicU64; MAX_SEGMENTS],
    pad3: [AtomicU64; 6],
}

const _: () = assert!(size_of::<PublisherRecord>() == 448);

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for PublisherRecord {}

/// Places in [`PublisherRecord::counters`].
pub mod counter {
    /// Messages published.
    pub const MESSAGES: usize = 0;
    /// Payload bytes published.
    pub const BYTES: usize = 1;
    /// Messages dropped before every subscription had seen them, for want of memory.
    pub const DROPPED: usize = 2;
    /// Messages published in device memory.
    pub const ON_DEVICE: usize = 3;
    /// Messages whose bytes were copied from the host to the device before publication.
    pub const COPIED_TO_DEVICE: usize = 4;
    /// Bytes that were copied into loans: [`COPIED_TO_DEVICE`], [`COPIED_IN`] and [`SERIALIZED`].
    pub const BYTES_COPIED: usize = 5;
    /// Messages that were copied into a loan on the host as they are, instead of being made in it.
    pub const COPIED_IN: usize = 6;
    /// Messages that were serialized into a loan.
    pub const SERIALIZED: usize = 7;
}

/// Places in [`SubscriptionRecord::counters`].
pub mod taken {
    /// Messages taken.
    pub const MESSAGES: usize = 0;
    /// Of these, taken from a copy that another taker had made.
    pub const SHARED_COPIES: usize = 1;
    /// Copies it made from a device to the host.
    pub const TO_HOST: usize = 2;
    /// Copies it made from the host to a device.
    pub const TO_DEVICE: usize = 3;
    /// Copies it made from one device to another.
    pub const BETWEEN_DEVICES: usize = 4;
    /// Of all copies it made, those it did not share.
    pub const PRIVATE_COPIES: usize = 5;
    /// Bytes of all copies it made.
    pub const BYTES_COPIED: usize = 6;
    /// Messages lost.
    pub const LOST: usize = 7;
    /// Messages that were handed out where they lay, although in another domain than its own.
    pub const AS_THEY_LAY: usize = 8;
    /// Messages that were copied out to their taker's own memory as they are.
    pub const COPIED_OUT: usize = 9;
    /// Messages that were deserialized into their taker's own memory.
    pub const DESERIALIZED: usize = 10;
    /// Bytes that were copied out or deserialized.
    pub const BYTES_OUT: usize = 11;
}

impl PublisherRecord {
    /// Fills in a record that was just claimed: who has it now, and nothing of who had it before. Answers the new instance.
    pub(super) fn begin(&self, creator: Identity, gid: Gid, traits: u64) -> u64 {
        // SYNC instance: zero first, the new one last, for those who read the fields without protection.
        self.instance.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        fault_point!("publisher.join.instance-zero");
        let words = self.segments.iter().chain(&self.device_segments).chain(&self.counters);
        let words = words.chain([&self.kept_until, &self.published_at, &self.shown_at]);
        words.for_each(|word| word.store(0, Ordering::Relaxed));
        let gid = gid.words();
        self.gid[0].store(gid[0], Ordering::Relaxed);
        self.gid[1].store(gid[1], Ordering::Relaxed);
        self.creator.store(creator.word(), Ordering::Relaxed);
        self.traits.store(traits, Ordering::Relaxed);
        self.domain.store(u32::from(HOST_ROW), Ordering::Relaxed);
        self.history_depth.store(0, Ordering::Relaxed);
        self.flags.store(0, Ordering::Relaxed);
        let instance = random_u64() | 1;
        // SYNC instance
        self.instance.store(instance, Ordering::Release);
        fault_point!("publisher.join.named");
        instance
    }

    /// Names a segment, before the first message in it can be found.
    #[inline]
    pub(super) fn publish_segment(&self, allocator: &HostAllocator, allocation: &Allocation) {
        let Some(place) = self.segments.get(allocation.segment as usize) else { return };
        if place.load(Ordering::Relaxed) == 0 {
            if let Some(id) = allocator.share(allocation.segment) {
                // SYNC segment-id: Release; the exchange that publishes the message comes later still.
                place.store(id.0, Ordering::Release);
            }
        }
    }

    /// The record's gid.
    pub fn gid(&self) -> Gid {
        Gid::from_words([self.gid[0].load(Ordering::Relaxed), self.gid[1].load(Ordering::Relaxed)])
    }
}

/// What stands in `owner` of a publisher that has left before all its messages were read: never the same twice.
pub fn orphan_word(random: u64) -> u64 {
    random << 16 | 0xffff
}

/// Who an `owner` word names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Nobody: the record is free.
    Free,
    /// A publisher that has left in good order; its messages remain until everybody has passed them.
    Orphan,
    /// A participant, alive or not.
    Participant(Identity),
}

impl Owner {
    /// Reads an owner word.
    pub fn from_word(word: u64) -> Self {
        if word & 0xffff == 0xffff {
            return Self::Orphan;
        }
        Identity::from_word(word).map_or(Self::Free, Self::Participant)
    }
}

const HOT_OFFSET: usize = 2048;
const DOMAINS_OFFSET: usize = HOT_OFFSET + size_of::<HotLayout>();
const SUBSCRIPTIONS_OFFSET: usize = 4096;
const PUBLISHERS_OFFSET: usize = SUBSCRIPTIONS_OFFSET + MAX_SUBSCRIPTIONS * size_of::<SubscriptionRecord>();
const SLOTS_OFFSET: usize = PUBLISHERS_OFFSET + MAX_PUBLISHERS * size_of::<PublisherRecord>();
/// Where the two names begin.
pub const NAMES_OFFSET: usize = 128;

const _: () = assert!(NAMES_OFFSET + 2 * MAX_NAME <= HOT_OFFSET);
const _: () = assert!(DOMAINS_OFFSET + MAX_DOMAINS * size_of::<DomainRecord>() <= SUBSCRIPTIONS_OFFSET);
const _: () = assert!(SLOTS_OFFSET % 4096 == 0);

/// Size of a topic file with so many slots.
pub fn file_size(capacity: usize) -> u64 {
    (SLOTS_OFFSET + (1 + MAX_DOMAINS) * capacity * size_of::<AtomicU64>()) as u64
}

/// Byte range of the slots.
pub fn slots_range(capacity: usize) -> (u64, u64) {
    (SLOTS_OFFSET as u64, (capacity * size_of::<AtomicU64>()) as u64)
}

/// Byte range of a domain's places for copies.
pub fn places_range(capacity: usize, row: u8) -> (u64, u64) {
    let len = capacity * size_of::<AtomicU64>();
    ((SLOTS_OFFSET + (1 + usize::from(row)) * len) as u64, len as u64)
}

/// Byte range of the pages that hold a table's record, to be reserved before it is touched.
fn pages_of(table: usize, index: usize, record: usize) -> (u64, u64) {
    let first = (table + index * record) / 4096 * 4096;
    let end = (table + (index + 1) * record).div_ceil(4096) * 4096;
    (first as u64, (end - first) as u64)
}

/// Pages that hold a subscription's record: offset and length.
pub fn subscription_pages(index: usize) -> (u64, u64) {
    pages_of(SUBSCRIPTIONS_OFFSET, index, size_of::<SubscriptionRecord>())
}

/// Pages that hold a publisher's record: offset and length.
pub fn publisher_pages(index: usize) -> (u64, u64) {
    pages_of(PUBLISHERS_OFFSET, index, size_of::<PublisherRecord>())
}

/// A mapped topic file whose parts have been checked to lie inside it.
pub struct TopicLayout {
    mapping: Mapping,
    capacity: usize,
    hot: Place<HotLayout>,
    subscriptions: Place<SubscriptionRecord>,
    publishers: Place<PublisherRecord>,
    slots: Place<AtomicU64>,
    domains: Place<DomainRecord>,
    places: Place<AtomicU64>,
}

impl TopicLayout {
    /// Checks that `mapping` is large enough for the capacity in its header; `None` where it is not, or where the capacity
    /// is not one that a ring can have.
    pub fn new(mapping: Mapping) -> Option<Self> {
        let capacity = mapping.record::<TopicHeaderLayout>(0)?.capacity.load(Ordering::Relaxed);
        let capacity = usize::try_from(capacity).ok()?;
        let allowed = super::History::MIN_CAPACITY..=super::History::MAX_CAPACITY;
        if !capacity.is_power_of_two() || !allowed.contains(&capacity) || mapping.len() as u64 != file_size(capacity) {
            return None;
        }
        Some(Self {
            hot: mapping.place(HOT_OFFSET, 1)?,
            subscriptions: mapping.place(SUBSCRIPTIONS_OFFSET, MAX_SUBSCRIPTIONS)?,
            publishers: mapping.place(PUBLISHERS_OFFSET, MAX_PUBLISHERS)?,
            slots: mapping.place(SLOTS_OFFSET, capacity)?,
            domains: mapping.place(DOMAINS_OFFSET, MAX_DOMAINS)?,
            places: mapping.place(SLOTS_OFFSET + capacity * size_of::<AtomicU64>(), MAX_DOMAINS * capacity)?,
            mapping,
            capacity,
        })
    }

    /// Whether the file was cut short, and something of it missed.
    #[inline]
    pub(super) fn is_cut(&self) -> bool {
        self.mapping.is_cut()
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> usize {
        self.mapping.len()
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn at<T: SharedRecord>(&self, offset: usize) -> &T {
        // Constant offsets inside a length checked in `new`.
        self.mapping.record(offset).unwrap_or_else(|| unreachable!("checked at construction"))
    }

    fn many<T: SharedRecord>(&self, offset: usize, count: usize) -> &[T] {
        self.mapping.records(offset, count).unwrap_or(&[])
    }

    /// The header.
    pub fn header(&self) -> &TopicHeaderLayout {
        self.at(0)
    }

    /// The hot words.
    #[inline]
    pub fn hot(&self) -> &HotLayout {
        self.mapping.at(&self.hot).first().unwrap_or_else(|| unreachable!("checked at construction"))
    }

    /// The ring.
    #[inline]
    pub fn ring(&self) -> RingView<'_> {
        let slots = self.mapping.at(&self.slots);
        RingView::new(&self.hot().head, slots).unwrap_or_else(|| unreachable!("capacity checked at construction"))
    }

    /// The table of memory domains.
    pub fn domains(&self) -> &[DomainRecord] {
        self.mapping.at(&self.domains)
    }

    /// The memory domain of a row; `None` where there is none.
    pub fn domain(&self, row: u8) -> Option<DomainId> {
        DomainId::from_word(self.domains().get(usize::from(row))?.domain.load(Ordering::Acquire))
    }

    /// The places for copies into a domain, if there are any yet.
    pub fn places(&self, row: u8) -> Option<PlacesView<'_>> {
        let record = self.domains().get(usize::from(row))?;
        // SYNC places: pairs with the Release behind the reservation of their memory.
        if record.has_places.load(Ordering::Acquire) == 0 {
            return None;
        }
        PlacesView::new(self.mapping.at(&self.places).chunks(self.capacity).nth(usize::from(row))?)
    }

    /// All places there are, by the row of their domain.
    pub fn all_places(&self) -> impl Iterator<Item = (u8, PlacesView<'_>)> {
        (0..MAX_DOMAINS as u8).filter_map(|row| Some((row, self.places(row)?)))
    }

    /// All subscription records; only those below the high-water mark may be touched.
    #[inline]
    fn subscription_table(&self) -> &[SubscriptionRecord] {
        self.mapping.at(&self.subscriptions)
    }

    #[inline]
    fn publisher_table(&self) -> &[PublisherRecord] {
        self.mapping.at(&self.publishers)
    }

    /// The subscription records in use now or earlier.
    #[inline]
    pub fn subscriptions(&self) -> &[SubscriptionRecord] {
        // SYNC table-mark: pairs with the Release in `raise_*`; the pages behind the mark are reserved.
        let used = self.hot().subscriptions.load(Ordering::Acquire) as usize;
        let table = self.subscription_table();
        &table[..used.min(table.len())]
    }

    /// The publisher records in use now or earlier.
    #[inline]
    pub fn publishers(&self) -> &[PublisherRecord] {
        // SYNC table-mark
        let used = self.hot().publishers.load(Ordering::Acquire) as usize;
        let table = self.publisher_table();
        &table[..used.min(table.len())]
    }

    /// Raises the mark over a subscription record whose pages have been reserved.
    pub fn raise_subscriptions(&self, index: usize) {
        // SYNC table-mark
        self.hot().subscriptions.fetch_max(index as u32 + 1, Ordering::AcqRel);
    }

    /// Raises the mark over a publisher record whose pages have been reserved.
    pub fn raise_publishers(&self, index: usize) {
        // SYNC table-mark
        self.hot().publishers.fetch_max(index as u32 + 1, Ordering::AcqRel);
    }

    /// The bytes of the two names, as they were written at creation.
    pub fn names(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let [first, second] = &self.header().name_lengths;
        let read = |offset: usize, length: usize| -> Option<Vec<u8>> {
            if length > MAX_NAME {
                return None;
            }
            let words = self.mapping.records::<AtomicU64>(offset, MAX_NAME.div_ceil(8))?;
            let mut bytes: Vec<u8> =
                words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).take(length).collect();
            bytes.truncate(length);
            Some(bytes)
        };
        let first = read(NAMES_OFFSET, first.load(Ordering::Relaxed) as usize)?;
        let second = read(NAMES_OFFSET + MAX_NAME.div_ceil(8) * 8, second.load(Ordering::Relaxed) as usize)?;
        Some((first, second))
    }

    /// Writes the two names into a file that nobody else sees yet.
    pub fn write_names(&self, name: &str, type_name: &str) {
        let places = [(NAMES_OFFSET, name, 0), (NAMES_OFFSET + MAX_NAME.div_ceil(8) * 8, type_name, 1)];
        for (offset, text, index) in places {
            let text = &text.as_bytes()[..text.len().min(MAX_NAME)];
            for (word, bytes) in self.many::<AtomicU64>(offset, MAX_NAME.div_ceil(8)).iter().zip(text.chunks(8)) {
                let mut padded = [0; 8];
                padded[..bytes.len()].copy_from_slice(bytes);
                word.store(u64::from_le_bytes(padded), Ordering::Relaxed);
            }
            self.header().name_lengths[index].store(text.len() as u32, Ordering::Relaxed);
        }
    }
}

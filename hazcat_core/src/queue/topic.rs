//! Opening, joining, leaving and removing a topic file.
//!
//! Every process that has a topic open holds a shared lock on its file, through an open file description of its own that
//! is never mapped. Whoever can get the exclusive lock knows that nobody has it open, marks it closed and unlinks it; who
//! opens it checks, under the shared lock, that it is not closed and that the name still means this file.

mod errors;
mod file;

pub use errors::CreateError;
pub(super) use file::remove_if_unused;
use file::{create, map};

use super::device::DeviceCache;
use super::layout::{self, Owner, PublisherRecord, SubscriptionRecord, TopicLayout};
use super::peers::SegmentCache;
use super::{kept, sweep, History, TopicKey};
use crate::directory::kept::kept_name;
use crate::directory::TopicStem;
use crate::domain::{DomainId, SegmentFolder};
use crate::ids::{Identity, PublisherIndex, SubscriptionIndex};
use crate::log::warn_log;
use crate::participant::Participant;
use crate::ring::place::PlacesView;
use crate::ring::{held, RingView};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sys::bus_error;
use crate::sys::file_id::FileId;
use crate::sys::fork::{ForkGuarded, ForkedChild};
use crate::sys::mapping::Access;
use crate::sys::ofd_lock::{self, LockKind};
use crate::sys::shm_file::{self, FileError};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How often a topic that is being removed under our hands is opened again.
const OPEN_ATTEMPTS: u32 = 1000;

/// A topic that this process has open.
pub struct Topic {
    participant: Arc<Participant>,
    key: TopicKey,
    path: PathBuf,
    layout: TopicLayout,
    /// Holds the shared lock; never mapped, and not kept by a forked child.
    lock: ForkGuarded<File>,
    folder: SegmentFolder,
    /// Other publishers' segments, mapped once for all subscriptions of this process.
    pub(super) segments: SegmentCache,
    /// Other endpoints' device segments, the same way.
    pub(super) devices: DeviceCache,
    /// Changes when segments come and go; see [`Topic::segments_mark`].
    segments_mark: AtomicU64,
    /// Whether a subscription could not let go of a segment yet.
    ask_again: AtomicBool,
    /// Whether the file was found to be cut short.
    cut: AtomicBool,
    /// It was said that nobody will find it any more.
    pub(super) said_lost: AtomicBool,
}

type Registry = Mutex<HashMap<(Identity, PathBuf), Weak<Topic>>>;

/// Topics open in this process, so that endpoints of one participant on one topic share a mapping.
fn registry() -> &'static Registry {
    static REGISTRY: std::sync::OnceLock<Registry> = std::sync::OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}

/// All topics that `participant` has open now.
pub(super) fn open_topics(participant: Identity) -> Vec<Arc<Topic>> {
    let registry = registry().lock().unwrap_or_else(PoisonError::into_inner);
    registry.iter().filter(|((owner, _), _)| *owner == participant).filter_map(|(_, weak)| weak.upgrade()).collect()
}

/// Whether the participant has a topic open.
pub(crate) fn has_open(participant: Identity) -> bool {
    let registry = registry().lock().unwrap_or_else(PoisonError::into_inner);
    registry.iter().any(|((owner, _), topic)| *owner == participant && topic.strong_count() > 0)
}

/// How many topics the participant has open whose files have lost all their names.
pub(crate) fn lost_files(participant: Identity) -> usize {
    let is_lost =
        |topic: &&Arc<Topic>| topic.lock.get().is_ok_and(|lock| lock.metadata().is_ok_and(|meta| meta.nlink() == 0));
    open_topics(participant).iter().filter(is_lost).count()
}

/// Gives the topics that the participant has open their names back.
pub(crate) fn restore_names(participant: Identity) {
    open_topics(participant).iter().for_each(|topic| topic.restore_names());
}

enum Attempt {
    Opened(Box<TopicLayout>, ForkGuarded<File>),
    Again,
}

impl Topic {
    /// Opens a topic, creating its file where there is none.
    ///
    /// `wished_capacity` counts only for a new file.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn open(
        participant: &Arc<Participant>,
        key: &TopicKey,
        wished_capacity: usize,
    ) -> Result<Arc<Self>, CreateError> {
        let topic = || key.name.clone();
        if key.name.len() > layout::MAX_NAME || key.type_name.len() > layout::MAX_NAME {
            return Err(CreateError::NameTooLong { topic: topic(), limit: layout::MAX_NAME });
        }
        if participant.check_fork().is_err() {
            return Err(CreateError::Forked { topic: topic() });
        }
        sweep::watch(participant);
        let directory = participant.directory();
        let stem = TopicStem::new(&key.name, &key.type_name, key.type_hash);
        let path = directory.topic_path(&stem);
        let mut registry = registry().lock().unwrap_or_else(PoisonError::into_inner);
        let place = (participant.identity(), path.clone());
        if let Some(open) = registry.get(&place).and_then(Weak::upgrade) {
            return Ok(open);
        }
        let folder = SegmentFolder { directory: directory.clone(), topic: stem };
        let mode = directory.file_mode();
        for attempt in 0..OPEN_ATTEMPTS {
            match Self::attempt(&path, key, wished_capacity, mode, &folder)? {
                Attempt::Opened(layout, lock) => {
                    let open = Arc::new(Self {
                        participant: Arc::clone(participant),
                        key: key.clone(),
                        path,
                        layout: *layout,
                        lock,
                        folder,
                        segments: SegmentCache::default(),
                        devices: DeviceCache::default(),
                        segments_mark: AtomicU64::new(0),
                        ask_again: AtomicBool::new(false),
                        cut: AtomicBool::new(false),
                        said_lost: AtomicBool::new(false),
                    });
                    registry.retain(|_, weak| weak.strong_count() > 0);
                    registry.insert(place, Arc::downgrade(&open));
                    return Ok(open);
                }
                Attempt::Again if attempt > 10 => std::thread::sleep(std::time::Duration::from_micros(100)),
                Attempt::Again => std::thread::yield_now(),
            }
        }
        Err(CreateError::Unstable { topic: topic() })
    }

    fn attempt(
        path: &Path,
        key: &TopicKey,
        wished_capacity: usize,
        mode: u32,
        folder: &SegmentFolder,
    ) -> Result<Attempt, CreateError> {
        let fail = |source| CreateError::File { topic: key.name.clone(), source };
        let guarded = match ForkGuarded::open(|| shm_file::open(path, Access::ReadWrite)) {
            Ok(file) => file,
            // A link, a pipe: nobody can have that open as a topic.
            Err(FileError::Corrupt { .. }) if shm_file::remove_impostor(path) => return Ok(Attempt::Again),
            Err(FileError::Missing { .. }) if kept::adopt(path) => return Ok(Attempt::Again),
            Err(FileError::Missing { .. }) => {
                return match folder.make(|| create(path, key, wished_capacity, mode)) {
                    Ok(()) | Err(FileError::Exists { .. }) => Ok(Attempt::Again),
                    Err(error) => Err(fail(error)),
                };
            }
            Err(error) => return Err(fail(error)),
        };
        let lock = guarded.get().map_err(|_| CreateError::Forked { topic: key.name.clone() })?;
        let io = |error| fail(FileError::from_io(path, 0, error));
        if !ofd_lock::try_lock(lock, 0, LockKind::Shared).map_err(io)? {
            return Ok(Attempt::Again);
        }
        fault_point!("topic.open.locked");
        // A second description for the mapping: a mapping inherited by a forked child would keep the lock alive.
        let file = match shm_file::open(path, Access::ReadWrite) {
            Ok(file) => file,
            Err(FileError::Missing { .. }) => return Ok(Attempt::Again),
            Err(error) => return Err(fail(error)),
        };
        if FileId::of_file(lock).map_err(io)? != FileId::of_file(&file).map_err(io)? {
            return Ok(Attempt::Again);
        }
        let layout = match map(&file, path) {
            Ok(layout) => layout,
            // Foreign, damaged or of another version: whoever has it open keeps it, what nobody has open is made anew.
            Err(error) => {
                let _ = ofd_lock::unlock(lock, 0);
                return match remove_if_unused(lock, &folder.directory, &folder.topic) {
                    true => Ok(Attempt::Again),
                    false => Err(fail(error)),
                };
            }
        };
        if layout.header().closed.load(Ordering::Acquire) != 0 {
            // Whoever closed it held the lock exclusively until it was removed, or until they died: finish it for them.
            let _ = ofd_lock::unlock(lock, 0);
            remove_if_unused(lock, &folder.directory, &folder.topic);
            return Ok(Attempt::Again);
        }
        let names = layout.names();
        let ours = (key.name.as_bytes().to_vec(), key.type_name.as_bytes().to_vec());
        if names != Some(ours) {
            return Err(CreateError::Collision { topic: key.name.clone(), path: path.to_path_buf() });
        }
        if kept::is_impostor(lock, path) {
            return Ok(Attempt::Again);
        }
        fault_point!("topic.open.checked");
        Ok(Attempt::Opened(Box::new(layout), guarded))
    }

    /// The participant that has it open.
    pub fn participant(&self) -> &Arc<Participant> {
        &self.participant
    }

    /// What the topic is known by.
    pub fn key(&self) -> &TopicKey {
        &self.key
    }

    /// The file that holds its shared lock; fails in a forked child.
    pub(super) fn lock(&self) -> Result<&File, ForkedChild> {
        self.lock.get()
    }

    /// Its bytes.
    #[inline]
    pub fn layout(&self) -> &TopicLayout {
        &self.layout
    }

    /// Its ring.
    #[inline]
    pub fn ring(&self) -> RingView<'_> {
        self.layout.ring()
    }

    /// Where segments of its publishers lie.
    pub fn folder(&self) -> &SegmentFolder {
        &self.folder
    }

    /// A subscription's record, if the index is in use.
    #[inline]
    pub fn subscription(&self, index: SubscriptionIndex) -> Option<&SubscriptionRecord> {
        self.layout.subscriptions().get(usize::from(index.0))
    }

    /// A publisher's record, if the index is in use.
    #[inline]
    pub fn publisher(&self, index: PublisherIndex) -> Option<&PublisherRecord> {
        self.layout.publishers().get(usize::from(index.0))
    }

    /// Where its file lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether somebody has cut the file short: what is left of it serves nobody.
    #[inline]
    pub(super) fn is_cut(&self) -> bool {
        bus_error::cuts() > 0 && (self.cut.load(Ordering::Relaxed) || self.layout.is_cut())
    }

    /// Looks whether somebody has cut the file short. Then it says so, once, and gives up the name, so that the topic can be made
    /// anew: nobody could open what is there now.
    pub(super) fn look_for_cut(&self) {
        let Ok(lock) = self.lock.get() else { return };
        let is_short = || lock.metadata().is_ok_and(|meta| meta.len() < self.layout.bytes() as u64);
        if !self.cut.load(Ordering::Relaxed) {
            if !self.layout.is_cut() && !is_short() {
                return;
            }
            self.cut.store(true, Ordering::Relaxed);
            bus_error::note_cut();
            let (path, topic) = (self.path.display(), &self.key.name);
            warn_log!("{path} was cut short by somebody: what was in topic '{topic}' is lost, and its endpoints fail");
        }
        // One at a time: of two who look, the second must not remove what was made anew.
        let Some(_guard) = self.participant.lease().try_sweep_lock() else { return };
        let Ok(file) = FileId::of_file(lock) else { return };
        for name in kept_name(&self.path).iter().chain([&self.path]) {
            if file.is_named(name) {
                let _ = std::fs::remove_file(name);
            }
        }
    }

    /// Changes about a second after publishers have come or gone: then subscriptions let go of segments.
    #[inline]
    pub(super) fn segments_mark(&self) -> u64 {
        self.segments_mark.load(Ordering::Relaxed)
    }

    /// Has the mark change once more, for a subscription that holds messages now.
    pub(super) fn ask_again_later(&self) {
        self.ask_again.store(true, Ordering::Relaxed);
    }

    /// Looks which segments there are.
    pub(super) fn update_segments_mark(&self) {
        // The instance tells of publishers that came and went since the last look.
        let words = self.layout.publishers().iter().flat_map(|record| record.segments.iter().chain([&record.instance]));
        let seen = words.fold(0u64, |mark, word| mark.rotate_left(7) ^ word.load(Ordering::Relaxed));
        let again = u64::from(self.ask_again.swap(false, Ordering::Relaxed));
        // The highest bit only tells one asking from the next.
        let asked = (self.segments_mark() >> 63) ^ again;
        self.segments_mark.store((seen & (u64::MAX >> 1)) | (asked << 63), Ordering::Relaxed);
    }

    /// Whether a record's owner is dead for certain (probed now), or has left.
    pub fn is_gone(&self, owner: Owner) -> bool {
        match owner {
            Owner::Free => false,
            Owner::Orphan => true,
            Owner::Participant(identity) => {
                self.participant.is_known_dead(identity) && !self.participant.is_alive(identity)
            }
        }
    }

    /// Takes a free subscription record. It is inactive and holds nothing; nobody else touches it.
    pub(super) fn claim_subscription(&self) -> Result<SubscriptionIndex, CreateError> {
        for index in 0..layout::MAX_SUBSCRIPTIONS {
            if index >= self.layout.subscriptions().len() {
                self.reserve(layout::subscription_pages(index))?;
                fault_point!("topic.claim-subscription.reserved");
                self.layout.raise_subscriptions(index);
                fault_point!("topic.claim-subscription.raised");
            }
            let Some(record) = self.layout.subscriptions().get(index) else { break };
            if !self.take_over(&record.owner) {
                continue;
            }
            fault_point!("topic.claim-subscription.taken");
            record.state.store(layout::INACTIVE, Ordering::Release);
            let index = SubscriptionIndex(index as u16);
            self.reset_subscription(record, index);
            fault_point!("topic.claim-subscription.reset");
            return Ok(index);
        }
        Err(CreateError::TableFull {
            topic: self.key.name.clone(),
            kind: "subscription",
            limit: layout::MAX_SUBSCRIPTIONS,
        })
    }

    /// Takes a free publisher record. It is inactive and names no segment; nobody else touches it.
    pub(super) fn claim_publisher(&self) -> Result<PublisherIndex, CreateError> {
        const MOST: usize = crate::ring::word::MAX_PUBLISHERS;
        // Others may take what is made free here: try again a few times.
        for _ in 0..64 {
            if let Some(index) = self.claim_free_publisher() {
                return Ok(index);
            }
            sweep::sweep_topic(self);
            if let Some(index) = self.claim_free_publisher() {
                return Ok(index);
            }
            let used = self.layout.publishers().len();
            if used < MOST {
                self.reserve(layout::publisher_pages(used))?;
                fault_point!("topic.claim-publisher.reserved");
                self.layout.raise_publishers(used);
                fault_point!("topic.claim-publisher.raised");
            } else if !sweep::drop_oldest_publisher(self) {
                break;
            }
        }
        Err(CreateError::TableFull { topic: self.key.name.clone(), kind: "publisher", limit: MOST })
    }

    fn claim_free_publisher(&self) -> Option<PublisherIndex> {
        let me = self.participant.identity().word();
        // A record with messages in the ring is never taken over directly: sweeping empties it first.
        let claimed = self.layout.publishers().iter().position(|record| {
            // SYNC record-owner
            record.owner.compare_exchange(0, me, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        fault_point!("topic.claim-publisher.taken");
        claimed.map(|index| PublisherIndex(index as u16))
    }

    /// Row of a memory domain in the topic's table; registers it where it is not there yet.
    pub(super) fn domain_row(&self, domain: DomainId) -> Result<u8, CreateError> {
        for (row, record) in self.layout.domains().iter().enumerate() {
            let found = match record.domain.load(Ordering::Acquire) {
                // SYNC domain-row: whoever registers first has the row.
                0 => record.domain.compare_exchange(0, domain.word(), Ordering::AcqRel, Ordering::Acquire),
                there => Err(there),
            };
            if found.map_or_else(|there| there, |_| domain.word()) == domain.word() {
                return Ok(row as u8);
            }
        }
        Err(CreateError::TooManyDomains { topic: self.key.name.clone(), domain, limit: layout::MAX_DOMAINS })
    }

    /// The memory domain of a row; `None` where there is none.
    pub fn domain(&self, row: u8) -> Option<DomainId> {
        self.layout.domain(row)
    }

    /// Longest wait for somebody else's copy of a message that says it has so many bytes: a millisecond per MiB, a few seconds
    /// at the most, whatever it says.
    pub(super) fn copy_wait(&self, bytes: u64) -> Duration {
        self.participant.config().copy_wait.saturating_add(Duration::from_micros(bytes.min(4 << 30) / 1024))
    }

    /// The places for copies into a domain; backed with memory now if they are needed for the first time. `None` where shared
    /// memory has no room for them, or in a forked child.
    pub(super) fn places(&self, row: u8) -> Option<PlacesView<'_>> {
        if let Some(places) = self.layout.places(row) {
            return Some(places);
        }
        self.reserve(layout::places_range(self.layout.capacity(), row)).ok()?;
        // SYNC places
        self.layout.domains().get(usize::from(row))?.has_places.store(1, Ordering::Release);
        self.layout.places(row)
    }

    fn reserve(&self, (offset, len): (u64, u64)) -> Result<(), CreateError> {
        let lock = self.lock.get().map_err(|_| CreateError::Forked { topic: self.key.name.clone() })?;
        shm_file::reserve(lock, &self.path, offset, len)
            .map_err(|source| CreateError::File { topic: self.key.name.clone(), source })
    }

    /// Makes a record ours if it is free or its owner is dead.
    pub(super) fn take_over(&self, owner: &AtomicU64) -> bool {
        // SYNC record-owner: pairs with the Release that frees a record.
        let word = owner.load(Ordering::Acquire);
        let who = Owner::from_word(word);
        let me = self.participant.identity().word();
        (who == Owner::Free || self.is_gone(who))
            // SYNC record-owner
            && owner.compare_exchange(word, me, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Empties a subscription record that is ours.
    pub(super) fn reset_subscription(&self, record: &SubscriptionRecord, index: SubscriptionIndex) {
        for entry in &record.held {
            held::clear(entry);
        }
        record.held_used.store(0, Ordering::Relaxed);
        let (word, bit) = armed_bit(index);
        if let Some(armed) = self.layout.hot().armed.get(word) {
            armed.fetch_and(!bit, Ordering::AcqRel);
        }
    }
}

/// Word and bit of a subscription in the armed words.
pub(super) fn armed_bit(index: SubscriptionIndex) -> (usize, u64) {
    (usize::from(index.0) / 64, 1 << (index.0 % 64))
}

impl Drop for Topic {
    fn drop(&mut self) {
        // In a forked child there is no lock to get, and nothing to remove.
        if let Ok(lock) = self.lock.get() {
            // First back to no lock: two who leave at once would keep each other from the exclusive one, and the file
            // would stay. Whoever of them unlocks last finds nobody.
            let _ = ofd_lock::unlock(lock, 0);
            fault_point!("topic.leave.unlocked");
            remove_if_unused(lock, &self.folder.directory, &self.folder.topic);
        }
    }
}

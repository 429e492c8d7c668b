//! Cleaning up behind those who left or died.
//!
//! A dead subscription's record is emptied and freed. A publisher that is gone keeps its record and its segments until
//! every live subscription has passed its messages and nobody holds one; then anybody frees them. Files that belong to no
//! open topic are removed by whoever gets the directory's sweep lock. Everything here may be done by several processes at
//! once, and by one that dies in the middle: each step is taken by a compare-and-swap of an owner word that is never used
//! twice, and doing it again changes nothing.

use super::cursors::{gather_held, Cursors};
use super::layout::{self, Owner, PublisherRecord, DEPARTED, INACTIVE};
use super::pool::FoundIn;
use super::topic::{self, Topic};
use super::{backlog, kept};
use crate::directory::kept::{kept_name, remove_both};
use crate::directory::{Directory, TopicStem};
use crate::ids::{Identity, PublisherIndex, SegmentId, Sequence};
use crate::participant::{self, NewsListener, Participant};
use crate::ring::word::{MessageRef, Tombstone};
use crate::sync::atomic::Ordering;
use crate::sys::mapping::Access;
use crate::sys::shm_file;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Shortest time between two sweeps of the directory: when many leave at once, one sweep serves for many.
const SWEEP_PAUSE: Duration = Duration::from_millis(if cfg!(feature = "fault-points") { 10 } else { 500 });

/// Cleans up in the open topics of one participant when somebody died, and every second.
struct Keeper {
    participant: Weak<Participant>,
    directory: Mutex<DirectorySweep>,
}

/// When the directory was swept, and whether somebody has died since.
struct DirectorySweep {
    last: Option<Instant>,
    due: bool,
}

impl Keeper {
    fn sweep_directory(&self, participant: &Arc<Participant>) {
        let mut state = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let recently = state.last.is_some_and(|last| last.elapsed() < SWEEP_PAUSE);
        state.due = recently || !sweep_directory(participant);
        if !state.due {
            state.last = Some(Instant::now());
        }
    }

    fn sweep_topics(participant: &Participant) {
        for topic in topic::open_topics(participant.identity()) {
            sweep_topic(&topic);
        }
    }
}

type Keepers = Mutex<HashMap<Identity, Arc<Keeper>>>;

fn keepers() -> &'static Keepers {
    static KEEPERS: std::sync::OnceLock<Keepers> = std::sync::OnceLock::new();
    KEEPERS.get_or_init(Keepers::default)
}

/// Has the participant's news clean up its open topics. Done once per participant, when its first topic is opened.
pub(super) fn watch(participant: &Arc<Participant>) {
    let mut keepers = keepers().lock().unwrap_or_else(PoisonError::into_inner);
    if keepers.contains_key(&participant.identity()) {
        return;
    }
    keepers.retain(|_, keeper| keeper.participant.strong_count() > 0);
    let keeper = Arc::new(Keeper {
        participant: Arc::downgrade(participant),
        directory: Mutex::new(DirectorySweep { last: None, due: false }),
    });
    let listener: Weak<dyn NewsListener> = Arc::downgrade(&(Arc::clone(&keeper) as Arc<dyn NewsListener>));
    participant.add_news_listener(listener);
    keepers.insert(participant.identity(), Arc::clone(&keeper));
    drop(keepers);
    keeper.sweep_directory(participant);
}

impl NewsListener for Keeper {
    fn on_death(&self, _dead: Identity) {
        let Some(participant) = self.participant.upgrade() else { return };
        Self::sweep_topics(&participant);
        self.sweep_directory(&participant);
    }

    fn on_tick(&self) {
        let Some(participant) = self.participant.upgrade() else { return };
        Self::sweep_topics(&participant);
        for topic in topic::open_topics(participant.identity()) {
            topic.update_segments_mark();
            topic.look_for_cut();
        }
        let due = self.directory.lock().unwrap_or_else(PoisonError::into_inner).due;
        if due {
            self.sweep_directory(&participant);
        }
    }
}

/// Frees the records of a topic's dead subscriptions and of its gone publishers whose messages nobody needs.
pub(super) fn sweep_topic(topic: &Topic) {
    for (index, record) in topic.layout().subscriptions().iter().enumerate() {
        // SYNC record-owner
        let word = record.owner.load(Ordering::Acquire);
        if !topic.is_gone(Owner::from_word(word)) || !topic.take_over(&record.owner) {
            continue;
        }
        fault_point!("sweep.subscription.taken");
        record.state.store(INACTIVE, Ordering::Release);
        topic.reset_subscription(record, crate::ids::SubscriptionIndex(index as u16));
        fault_point!("sweep.subscription.reset");
        // SYNC record-owner
        record.owner.store(0, Ordering::Release);
        fault_point!("sweep.subscription.freed");
    }
    let mut departed = Departed::look(topic);
    if departed.is_empty() {
        return;
    }
    let cursors = Cursors::look(topic);
    // Without subscriptions everybody has passed everything published until now.
    let passed = if cursors.active == 0 { cursors.head } else { cursors.slowest };
    departed.keep_promises(topic, &cursors);
    // Copies are for the subscriptions of their own domain only.
    let rows: Vec<Option<Sequence>> = (0..layout::MAX_DOMAINS as u8)
        .map(|row| {
            topic.layout().places(row)?;
            let cursors = Cursors::look_in(topic, row);
            Some(if cursors.active == 0 { cursors.head } else { cursors.slowest })
        })
        .collect();
    for found in departed.messages(topic) {
        let passed = match found.place {
            FoundIn::Ring => passed,
            FoundIn::Places(row) => rows.get(usize::from(row)).copied().flatten().unwrap_or(cursors.head),
        };
        if found.at < passed {
            found.remove(topic, Tombstone::Expired);
            fault_point!("sweep.message-removed");
        } else {
            departed.keep(found.message.publisher());
        }
    }
    departed.free(topic);
}

/// Makes room in a full table: drops the unread messages of one gone publisher, the one whose newest message is the oldest
/// (whoever misses them counts them as lost), and frees its record. Answers whether there was one; another process may have
/// been quicker to free it, and to take it.
pub(super) fn drop_oldest_publisher(topic: &Topic) -> bool {
    let mut departed = Departed::look(topic);
    let messages = departed.messages(topic);
    let mut held = Vec::new();
    gather_held(topic, |message| departed.has(message.publisher()), &mut held);
    held.iter().for_each(|message| departed.keep(message.publisher()));
    let mut newest: HashMap<PublisherIndex, Sequence> = departed.indices().map(|index| (index, Sequence(0))).collect();
    for found in &messages {
        newest.entry(found.message.publisher()).and_modify(|newest| *newest = (*newest).max(found.at));
    }
    let Some((oldest, _)) = newest.into_iter().min_by_key(|(index, at)| (*at, *index)) else { return false };
    departed.keep_all_but(oldest);
    for found in messages {
        if found.message.publisher() == oldest {
            found.remove(topic, Tombstone::Dropped);
        }
    }
    departed.free(topic);
    true
}

/// A message of somebody who is gone, and where it can be found.
struct Leftover {
    place: FoundIn,
    at: Sequence,
    message: MessageRef,
}

impl Leftover {
    fn remove(&self, topic: &Topic, why: Tombstone) {
        match self.place {
            FoundIn::Ring => topic.ring().remove(self.at, self.message, why),
            FoundIn::Places(row) => {
                if let Some(places) = topic.layout().places(row) {
                    places.remove(self.at, self.message);
                }
            }
        }
    }
}

/// The publishers (and copiers) of a topic that have left or died, and whose records may be freed.
struct Departed(Vec<Option<u64>>);

impl Departed {
    fn look(topic: &Topic) -> Self {
        let owner = |record: &PublisherRecord| {
            // SYNC record-owner
            let word = record.owner.load(Ordering::Acquire);
            topic.is_gone(Owner::from_word(word)).then_some(word)
        };
        Self(topic.layout().publishers().iter().map(owner).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    fn has(&self, index: PublisherIndex) -> bool {
        self.0.get(usize::from(index.0)).is_some_and(Option::is_some)
    }

    fn indices(&self) -> impl Iterator<Item = PublisherIndex> + '_ {
        (0..self.0.len()).map(|index| PublisherIndex(index as u16)).filter(|index| self.has(*index))
    }

    /// That record is not to be freed.
    fn keep(&mut self, index: PublisherIndex) {
        if let Some(place) = self.0.get_mut(usize::from(index.0)) {
            *place = None;
        }
    }

    /// Those whose histories still serve a keep-all subscription that was lapped are not to be freed.
    fn keep_promises(&mut self, topic: &Topic, cursors: &Cursors) {
        let Some(slowest) = cursors.slowest_keep_all else { return };
        for (index, record) in topic.layout().publishers().iter().enumerate() {
            let index = PublisherIndex(index as u16);
            let Some(owner) = self.0.get(usize::from(index.0)).copied().flatten() else { continue };
            let promised = match Owner::from_word(owner) {
                // SYNC publisher-active: what it promised was written before.
                Owner::Orphan if record.state.load(Ordering::Acquire) == DEPARTED => {
                    slowest < Sequence(record.kept_until.load(Ordering::Relaxed))
                }
                Owner::Participant(_) => match backlog::newest_kept_by_dead(topic, index) {
                    Ok(newest) => newest.is_some_and(|newest| slowest <= newest),
                    Err(backlog::OutOfReach) => true,
                },
                _ => false,
            };
            if promised {
                self.keep(index);
            }
        }
    }

    fn keep_all_but(&mut self, index: PublisherIndex) {
        for (at, place) in self.0.iter_mut().enumerate() {
            if at != usize::from(index.0) {
                *place = None;
            }
        }
    }

    /// What stands in the ring and in places of theirs. No message of anybody else is among it.
    fn messages(&mut self, topic: &Topic) -> Vec<Leftover> {
        let leftover = |place| move |(at, message)| Leftover { place, at, message };
        let ring = topic.ring();
        let in_ring = ring.messages().map(leftover(FoundIn::Ring));
        let head = ring.helped_head();
        let in_places = topic.layout().all_places().flat_map(|(row, places)| {
            places.copies(Sequence(head.0.wrapping_sub(1))).map(leftover(FoundIn::Places(row)))
        });
        let mut messages: Vec<_> =
            in_ring.chain(in_places).filter(|found| self.has(found.message.publisher())).collect();
        // Another sweeper may have freed a record, and a new publisher filled the ring, before the ring was looked at. An
        // owner word is never used twice: while it stands, what was seen is of the one that is gone.
        for (index, record) in topic.layout().publishers().iter().enumerate() {
            let index = PublisherIndex(index as u16);
            // SYNC record-owner
            if self.has(index) && self.0.get(usize::from(index.0)) != Some(&Some(record.owner.load(Ordering::Acquire)))
            {
                self.keep(index);
            }
        }
        messages.retain(|found| self.has(found.message.publisher()));
        messages
    }

    /// Frees the records, after all their messages have been taken out of the ring, unless one is held.
    fn free(mut self, topic: &Topic) {
        let mut held = Vec::new();
        gather_held(topic, |message| self.has(message.publisher()), &mut held);
        held.iter().for_each(|message| self.keep(message.publisher()));
        for (record, owner) in topic.layout().publishers().iter().zip(&self.0) {
            if let Some(owner) = owner {
                free_publisher(topic, record, *owner);
            }
        }
    }
}

fn free_publisher(topic: &Topic, record: &PublisherRecord, owner: u64) {
    // Read before the record is ours: afterwards `owner` is known to have been there all the time.
    let creator = record.creator.load(Ordering::Relaxed);
    let ids = || record.segments.iter().chain(&record.device_segments);
    let segments: Vec<u64> = ids().map(|id| id.load(Ordering::Acquire)).collect();
    let me = topic.participant().identity().word();
    // SYNC record-owner: from here on the record is ours alone, until it is free.
    if record.owner.compare_exchange(owner, me, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    fault_point!("sweep.publisher.taken");
    for id in segments.into_iter().filter(|id| *id != 0) {
        remove_both(&topic.folder().path(SegmentId(id), creator));
        fault_point!("sweep.publisher.file-removed");
    }
    ids().for_each(|id| id.store(0, Ordering::Relaxed));
    record.state.store(INACTIVE, Ordering::Relaxed);
    fault_point!("sweep.publisher.unnamed");
    // SYNC record-owner
    record.owner.store(0, Ordering::Release);
    fault_point!("sweep.publisher.freed");
}

/// [`sweep_files`] for a participant. Answers whether it was done; else somebody else is doing it.
fn sweep_directory(participant: &Arc<Participant>) -> bool {
    let Some(_guard) = participant.lease().try_sweep_lock() else { return false };
    sweep_files(participant.directory(), |who| participant.is_alive(who));
    true
}

/// Removes the topic files that nobody has open, with their segments, segments whose topic is gone, and segments that
/// their publisher was killed before it named. To be called with the right to sweep.
pub(crate) fn sweep_files(directory: &Directory, is_alive: impl Fn(Identity) -> bool) {
    // Segments first: one that is made later belongs to a topic that is there when it is looked for below.
    let segments = directory.payload_segments().unwrap_or_default();
    fault_point!("sweep.files.listed");
    for topic in directory.topics().unwrap_or_default() {
        if let Ok(lock) = shm_file::open(&directory.topic_path(&topic), Access::ReadWrite) {
            topic::remove_if_unused(&lock, directory, &topic);
        }
    }
    // Those that have lost their first name, and their users.
    for topic in directory.kept_topics() {
        if let Some(Ok(lock)) =
            kept_name(&directory.topic_path(&topic)).map(|name| shm_file::open(&name, Access::ReadWrite))
        {
            topic::remove_if_unused(&lock, directory, &topic);
        }
    }
    let of_the_dead = |owner: u64| match Owner::from_word(owner) {
        Owner::Participant(identity) => Some(participant::is_dead(directory, identity, &is_alive)),
        _ => None,
    };
    for (id, owner, topic) in segments {
        let path = directory.topic_path(&topic);
        // Looked for twice: it may get the one name from the other meanwhile. One that has lost both goes on among those who have
        // it open: the living keep what they say there.
        let is_gone = || !path.exists() && !kept::is_in_use(directory, &topic) && !path.exists();
        let is_left = match of_the_dead(owner) {
            Some(true) => is_gone() || is_nameless(&path, id),
            Some(false) => false,
            None => is_gone(),
        };
        if is_left {
            remove_both(&directory.payload_path(id, owner, &topic));
            fault_point!("sweep.files.segment-removed");
        }
    }
    directory.remove_abandoned_sockets();
}

/// Whether no publisher's record of a topic names a segment. Asked about segments of the dead, who name nothing any more.
fn is_nameless(topic: &Path, id: SegmentId) -> bool {
    let mapping = shm_file::open(topic, Access::ReadOnly)
        .and_then(|file| shm_file::map_checked(&file, topic, Access::ReadOnly, layout::MAGIC, layout::VERSION, false));
    let Some(layout) = mapping.ok().and_then(layout::TopicLayout::new) else { return false };
    let named = layout.publishers().iter().flat_map(|record| record.segments.iter().chain(&record.device_segments));
    !named.into_iter().any(|named| named.load(Ordering::Acquire) == id.0)
}

/// Removes every segment of a topic that is being removed.
pub(super) fn remove_segments(directory: &Directory, topic: &TopicStem) {
    for (id, owner, of) in directory.payload_segments().unwrap_or_default() {
        if of == *topic {
            remove_both(&directory.payload_path(id, owner, topic));
        }
    }
}

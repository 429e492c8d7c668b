//! Cleaning up behind those who left or died.
//!
//! A dead subscription's record is emptied and freed. A publisher that is gone keeps its record and its segments until
//! every live subscription has passed its messages and nobody holds one; then anybody frees them. Files that belong to no
//! open topic are removed by whoever gets the directory's sweep lock. Everything here may be done by several processes at
//! once, and by one that dies in the middle: each step is taken by a compare-and-swap of an owner word that is never used
//! twice, and doing it again changes nothing.

use super::cursors::{gather_held, Cursors};
use super::layout::{Owner, PublisherRecord, INACTIVE};
use super::topic::{self, Topic};
use crate::directory::{Directory, TopicStem};
use crate::ids::{Identity, SegmentId, Sequence};
use crate::participant::{NewsListener, Participant};
use crate::ring::word::{MessageRef, Tombstone};
use crate::sync::atomic::Ordering;
use crate::sys::mapping::Access;
use crate::sys::shm_file;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Cleans up in the open topics of one participant when somebody died, and every second.
struct Keeper(Weak<Participant>);

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
    keepers.retain(|_, keeper| keeper.0.strong_count() > 0);
    let keeper = Arc::new(Keeper(Arc::downgrade(participant)));
    let listener: Weak<dyn NewsListener> = Arc::downgrade(&(Arc::clone(&keeper) as Arc<dyn NewsListener>));
    participant.add_news_listener(listener);
    keepers.insert(participant.identity(), keeper);
    drop(keepers);
    sweep_directory(participant);
}

impl NewsListener for Keeper {
    fn on_death(&self, _dead: Identity) {
        let Some(participant) = self.0.upgrade() else { return };
        for topic in topic::open_topics(participant.identity()) {
            sweep_topic(&topic, false);
        }
        sweep_directory(&participant);
    }

    fn on_tick(&self) {
        let Some(participant) = self.0.upgrade() else { return };
        for topic in topic::open_topics(participant.identity()) {
            sweep_topic(&topic, false);
        }
    }
}

/// Frees the records of a topic's dead subscriptions and of its gone publishers whose messages nobody needs.
///
/// With `force`, unread messages of gone publishers are dropped (and counted as lost by those who miss them): the table
/// of publishers is full.
pub(super) fn sweep_topic(topic: &Topic, force: bool) {
    for (index, record) in topic.layout().subscriptions().iter().enumerate() {
        // SYNC record-owner
        let word = record.owner.load(Ordering::Acquire);
        if !topic.is_gone(Owner::from_word(word)) || !topic.take_over(&record.owner) {
            continue;
        }
        record.state.store(INACTIVE, Ordering::Release);
        topic.reset_subscription(record, crate::ids::SubscriptionIndex(index as u16));
        // SYNC record-owner
        record.owner.store(0, Ordering::Release);
    }
    for (index, record) in topic.layout().publishers().iter().enumerate() {
        // SYNC record-owner
        let word = record.owner.load(Ordering::Acquire);
        if topic.is_gone(Owner::from_word(word)) {
            sweep_publisher(topic, index, record, word, force);
        }
    }
}

fn sweep_publisher(topic: &Topic, index: usize, record: &PublisherRecord, owner: u64, force: bool) {
    let mine = |message: MessageRef| usize::from(message.publisher().0) == index;
    let cursors = Cursors::look(topic);
    // Without subscriptions everybody has passed everything published until now.
    let passed = if cursors.active == 0 { cursors.head } else { cursors.slowest };
    let ring = topic.ring();
    let mut needed = false;
    let messages: Vec<(Sequence, MessageRef)> = ring.messages().filter(|(_, message)| mine(*message)).collect();
    for (at, message) in messages {
        if at < passed {
            ring.remove(at, message, Tombstone::Expired);
        } else if force {
            ring.remove(at, message, Tombstone::Dropped);
        } else {
            needed = true;
        }
    }
    if needed {
        return;
    }
    let mut held = Vec::new();
    gather_held(topic, mine, &mut held);
    if !held.is_empty() {
        return;
    }
    // Read before the record is freed: afterwards it may be somebody else's.
    let creator = record.creator.load(Ordering::Relaxed);
    let segments: Vec<u64> = record.segments.iter().map(|id| id.load(Ordering::Acquire)).collect();
    let me = topic.participant().identity().word();
    // SYNC record-owner: from here on the record is ours alone, until it is free.
    if record.owner.compare_exchange(owner, me, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    for id in segments.into_iter().filter(|id| *id != 0) {
        let _ = std::fs::remove_file(topic.folder().path(SegmentId(id), creator));
    }
    for id in &record.segments {
        id.store(0, Ordering::Relaxed);
    }
    record.state.store(INACTIVE, Ordering::Relaxed);
    // SYNC record-owner
    record.owner.store(0, Ordering::Release);
}

/// Removes the topic files that nobody has open, with their segments, and segments whose topic is gone.
fn sweep_directory(participant: &Arc<Participant>) {
    let Some(_guard) = participant.lease().try_sweep_lock() else { return };
    let directory = participant.directory();
    // Segments first: one that is made later belongs to a topic that is there when it is looked for below.
    let segments = directory.payload_segments().unwrap_or_default();
    for topic in directory.topics().unwrap_or_default() {
        if let Ok(lock) = shm_file::open(&directory.topic_path(&topic), Access::ReadWrite) {
            topic::remove_if_unused(&lock, directory, &topic);
        }
    }
    for (id, owner, topic) in segments {
        if !directory.topic_path(&topic).exists() {
            let _ = std::fs::remove_file(directory.payload_path(id, owner, &topic));
        }
    }
}

/// Removes every segment of a topic that is being removed.
pub(super) fn remove_segments(directory: &Directory, topic: &TopicStem) {
    for (id, owner, of) in directory.payload_segments().unwrap_or_default() {
        if of == *topic {
            let _ = std::fs::remove_file(directory.payload_path(id, owner, topic));
        }
    }
}

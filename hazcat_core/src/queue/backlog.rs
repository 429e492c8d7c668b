//! The past: messages that a subscription gets from publishers' histories instead of from the ring.
//!
//! A late transient-local subscription gets the last messages of every transient-local publisher; a keep-all subscription
//! that keep-last publishers have lapped gets what keep-all publishers still keep for it. Words are noted once and read
//! again, under protection, when their turn comes; what has fallen out of the history by then is lost, as for anybody who
//! is slower than a publisher's depth.

use super::layout::{Owner, PublisherRecord, ACTIVE, DEPARTED, KEEP_ALL};
use super::sample::Taken;
use super::topic::Topic;
use crate::history::{HistoryView, HistoryWord};
use crate::ids::{PublicationNumber, PublisherIndex, SegmentId, Sequence};
use crate::payload::chunk::ChunkHeader;
use crate::payload::segment::Segment;
use crate::ring::held;
use crate::ring::word::{MessageRef, CHUNK_UNIT, MAX_SEGMENTS};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::shm_file::FileError;
use std::ops::Range;
use std::sync::Arc;

/// A message noted for later.
pub(super) struct Noted {
    pub(super) sequence: Sequence,
    pub(super) number: PublicationNumber,
    pub(super) publisher: PublisherIndex,
    /// Which publisher that was.
    pub(super) instance: u64,
    position: usize,
    word: HistoryWord,
    history: Arc<Segment>,
    location: Range<usize>,
    /// Where the message itself lies: found while it was protected, so that a later owner of the publisher's record
    /// cannot put its own segment in the place.
    pub(super) segment: Arc<Segment>,
}

impl Noted {
    /// Protects the message, if the history still names it.
    pub(super) fn protect(&self, entry: &AtomicU64) -> Option<MessageRef> {
        let view = history_in(&self.history, &self.location)?;
        view.protect(self.position, self.word, self.publisher, entry)
    }

    /// The message itself, protected by `entry`, the caller's held entry with this index, if it is still there.
    pub(super) fn locate(&self, entry: &AtomicU64, index: u32) -> Option<Taken> {
        let taken = Taken::locate(&self.segment, self.protect(entry)?, None, index)?;
        let (header, _) = taken.content()?;
        (header.number() == self.number).then_some(taken)
    }
}

/// A history in a mapped segment: byte offset and number of words, checked.
fn history_in<'a>(segment: &'a Segment, location: &Range<usize>) -> Option<HistoryView<'a>> {
    HistoryView::new(segment.mapping().records(location.start, location.len())?)
}

fn location(record: &PublisherRecord) -> Option<Range<usize>> {
    let words = record.history_depth.load(Ordering::Relaxed) as usize;
    if words == 0 || words > super::History::MAX_CAPACITY {
        return None;
    }
    let start = record.history_offset.load(Ordering::Relaxed) as usize * CHUNK_UNIT;
    Some(start..start + words)
}

/// Notes the messages of all publishers with one of `flags` whose position is in `positions`, at most the last `depth` of
/// each publisher, in the order of the ring. `entry` is a free held entry of the caller's; it is free again afterwards.
pub(super) fn collect(
    topic: &Topic,
    flags: u32,
    positions: Range<Sequence>,
    depth: usize,
    entry: &AtomicU64,
    mut accept: impl FnMut(PublisherIndex, &PublisherRecord, Owner) -> bool,
) -> Vec<Noted> {
    let mut all = Vec::new();
    for (index, record) in topic.layout().publishers().iter().enumerate() {
        // SYNC publisher-active
        let state = record.state.load(Ordering::Acquire);
        let owner = Owner::from_word(record.owner.load(Ordering::Acquire));
        let serves = match owner {
            Owner::Free => false,
            // One that left still serves those to whom it has promised its messages.
            Owner::Orphan => state == DEPARTED && flags & KEEP_ALL != 0,
            // So does one that was killed: nobody writes to its memory any more.
            Owner::Participant(_) => {
                (state == ACTIVE || state == DEPARTED) && (flags & KEEP_ALL != 0 || !topic.is_gone(owner))
            }
        };
        if !serves || record.flags.load(Ordering::Relaxed) & flags == 0 {
            continue;
        }
        let creator = record.creator.load(Ordering::Relaxed);
        let first = record.segments.first().map_or(0, |id| id.load(Ordering::Acquire));
        let Some(location) = location(record) else { continue };
        let publisher = PublisherIndex(index as u16);
        if first == 0 || !accept(publisher, record, owner) {
            continue;
        }
        let id = SegmentId(first);
        let Some(segment) = topic.segments.get(id, &topic.folder().path(id, creator)) else { continue };
        let mut own = notes_of(topic, record, publisher, &segment, &location, &positions, entry);
        if record.segments.first().is_none_or(|id| id.load(Ordering::Acquire) != first) {
            // The record changed hands meanwhile: ids are never used twice, and are zeroed before a record is free.
            continue;
        }
        own.sort_unstable_by_key(|noted| noted.number);
        all.extend(own.split_off(own.len().saturating_sub(depth)));
    }
    all.sort_by_key(|noted| (noted.sequence, noted.number));
    all
}

fn notes_of(
    topic: &Topic,
    record: &PublisherRecord,
    publisher: PublisherIndex,
    history: &Arc<Segment>,
    location: &Range<usize>,
    positions: &Range<Sequence>,
    entry: &AtomicU64,
) -> Vec<Noted> {
    let mut own = Vec::new();
    let Some(view) = history_in(history, location) else { return own };
    let mut segments = SegmentsOf::new(topic, record);
    for position in 0..view.depth() {
        let Some(word) = view.read(position) else { continue };
        let Some(message) = view.protect(position, word, publisher, entry) else { continue };
        fault_point!("backlog.protected");
        let header = segments.get(message.segment()).ok().flatten().and_then(|segment| {
            let header = segment.mapping().record::<ChunkHeader>(message.byte_offset())?;
            let (sequence, number) = (header.sequence(), header.number());
            Some((sequence, number, segment))
        });
        held::clear(entry);
        let Some((sequence, number, segment)) = header else { continue };
        if word.is_number(number) && positions.contains(&sequence) {
            own.push(Noted {
                sequence,
                number,
                publisher,
                instance: record.instance.load(Ordering::Relaxed),
                position,
                word,
                history: Arc::clone(history),
                location: location.clone(),
                segment,
            });
        }
    }
    own
}

/// There may be a segment, which this process has no room for now.
pub(super) struct OutOfReach;

/// Position of the last message that a publisher who was killed kept for keep-all subscriptions; `None` where it kept none.
///
/// # Errors
/// [`OutOfReach`]: it may have kept some.
pub(super) fn newest_kept_by_dead(topic: &Topic, publisher: PublisherIndex) -> Result<Option<Sequence>, OutOfReach> {
    let keeps = |record: &&PublisherRecord| record.flags.load(Ordering::Relaxed) & KEEP_ALL != 0;
    let Some(record) = topic.publisher(publisher).filter(keeps) else { return Ok(None) };
    let Some(location) = location(record) else { return Ok(None) };
    let mut segments = SegmentsOf::new(topic, record);
    let Some(history) = segments.get(0)? else { return Ok(None) };
    let Some(view) = history_in(&history, &location) else { return Ok(None) };
    let mut newest = None;
    for word in (0..view.depth()).filter_map(|position| view.read(position)) {
        let Some(message) = word.message(publisher) else { continue };
        let Some(segment) = segments.get(message.segment())? else { continue };
        let header = segment.mapping().record::<ChunkHeader>(message.byte_offset());
        newest = newest.max(header.filter(|header| word.is_number(header.number())).map(ChunkHeader::sequence));
    }
    Ok(newest)
}

/// The segments of one publisher, each looked for once however many messages lie in it.
struct SegmentsOf<'a> {
    topic: &'a Topic,
    record: &'a PublisherRecord,
    found: [Looked; MAX_SEGMENTS],
}

/// What a look for a segment has found.
#[derive(Clone, Default)]
enum Looked {
    #[default]
    NotYet,
    Mapped(Arc<Segment>),
    Gone,
    OutOfReach,
}

impl<'a> SegmentsOf<'a> {
    fn new(topic: &'a Topic, record: &'a PublisherRecord) -> Self {
        Self { topic, record, found: Default::default() }
    }

    /// The segment of that index; `None` where it is gone.
    fn get(&mut self, index: usize) -> Result<Option<Arc<Segment>>, OutOfReach> {
        let (topic, record) = (self.topic, self.record);
        let Some(found) = self.found.get_mut(index) else { return Ok(None) };
        if matches!(found, Looked::NotYet) {
            let id = SegmentId(record.segments.get(index).map_or(0, |id| id.load(Ordering::Acquire)));
            let creator = record.creator.load(Ordering::Relaxed);
            *found = match topic.segments.open(id, &topic.folder().path(id, creator)) {
                Ok(segment) => Looked::Mapped(segment),
                Err(FileError::Missing { .. } | FileError::Corrupt { .. } | FileError::WrongVersion { .. }) => {
                    Looked::Gone
                }
                Err(_) => Looked::OutOfReach,
            };
        }
        match found {
            Looked::Mapped(segment) => Ok(Some(Arc::clone(segment))),
            Looked::OutOfReach => Err(OutOfReach),
            Looked::NotYet | Looked::Gone => Ok(None),
        }
    }
}

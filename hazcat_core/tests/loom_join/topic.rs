//! One publisher with a history, one who laps it, and one subscription that reads ring and history: what
//! `queue::publisher`, `queue::subscription` and `queue::backlog` do around the pure modules.

use crate::harness::{message, seen, Ring};
use hazcat_core::history::{HistoryView, HistoryWord};
use hazcat_core::ids::{PublicationNumber, PublisherIndex, Sequence};
use hazcat_core::ring::word::MessageRef;
use hazcat_core::ring::{held, AppendError, Peek};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;
use std::ops::Range;

/// The publisher with the history.
pub const KEEPER: PublisherIndex = PublisherIndex(0);
/// The one without.
const LAPPER: PublisherIndex = PublisherIndex(1);
/// Words of the history, and chunks of its publisher.
pub const DEPTH: usize = 2;

/// A chunk: `ChunkHeader` as far as it matters, and the payload.
struct Chunk {
    sequence: AtomicU64,
    number: AtomicU64,
    payload: UnsafeCell<u64>,
}

// SAFETY: loom checks every access to the payload: one that the protocol does not order ends the run.
unsafe impl Sync for Chunk {}

/// The ring, the history, and the one subscription's record.
pub struct Topic {
    pub ring: Ring<1>,
    words: [AtomicU64; DEPTH],
    chunks: [Chunk; DEPTH],
    pub held: AtomicU64,
    /// The subscription's record.
    pub cursor: AtomicU64,
}

impl Topic {
    pub fn new() -> Self {
        let chunk = || Chunk { sequence: AtomicU64::new(0), number: AtomicU64::new(0), payload: UnsafeCell::new(0) };
        let ring = Ring::new();
        Self {
            cursor: AtomicU64::new(crate::harness::first::<1>().0),
            ring,
            words: std::array::from_fn(|_| AtomicU64::new(0)),
            chunks: std::array::from_fn(|_| chunk()),
            held: AtomicU64::new(held::NOTHING),
        }
    }

    pub fn history(&self) -> HistoryView<'_> {
        HistoryView::new(&self.words).expect("not empty")
    }

    fn sequence_in(&self, chunk: u32) -> Sequence {
        Sequence(self.chunks[chunk as usize].sequence.load(Ordering::Relaxed))
    }

    fn number_in(&self, chunk: u32) -> PublicationNumber {
        PublicationNumber(self.chunks[chunk as usize].number.load(Ordering::Relaxed))
    }

    /// Fills a chunk that is on loan.
    pub fn fill(&self, chunk: u32, value: u64) {
        self.chunks[chunk as usize].payload.with_mut(|payload| {
            // SAFETY: loom ends the run if anybody else accesses the cell now.
            unsafe { *payload = value }
        });
    }

    fn payload(&self, chunk: u32) -> u64 {
        self.chunks[chunk as usize].payload.with(|payload| {
            // SAFETY: loom ends the run if anybody writes to the cell now.
            unsafe { *payload }
        })
    }

    /// `Publisher::append` of the keeper: message `number` in chunk `number - 1`. `None` where `has_space` refuses.
    pub fn publish(&self, number: u64, ahead: bool, has_space: impl Fn(Sequence) -> bool) -> Option<Sequence> {
        let chunk = number as u32 - 1;
        let header = &self.chunks[chunk as usize];
        let (ring, message) = (self.ring.view(), message(KEEPER.0, chunk));
        self.fill(chunk, number);
        header.number.store(number, Ordering::Relaxed);
        if ahead {
            header.sequence.store(ring.head().0, Ordering::Relaxed);
            self.history().write(PublicationNumber(number), message);
        }
        let appended = ring.append(message, |claimed| {
            header.sequence.store(claimed.0, Ordering::Relaxed);
            if has_space(claimed) {
                Ok(())
            } else {
                Err(())
            }
        });
        let at = match appended {
            Ok(at) => at,
            Err(AppendError::Refused(())) => {
                self.history().remove(PublicationNumber(number), message);
                return None;
            }
            Err(error) => panic!("{error:?}"),
        };
        if !ahead {
            self.history().write(PublicationNumber(number), message);
        }
        Some(at)
    }

    /// One message of the publisher without a history.
    pub fn lap(&self) {
        self.ring.view().append(message(LAPPER.0, 0), |_| Ok::<(), ()>(())).expect("nobody scribbles");
    }
}

/// `queue::backlog::Noted`.
struct Noted {
    sequence: Sequence,
    number: PublicationNumber,
    position: usize,
    word: HistoryWord,
}

/// The subscription's private books.
pub struct Subscription<'a> {
    topic: &'a Topic,
    pub cursor: Sequence,
    backlog: VecDeque<Noted>,
    /// Highest number taken from the history.
    delivered: u64,
    dedupes: bool,
    /// Numbers of the keeper's messages, as they were delivered.
    pub got: Vec<u64>,
    /// Messages that were noted and gone when their turn came.
    pub lost: u64,
}

impl<'a> Subscription<'a> {
    pub fn new(topic: &'a Topic, cursor: Sequence, dedupes: bool) -> Self {
        Self { topic, cursor, backlog: VecDeque::new(), delivered: 0, dedupes, got: Vec::new(), lost: 0 }
    }

    /// `backlog::collect`.
    pub fn collect(&mut self, positions: Range<Sequence>) {
        let topic = self.topic;
        let mut own = Vec::new();
        for position in 0..DEPTH {
            let Some(word) = topic.history().read(position) else { continue };
            let Some(message) = topic.history().protect(position, word, KEEPER, &topic.held) else { continue };
            let (sequence, number) = (topic.sequence_in(message.chunk()), topic.number_in(message.chunk()));
            held::clear(&topic.held);
            if word.is_number(number) && positions.contains(&sequence) {
                own.push(Noted { sequence, number, position, word });
            }
        }
        own.sort_unstable_by_key(|noted| noted.number);
        self.backlog.extend(own);
    }

    /// `Subscription::store_cursor`. A keep-all subscription lets publishers see what it still has to fetch.
    pub fn store_cursor(&self, shows_backlog: bool) {
        let mut cursor = self.cursor;
        if shows_backlog {
            cursor = self.backlog.front().map_or(cursor, |noted| noted.sequence.min(cursor));
        }
        self.topic.cursor.store(cursor.0, Ordering::Release);
        hazcat_core::ring::full_fence();
    }

    fn deliver(&mut self, message: MessageRef, number: u64) {
        assert_eq!(self.topic.payload(message.chunk()), number, "another message than the one noted");
        self.got.push(number);
    }

    /// `Subscription::find_in_backlog`: the next message of the past. Answers whether there was one.
    pub fn take_noted(&mut self, shows_backlog: bool) -> bool {
        while let Some(noted) = self.backlog.front() {
            let topic = self.topic;
            let protected = topic.history().protect(noted.position, noted.word, KEEPER, &topic.held);
            let number = noted.number;
            match protected {
                Some(message) if topic.number_in(message.chunk()) == number => {
                    self.delivered = number.0;
                    self.backlog.pop_front();
                    self.store_cursor(shows_backlog);
                    self.deliver(message, number.0);
                    held::clear(&topic.held);
                    seen("a message came out of the history");
                    return true;
                }
                _ => {
                    held::clear(&topic.held);
                    self.lost += 1;
                    self.backlog.pop_front();
                    self.store_cursor(shows_backlog);
                }
            }
        }
        false
    }

    /// `Subscription::find` on the ring, for one position. `Err` where the ring is a lap ahead.
    pub fn take_from_ring(&mut self, keep_all: bool) -> Result<bool, Lapped> {
        let (ring, entry) = (self.topic.ring.view(), &self.topic.held);
        let word = match ring.peek(self.cursor) {
            Peek::Empty => return Ok(false),
            Peek::Lapped => return Err(Lapped),
            Peek::Present(word) => word,
        };
        if let Some(message) = word.message_ref().filter(|message| message.publisher() == KEEPER) {
            held::announce(entry, message);
            if !ring.still_holds(self.cursor, word) {
                held::clear(entry);
                return Ok(true);
            }
            assert_eq!(self.topic.sequence_in(message.chunk()), self.cursor);
            let number = self.topic.number_in(message.chunk()).0;
            if self.dedupes && number <= self.delivered {
                seen("a message that came out of the history came out of the ring, too");
            } else {
                self.deliver(message, number);
                seen("a message came out of the ring");
            }
            held::clear(entry);
        }
        self.cursor.0 += 1;
        if keep_all {
            self.store_cursor(true);
        }
        Ok(true)
    }
}

/// The position is not in the ring any more.
pub struct Lapped;

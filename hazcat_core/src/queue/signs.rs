//! Signs of life: when a publisher last published, and when it last showed that it is alive.
//!
//! That a publisher's process lives is known from its lock. What is here is for users who want more than that: messages at
//! least so often (a deadline), a sign of life at least so often (a lease). A publisher that offers such a thing writes the
//! time into its own record, where everybody who has the topic open can look it up; nobody is woken by it, and publishers
//! that offer nothing of the kind never write here. The times are those of [`monotonic_nanos`], zero for never.
//!
//! [`monotonic_nanos`]: crate::sys::clock::monotonic_nanos

use super::layout::PublisherRecord;
use super::publisher::Publisher;
use super::topic::Topic;
use crate::ids::Gid;
use crate::sync::atomic::{fence, Ordering};

/// What stands in place of the last sign of life of a publisher that has left in good order.
const FAREWELL: u64 = u64::MAX;

/// The signs of life of one publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signs {
    /// When it published last; zero: never, or it does not say.
    pub published: u64,
    /// When it showed last that it is alive; zero: never, or it does not say.
    pub shown: u64,
    /// Whether it has left in good order.
    pub has_left: bool,
}

impl Signs {
    fn read(record: &PublisherRecord) -> Self {
        let shown = record.shown_at.load(Ordering::Relaxed);
        let has_left = shown == FAREWELL;
        let published = record.published_at.load(Ordering::Relaxed);
        Self { published, shown: if has_left { 0 } else { shown }, has_left }
    }
}

impl Publisher {
    /// Notes that it published at `now`.
    #[inline]
    pub fn note_published(&self, now: u64) {
        self.with_record(|record| record.published_at.store(now, Ordering::Relaxed));
    }

    /// Notes that it showed at `now` that it is alive.
    #[inline]
    pub fn note_alive(&self, now: u64) {
        self.with_record(|record| record.shown_at.store(now.min(FAREWELL - 1), Ordering::Relaxed));
    }

    /// Notes that it is leaving in good order. To be called before others can learn that it does.
    pub fn note_farewell(&self) {
        // SYNC farewell: Release; whatever tells others that it has left comes later.
        self.with_record(|record| record.shown_at.store(FAREWELL, Ordering::Release));
    }

    /// Its signs of life, as others see them; `None` once it has left.
    pub fn signs(&self) -> Option<Signs> {
        self.with_record(Signs::read)
    }
}

impl Topic {
    /// The signs of life of the publisher with this gid; `None` if none of the records is (still) its own. Looks through the
    /// whole table.
    pub fn signs_of(&self, publisher: Gid) -> Option<Signs> {
        self.layout().publishers().iter().find_map(|record| {
            // SYNC instance: the fields belong to one publisher if it stands before and after they are read.
            let instance = record.instance.load(Ordering::Acquire);
            if instance == 0 || record.gid() != publisher {
                return None;
            }
            let signs = Signs::read(record);
            fence(Ordering::Acquire);
            (record.instance.load(Ordering::Relaxed) == instance).then_some(signs)
        })
    }
}

//! Other publishers' segments, mapped here.

use crate::ids::SegmentId;
use crate::payload::segment::Segment;
use crate::ring::word::{MAX_PUBLISHERS, MAX_SEGMENTS};
use crate::sys::shm_file::FileError;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Segments mapped read-only in this process, shared by all subscriptions of a topic.
#[derive(Default)]
pub(super) struct SegmentCache(Mutex<HashMap<u64, Weak<Segment>>>);

impl SegmentCache {
    /// The segment with this id, mapped now if nobody has it yet. `None` where it is gone or not what it should be, or where
    /// this process has no room for it.
    pub(super) fn get(&self, id: SegmentId, path: &Path) -> Option<Arc<Segment>> {
        self.open(id, path).ok()
    }

    /// The same, with the reason.
    pub(super) fn open(&self, id: SegmentId, path: &Path) -> Result<Arc<Segment>, FileError> {
        let mut mapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = mapped.get(&id.0).and_then(Weak::upgrade);
        if let Some(segment) = known.filter(|segment| !segment.mapping().is_cut()) {
            return Ok(segment);
        }
        let segment = Arc::new(Segment::open(path, id)?);
        mapped.retain(|_, weak| weak.strong_count() > 0);
        mapped.insert(id.0, Arc::downgrade(&segment));
        Ok(segment)
    }

    /// The segment mapped here in which an address lies.
    pub(super) fn around(&self, address: *const u8) -> Option<Arc<Segment>> {
        let mapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in = |segment: &Arc<Segment>| {
            let mapping = segment.mapping();
            mapping.range(0, 0).is_some_and(|first| (address as usize).wrapping_sub(first as usize) < mapping.len())
        };
        mapped.values().filter_map(Weak::upgrade).find(is_in)
    }
}

/// What a subscription knows about one segment of one publisher.
pub(super) struct PeerSegment {
    pub(super) id: u64,
    /// Whether the subscription listens to that publisher.
    pub(super) accepted: bool,
    /// Mapped when the first message from it is taken.
    pub(super) mapped: Option<Arc<Segment>>,
}

/// What a subscription knows about one publisher's record.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) segments: [Option<PeerSegment>; MAX_SEGMENTS],
    /// Whether the subscription listens to the publisher of this instance.
    pub(super) verdict: Option<(u64, bool)>,
    /// Instance, and the highest publication number taken from its history: not to be taken again from the ring.
    pub(super) delivered: Option<(u64, u64)>,
}

/// All that a subscription knows about publishers, by the index of their record.
#[derive(Default)]
pub(super) struct Peers {
    by_index: Vec<Option<Box<Peer>>>,
    /// Segments that are not current any more while messages in them may still be held.
    retired: Vec<Arc<Segment>>,
}

impl Peers {
    /// What is known about a segment, if it is this very segment.
    #[inline]
    pub(super) fn known(&self, publisher: usize, segment: usize, id: u64) -> Option<&PeerSegment> {
        let known = self.by_index.get(publisher)?.as_ref()?.segments.get(segment)?.as_ref()?;
        if known.id == id {
            Some(known)
        } else {
            None
        }
    }

    /// What is known about a publisher's record.
    #[inline]
    pub(super) fn peer(&self, publisher: usize) -> Option<&Peer> {
        self.by_index.get(publisher)?.as_deref()
    }

    /// Whether the subscription listens to the publisher that has the record now; `None` while it was not asked.
    #[inline]
    pub(super) fn verdict(&self, publisher: usize, instance: u64) -> Option<bool> {
        self.peer(publisher)?.verdict.filter(|(judged, _)| *judged == instance).map(|(_, accepted)| accepted)
    }

    /// The same, made up where nothing is known.
    pub(super) fn peer_mut(&mut self, publisher: usize) -> Option<&mut Peer> {
        if publisher >= MAX_PUBLISHERS {
            return None;
        }
        if self.by_index.len() <= publisher {
            self.by_index.resize_with(publisher + 1, || None);
        }
        self.by_index.get_mut(publisher).map(|peer| &mut **peer.get_or_insert_with(Box::default))
    }

    /// Remembers a segment; what stood in its place is retired.
    pub(super) fn remember(&mut self, publisher: usize, segment: usize, known: PeerSegment) {
        let Some(place) = self.peer_mut(publisher).and_then(|peer| peer.segments.get_mut(segment)) else { return };
        if let Some(mapped) = place.replace(known).and_then(|old| old.mapped) {
            self.retired.push(mapped);
        }
    }

    /// Retires every segment that `is_current` (publisher, segment, id) denies, or whose file was cut short.
    pub(super) fn prune(&mut self, is_current: impl Fn(usize, usize, u64) -> bool) {
        for (publisher, peer) in self.by_index.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            for (segment, place) in peer.segments.iter_mut().enumerate() {
                let is_cut =
                    |known: &PeerSegment| known.mapped.as_ref().is_some_and(|mapped| mapped.mapping().is_cut());
                if place.as_ref().is_some_and(|known| is_cut(known) || !is_current(publisher, segment, known.id)) {
                    if let Some(mapped) = place.take().and_then(|old| old.mapped) {
                        self.retired.push(mapped);
                    }
                }
            }
        }
    }

    /// Keeps a segment mapped until nothing is held.
    pub(super) fn retire(&mut self, segment: Arc<Segment>) {
        if !self.retired.iter().any(|other| Arc::ptr_eq(other, &segment)) {
            self.retired.push(segment);
        }
    }

    /// Unmaps what was retired. Only while no message is held.
    pub(super) fn bury(&mut self) {
        self.retired.clear();
    }

    /// Whether something retired is still mapped.
    pub(super) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }
}

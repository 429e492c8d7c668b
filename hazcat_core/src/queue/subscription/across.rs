//! Taking a message that lies in another memory domain than this subscription wants: from the copy that somebody made
//! already, or by making one, for itself and all others of its domain.
//!
//! The protocol is that of [`crate::ring::place`]. While the original is being copied, the held entry announces the original;
//! when the copy is there, it announces the copy. A copy that cannot be shared (the place has moved on, or the claimant takes
//! too long) is made all the same, and belongs to this subscription alone.

use super::find::Step;
use super::{State, Subscription, TakeError};
use crate::domain::{AllocateError, DomainId, RemoteMemory};
use crate::ids::{SegmentId, Sequence};
use crate::log::{debug_log, warn_log};
use crate::payload::chunk::ChunkHeader;
use crate::payload::descriptor::DeviceBytes;
use crate::queue::copier::{self, AcrossError, Copier, Original};
use crate::queue::device::Unreachable;
use crate::queue::layout::{taken, Owner, HOST_ROW};
use crate::queue::peers::PeerSegment;
use crate::queue::pool::PublishedChunk;
use crate::queue::sample::Taken;
use crate::ring::held;
use crate::ring::place::{Claimant, Place, PlaceWord, PlacesView};
use crate::ring::word::MessageRef;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::shm_file::FileError;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Looks at a claimed place before the first pause.
const SPINS: u32 = 200;
/// Pause between two looks at a place, and between two probes of the claimant's life.
const PAUSE: Duration = Duration::from_micros(50);

/// What becomes of a message of another domain.
enum Turn {
    /// It was claimed: copy it.
    Claimed(PlaceWord),
    /// Somebody's copy, protected.
    Found(Taken),
    /// The place changed under us: look at everything again.
    Changed,
    /// It cannot be had through the place.
    Alone,
}

impl Subscription {
    /// Takes the message that `entry` protects, which lies in another domain, as a copy in this subscription's own.
    #[cold]
    pub(super) fn take_across(&self, at: Sequence, original: &Taken, entry: &AtomicU64, state: &mut State) -> Step {
        let index = original.index.place;
        let Some((header, _)) = original.content() else { return Step::Skip { lost: true } };
        let alone = state.alone == Some(at);
        let turn = match self.topic.places(self.row).filter(|_| !alone) {
            Some(places) => self.look_for_copy(places, at, original, entry, index, state),
            None => Ok(Turn::Alone),
        };
        let claim = match turn {
            Ok(Turn::Found(copy)) => {
                state.count(self.record(), taken::SHARED_COPIES, 1);
                return Step::Deliver(copy);
            }
            Ok(Turn::Changed) => {
                held::clear(entry);
                return Step::Again;
            }
            Ok(Turn::Claimed(claim)) => {
                fault_point!("copy.claimed");
                Some(claim)
            }
            Ok(Turn::Alone) => None,
            Err(error) => return self.across_failed(error, entry, state),
        };
        match self.make_copy(at, original, header, state) {
            Ok(copy) => {
                // The original is not needed any more. The copy cannot be reused before it is in its place, nor after.
                fault_point!("copy.copied");
                held::announce(entry, copy.message);
                fault_point!("copy.announced");
                self.settle(at, claim, copy, state);
                fault_point!("copy.settled");
                match self.deliver_copy(at, copy.message, index, state) {
                    Step::Deliver(copy) => Step::Deliver(copy),
                    step => {
                        held::clear(entry);
                        step
                    }
                }
            }
            Err(error) => {
                if let (Some(claim), Some(places)) = (claim, self.topic.layout().places(self.row)) {
                    places.give_up(at, claim);
                }
                self.across_failed(error, entry, state)
            }
        }
    }

    /// Takes the message of the past that `entry` protects as a copy of its own; `None` where it is lost.
    #[cold]
    pub(super) fn take_past_across(
        &self,
        original: &Taken,
        entry: &AtomicU64,
        state: &mut State,
    ) -> Result<Option<Taken>, TakeError> {
        let index = original.index.place;
        let copy = match original.content() {
            Some((header, _)) => self.make_copy(header.sequence(), original, header, state),
            None => Err(Failed::Lost),
        };
        let step = match copy {
            Ok(copy) => {
                held::announce(entry, copy.message);
                self.settle(copy.sequence, None, copy, state);
                self.deliver_copy(copy.sequence, copy.message, index, state)
            }
            Err(failed) => self.across_failed(failed, entry, state),
        };
        match step {
            Step::Deliver(taken) => Ok(Some(taken)),
            Step::Failed(error) => Err(error),
            _ => {
                held::clear(entry);
                Ok(None)
            }
        }
    }

    /// Finds somebody's copy, or claims the place.
    fn look_for_copy(
        &self,
        places: PlacesView<'_>,
        at: Sequence,
        original: &Taken,
        entry: &AtomicU64,
        index: u32,
        state: &mut State,
    ) -> Result<Turn, Failed> {
        let patience = self.topic.copy_wait(original.header().length());
        let mut waiting: Option<Instant> = None;
        let mut looks = 0;
        let mut ready = false;
        loop {
            match places.look(at) {
                Place::Passed => return Ok(Turn::Alone),
                Place::Copied(copy, word) => return Ok(self.protect_copy(places, at, copy, word, entry, index, state)),
                // However long its producer takes: nobody waits for a claimant that waits, and copies for itself alone.
                Place::Vacant(_) if !ready => {
                    self.wait_for(original, state)?;
                    ready = true;
                }
                Place::Vacant(word) => {
                    let me = self.copier(state)?.claimant();
                    if let Some(claim) = places.claim(at, word, me) {
                        return Ok(Turn::Claimed(claim));
                    }
                }
                Place::Claimed(who, word) => {
                    looks += 1;
                    if looks <= SPINS {
                        crate::sync::spin_hint();
                        continue;
                    }
                    let since = *waiting.get_or_insert_with(Instant::now);
                    if self.is_abandoned(who) {
                        fault_point!("copy.abandoned");
                        let me = self.copier(state)?.claimant();
                        if let Some(claim) = places.claim(at, word, me) {
                            fault_point!("copy.taken-over");
                            return Ok(Turn::Claimed(claim));
                        }
                        continue;
                    }
                    if since.elapsed() >= patience {
                        return Ok(Turn::Alone);
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Whether a claimant will never finish: it is dead, or somebody else has its record.
    fn is_abandoned(&self, who: Claimant) -> bool {
        let Some(record) = self.topic.publisher(who.copier) else { return true };
        let owner = Owner::from_word(record.owner.load(Ordering::Acquire));
        let instance = record.instance.load(Ordering::Acquire) as u32 & Claimant::NONCE_MASK;
        match owner {
            // Its own claims are over when it looks for the next one.
            Owner::Participant(_) if instance != who.nonce => true,
            Owner::Participant(identity) => !self.topic.participant().is_alive(identity),
            Owner::Free | Owner::Orphan => true,
        }
    }

    /// Announces a copy instead of the original, and looks again whether it is in its place.
    #[allow(clippy::too_many_arguments)] // one step of `look_for_copy`, split off for its length
    fn protect_copy(
        &self,
        places: PlacesView<'_>,
        at: Sequence,
        copy: MessageRef,
        word: PlaceWord,
        entry: &AtomicU64,
        index: u32,
        state: &mut State,
    ) -> Turn {
        held::announce(entry, copy);
        if !places.still_holds(at, word) {
            return Turn::Changed;
        }
        match self.deliver_copy(at, copy, index, state) {
            Step::Deliver(taken) => Turn::Found(taken),
            // It is not what it should be, or cannot be mapped here: no reason to go without the message.
            _ => {
                state.alone = Some(at);
                Turn::Changed
            }
        }
    }

    /// The protected copy as a message.
    fn deliver_copy(&self, at: Sequence, copy: MessageRef, index: u32, state: &mut State) -> Step {
        let gone = Step::Skip { lost: true };
        let (copier, segment) = (usize::from(copy.publisher().0), copy.segment());
        let Some(record) = self.topic.publisher(copy.publisher()) else { return gone };
        // SYNC segment-id: while the copy is protected, its copier's record is not freed.
        let id = record.segments.get(segment).map_or(0, |id| id.load(Ordering::Acquire));
        let mapped = state.peers.known(copier, segment, id).and_then(|known| known.mapped.clone());
        let mapped = match mapped {
            Some(mapped) => mapped,
            None => {
                let creator = record.creator.load(Ordering::Relaxed);
                let path = self.topic.folder().path(SegmentId(id), creator);
                let Some(mapped) = self.topic.segments.get(SegmentId(id), &path) else { return gone };
                let known = PeerSegment { id, accepted: true, mapped: Some(Arc::clone(&mapped)) };
                state.peers.remember(copier, segment, known);
                mapped
            }
        };
        let taken = Taken::locate(&mapped, copy, Some(at), index);
        let Some(taken) = taken.filter(|taken| taken.row() == self.row && taken.content().is_some()) else {
            return gone;
        };
        match self.reach(&taken, state) {
            Ok(_) => Step::Deliver(taken),
            Err(_) => gone,
        }
    }

    /// Maps the device memory of a message, if it lies in any.
    pub(super) fn reach(&self, taken: &Taken, state: &mut State) -> Result<(), Unreachable> {
        let Some(bytes) = taken.on_device() else {
            return if taken.row() == HOST_ROW { Ok(()) } else { Err(Unreachable::Bounds) };
        };
        let domain = self.topic.domain(taken.row()).ok_or(Unreachable::Bounds)?;
        state.devices.reach(&self.topic, domain, &bytes).map(|_| ())
    }

    /// The copier, made at the first use.
    fn copier<'a>(&self, state: &'a mut State) -> Result<&'a mut Copier, Failed> {
        if state.copier.is_none() {
            let made = Copier::new(&self.topic, self.row, self.copy_budget);
            state.copier = Some(made.map_err(|error| AcrossError::Copier(Box::new(error)))?);
        }
        state.copier.as_mut().ok_or(Failed::Lost)
    }

    /// Waits until the bytes of the protected original are there.
    fn wait_for(&self, original: &Taken, state: &mut State) -> Result<(), Failed> {
        let Some(bytes) = original.on_device() else { return Ok(()) };
        let domain = self.topic.domain(original.row()).ok_or(Failed::Lost)?;
        let remote =
            state.devices.reach(&self.topic, domain, &bytes).map_err(|error| self.out_of_reach(domain, error))?;
        let ready = remote.wait_ready(bytes.readiness, None);
        ready.map_err(|error| self.not_copied(remote.as_ref(), &bytes, error.into()))
    }

    /// Whether trying again can help: nothing brings bytes that nobody will produce.
    fn not_copied(&self, remote: &dyn RemoteMemory, bytes: &DeviceBytes, error: AcrossError) -> Failed {
        if remote.is_poisoned(bytes.readiness) {
            self.say_lost(&error);
            return Failed::Lost;
        }
        error.into()
    }

    fn out_of_reach(&self, domain: DomainId, error: Unreachable) -> Failed {
        match error {
            Unreachable::Bounds => Failed::Lost,
            Unreachable::Domain(error) => {
                self.say_lost(&error);
                Failed::Lost
            }
            Unreachable::Segment(AllocateError::System(FileError::Missing { .. })) => Failed::Lost,
            Unreachable::Segment(source) => Failed::Retry(AcrossError::Unreachable { domain, source }),
        }
    }

    /// Says why a message is lost; loudly only once, since the next ones will probably be lost as well.
    fn say_lost(&self, why: &dyn std::fmt::Display) {
        let topic = &self.topic.key().name;
        if self.said_lost.swap(true, Ordering::Relaxed) {
            debug_log!("topic '{topic}': a message is lost: {why}");
        } else {
            warn_log!("topic '{topic}': a message is lost: {why}");
        }
    }

    /// Copies the protected original into this subscription's own memory.
    fn make_copy(
        &self,
        at: Sequence,
        original: &Taken,
        header: &ChunkHeader,
        state: &mut State,
    ) -> Result<PublishedChunk, Failed> {
        let from_host = original.row() == HOST_ROW;
        let (copy, len) = if from_host {
            let bytes = original.host_bytes().ok_or(Failed::Lost)?;
            if let Some((segment, to)) = self.topic.segments.around(bytes.as_ptr()).zip(self.topic.domain(self.row)) {
                copier::pin(&segment, to);
            }
            let copier = self.copier(state)?;
            (copier.copy(at, header, &Original::Host(bytes))?, bytes.len())
        } else {
            let bytes = original.on_device().ok_or(Failed::Lost)?;
            let domain = self.topic.domain(original.row()).ok_or(Failed::Lost)?;
            let remote =
                state.devices.reach(&self.topic, domain, &bytes).map_err(|error| self.out_of_reach(domain, error))?;
            let copier = self.copier(state)?;
            let copy = copier.copy(at, header, &Original::Device(domain, remote.as_ref(), bytes));
            (copy.map_err(|error| self.not_copied(remote.as_ref(), &bytes, error))?, bytes.length)
        };
        let kind = match (from_host, self.row) {
            (true, _) => taken::TO_DEVICE,
            (false, HOST_ROW) => taken::TO_HOST,
            (false, _) => taken::BETWEEN_DEVICES,
        };
        state.failed_copies.succeeded();
        state.count(self.record(), kind, 1);
        state.count(self.record(), taken::BYTES_COPIED, len as u64);
        if let Some(row) = self.topic.layout().domains().get(usize::from(self.row)) {
            row.copies.fetch_add(1, Ordering::Relaxed);
            row.bytes.fetch_add(len as u64, Ordering::Relaxed);
        }
        Ok(copy)
    }

    /// Publishes a copy under its claim; what has none, or has lost it, stays private.
    fn settle(&self, at: Sequence, claim: Option<PlaceWord>, copy: PublishedChunk, state: &mut State) {
        let places = self.topic.layout().places(self.row);
        let shared = claim.zip(places).is_some_and(|(claim, places)| places.publish(at, claim, copy.message));
        let Some(copier) = &mut state.copier else { return };
        // It is freed with the next ones, or when there have been none for a second.
        self.topic.ask_again_later();
        if shared {
            copier.shared(copy);
        } else {
            copier.kept_private(copy);
            state.count(self.record(), taken::PRIVATE_COPIES, 1);
        }
    }

    fn across_failed(&self, failed: Failed, entry: &AtomicU64, state: &mut State) -> Step {
        held::clear(entry);
        match failed {
            Failed::Lost => Step::Skip { lost: true },
            Failed::Retry(error) if state.failed_copies.note(&error) => {
                self.say_lost(&error);
                Step::Skip { lost: true }
            }
            Failed::Retry(error) => Step::Failed(TakeError::Across { topic: self.topic.key().name.clone(), error }),
        }
    }
}

/// Why there is no copy.
enum Failed {
    /// There never will be: the message is gone, or this process cannot reach its memory.
    Lost,
    /// It may work next time, unless that has been said too often.
    Retry(AcrossError),
}

impl<E: Into<AcrossError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Retry(error.into())
    }
}

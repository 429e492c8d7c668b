//! Filters: which messages, of the publishers that it listens to, a subscription wants.
//!
//! A keep-last subscription judges messages in the order of the ring whenever somebody looks, and remembers the positions of
//! those that passed. What is rejected is passed over at once: it wakes nobody, and it uses up nothing of the depth as long
//! as somebody looks once in [`WINDOW`] times the depth of messages, for so many publishers keep for it. A keep-all
//! subscription judges the message at its cursor, since nothing is ever skipped there.
//!
//! On a keep-last subscription, a change of the filter concerns what arrives from then on: what lies unread was judged before.

use super::find::{Found, Purpose, Step};
use super::{Noted, State, Subscription, TakeError};
use crate::ids::Sequence;
use crate::queue::device::DeviceSegments;
use crate::queue::layout::{SubscriptionRecord, HOST_ROW};
use crate::queue::sample::Taken;
use crate::queue::topic::Topic;
use crate::ring::{held, Peek};
use crate::sync::atomic::{AtomicU64, Ordering};
use std::collections::{HashMap, VecDeque};

/// Judges a message by its encoding and its payload: whether the subscription wants it. Called under the subscription's
/// lock, perhaps more than once for a message.
pub type FilterFn = Box<dyn FnMut(u32, &[u8]) -> bool + Send>;

/// Publishers keep so many times the depth for a filtered subscription (at most half the ring).
const WINDOW: u64 = 4;

/// A subscription's filter, and how far it has come.
pub(super) struct Filter {
    /// `None`: all are wanted again, and what passed before is still there.
    wants: Option<FilterFn>,
    /// The next position to be judged.
    judged: Sequence,
    /// Where the messages are that passed and have not been taken, oldest first; unused with keep-all.
    passed: VecDeque<Sequence>,
    /// Grows with every message that passes.
    arrivals: u64,
}

impl Filter {
    /// Whether a message is wanted. What cannot be read is: taking it reports the error.
    pub(super) fn wants(&mut self, taken: &Taken, topic: &Topic, devices: &mut DeviceSegments) -> bool {
        let Some(wants) = &mut self.wants else { return true };
        if let Some((encoding, payload)) = taken.payload() {
            return wants(encoding, payload);
        }
        // In device memory: judged by a copy that nobody else sees.
        let mut judge = |wants: &mut FilterFn| {
            let bytes = taken.on_device()?;
            let memory = devices.reach(topic, topic.domain(taken.row())?, &bytes).ok()?;
            let mut payload = vec![0; bytes.length];
            memory.wait_ready(bytes.readiness, None).ok()?;
            memory.copy_to_host(bytes.offset, &mut payload).ok()?;
            Some(wants(taken.header().encoding().0, &payload))
        };
        judge(wants).unwrap_or(true)
    }
}

impl Filter {
    /// Of the past, what is wanted, and of that at most the last `depth` of each publisher.
    pub(super) fn choose_past(
        &mut self,
        past: &mut Vec<Noted>,
        entry: &AtomicU64,
        depth: usize,
        topic: &Topic,
        devices: &mut DeviceSegments,
    ) {
        past.retain(|noted| {
            // What cannot be protected any more is for the taking to find out.
            let wanted = noted.locate(entry, 0).is_none_or(|taken| self.wants(&taken, topic, devices));
            held::clear(entry);
            wanted
        });
        let mut later: HashMap<u16, usize> = HashMap::new();
        let mut keep: Vec<bool> = past
            .iter()
            .rev()
            .map(|noted| {
                let later = later.entry(noted.publisher.0).or_default();
                *later += 1;
                *later <= depth
            })
            .collect();
        past.retain(|_| keep.pop().unwrap_or(true));
    }
}

impl Subscription {
    /// Sets the filter, or removes it.
    pub fn set_filter(&self, filter: Option<FilterFn>) {
        if self.topic.participant().check_fork().is_err() {
            return;
        }
        let Some(record) = self.record() else { return };
        let mut state = self.lock();
        if state.filter.is_none() && filter.is_none() {
            return;
        }
        let mut own = state.filter.take().unwrap_or_else(|| {
            let arrivals = self.topic.ring().helped_head().0;
            Box::new(Filter { wants: None, judged: state.cursor, passed: VecDeque::new(), arrivals })
        });
        // What has arrived is judged by what was in force.
        self.judge_if_possible(record, &mut state, &mut own);
        own.wants = filter;
        if !self.keep_all {
            record.depth.store(self.window() as u32, Ordering::Relaxed);
        }
        self.restore(record, &mut state, own);
    }

    /// How far the subscription's messages have come: grows with every message that arrives, and where there is a filter,
    /// with every one that passes it. Only the difference between two answers means something.
    pub fn arrivals(&self) -> u64 {
        if self.is_filtered.load(Ordering::Relaxed) && self.topic.participant().check_fork().is_ok() {
            if let Some(record) = self.record() {
                let mut state = self.lock();
                self.judge_now(record, &mut state);
                if let Some(filter) = &state.filter {
                    return filter.arrivals;
                }
            }
        }
        self.topic.ring().helped_head().0
    }

    /// Messages that publishers keep for it while it has a filter.
    fn window(&self) -> u64 {
        let most = (self.topic.layout().capacity() / 2) as u64;
        self.depth.saturating_mul(WINDOW).min(most).max(self.depth)
    }

    /// Judges what has arrived, if there is a place to protect it in, and answers how many passed messages there are.
    pub(super) fn judge_now(&self, record: &SubscriptionRecord, state: &mut State) -> Option<u64> {
        let mut filter = state.filter.take()?;
        self.judge_if_possible(record, state, &mut filter);
        let passed = (!self.keep_all).then_some(filter.passed.len() as u64);
        self.restore(record, state, filter);
        passed
    }

    fn judge_if_possible(&self, record: &SubscriptionRecord, state: &mut State, filter: &mut Filter) {
        // What the histories give must not be taken from the ring as well.
        for noted in &state.backlog {
            if let Some(peer) = state.peers.peer_mut(usize::from(noted.publisher.0)) {
                let known = peer.delivered.filter(|(instance, _)| *instance == noted.instance);
                let last = known.map_or(0, |(_, last)| last).max(noted.number.0);
                peer.delivered = Some((noted.instance, last));
            }
        }
        if let Some(index) = self.places.free() {
            if let Some(entry) = self.use_entry(record, state, index) {
                // An error is for `take` to report.
                let _ = self.judge(record, state, filter, entry, index);
            }
        }
    }

    /// The next message that passes the filter.
    #[cold]
    pub(super) fn find_filtered(
        &self,
        record: &SubscriptionRecord,
        state: &mut State,
        entry: &AtomicU64,
        index: u32,
        purpose: Purpose,
    ) -> Result<Found, TakeError> {
        let Some(mut filter) = state.filter.take() else { return Ok(Found::Nothing) };
        let found = self.judge(record, state, &mut filter, entry, index).and_then(|judged_all| {
            Ok(match self.first_passed(state, &mut filter, entry, index, purpose)? {
                Some(first) => Found::Message(first),
                // Whoever waits looks again.
                None if !judged_all && purpose == Purpose::Look => Found::Message(Taken::placeholder(index)),
                None => Found::Nothing,
            })
        });
        self.restore(record, state, filter);
        found
    }

    /// Puts the filter back in its place, unless it has served its time, and the cursor where reading goes on.
    fn restore(&self, record: &SubscriptionRecord, state: &mut State, filter: Box<Filter>) {
        if !self.keep_all {
            state.cursor = filter.passed.front().copied().unwrap_or(filter.judged);
            self.store_cursor(record, state);
        }
        let done = filter.wants.is_none() && filter.passed.is_empty();
        self.is_filtered.store(!done, Ordering::Relaxed);
        if !done {
            state.filter = Some(filter);
        } else if !self.keep_all {
            state.within_depth_until = None;
            record.depth.store(self.depth as u32, Ordering::Relaxed);
        }
    }

    /// The first of those that passed, protected by `entry` if it is to be taken.
    fn first_passed(
        &self,
        state: &mut State,
        filter: &mut Filter,
        entry: &AtomicU64,
        index: u32,
        purpose: Purpose,
    ) -> Result<Option<Taken>, TakeError> {
        while let Some(at) = filter.passed.front().copied() {
            if let Peek::Present(word) = self.topic.ring().peek(at) {
                if let Some(message) = word.message_ref() {
                    if purpose == Purpose::Look {
                        return Ok(Some(Taken::placeholder(index)));
                    }
                    match self.examine(at, word, message, entry, index, state, purpose) {
                        Step::Deliver(taken) => {
                            filter.passed.pop_front();
                            return Ok(Some(taken));
                        }
                        Step::Again => continue,
                        Step::Failed(error) => return Err(error),
                        Step::Skip { .. } | Step::Elsewhere(_) => {}
                    }
                }
            }
            // It was there when it was judged.
            state.lose(1);
            filter.passed.pop_front();
        }
        Ok(None)
    }

    /// Judges what has arrived since the last time. Answers whether that was all: messages may come faster than they are
    /// judged.
    fn judge(
        &self,
        record: &SubscriptionRecord,
        state: &mut State,
        filter: &mut Filter,
        entry: &AtomicU64,
        index: u32,
    ) -> Result<bool, TakeError> {
        let ring = self.topic.ring();
        if self.keep_all {
            // It is judged again when it is taken; here they are counted.
            filter.judged = filter.judged.max(Sequence(record.cursor.load(Ordering::Relaxed)));
        }
        let began = filter.judged;
        let (mut judged, mut passed, mut missed) = (0u64, 0u64, 0u64);
        let mut complete = false;
        // Each turn moves on or follows a publication that happened meanwhile.
        for _ in 0..ring.capacity().saturating_mul(4) {
            let at = filter.judged;
            let next = Sequence(at.0.wrapping_add(1));
            let word = match ring.peek(at) {
                Peek::Empty => {
                    complete = true;
                    break;
                }
                Peek::Lapped => {
                    filter.judged = Sequence(ring.helped_head().0.saturating_sub(self.window())).max(next);
                    missed = missed.saturating_add(filter.judged.0.saturating_sub(at.0));
                    continue;
                }
                Peek::Present(word) => word,
            };
            let Some(message) = word.message_ref() else {
                let publisher = word.tombstone_kind().map(|(publisher, _)| publisher);
                let accepted = publisher.is_some_and(|publisher| self.is_of_accepted(state, publisher));
                missed = missed.saturating_add(u64::from(accepted));
                filter.judged = next;
                continue;
            };
            // On the host it is judged by the copy that it is taken as; on a device, where it lies.
            let purpose = if self.row == HOST_ROW { Purpose::Take } else { Purpose::TakeAsItLies };
            match self.examine(at, word, message, entry, index, state, purpose) {
                Step::Deliver(taken) => {
                    let wanted = filter.wants(&taken, &self.topic, &mut state.devices);
                    held::clear(entry);
                    judged += 1;
                    if wanted {
                        passed += 1;
                        self.note_passed(state, filter, at);
                    }
                }
                Step::Skip { lost } => missed = missed.saturating_add(u64::from(lost)),
                Step::Again => continue,
                Step::Failed(error) => return Err(error),
                Step::Elsewhere(_) => return Err(TakeError::Corrupt),
            }
            filter.judged = next;
        }
        if !self.keep_all && missed > 0 && judged > 0 {
            // What could not be judged is taken to have passed as often as the rest.
            state.lose((missed as f64 * passed as f64 / judged as f64).round() as u64);
        }
        if complete || filter.judged != began {
            Ok(complete)
        } else {
            Err(TakeError::Corrupt)
        }
    }

    fn note_passed(&self, state: &mut State, filter: &mut Filter, at: Sequence) {
        filter.arrivals = filter.arrivals.wrapping_add(1);
        if self.keep_all {
            return;
        }
        if filter.passed.len() as u64 >= self.depth {
            filter.passed.pop_front();
            state.lose(1);
        }
        filter.passed.push_back(at);
    }
}

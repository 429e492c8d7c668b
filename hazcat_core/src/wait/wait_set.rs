//! Sleeping until one of several things is ready.

use super::local_bell::LocalBell;
use super::luck::Luck;
use super::Waitable;
use crate::doorbell;
use crate::participant::Participant;
use crate::ring::full_fence;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::spin_hint;
use crate::sys::futex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest sleep without a look. The tick rings once a second, so this is for sleepers whom no ring reaches any more: the file of
/// the bell was cut short, and its page is another one now.
const LONGEST_SLEEP: Duration = Duration::from_secs(2);
/// Longest wait that counts as it is, in nanoseconds: after a pause of any length, a few short waits are enough to look
/// around again.
const LONG_WAIT: u64 = 1_000_000;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitOutcome {
    /// At least one thing was ready.
    Ready,
    /// Nothing was ready until the deadline.
    TimedOut,
}

/// Why a wait did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// The participant has no bell left.
    #[error("the process has too many wait sets, no doorbell is left")]
    NoBell,
    /// Another thread is waiting on this wait set.
    #[error("another thread is waiting on this wait set")]
    Busy,
    /// The calling process is a fork of the one that created the wait set.
    #[error("a forked child must not use its parent's wait set")]
    Forked,
}

/// Calls its argument with each thing to wait for, until that answers `false`.
pub type Visit<'a> = dyn Fn(&mut dyn FnMut(&dyn Waitable) -> bool) + 'a;

/// A doorbell to sleep on, and how long to look around before.
pub struct WaitSet {
    participant: Arc<Participant>,
    bell: Arc<LocalBell>,
    busy: AtomicBool,
    spin: Duration,
    /// How long waits have taken lately, in nanoseconds: a moving average over about four of them.
    typical: AtomicU64,
    luck: Luck,
}

/// Marks the wait set as not waited on any more, however the wait ends.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl WaitSet {
    /// A wait set of a participant.
    ///
    /// Where waits have lately been short, it looks around before it sleeps, for at most [`Config::spin`](crate::Config::spin)
    /// (100 microseconds unless set): being woken takes tens of microseconds on an idle processor.
    /// Where waits are longer than that, as in a node that is called a thousand times a second or less, it sleeps at once
    /// and costs nothing. Where looking around finds nothing, because the others have no processor meanwhile, it soon does
    /// so only once in a thousand waits.
    ///
    /// # Errors
    /// [`WaitError::NoBell`].
    pub fn new(participant: &Arc<Participant>) -> Result<Self, WaitError> {
        let bell = participant.bells().allocate().ok_or(WaitError::NoBell)?;
        Ok(Self {
            participant: Arc::clone(participant),
            bell: Arc::new(LocalBell::new(bell)),
            busy: AtomicBool::new(false),
            spin: participant.config().spin,
            typical: AtomicU64::new(0),
            luck: Luck::default(),
        })
    }

    /// Sets how long a wait looks around, at the most, before it sleeps; zero: it sleeps at once.
    pub fn set_spin(&mut self, spin: Duration) {
        self.spin = spin;
    }

    /// Waits until one of `items` is ready, at the longest for `timeout` (`None`: for ever, zero: only looks).
    ///
    /// # Errors
    /// See [`WaitError`].
    pub fn wait(&self, items: &[&dyn Waitable], timeout: Option<Duration>) -> Result<WaitOutcome, WaitError> {
        self.wait_with(
            &|each| {
                for item in items {
                    if !each(*item) {
                        break;
                    }
                }
            },
            timeout,
        )
    }

    /// The same for things that do not lie in a slice.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub fn wait_with(&self, visit: &Visit<'_>, timeout: Option<Duration>) -> Result<WaitOutcome, WaitError> {
        if self.participant.check_fork().is_err() {
            return Err(WaitError::Forked);
        }
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(WaitError::Busy);
        }
        let _turn = Turn(&self.busy);
        if any_ready(visit) {
            return Ok(WaitOutcome::Ready);
        }
        if timeout == Some(Duration::ZERO) {
            return Ok(WaitOutcome::TimedOut);
        }
        let began = Instant::now();
        let deadline = timeout.and_then(|timeout| began.checked_add(timeout));
        let outcome = if self.spin_until_ready(visit, began, deadline) {
            WaitOutcome::Ready
        } else {
            let outcome = self.sleep_until_ready(visit, deadline);
            for_all(visit, |item| item.disarm(&self.bell));
            outcome
        };
        self.note_wait(began.elapsed());
        Ok(outcome)
    }

    fn note_wait(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).min(LONG_WAIT);
        let typical = self.typical.load(Ordering::Relaxed);
        self.typical.store(typical - typical / 4 + took / 4, Ordering::Relaxed);
    }

    fn spin_until_ready(&self, visit: &Visit<'_>, began: Instant, deadline: Option<Instant>) -> bool {
        if self.spin.is_zero() || u128::from(self.typical.load(Ordering::Relaxed)) > self.spin.as_nanos() {
            return false;
        }
        if !self.luck.may_look() {
            return false;
        }
        let Some(mut end) = began.checked_add(self.spin) else { return false };
        if let Some(deadline) = deadline {
            end = end.min(deadline);
        }
        let found = loop {
            // A pause takes some forty nanoseconds on many processors, a look rather more.
            for _ in 0..4 {
                spin_hint();
            }
            if any_ready(visit) {
                break true;
            }
            if Instant::now() >= end {
                break false;
            }
        };
        self.luck.note(found);
        found
    }

    fn sleep_until_ready(&self, visit: &Visit<'_>, deadline: Option<Instant>) -> WaitOutcome {
        loop {
            // SYNC bell, armed: the bell's value first, then the marks, then the fence, then the look. A publisher that
            // misses the marks has published what the look finds; one that sees them changes the bell.
            let value = doorbell::arm(self.bell.word());
            fault_point!("wait.bell-changed");
            for_all(visit, |item| item.arm(&self.bell));
            full_fence();
            if any_ready(visit) {
                return WaitOutcome::Ready;
            }
            fault_point!("wait.before-sleep");
            let look_again = Instant::now() + LONGEST_SLEEP;
            let until = deadline.map_or(look_again, |deadline| deadline.min(look_again));
            let woken = futex::wait(self.bell.word(), value, Some(until));
            if any_ready(visit) {
                return WaitOutcome::Ready;
            }
            let timed_out = woken == futex::Woken::TimedOut && deadline == Some(until);
            if timed_out || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return WaitOutcome::TimedOut;
            }
        }
    }
}

fn any_ready(visit: &Visit<'_>) -> bool {
    let mut ready = false;
    visit(&mut |item| {
        ready = item.is_ready();
        !ready
    });
    ready
}

fn for_all(visit: &Visit<'_>, action: impl Fn(&dyn Waitable)) {
    visit(&mut |item| {
        action(item);
        true
    });
}

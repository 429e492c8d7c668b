//! The thread that ends the waiting of streams for producers that died.
//!
//! It calls nothing of CUDA: a call may wait for all streams of the process, also for those that wait for a dead producer, and
//! would then never return. So this is no work for the [`super::keeper`].
//!
//! The thread sleeps while no stream waits.

use super::driver::CudaError;
use super::record::{Mark, SegmentRecord, Standing};
use crate::sys::fork::ForkMark;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often it is looked whether producers are there.
const TICK: Duration = Duration::from_millis(10);

#[derive(Default)]
struct State {
    /// The process that has the thread.
    thread: Option<ForkMark>,
    waited_for: Vec<(Arc<SegmentRecord>, Mark)>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);
static WAKE: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks after a mark of another process that a stream here will wait for: to be called before that.
///
/// # Errors
/// There is no thread; the stream must not wait.
pub(super) fn watch(record: &Arc<SegmentRecord>, mark: Mark) -> Result<(), CudaError> {
    let mut guard = state();
    let state = guard.get_or_insert_default();
    if state.thread.is_none_or(|mark| mark.check().is_err()) {
        let thread = crate::sys::thread::spawn("hazcat-rescue", run);
        thread.map_err(|error| CudaError::ours("thread", &error.to_string()))?;
        *state = State { thread: Some(ForkMark::here()), waited_for: Vec::new() };
    }
    state.waited_for.push((Arc::clone(record), mark));
    WAKE.notify_one();
    Ok(())
}

fn run() {
    loop {
        let mut guard = state();
        let waited_for = loop {
            match guard.as_mut().map(|state| std::mem::take(&mut state.waited_for)) {
                Some(waited_for) if !waited_for.is_empty() => break waited_for,
                _ => guard = WAKE.wait(guard).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(guard);
        let still: Vec<_> = waited_for.into_iter().filter(|(record, mark)| is_still_to_come(record, *mark)).collect();
        if let Some(state) = state().as_mut() {
            state.waited_for.extend(still);
        }
        std::thread::sleep(TICK);
    }
}

fn is_still_to_come(record: &SegmentRecord, mark: Mark) -> bool {
    if record.standing(mark) == Standing::Pending && !record.owner_is_alive() {
        record.poison(mark);
    }
    record.standing(mark) == Standing::Pending
}

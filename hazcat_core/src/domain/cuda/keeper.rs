//! The thread that looks after what devices have been told to do.
//!
//! * What was to happen when a stream has come to a point ([`when_done`]) happens here and not in the driver's callback, where
//!   nothing of CUDA may be called, not even by dropping something.
//! * A segment stays mapped and its marks registered until the device has written the marks that were ordered
//!   ([`watch_own`]), whoever else lets go of it. If the device fails before that, they are poisoned.
//! * A mark that a stream here waits for ([`watch_foreign`]) is poisoned when its producer's process is gone.
//!
//! The thread sleeps while there is nothing of this.

use super::device::{raw_stream, Device};
use super::driver::CudaError;
use super::record::{Mark, Standing};
use super::segment::CudaSegment;
use crate::domain::Stream;
use crate::sys::fork::ForkMark;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How often marks are looked at while there are any to look at.
const TICK: Duration = Duration::from_millis(10);

type Then = Box<dyn FnOnce() + Send>;

struct Watch {
    segment: Arc<CudaSegment>,
    mark: Mark,
    own: bool,
}

#[derive(Default)]
struct State {
    /// The process that has the thread.
    thread: Option<ForkMark>,
    watches: Vec<Watch>,
    /// What waits for streams.
    waiting: HashMap<usize, (Arc<Device>, Then)>,
    last_number: usize,
    /// What may happen now.
    due: Vec<Then>,
}

struct Keeper {
    state: Mutex<State>,
    wake: Condvar,
}

fn keeper() -> &'static Keeper {
    static KEEPER: OnceLock<Keeper> = OnceLock::new();
    KEEPER.get_or_init(|| Keeper { state: Mutex::default(), wake: Condvar::new() })
}

impl Keeper {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with the thread running.
    fn running(&'static self) -> Result<MutexGuard<'static, State>, CudaError> {
        let mut state = self.state();
        if state.thread.is_none_or(|mark| mark.check().is_err()) {
            let thread = std::thread::Builder::new().name("hazcat-cuda".into()).spawn(|| self.run());
            thread.map_err(|error| CudaError::ours("thread", &error.to_string()))?;
            state.thread = Some(ForkMark::here());
        }
        Ok(state)
    }

    fn run(&self) {
        let mut state = self.state();
        let mut looked = Instant::now();
        loop {
            let due = std::mem::take(&mut state.due);
            if !due.is_empty() {
                drop(state);
                due.into_iter().for_each(|then| then());
                state = self.state();
                continue;
            }
            if state.watches.is_empty() && state.waiting.is_empty() {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (woken, _) = self.wake.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if looked.elapsed() >= TICK {
                state = self.look(state);
                looked = Instant::now();
            }
        }
    }

    /// Looks at all there is, without holding the lock while the driver or the system is asked.
    fn look<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let watches = std::mem::take(&mut state.watches);
        let mut devices: HashMap<_, Arc<Device>> = HashMap::new();
        let used =
            watches.iter().map(|watch| watch.segment.device()).chain(state.waiting.values().map(|(device, _)| device));
        used.for_each(|device| drop(devices.insert(device.uuid(), Arc::clone(device))));
        drop(state);
        devices.retain(|_, device| device.failure().is_some());
        let (pending, ended): (Vec<_>, Vec<_>) = watches.into_iter().partition(|watch| {
            let record = watch.segment.record();
            let lost = match watch.own {
                true => devices.contains_key(&watch.segment.device().uuid()),
                false => record.standing(watch.mark) == Standing::Pending && !record.owner_is_alive(),
            };
            if lost {
                record.poison(watch.mark);
            }
            record.standing(watch.mark) == Standing::Pending
        });
        // The last hold on a segment, perhaps: unmapping it takes its time.
        drop(ended);
        let mut state = self.state();
        state.watches.extend(pending);
        let failed: Vec<_> = state
            .waiting
            .iter()
            .filter(|(_, (device, _))| devices.contains_key(&device.uuid()))
            .map(|(number, _)| *number)
            .collect();
        let freed: Vec<_> =
            failed.iter().filter_map(|number| state.waiting.remove(number)).map(|(_, then)| then).collect();
        state.due.extend(freed);
        state
    }
}

/// Called by the driver, on a thread of its own, when a stream has come to a point.
unsafe extern "C" fn passed(argument: *mut c_void) {
    let keeper = keeper();
    let mut state = keeper.state();
    // Not there where the device had failed: it has happened already.
    if let Some((device, then)) = state.waiting.remove(&(argument as usize)) {
        // The device is also held by the process's table; this is not the last hold on it.
        drop(device);
        state.due.push(then);
        keeper.wake.notify_one();
    }
}

/// Has `then` happen once all work submitted to `stream` so far is done, or can never be done because the device has failed.
///
/// # Errors
/// The driver's; `then` will not happen.
pub(super) fn when_done(device: &Arc<Device>, stream: Stream, then: Then) -> Result<(), CudaError> {
    let keeper = keeper();
    let number = {
        let mut state = keeper.running()?;
        state.last_number += 1;
        let number = state.last_number;
        state.waiting.insert(number, (Arc::clone(device), then));
        keeper.wake.notify_one();
        number
    };
    let launched = device.current_for(stream).and_then(|_current| {
        // SAFETY: `passed` may be called from any thread, with a number; the user vouches for the stream.
        unsafe { device.driver().cuLaunchHostFunc(raw_stream(stream), Some(passed), number as *mut c_void) }
    });
    let Err(error) = launched else { return Ok(()) };
    // Where it is gone, it happened: the keeper found the device failed.
    let unlaunched = keeper.state().waiting.remove(&number);
    unlaunched.map_or(Ok(()), |_| Err(error))
}

fn watch(watch: Watch) {
    let keeper = keeper();
    // Without a thread nobody looks: the segment is then simply kept.
    let mut state = keeper.running().unwrap_or_else(|_| keeper.state());
    let was_idle = state.watches.is_empty();
    state.watches.push(watch);
    if was_idle {
        keeper.wake.notify_one();
    }
}

/// Keeps a segment until its device has written a mark.
pub(super) fn watch_own(segment: Arc<CudaSegment>, mark: Mark) {
    watch(Watch { segment, mark, own: true });
}

/// Keeps a segment until the mark that a stream here waits for is there, and ends the waiting where it will not come.
pub(super) fn watch_foreign(segment: Arc<CudaSegment>, mark: Mark) {
    watch(Watch { segment, mark, own: false });
}

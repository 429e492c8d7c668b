//! The thread that looks after what devices have been told to do.
//!
//! * What was to happen when a stream has come to a point ([`when_done`]) happens here and not in the driver's callback, where
//!   nothing of CUDA may be called, not even by dropping something.
//! * A segment stays mapped and its marks registered until the device has written the marks that were ordered
//!   ([`watch_own`]), whoever else lets go of it. If the device fails before that, they are poisoned.
//! * A segment for whose mark a stream here waits ([`watch_wait`]) stays until the stream has passed that wait, which may be long
//!   after the mark was written.
//!
//! The thread sleeps while there is nothing of this.

use super::device::{raw_stream, Device, Handle};
use super::driver::CudaError;
use super::record::{Mark, Standing};
use super::segment::CudaSegment;
use crate::domain::Stream;
use crate::sys::fork::ForkMark;
use cudarc::driver::sys;
use std::collections::HashMap;
use std::ffi::{c_uint, c_void};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How often marks are looked at while there are any to look at.
const TICK: Duration = Duration::from_millis(10);

type Then = Box<dyn FnOnce() + Send>;

struct Watch {
    segment: Arc<CudaSegment>,
    mark: Mark,
    until: Until,
}

/// How long a segment is kept.
enum Until {
    /// Until its device has written the mark.
    Written,
    /// Until a stream here has passed its wait for the mark; where there is no event, until the mark is there.
    Passed(Option<Event>),
}

/// A point in a stream; destroyed on drop.
struct Event {
    device: Arc<Device>,
    handle: Handle<sys::CUevent_st>,
}

impl Event {
    /// The point behind all that was submitted to a stream of the current context so far.
    fn record(device: &Arc<Device>, stream: Stream) -> Result<Self, CudaError> {
        let mut event = std::ptr::null_mut();
        // SAFETY: writes one handle, of the current context.
        unsafe {
            device.driver().cuEventCreate(&raw mut event, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as c_uint)
        }?;
        let event = Self { device: Arc::clone(device), handle: Handle::new(event) };
        // SAFETY: an event of the stream's context; the user vouches for the stream.
        unsafe { device.driver().cuEventRecord(event.handle.raw(), raw_stream(stream)) }?;
        Ok(event)
    }

    /// Whether the stream has passed it, or never will because its device has failed.
    fn is_passed(&self) -> bool {
        let Ok(_current) = self.device.current() else { return false };
        // SAFETY: our own event; only asks.
        match unsafe { self.device.driver().cuEventQuery(self.handle.raw()) } {
            Err(error) => !error.is(sys::CUresult::CUDA_ERROR_NOT_READY),
            Ok(()) => true,
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Ok(_current) = self.device.current() {
            // SAFETY: our own, destroyed once; one that is still ahead is given up by the driver when the stream has passed it.
            let _ = unsafe { self.device.driver().cuEventDestroy(self.handle.raw()) };
        }
    }
}

impl Watch {
    /// Whether the segment has to be kept on. Poisons the mark where our device will not write it any more.
    fn goes_on(&self, device_has_failed: bool) -> bool {
        let record = self.segment.record();
        match &self.until {
            Until::Passed(Some(event)) => return !device_has_failed && !event.is_passed(),
            Until::Written if device_has_failed => record.poison(self.mark),
            Until::Written | Until::Passed(None) => {}
        }
        record.standing(self.mark) == Standing::Pending
    }
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
            let thread = crate::sys::thread::spawn("hazcat-cuda", || self.run());
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
        let (pending, ended): (Vec<_>, Vec<_>) =
            watches.into_iter().partition(|watch| watch.goes_on(devices.contains_key(&watch.segment.device().uuid())));
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
    let launched = device.current_to_submit(stream).and_then(|_current| {
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
    watch(Watch { segment, mark, until: Until::Written });
}

/// Keeps a segment until `stream`, whose context is current, has passed its wait for a mark, which was submitted just now.
pub(super) fn watch_wait(segment: Arc<CudaSegment>, mark: Mark, stream: Stream) {
    let event = Event::record(segment.device(), stream).ok();
    watch(Watch { segment, mark, until: Until::Passed(event) });
}

//! Streams: threads that do what they are given, in order.

use crate::{
    current, devices, driver, memory, state, violation, Answer, CAPTURE_MODE, CAPTURE_UNSUPPORTED, INVALID_HANDLE,
    INVALID_VALUE, IN_HOST_FUNCTION, NOT_READY,
};
use std::collections::VecDeque;
use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

type Work = Box<dyn FnOnce() -> Answer + Send>;
type HostFunction = unsafe extern "C" fn(*mut c_void);

/// Streams that programs made have handles above this one; those of contexts below.
const OWN: usize = 0x1000_0000;

pub(crate) struct Stream {
    device: i32,
    handle: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    busy: bool,
    ended: bool,
}

pub(crate) type Shared = Arc<Stream>;

impl Stream {
    fn start(device: i32, handle: usize) -> Shared {
        let stream = Arc::new(Self { device, handle, queue: Mutex::default(), changed: Condvar::new() });
        let own = Arc::clone(&stream);
        std::thread::spawn(move || own.run());
        stream
    }

    fn run(&self) {
        loop {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.busy = false;
            self.changed.notify_all();
            let work = loop {
                match queue.work.pop_front() {
                    Some(work) => break work,
                    None if queue.ended => return,
                    None => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            };
            queue.busy = true;
            drop(queue);
            // Nothing more is done in a context that an error has ended.
            if ended(self.device).is_ok() {
                if let Err(code) = work() {
                    state().ended.entry(self.device).or_insert(code);
                }
            }
        }
    }

    fn submit(&self, work: impl FnOnce() -> Answer + Send + 'static) -> Answer {
        ended(self.device)?;
        if state().captured.contains(&self.handle) {
            violation("something was submitted to a stream that is captured");
            return Err(CAPTURE_UNSUPPORTED);
        }
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).work.push_back(Box::new(work));
        self.changed.notify_all();
        Ok(())
    }

    fn wait(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while queue.busy || !queue.work.is_empty() {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_idle(&self) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        !queue.busy && queue.work.is_empty()
    }
}

fn ended(device: i32) -> Answer {
    state().ended.get(&device).map_or(Ok(()), |code| Err(*code))
}

/// The stream of a handle; the default ones are those of the current context.
fn find(handle: usize) -> Result<Shared, u32> {
    let device = current()?;
    if handle > 2 {
        return state().streams.get(&handle).cloned().ok_or(INVALID_HANDLE);
    }
    let key = (device as usize + 1) * 4 + handle;
    Ok(Arc::clone(state().streams.entry(key).or_insert_with(|| Stream::start(device, key))))
}

/// Waits for all streams, as calls do that the documentation does not say it of: also for those that wait for a word.
pub(crate) fn wait_for_all() {
    let streams: Vec<_> = state().streams.values().cloned().collect();
    streams.iter().for_each(|stream| stream.wait());
}

/// Submits what touches memory: addresses are looked up when it is done, not before.
fn submit_copy(stream: usize, to: Side, from: Side, len: usize) -> Answer {
    if len == 0 {
        violation("a copy of nothing: what drivers make of it is not written down");
    }
    let stream = find(stream)?;
    let device = stream.device;
    stream.submit(move || {
        let (to, from) = {
            let state = state();
            (to.find(&state, device, len, true)?, from.find(&state, device, len, false)?)
        };
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, len) };
        Ok(())
    })
}

/// One end of a copy.
#[derive(Clone, Copy)]
enum Side {
    Host(u64),
    /// Of the stream's device.
    Device(u64),
    /// Of another device.
    Peer(u64, i32),
}

impl Side {
    fn find(self, state: &crate::State, device: i32, len: usize, write: bool) -> Result<usize, u32> {
        match self {
            Self::Host(at) if memory::is_host(state, at) => Ok(at as usize),
            Self::Host(_) => Err(crate::ILLEGAL_ADDRESS),
            Self::Device(at) => memory::reach(state, device, at, len, write).map(|at| at as usize),
            Self::Peer(at, owner) => memory::reach(state, owner, at, len, write).map(|at| at as usize),
        }
    }
}

fn forget_awaited(address: u64) {
    let awaited = &mut state().awaited;
    if let Some(at) = awaited.iter().position(|other| *other == address) {
        awaited.swap_remove(at);
    }
}

/// A point in a stream; `None` before it is recorded, which counts as passed.
#[derive(Default)]
pub(crate) struct Event(Option<(i32, Arc<AtomicBool>)>);

driver! {
    fn cuStreamIsCapturing(stream: usize, status: *mut c_uint) {
        find(stream)?;
        unsafe { *status = c_uint::from(state().captured.contains(&stream)) };
        Ok(())
    }

    fn cuThreadExchangeStreamCaptureMode(mode: *mut c_uint) {
        let mode = unsafe { &mut *mode };
        if *mode > 2 {
            return Err(INVALID_VALUE);
        }
        *mode = CAPTURE_MODE.replace(*mode);
        Ok(())
    }

    fn cuEventCreate(event: *mut usize, flags: c_uint) {
        current()?;
        if flags & !7 != 0 {
            return Err(INVALID_VALUE);
        }
        let mut state = state();
        let handle = state.new_handle() as usize;
        state.events.insert(handle, Event::default());
        unsafe { *event = handle };
        Ok(())
    }

    fn cuEventRecord(event: usize, stream: usize) {
        let stream = find(stream)?;
        let passed = Arc::new(AtomicBool::new(false));
        let now = Event(Some((stream.device, Arc::clone(&passed))));
        *state().events.get_mut(&event).ok_or(INVALID_HANDLE)? = now;
        stream.submit(move || {
            passed.store(true, Ordering::SeqCst);
            Ok(())
        })
    }

    fn cuEventQuery(event: usize) {
        let recorded = state().events.get(&event).ok_or(INVALID_HANDLE)?.0.clone();
        let Some((device, passed)) = recorded else { return Ok(()) };
        ended(device)?;
        if passed.load(Ordering::SeqCst) { Ok(()) } else { Err(NOT_READY) }
    }

    fn cuEventDestroy_v2(event: usize) {
        state().events.remove(&event).map(drop).ok_or(INVALID_HANDLE)
    }

    fn cuStreamCreate(stream: *mut usize, flags: c_uint) {
        let device = current()?;
        if flags > 1 {
            return Err(INVALID_VALUE);
        }
        ended(device)?;
        let mut state = state();
        let handle = OWN + state.new_handle() as usize;
        state.streams.insert(handle, Stream::start(device, handle));
        unsafe { *stream = handle };
        Ok(())
    }

    fn cuStreamDestroy_v2(stream: usize) {
        current()?;
        let stream = state().streams.remove(&stream).ok_or(INVALID_HANDLE)?;
        // What was submitted is still done.
        stream.queue.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        stream.changed.notify_all();
        Ok(())
    }

    fn cuStreamGetCtx(stream: usize, context: *mut usize) {
        let stream = state().streams.get(&stream).cloned().ok_or(INVALID_HANDLE)?;
        unsafe { *context = devices::context_of(stream.device) };
        Ok(())
    }

    fn cuStreamSynchronize(stream: usize) {
        let stream = find(stream)?;
        stream.wait();
        ended(stream.device)
    }

    fn cuStreamQuery(stream: usize) {
        let stream = find(stream)?;
        ended(stream.device)?;
        if stream.is_idle() { Ok(()) } else { Err(NOT_READY) }
    }

    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, len: usize, stream: usize) {
        let is_ordinary = {
            let state = state();
            memory::is_host(&state, from as u64) && !memory::is_registered(&state, from as usize, len)
        };
        if !is_ordinary {
            return submit_copy(stream, Side::Device(to), Side::Host(from as u64), len);
        }
        // Ordinary memory has been read when the call returns, and may be used again.
        let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) }.to_vec();
        let stream = find(stream)?;
        let device = stream.device;
        stream.submit(move || {
            let to = memory::reach(&state(), device, to, bytes.len(), true)?;
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
            Ok(())
        })
    }

    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, len: usize, stream: usize) {
        submit_copy(stream, Side::Host(to as u64), Side::Device(from), len)?;
        let is_registered = memory::is_registered(&state(), to as usize, len);
        if !is_registered {
            // Ordinary memory has been written when the call returns.
            find(stream)?.wait();
        }
        Ok(())
    }

    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, len: usize, stream: usize) {
        if to < from + len as u64 && from < to + len as u64 {
            violation("a copy on the device between ranges that overlap");
            return Err(INVALID_VALUE);
        }
        submit_copy(stream, Side::Device(to), Side::Device(from), len)
    }

    fn cuMemcpyPeerAsync(to: u64, to_context: usize, from: u64, from_context: usize, len: usize, stream: usize) {
        let to = Side::Peer(to, devices::of_context(to_context));
        submit_copy(stream, to, Side::Peer(from, devices::of_context(from_context)), len)
    }

    fn cuStreamWriteValue64_v2(stream: usize, address: u64, value: u64, flags: c_uint) {
        let stream = find(stream)?;
        let device = stream.device;
        if flags != 0 || address % 8 != 0 {
            return Err(INVALID_VALUE);
        }
        memory::reach(&state(), device, address, 8, true).map_err(|_| INVALID_VALUE)?;
        state().awaited.push(address);
        stream.submit(move || {
            let word = memory::reach(&state(), device, address, 8, true)?;
            forget_awaited(address);
            unsafe { &*word.cast::<AtomicU64>() }.store(value, Ordering::SeqCst);
            Ok(())
        })
    }

    fn cuStreamWaitValue64_v2(stream: usize, address: u64, value: u64, flags: c_uint) {
        let stream = find(stream)?;
        let device = stream.device;
        if flags != 0 || address % 8 != 0 {
            return Err(INVALID_VALUE);
        }
        memory::reach(&state(), device, address, 8, false).map_err(|_| INVALID_VALUE)?;
        state().awaited.push(address);
        stream.submit(move || {
            let answer = loop {
                // Looked up each time: what is unregistered under a waiting stream is an error, not a crash.
                let word = {
                    let state = state();
                    if state.ended.contains_key(&device) {
                        break Ok(());
                    }
                    match memory::reach(&state, device, address, 8, false) {
                        Ok(word) => unsafe { &*word.cast::<AtomicU64>() }.load(Ordering::SeqCst),
                        Err(code) => break Err(code),
                    }
                };
                if word.wrapping_sub(value) as i64 >= 0 {
                    break Ok(());
                }
                std::thread::sleep(Duration::from_micros(50));
            };
            forget_awaited(address);
            answer
        })
    }

    fn cuLaunchHostFunc(stream: usize, function: Option<HostFunction>, argument: *mut c_void) {
        let (function, argument) = (function.ok_or(INVALID_VALUE)?, argument as usize);
        find(stream)?.submit(move || {
            IN_HOST_FUNCTION.set(true);
            unsafe { function(argument as *mut c_void) };
            IN_HOST_FUNCTION.set(false);
            Ok(())
        })
    }
}

/// Has a stream do something with the state of the device it is of.
pub(crate) fn submit(stream: usize, work: impl FnOnce(i32) -> Answer + Send + 'static) -> Answer {
    let stream = find(stream)?;
    let device = stream.device;
    stream.submit(move || work(device))
}

//! Memory of another allocator on a CUDA device, in this process or another one, mapped to be read.

use super::device::Device;
use super::keeper;
use super::record::{poisoned, Mark, Standing};
use super::segment::CudaSegment;
use crate::domain::{CopyError, Readiness, RemoteMemory, Stream};
use cudarc::driver::sys;
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread looks without sleeping for bytes that are not there yet.
const SPIN: Duration = Duration::from_micros(50);
/// How often it is looked whether their producer is still there.
const PROBE: Duration = Duration::from_millis(10);

pub(super) struct RemoteCudaMemory {
    segment: Arc<CudaSegment>,
    /// Other devices that can reach it.
    reached: Mutex<Vec<super::DeviceUuid>>,
}

impl RemoteCudaMemory {
    pub(super) fn new(segment: Arc<CudaSegment>) -> Self {
        Self { segment, reached: Mutex::default() }
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        self.segment.device()
    }

    pub(super) fn place(&self, offset: usize, len: usize) -> Result<sys::CUdeviceptr, CopyError> {
        self.segment.address(offset, len).ok_or(CopyError::Bounds { len, room: 0 })
    }

    /// Lets another device read it directly, where the machine can do that; else the driver copies through host memory.
    pub(super) fn reach_from(&self, other: &Arc<Device>) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if !reached.contains(&other.uuid()) {
            reached.push(other.uuid());
            if self.device().is_reachable_from(other) {
                let _ = self.device().current().and_then(|_current| self.segment.memory().grant_to_other(other));
            }
        }
    }

    fn mark(&self, readiness: Readiness) -> Result<Option<Mark>, CopyError> {
        Mark::read(readiness).map_err(|error| self.device().copy_error("wait for a message's bytes")(error.into()))
    }

    /// Waits on the host.
    fn wait_here(&self, mark: Mark) -> Result<(), CopyError> {
        let record = self.segment.record();
        let started = Instant::now();
        let mut probed = started;
        loop {
            match record.standing(mark) {
                Standing::Done => return Ok(()),
                Standing::Poisoned => return Err(poisoned(self.device().domain())),
                Standing::Pending => {}
            }
            let waited = started.elapsed();
            if waited < SPIN {
                crate::sync::spin_hint();
                continue;
            }
            std::thread::sleep((waited / 8).clamp(SPIN, PROBE / 10));
            if probed.elapsed() >= PROBE {
                probed = Instant::now();
                if !record.owner_is_alive() {
                    record.poison(mark);
                }
            }
        }
    }
}

impl RemoteMemory for RemoteCudaMemory {
    fn address(&self, offset: usize, len: usize) -> Option<*const u8> {
        self.segment.address(offset, len).map(|address| address as usize as *const u8)
    }

    fn copy_to_host(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        let from = self.place(offset, to.len())?;
        if to.is_empty() {
            return Ok(());
        }
        let copied = self.device().submit_and_wait(|driver, stream| {
            // SAFETY: as many bytes of the mapped segment as `to` has; both are there until the stream is done.
            unsafe { driver.cuMemcpyDtoHAsync(to.as_mut_ptr().cast(), from, to.len(), stream) }
        });
        copied.map_err(self.device().copy_error("copy to host memory"))
    }

    fn wait_ready(&self, readiness: Readiness, stream: Option<Stream>) -> Result<(), CopyError> {
        let Some(mark) = self.mark(readiness)? else { return Ok(()) };
        match (self.segment.record().standing(mark), stream) {
            (Standing::Done, _) => Ok(()),
            (Standing::Poisoned, _) => Err(poisoned(self.device().domain())),
            (Standing::Pending, None) => self.wait_here(mark),
            (Standing::Pending, Some(stream)) => {
                let waits = self.segment.wait_on(stream, mark);
                if waits.map_err(self.device().copy_error("have a stream wait for a message's bytes"))? {
                    Ok(())
                } else {
                    self.wait_here(mark)
                }
            }
        }
    }

    fn is_poisoned(&self, readiness: Readiness) -> bool {
        match Mark::read(readiness) {
            Ok(mark) => mark.is_some_and(|mark| matches!(self.segment.record().standing(mark), Standing::Poisoned)),
            // No mark of ours: such bytes were never produced.
            Err(_) => true,
        }
    }

    fn when_done(&self, stream: Stream, then: Box<dyn FnOnce() + Send>) -> Result<(), CopyError> {
        let ordered = keeper::when_done(self.device(), stream, then);
        ordered.map_err(self.device().copy_error("wait for a stream"))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

//! The machine's floor: no system at all.
//!
//! Polling, counter only: each side writes the counter to a cache line of its own and reads the other's ("two-line atomic
//! ping-pong"); the job's size plays no part. Blocking: the counter is a futex word, each side wakes the other. With the
//! payload copied: into and out of one bare shared buffer per direction, announced by the same word.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Failure, Private, Receiver, Sender, Transport};
use crate::scenario::{Job, Payload, Role, Waiting};
use crate::shared_page::{Direction, SharedPage};

/// The floor has nothing to join.
pub struct Floor {
    page: &'static SharedPage,
    payload: Payload,
    waiting: Waiting,
    size: usize,
}

impl Transport for Floor {
    type Sender = Side;
    type Receiver = Side;

    fn open(job: &Job, _role: Role, page: &'static SharedPage) -> Result<Self, Failure> {
        Ok(Self { page, payload: job.payload(), waiting: job.waiting(), size: job.size })
    }

    fn sender(&self, direction: Direction) -> Result<Side, Failure> {
        self.side(direction)
    }

    fn receiver(&self, direction: Direction) -> Result<Side, Failure> {
        self.side(direction)
    }
}

impl Floor {
    fn side(&self, direction: Direction) -> Result<Side, Failure> {
        let (buffer, length) = self.page.buffer(direction);
        if self.payload == Payload::Copied && length < self.size {
            return Err("the shared buffer is too small".into());
        }
        // SAFETY: `size` bytes (if used, see above) of a mapping that lives as long as the process. Exclusive in turns: the
        // sender writes only after the answer to the last message, the receiver reads only after the word announced it.
        let memory = unsafe { std::slice::from_raw_parts_mut(buffer.as_ptr(), self.size.min(length)) };
        Ok(Side {
            page: self.page,
            direction,
            payload: self.payload,
            waiting: self.waiting,
            private: Private::new(self.size),
            memory,
            last: 0,
        })
    }
}

/// One end of one direction.
pub struct Side {
    page: &'static SharedPage,
    direction: Direction,
    payload: Payload,
    waiting: Waiting,
    private: Private,
    memory: &'static mut [u8],
    last: u64,
}

impl Sender for Side {
    #[inline(always)]
    fn send(&mut self, counter: u64) -> Result<(), Failure> {
        if self.payload == Payload::Copied {
            self.private.fill(self.payload, counter, self.memory)?;
        }
        match self.waiting {
            // SYNC floor: Release with the Acquire in `try_receive`.
            Waiting::Polling => self.page.line(self.direction).store(counter, Ordering::Release),
            Waiting::Blocking => {
                let bell = self.page.bell(self.direction);
                // SYNC floor
                bell.store(counter as u32, Ordering::Release);
                futex_wake(bell);
            }
        }
        Ok(())
    }
}

impl Receiver for Side {
    #[inline(always)]
    fn try_receive(&mut self) -> Result<Option<u64>, Failure> {
        let counter = match self.waiting {
            // SYNC floor
            Waiting::Polling => self.page.line(self.direction).load(Ordering::Acquire),
            // SYNC floor
            Waiting::Blocking => u64::from(self.page.bell(self.direction).load(Ordering::Acquire)),
        };
        if counter == self.last {
            return Ok(None);
        }
        self.last = counter;
        if self.payload == Payload::Copied {
            return self.private.read(self.payload, || self.memory).map(Some);
        }
        Ok(Some(counter))
    }

    #[inline(always)]
    fn sleep(&mut self) -> Result<(), Failure> {
        futex_wait(self.page.bell(self.direction), self.last as u32, Duration::from_millis(100));
        Ok(())
    }
}

fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word is valid for the call; waking touches no memory.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Sleeps while `word` is `value`; returns on a wake, at the timeout or for no reason, so the caller looks again.
fn futex_wait(word: &AtomicU32, value: u32, timeout: Duration) {
    let timeout = libc::timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
    // SAFETY: the word and the timeout are valid for the call; the kernel only reads them.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const timeout) };
}

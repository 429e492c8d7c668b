//! Anonymous memory that the two processes of a job share: the gate they start at, the words of the floor's ping-pong, the
//! drainer's acknowledgement, and two bare buffers.
//!
//! It travels as an inherited file descriptor, so nothing is left behind however the processes end. Everything lies on
//! cache lines of its own, 128 bytes apart, because processors fetch lines in pairs.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::memfd::{memfd_create, MFdFlags};

/// A value on a pair of cache lines of its own.
#[repr(C, align(128))]
struct Apart<T>(T);

#[repr(C)]
struct ControlLayout {
    gates: [Apart<AtomicU32>; 2],
    acknowledged: Apart<AtomicU64>,
    lines: [Apart<AtomicU64>; 2],
    bells: [Apart<AtomicU32>; 2],
}

const BUFFERS_AT: usize = 4096;

/// One of the two directions between the processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the first process to the second.
    Ping,
    /// Back.
    Pong,
}

/// Where the two processes wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Both have created their endpoints.
    Start,
    /// Both have done their rounds; only now may one of them leave.
    End,
}

/// The mapping of the shared memory.
#[derive(Debug)]
pub struct SharedPage {
    file: File,
    map: MmapRaw,
    buffer: usize,
}

impl SharedPage {
    /// Creates the memory, with two buffers of `buffer` bytes. Child processes inherit the descriptor.
    pub fn create(buffer: usize) -> io::Result<Self> {
        let file = File::from(memfd_create(c"hazcat_bench", MFdFlags::empty())?);
        file.set_len((BUFFERS_AT + 2 * stride(buffer)) as u64)?;
        Self::map(file, buffer)
    }

    /// Maps the memory in a child, from the inherited descriptor; `buffer` as at creation.
    ///
    /// # Safety
    /// `descriptor` must be the one from [`SharedPage::descriptor`] in the parent, owned by nobody else here.
    pub unsafe fn inherit(descriptor: RawFd, buffer: usize) -> io::Result<Self> {
        // SAFETY: the caller hands the descriptor over.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Self::map(File::from(owned), buffer)
    }

    fn map(file: File, buffer: usize) -> io::Result<Self> {
        let length = BUFFERS_AT + 2 * stride(buffer);
        if file.metadata()?.len() < length as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the shared memory is too small"));
        }
        let map = MmapOptions::new().len(length).map_raw(&file)?;
        Ok(Self { file, map, buffer })
    }

    /// Number of the descriptor, for the child's command line.
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn control(&self) -> &ControlLayout {
        // SAFETY: the mapping is page-aligned, longer than the layout, lives as long as self, and all fields are atomics, for
        // which every bit pattern is valid.
        unsafe { &*self.map.as_ptr().cast::<ControlLayout>() }
    }

    /// Waits until both processes are here. An error after ten seconds.
    pub fn meet(&self, gate: Gate) -> io::Result<()> {
        const LIMIT: Duration = Duration::from_secs(10);
        let gate = &self.control().gates[gate as usize].0;
        // SYNC gate: AcqRel here and Acquire below; all that one did before is visible to the other.
        gate.fetch_add(1, Ordering::AcqRel);
        let start = Instant::now();
        while gate.load(Ordering::Acquire) < 2 {
            if start.elapsed() > LIMIT {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the other process did not come to the gate"));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    /// The drainer's word: the last counter that all its subscriptions have seen.
    pub fn acknowledged(&self) -> &AtomicU64 {
        &self.control().acknowledged.0
    }

    /// The floor's cache line of a direction.
    pub fn line(&self, direction: Direction) -> &AtomicU64 {
        &self.control().lines[direction as usize].0
    }

    /// The floor's futex word of a direction.
    pub fn bell(&self, direction: Direction) -> &AtomicU32 {
        &self.control().bells[direction as usize].0
    }

    /// The floor's bare buffer of a direction and its length. Who may touch it when is up to the lines and bells.
    pub fn buffer(&self, direction: Direction) -> (NonNull<u8>, usize) {
        let offset = BUFFERS_AT + direction as usize * stride(self.buffer);
        let address = self.map.as_mut_ptr().wrapping_add(offset);
        // A mapping never lies at address zero; a dangling pointer of length zero would be a bug that shows at once.
        NonNull::new(address).map_or((NonNull::dangling(), 0), |address| (address, self.buffer))
    }
}

/// Distance between the buffers: whole pages.
fn stride(buffer: usize) -> usize {
    buffer.next_multiple_of(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_see_each_other_and_nothing_overlaps() {
        let page = SharedPage::create(100).expect("shared memory");
        let other = SharedPage::map(page.file.try_clone().expect("descriptor"), 100).expect("mapping");
        page.line(Direction::Ping).store(1, Ordering::Relaxed);
        page.line(Direction::Pong).store(2, Ordering::Relaxed);
        page.acknowledged().store(3, Ordering::Relaxed);
        page.bell(Direction::Pong).store(4, Ordering::Relaxed);
        let (ping, length) = page.buffer(Direction::Ping);
        assert_eq!(length, 100);
        // SAFETY: 100 bytes of the mapping, nobody else is there.
        unsafe { ping.write_bytes(0xff, length) };
        assert_eq!(other.line(Direction::Ping).load(Ordering::Relaxed), 1);
        assert_eq!(other.line(Direction::Pong).load(Ordering::Relaxed), 2);
        assert_eq!(other.acknowledged().load(Ordering::Relaxed), 3);
        assert_eq!(other.bell(Direction::Ping).load(Ordering::Relaxed), 0);
        assert_eq!(other.bell(Direction::Pong).load(Ordering::Relaxed), 4);
        // SAFETY: as above.
        assert_eq!(unsafe { other.buffer(Direction::Ping).0.read() }, 0xff);
        // SAFETY: as above.
        assert_eq!(unsafe { other.buffer(Direction::Pong).0.read() }, 0);
    }
}

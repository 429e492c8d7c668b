//! The file that stands for a device segment: what it is, who gives its memory away, and when messages are there.
//!
//! It lies where the file of a host segment lies, so it is found, listed and swept like one. The memory itself is on the
//! device; its descriptor travels over a socket (`share/`). Everybody who maps the segment may write here, like the
//! doorbells: a peer that scribbles costs messages, never memory safety.
//!
//! # Marks
//!
//! A mark is a 64-bit word that says when a message's bytes are there. Its producer takes a free mark and a value that is larger
//! than all before, has the stream that fills the message write the value behind that work, and publishes mark and value with
//! the message ([`Readiness`]). Whoever wants the bytes waits until the word is at least the value: on the host, or by having
//! a stream wait for it. The word of a producer that died before is set to [`POISON`] by any survivor, which is larger than
//! every value: nobody waits for ever, and who looks afterwards knows. That the producer's process lives is a lock on the file's
//! first byte, released by the kernel however it ends.
//!
//! Chosen over IPC events: an event whose process has died is undefined behaviour to wait for, cannot be completed by
//! anybody else, and each message would need one.

use super::driver::CudaError;
use super::uuid::DeviceUuid;
use crate::domain::{CopyError, Readiness};
use crate::ids::SegmentId;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::fork::ForkGuarded;
use crate::sys::mapping::{Access, Mapping, SharedRecord};
use crate::sys::ofd_lock::{self, LockKind};
use crate::sys::shm_file::{self, FileError, FileHeader, NewFile};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const MAGIC: u64 = u64::from_le_bytes(*b"hazcatCU");
const VERSION: u64 = 1;
/// Processes that can be named as having a segment's descriptor.
pub(super) const SERVERS: usize = 8;
/// Marks of a segment.
pub(super) const MARKS: usize = 4096;
/// Where they begin: the words that devices write have pages of their own.
const MARKS_OFFSET: usize = 4096;
const FILE_BYTES: usize = MARKS_OFFSET + MARKS * 8;
/// Bits of a mark's value; above them, in a [`Readiness`], the mark's number plus one.
const VALUE_BITS: u32 = 48;
/// The producer died, or its device failed, before the bytes were there. Above every value, as CUDA's streams compare.
pub(super) const POISON: u64 = 1 << 62;

/// What stands at the beginning of the file.
#[repr(C)]
struct CudaSegmentLayout {
    file: FileHeader,
    id: AtomicU64,
    owner: AtomicU64,
    device: [AtomicU64; 2],
    /// Bytes that can be addressed.
    len: AtomicU64,
    /// Bytes that are mapped: a multiple of the device's granularity.
    mapped: AtomicU64,
    /// Names of the sockets at which the descriptor can be had; zero: none.
    servers: [AtomicU64; SERVERS],
}

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for CudaSegmentLayout {}

/// Which word, and what it will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) number: u16,
    pub(super) value: u64,
}

impl Mark {
    pub(super) fn readiness(self) -> Readiness {
        Readiness((u64::from(self.number) + 1) << VALUE_BITS | self.value)
    }

    /// Reads what came with a message: `Ok(None)` where the bytes are there without waiting, an error for what is no mark.
    pub(super) fn read(readiness: Readiness) -> Result<Option<Self>, NotAMark> {
        if readiness == Readiness::NOW {
            return Ok(None);
        }
        let number =
            (readiness.0 >> VALUE_BITS).checked_sub(1).filter(|number| *number < MARKS as u64).ok_or(NotAMark)?;
        Ok(Some(Self { number: number as u16, value: readiness.0 & ((1 << VALUE_BITS) - 1) }))
    }
}

/// A [`Readiness`] that no allocator of ours wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotAMark;

/// How it stands with a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Pending,
    Done,
    Poisoned,
}

/// The mapped file.
pub(super) struct SegmentRecord {
    id: SegmentId,
    path: PathBuf,
    mapping: Mapping,
    /// A description that is never mapped: the owner's lock, or what others probe it with.
    lock: ForkGuarded<File>,
    /// Whether it is the owner's: through the lock's own description, a probe finds nobody.
    ours: bool,
}

impl SegmentRecord {
    /// Makes the file of a new segment; its owner is alive for as long as what is answered is there.
    pub(super) fn create(
        path: &Path,
        mode: u32,
        id: SegmentId,
        owner: u64,
        device: DeviceUuid,
        (len, mapped): (usize, usize),
        server: u64,
    ) -> Result<Self, FileError> {
        let fail = |error| FileError::from_io(path, FILE_BYTES as u64, error);
        let new = NewFile::create(path, mode, FILE_BYTES as u64, FILE_BYTES as u64)?;
        let mapping = Mapping::new(new.file(), 0, FILE_BYTES, Access::ReadWrite, true).map_err(fail)?;
        let again = format!("/proc/self/fd/{}", new.file().as_raw_fd());
        let lock = ForkGuarded::open(|| File::options().read(true).write(true).open(&again)).map_err(fail)?;
        let locked =
            lock.get().map_err(std::io::Error::other).and_then(|file| ofd_lock::try_lock(file, 0, LockKind::Exclusive));
        if !locked.map_err(fail)? {
            return Err(FileError::Corrupt {
                path: path.to_owned(),
                what: "somebody else locks a file that has no name yet",
            });
        }
        let record = Self { id, path: path.to_owned(), mapping, lock, ours: true };
        let header = record.header()?;
        header.file.stamp(MAGIC, VERSION);
        header.id.store(id.0, Ordering::Relaxed);
        header.owner.store(owner, Ordering::Relaxed);
        for (place, word) in header.device.iter().zip(device.words()) {
            place.store(word, Ordering::Relaxed);
        }
        header.len.store(len as u64, Ordering::Relaxed);
        header.mapped.store(mapped as u64, Ordering::Relaxed);
        if let Some(first) = header.servers.first() {
            first.store(server, Ordering::Relaxed);
        }
        new.publish()?;
        Ok(record)
    }

    /// Opens the file of somebody else's segment on `device`. Answers it with the bytes that can be addressed and mapped.
    pub(super) fn open(path: &Path, id: SegmentId, device: DeviceUuid) -> Result<(Self, usize, usize), FileError> {
        let corrupt = |what| FileError::Corrupt { path: path.to_owned(), what };
        let file = shm_file::open(path, Access::ReadWrite)?;
        let mapping = shm_file::map_checked(&file, path, Access::ReadWrite, MAGIC, VERSION, true)?;
        let lock = ForkGuarded::open(|| shm_file::open(path, Access::ReadWrite))?;
        let record = Self { id, path: path.to_owned(), mapping, lock, ours: false };
        if record.mapping.len() < FILE_BYTES {
            return Err(corrupt("shorter than its marks"));
        }
        let header = record.header()?;
        if header.id.load(Ordering::Relaxed) != id.0 {
            return Err(corrupt("another segment's file"));
        }
        if header.device.iter().map(|word| word.load(Ordering::Relaxed)).ne(device.words()) {
            return Err(corrupt("a segment of another device"));
        }
        let (len, mapped) = (header.len.load(Ordering::Relaxed), header.mapped.load(Ordering::Relaxed));
        match (usize::try_from(len), usize::try_from(mapped)) {
            (Ok(len), Ok(mapped)) if len <= mapped && mapped <= isize::MAX as usize && mapped > 0 => {
                Ok((record, len, mapped))
            }
            _ => Err(corrupt("a length that cannot be")),
        }
    }

    fn header(&self) -> Result<&CudaSegmentLayout, FileError> {
        let header = self.mapping.record::<CudaSegmentLayout>(0);
        header.ok_or_else(|| FileError::Corrupt { path: self.path.clone(), what: "shorter than a header" })
    }

    pub(super) fn id(&self) -> SegmentId {
        self.id
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The sockets at which the segment's descriptor may be had.
    pub(super) fn servers(&self) -> &[AtomicU64] {
        self.mapping.records(std::mem::offset_of!(CudaSegmentLayout, servers), SERVERS).unwrap_or(&[])
    }

    /// All marks: what is registered with a device.
    pub(super) fn marks(&self) -> Option<(*mut u8, usize)> {
        Some((self.mapping.range_mut(MARKS_OFFSET, MARKS * 8)?, MARKS * 8))
    }

    fn word(&self, mark: Mark) -> Option<&AtomicU64> {
        self.mapping.record(MARKS_OFFSET + usize::from(mark.number) * 8)
    }

    /// How it stands with a mark.
    pub(super) fn standing(&self, mark: Mark) -> Standing {
        // SYNC cuda-mark: pairs with the stream's write, which comes behind all it did before, for the whole system.
        match self.word(mark).map(|word| word.load(Ordering::Acquire)) {
            Some(word) if word & POISON != 0 => Standing::Poisoned,
            // As CUDA's streams compare: by the sign of the difference.
            Some(word) if word.wrapping_sub(mark.value) as i64 >= 0 => Standing::Done,
            Some(_) => Standing::Pending,
            None => Standing::Poisoned,
        }
    }

    /// Says that the bytes are there, from the host.
    pub(super) fn complete(&self, mark: Mark) {
        if let Some(word) = self.word(mark) {
            // SYNC cuda-mark
            word.store(mark.value, Ordering::Release);
        }
    }

    /// Ends the waiting for bytes that will not come.
    pub(super) fn poison(&self, mark: Mark) {
        let Some(word) = self.word(mark) else { return };
        let seen = word.load(Ordering::Relaxed);
        if self.standing(mark) == Standing::Pending {
            // Where the producer's device was quicker after all, its word stands. SYNC cuda-mark
            let _ = word.compare_exchange(seen, POISON, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Whether this is the owner's, whose process is this one.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Whether the process that made the segment is there.
    pub(super) fn owner_is_alive(&self) -> bool {
        if self.ours {
            return true;
        }
        let Ok(file) = self.lock.get() else { return true };
        // What cannot be found out is alive: waiting is bounded elsewhere, giving up is not undone.
        ofd_lock::is_locked_by_another(file, 0, 1).unwrap_or(true)
    }

    /// Adds a socket to those at which the descriptor can be had; in place of one that is gone where all places are taken.
    pub(super) fn add_server(&self, server: u64, is_gone: impl Fn(u64) -> bool) {
        for place in self.servers() {
            let seen = place.load(Ordering::Relaxed);
            if seen == server {
                return;
            }
            if (seen == 0 || is_gone(seen))
                && place.compare_exchange(seen, server, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
    }
}

/// The error of a message whose producer did not finish it.
pub(super) fn poisoned(domain: crate::domain::DomainId) -> CopyError {
    let name = "HAZCAT_PRODUCER_DIED".to_owned();
    crate::domain::DeviceError { domain, what: "wait for a message's bytes", name, out_of_memory: false }.into()
}

impl From<NotAMark> for CudaError {
    fn from(_: NotAMark) -> Self {
        Self::ours("wait for a message's bytes", "HAZCAT_NOT_A_MARK")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_root::TestRoot;

    const DEVICE: DeviceUuid = DeviceUuid([7; 16]);

    fn pair() -> (TestRoot, SegmentRecord, SegmentRecord) {
        let root = TestRoot::new();
        let path = root.path().join("segment");
        let own = SegmentRecord::create(&path, 0o600, SegmentId(5), 9, DEVICE, (100, 4096), 77).expect("create");
        let (other, len, mapped) = SegmentRecord::open(&path, SegmentId(5), DEVICE).expect("open");
        assert_eq!((len, mapped), (100, 4096));
        (root, own, other)
    }

    #[test]
    fn what_comes_with_a_message_is_read_back_and_garbage_is_not() {
        for mark in [Mark { number: 0, value: 1 }, Mark { number: 4095, value: (1 << 48) - 1 }] {
            assert_eq!(Mark::read(mark.readiness()), Ok(Some(mark)));
        }
        assert_eq!(Mark::read(Readiness::NOW), Ok(None));
        for word in [1, (1 << 48) - 1, 4097 << 48, u64::MAX] {
            assert_eq!(Mark::read(Readiness(word)), Err(NotAMark), "{word:#x}");
        }
    }

    #[test]
    fn a_mark_is_done_or_poisoned_but_never_both() {
        let (_root, own, other) = pair();
        let (first, second) = (Mark { number: 3, value: 10 }, Mark { number: 3, value: 11 });
        assert_eq!(other.standing(first), Standing::Pending);
        own.complete(first);
        assert_eq!((other.standing(first), other.standing(second)), (Standing::Done, Standing::Pending));
        other.poison(first);
        assert_eq!(own.standing(first), Standing::Done, "what is done stays done");
        other.poison(second);
        assert_eq!(own.standing(second), Standing::Poisoned);
        assert!((POISON.wrapping_sub(second.value) as i64) >= 0, "a stream that waits for it goes on");
    }

    #[test]
    fn the_owner_is_alive_until_it_lets_go() {
        let (_root, own, other) = pair();
        assert!(other.owner_is_alive() && own.owner_is_alive());
        drop(own);
        assert!(!other.owner_is_alive());
    }

    #[test]
    fn sockets_are_named_once_and_gone_ones_are_replaced() {
        let (_root, own, other) = pair();
        let named = || own.servers().iter().map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>();
        assert_eq!(named(), [77, 0, 0, 0, 0, 0, 0, 0]);
        for server in [77, 1, 2, 3, 4, 5, 6, 7] {
            other.add_server(server, |_| false);
        }
        assert_eq!(named(), [77, 1, 2, 3, 4, 5, 6, 7]);
        other.add_server(99, |_| false);
        assert!(!named().contains(&99), "no place");
        other.add_server(99, |gone| gone == 4);
        assert_eq!(named(), [77, 1, 2, 3, 99, 5, 6, 7]);
    }

    #[test]
    fn another_file_is_refused() {
        let (root, _own, _other) = pair();
        let path = root.path().join("segment");
        assert!(SegmentRecord::open(&path, SegmentId(6), DEVICE).is_err());
        assert!(SegmentRecord::open(&path, SegmentId(5), DeviceUuid([8; 16])).is_err());
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(100).unwrap();
        assert!(SegmentRecord::open(&path, SegmentId(5), DEVICE).is_err());
    }
}

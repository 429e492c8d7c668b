//! One payload segment: a file that its owner maps writable and everybody else read-only.

use crate::directory::kept::{keep, kept_name};
use crate::ids::{Identity, SegmentId};
use crate::sync::atomic::AtomicU64;
use crate::sys::mapping::{Access, Mapping, SharedRecord};
use crate::sys::shm_file::{self, FileError, FileHeader, NewFile};
use std::any::Any;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const MAGIC: u64 = u64::from_le_bytes(*b"hazcatPL");
const VERSION: u64 = 1;

/// What stands at the beginning of a segment's file. Its first page is not used for chunks.
#[repr(C)]
struct SegmentHeaderLayout {
    file: FileHeader,
    id: AtomicU64,
    owner: AtomicU64,
}

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for SegmentHeaderLayout {}

/// Bytes at the beginning of a segment that are not handed out: header and padding to a cache line.
pub const SEGMENT_HEADER_BYTES: usize = 64;

/// What keeps a segment prepared for a device; undone on drop.
pub type Pin = Box<dyn Any + Send + Sync>;

/// A mapped segment.
pub struct Segment {
    id: SegmentId,
    /// By the word of the device's domain; `None` where the device did not want it. Before `mapping`: dropped before that is.
    pins: Mutex<Vec<(u64, Option<Pin>)>>,
    writable: bool,
    mapping: Mapping,
}

impl Segment {
    /// Creates the file of a segment of `len` bytes, all of it reserved, and maps it writable.
    ///
    /// # Errors
    /// [`FileError::Full`] where shared memory has no room; [`FileError::Denied`] and others as the system answers.
    pub fn create(path: &Path, mode: u32, len: usize, id: SegmentId, owner: Identity) -> Result<Self, FileError> {
        let size = len as u64;
        let new = NewFile::create(path, mode, size, size)?;
        let mapping = Mapping::new(new.file(), 0, len, Access::ReadWrite, true)
            .map_err(|error| FileError::from_io(path, size, error))?;
        let header = mapping
            .record::<SegmentHeaderLayout>(0)
            .ok_or_else(|| FileError::Corrupt { path: path.to_path_buf(), what: "shorter than a header" })?;
        header.file.stamp(MAGIC, VERSION);
        header.id.store(id.0, std::sync::atomic::Ordering::Relaxed);
        header.owner.store(owner.word(), std::sync::atomic::Ordering::Relaxed);
        new.publish()?;
        fault_point!("segment.create.published");
        keep(path);
        fault_point!("segment.create.kept");
        Ok(Self { id, pins: Mutex::default(), writable: true, mapping })
    }

    /// Opens somebody else's segment read-only.
    ///
    /// # Errors
    /// [`FileError::Missing`] where it is gone, [`FileError::Corrupt`] where the file is not that segment.
    pub fn open(path: &Path, id: SegmentId) -> Result<Self, FileError> {
        match Self::open_named(path, id) {
            // Somebody removed or replaced it: it has another name.
            Err(error) => kept_name(path).and_then(|kept| Self::open_named(&kept, id).ok()).ok_or(error),
            opened => opened,
        }
    }

    fn open_named(path: &Path, id: SegmentId) -> Result<Self, FileError> {
        let file = shm_file::open(path, Access::ReadOnly)?;
        let mapping = shm_file::map_checked(&file, path, Access::ReadOnly, MAGIC, VERSION, true)?;
        let corrupt = |what| FileError::Corrupt { path: path.to_path_buf(), what };
        let header = mapping.record::<SegmentHeaderLayout>(0).ok_or_else(|| corrupt("shorter than a header"))?;
        if header.id.load(std::sync::atomic::Ordering::Relaxed) != id.0 {
            return Err(corrupt("another segment's file"));
        }
        Ok(Self { id, pins: Mutex::default(), writable: false, mapping })
    }

    /// Prepares it for copies from and to a device, known by the word of its domain. `pin` (address, length, whether it is
    /// mapped writable) is asked once for each.
    pub fn pin_for(&self, domain: u64, pin: impl FnOnce(*const u8, usize, bool) -> Option<Pin>) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if pins.iter().any(|(known, _)| *known == domain) {
            return;
        }
        let whole = self.mapping.range(0, self.mapping.len());
        pins.push((domain, whole.and_then(|at| pin(at, self.mapping.len(), self.writable))));
    }

    /// Its never-reused id.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// Its bytes.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

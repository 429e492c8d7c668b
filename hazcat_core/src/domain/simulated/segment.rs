//! A segment of simulated device memory: a file that nobody maps, and addresses behind which there is nothing.

use crate::domain::book::{SegmentMemory, RESERVED_BYTES};
use crate::domain::{CopyError, DomainId};
use crate::ids::SegmentId;
use crate::sys::mapping::Access;
use crate::sys::reservation::Reservation;
use crate::sys::shm_file::{self, FileError, NewFile};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

const MAGIC: u64 = u64::from_le_bytes(*b"hazcatSD");
const VERSION: u64 = 1;

/// One segment, its owner's or another's.
pub(super) struct SimulatedSegment {
    id: SegmentId,
    path: PathBuf,
    file: File,
    addresses: Reservation,
    writable: bool,
}

/// The segments of this process, by their first address.
type Table = Mutex<BTreeMap<usize, Weak<SimulatedSegment>>>;

fn table() -> &'static Table {
    static TABLE: Table = Mutex::new(BTreeMap::new());
    &TABLE
}

/// What stands at the beginning of the file.
fn header(id: SegmentId, device: DomainId) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).zip([MAGIC, VERSION, id.0, device.word()]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

impl SimulatedSegment {
    /// Creates a segment of `len` bytes, all of it reserved.
    pub(super) fn create(
        path: &Path,
        mode: u32,
        len: usize,
        id: SegmentId,
        device: DomainId,
    ) -> Result<Arc<Self>, FileError> {
        let fail = |error| FileError::from_io(path, len as u64, error);
        let addresses = Reservation::new(len).map_err(fail)?;
        let new = NewFile::create(path, mode, len as u64, len as u64)?;
        new.file().write_all_at(&header(id, device), 0).map_err(fail)?;
        let file = new.publish()?;
        Ok(Self { id, path: path.to_owned(), file, addresses, writable: true }.listed())
    }

    /// Opens a segment that somebody created.
    pub(super) fn open(path: &Path, id: SegmentId, device: DomainId) -> Result<Arc<Self>, FileError> {
        let fail = |error| FileError::from_io(path, 0, error);
        let corrupt = |what| FileError::Corrupt { path: path.to_owned(), what };
        let file = shm_file::open(path, Access::ReadOnly)?;
        let len = usize::try_from(file.metadata().map_err(fail)?.len()).map_err(|_| corrupt("too large"))?;
        let mut found = [0; 32];
        if len < RESERVED_BYTES || file.read_exact_at(&mut found, 0).is_err() {
            return Err(corrupt("shorter than a header"));
        }
        if found != header(id, device) {
            return Err(corrupt("not that segment of that simulated device"));
        }
        let addresses = Reservation::new(len).map_err(fail)?;
        Ok(Self { id, path: path.to_owned(), file, addresses, writable: false }.listed())
    }

    fn listed(self) -> Arc<Self> {
        let first = self.addresses.address().as_ptr() as usize;
        let segment = Arc::new(self);
        let mut table = table().lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, segment| segment.strong_count() > 0);
        table.insert(first, Arc::downgrade(&segment));
        segment
    }

    /// The segment that an address of this process lies in, and the offset there.
    pub(super) fn at(address: *const u8) -> Option<(Arc<Self>, usize)> {
        let table = table().lock().unwrap_or_else(PoisonError::into_inner);
        let (first, segment) = table.range(..=address as usize).next_back()?;
        let segment = segment.upgrade()?;
        let offset = address as usize - first;
        (offset < segment.addresses.len()).then_some((segment, offset))
    }

    pub(super) fn id(&self) -> SegmentId {
        self.id
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Address of `len` bytes at `offset`.
    pub(super) fn address(&self, offset: usize, len: usize) -> Option<*mut u8> {
        offset.checked_add(len).filter(|end| *end <= self.addresses.len())?;
        Some(self.addresses.address().as_ptr().wrapping_add(offset))
    }

    fn check(&self, offset: usize, len: usize) -> Result<(), CopyError> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.addresses.len());
        if inside {
            Ok(())
        } else {
            Err(CopyError::Bounds { len, room: self.addresses.len().saturating_sub(offset) })
        }
    }

    fn refused(&self, error: &io::Error) -> CopyError {
        CopyError::System { path: self.path.clone(), error: error.kind() }
    }

    pub(super) fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        self.check(offset, to.len())?;
        self.file.read_exact_at(to, offset as u64).map_err(|error| self.refused(&error))
    }

    pub(super) fn write(&self, offset: usize, from: &[u8]) -> Result<(), CopyError> {
        if !self.writable {
            return Err(CopyError::ReadOnly);
        }
        self.check(offset, from.len())?;
        self.file.write_all_at(from, offset as u64).map_err(|error| self.refused(&error))
    }
}

impl SegmentMemory for Arc<SimulatedSegment> {
    fn len(&self) -> usize {
        self.addresses.len()
    }
}

//! A memory domain as another crate would write it, with the library's public names only: `docs/memory-domains.md` shows it step
//! by step, and `third_party.rs` checks that what is shown there is what stands here.
//!
//! A shelf is a file. Nobody maps it; what is handed out as an address is a number that only code "on the shelf" understands.
//! Its streams do their work when they are told to ([`finish`]), so that a test decides what is done when.

use hazcat_core::domain::book::{SegmentBook, SegmentMemory};
use hazcat_core::domain::registry::DomainFactory;
use hazcat_core::domain::{
    AllocateError, Allocation, CopyError, DeviceError, DomainAllocator, DomainError, DomainId, MemoryDomain, Readiness,
    RemoteMemory, SegmentFolder, Stream,
};
use hazcat_core::ids::SegmentId;
use hazcat_core::sys::shm_file::FileError;
use hazcat_core::Identity;
use std::any::Any;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

pub const KIND: &str = "shelf";

/// A segment: a file, and addresses that are used for nothing else in this process.
pub struct ShelfSegment {
    id: SegmentId,
    path: PathBuf,
    file: File,
    first_address: usize,
    len: usize,
}

/// Handed out once each, far away from anything that is mapped.
static NEXT_ADDRESS: AtomicUsize = AtomicUsize::new(1 << 62);

impl ShelfSegment {
    fn create(path: &Path, mode: u32, len: usize, id: SegmentId) -> Result<Self, AllocateError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path);
        let file = file.and_then(|file| file.set_len(len as u64).map(|()| file));
        let file = file.map_err(|error| FileError::from_io(path, len as u64, error))?;
        Ok(Self::of(file, path, len, id))
    }

    fn open(path: &Path, id: SegmentId) -> Result<Self, AllocateError> {
        let fail = |error| FileError::from_io(path, 0, error);
        let file = File::open(path).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len() as usize;
        Ok(Self::of(file, path, len, id))
    }

    fn of(file: File, path: &Path, len: usize, id: SegmentId) -> Self {
        let first_address = NEXT_ADDRESS.fetch_add(len.next_multiple_of(4096), Ordering::Relaxed);
        Self { id, path: path.to_owned(), file, first_address, len }
    }

    fn address(&self, offset: usize, len: usize) -> Option<usize> {
        offset.checked_add(len).filter(|end| *end <= self.len)?;
        Some(self.first_address + offset)
    }

    fn refused(&self, error: &std::io::Error) -> CopyError {
        CopyError::System { path: self.path.clone(), error: error.kind() }
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        self.address(offset, to.len()).ok_or(CopyError::Bounds { len: to.len(), room: self.len })?;
        self.file.read_exact_at(to, offset as u64).map_err(|error| self.refused(&error))
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), CopyError> {
        self.address(offset, from.len()).ok_or(CopyError::Bounds { len: from.len(), room: self.len })?;
        self.file.write_all_at(from, offset as u64).map_err(|error| self.refused(&error))
    }
}

// Guide, step 1: what the books need to know of a segment.
impl SegmentMemory for ShelfSegment {
    fn len(&self) -> usize {
        self.len
    }
}

/// One endpoint's memory.
struct ShelfAllocator {
    domain: DomainId,
    folder: SegmentFolder,
    owner: Identity,
    book: SegmentBook<ShelfSegment>,
}

impl ShelfAllocator {
    fn place(&self, of: &Allocation, offset: usize, len: usize) -> Result<(&ShelfSegment, usize), CopyError> {
        let range = of.range(offset, len).ok_or(CopyError::Bounds { len, room: of.capacity })?;
        let segment = self.book.segment(of.segment).ok_or(CopyError::Bounds { len, room: 0 })?;
        Ok((segment, range.start))
    }
}

// Guide, step 2: the allocator.
impl DomainAllocator for ShelfAllocator {
    fn domain(&self) -> DomainId {
        self.domain
    }

    fn allocate(&mut self, bytes: usize) -> Result<Allocation, AllocateError> {
        let (folder, owner) = (&self.folder, self.owner);
        self.book.allocate(bytes, |len| {
            let id = SegmentId::random();
            ShelfSegment::create(&folder.path(id, owner.word()), folder.directory.file_mode(), len, id)
        })
    }

    fn deallocate(&mut self, allocation: Allocation) {
        self.book.deallocate(allocation);
    }

    fn would_fit(&self, bytes: usize, freed: &[Allocation]) -> bool {
        self.book.would_fit(bytes, freed)
    }

    fn share(&self, segment: u32) -> Option<SegmentId> {
        self.book.segment(segment).map(|segment| segment.id)
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.book.segments().map(|segment| segment.path.clone()).collect()
    }

    fn address(&self, of: &Allocation) -> Option<*mut u8> {
        let address = self.book.segment(of.segment)?.address(of.byte_offset(), of.capacity)?;
        Some(address as *mut u8)
    }

    fn copy_from(&mut self, from: &[u8], to: &Allocation, offset: usize) -> Result<(), CopyError> {
        let (segment, at) = self.place(to, offset, from.len())?;
        segment.write(at, from)
    }

    fn copy_to(&self, from: &Allocation, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        let (segment, at) = self.place(from, offset, to.len())?;
        segment.read(at, to)
    }

    fn copy(&mut self, from: &Allocation, to: &Allocation, len: usize) -> Result<(), CopyError> {
        let mut bytes = vec![0; len];
        self.place(to, 0, len)?;
        self.copy_to(from, 0, &mut bytes)?;
        self.copy_from(&bytes, to, 0)
    }

    fn mark_ready(&mut self, _of: &Allocation, stream: Stream) -> Result<Readiness, CopyError> {
        static MARKS: AtomicU64 = AtomicU64::new(1);
        let mark = MARKS.fetch_add(1, Ordering::Relaxed);
        streams().entry(stream.0).or_default().marks.push(mark);
        marks().insert(mark, Standing::Pending);
        Ok(Readiness(mark))
    }

    fn usage(&self) -> (usize, usize) {
        self.book.usage()
    }
}

/// Somebody's segment, opened here.
struct RemoteShelf {
    domain: DomainId,
    segment: ShelfSegment,
}

// Guide, step 3: others' memory.
impl RemoteMemory for RemoteShelf {
    fn address(&self, offset: usize, len: usize) -> Option<*const u8> {
        self.segment.address(offset, len).map(|address| address as *const u8)
    }

    fn copy_to_host(&self, offset: usize, to: &mut [u8]) -> Result<(), CopyError> {
        self.segment.read(offset, to)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    // Only where there are streams.
    fn wait_ready(&self, readiness: Readiness, stream: Option<Stream>) -> Result<(), CopyError> {
        let waits = Waits::begin(self.domain);
        while marks().get(&readiness.0) == Some(&Standing::Pending) && stream.is_none() {
            std::thread::yield_now();
        }
        drop(waits);
        if self.is_poisoned(readiness) {
            let (what, name) = ("wait for a message", "SHELF_PRODUCER_DIED".to_owned());
            return Err(DeviceError { domain: self.domain, what, name, out_of_memory: false }.into());
        }
        Ok(())
    }

    fn is_poisoned(&self, readiness: Readiness) -> bool {
        marks().get(&readiness.0) == Some(&Standing::Poisoned)
    }

    fn when_done(&self, stream: Stream, then: Box<dyn FnOnce() + Send>) -> Result<(), CopyError> {
        if stream == BROKEN {
            let (what, name) = ("wait for a stream", "SHELF_NO_STREAM".to_owned());
            return Err(DeviceError { domain: self.domain, what, name, out_of_memory: false }.into());
        }
        streams().entry(stream.0).or_default().then.push(then);
        Ok(())
    }
}

/// One shelf.
struct Shelf(DomainId);

// Guide, step 4: the domain.
impl MemoryDomain for Shelf {
    fn id(&self) -> DomainId {
        self.0
    }

    fn description(&self) -> String {
        format!("shelf number {}", self.0.instance())
    }

    fn allocator(
        &self,
        folder: &SegmentFolder,
        owner: Identity,
        budget: usize,
    ) -> Result<Box<dyn DomainAllocator>, AllocateError> {
        let book = SegmentBook::new(budget);
        Ok(Box::new(ShelfAllocator { domain: self.0, folder: folder.clone(), owner, book }))
    }

    fn remap(
        &self,
        folder: &SegmentFolder,
        segment: SegmentId,
        owner: u64,
    ) -> Result<Arc<dyn RemoteMemory>, AllocateError> {
        let segment = ShelfSegment::open(&folder.path(segment, owner), segment)?;
        Ok(Arc::new(RemoteShelf { domain: self.0, segment }))
    }

    // Only where copies are faster from and to prepared host memory.
    fn pin_host(&self, at: *const u8, len: usize, writable: bool) -> Option<Box<dyn Any + Send + Sync>> {
        Some(Box::new(Pin::new(self.0, at, len, writable)))
    }
}

/// Makes shelves.
pub struct Shelves;

// Guide, step 5: names for it.
impl DomainFactory for Shelves {
    fn resolve(&self, instance: &str) -> Result<Arc<dyn MemoryDomain>, DomainError> {
        let text = || format!("{KIND}:{instance}");
        let number: u32 = instance.parse().map_err(|_| DomainError::Malformed { text: text() })?;
        match DomainId::new(KIND, number) {
            Some(id) if number < 100 => Ok(Arc::new(Shelf(id))),
            _ => Err(DomainError::NotAvailable { text: text(), why: "there are 100 shelves".into() }),
        }
    }

    fn open(&self, id: DomainId) -> Result<Arc<dyn MemoryDomain>, DomainError> {
        self.resolve(&id.instance().to_string())
    }
}

/// A stream for which the shelf cannot say when it is done.
pub const BROKEN: Stream = Stream(666);

/// What was submitted to a stream.
#[derive(Default)]
struct Submitted {
    marks: Vec<u64>,
    then: Vec<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Pending,
    Done,
    Poisoned,
}

fn streams() -> MutexGuard<'static, HashMap<usize, Submitted>> {
    static STREAMS: LazyLock<Mutex<HashMap<usize, Submitted>>> = LazyLock::new(Mutex::default);
    STREAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn marks() -> MutexGuard<'static, HashMap<u64, Standing>> {
    static MARKS: LazyLock<Mutex<HashMap<u64, Standing>>> = LazyLock::new(Mutex::default);
    MARKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(stream: Stream, how: Standing) {
    let Some(submitted) = streams().remove(&stream.0) else { return };
    for mark in submitted.marks {
        marks().insert(mark, how);
    }
    submitted.then.into_iter().for_each(|then| then());
}

/// Does all that was submitted to a stream.
pub fn finish(stream: Stream) {
    end(stream, Standing::Done);
}

/// The same with a stream that fails.
pub fn fail(stream: Stream) {
    end(stream, Standing::Poisoned);
}

/// One thread that waits for a message.
struct Waits(DomainId);

fn wait_list() -> MutexGuard<'static, Vec<DomainId>> {
    static WAITS: Mutex<Vec<DomainId>> = Mutex::new(Vec::new());
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waits {
    fn begin(domain: DomainId) -> Self {
        wait_list().push(domain);
        Self(domain)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut list = wait_list();
        let own = list.iter().position(|of| *of == self.0);
        own.map(|own| list.swap_remove(own));
    }
}

/// How many threads wait for messages on a shelf now.
pub fn waiting(domain: DomainId) -> usize {
    wait_list().iter().filter(|of| **of == domain).count()
}

/// Host memory that was prepared for a shelf.
struct Pin {
    domain: DomainId,
    range: (usize, usize, bool),
}

type Pins = Vec<(DomainId, (usize, usize, bool))>;

fn pin_list() -> MutexGuard<'static, Pins> {
    static PINS: Mutex<Pins> = Mutex::new(Vec::new());
    PINS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pin {
    fn new(domain: DomainId, at: *const u8, len: usize, writable: bool) -> Self {
        let range = (at as usize, len, writable);
        pin_list().push((domain, range));
        Self { domain, range }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // It is unpinned while it is still mapped: a driver would look.
        // SAFETY: the first byte of memory that was pinned, and must not be unmapped yet.
        let _ = unsafe { (self.range.0 as *const u8).read_volatile() };
        pin_list().retain(|pin| *pin != (self.domain, self.range));
    }
}

/// Lengths of the host memory prepared for a shelf now, and whether it is writable.
pub fn pinned(domain: DomainId) -> Vec<(usize, bool)> {
    pin_list().iter().filter(|(of, _)| *of == domain).map(|(_, (_, len, writable))| (*len, *writable)).collect()
}

//! What the tests stand on: a device, a folder, allocators, streams and kernels.

use crate::fake;
use hazcat_core::directory::{Directory, TopicStem};
use hazcat_core::domain::cuda::kernels::{Kernels, OwnStream};
use hazcat_core::domain::cuda::{self, Device};
use hazcat_core::domain::registry::resolve;
use hazcat_core::domain::{Allocation, DomainAllocator, DomainError, MemoryDomain, RemoteMemory, SegmentFolder};
use hazcat_core::{Config, Identity};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A watchdog, not a time limit.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const MIB: usize = 1 << 20;

pub struct Scene {
    pub domain: Arc<dyn MemoryDomain>,
    pub device: Arc<Device>,
    pub kernels: Kernels,
    root: PathBuf,
    ours: bool,
}

impl Scene {
    /// On device 0; `None` (and said) where there is none.
    pub fn new() -> Option<Self> {
        Self::of("cuda:0")
    }

    pub fn of(device: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/dev/shm/hazcat-test-{}-cuda-{number}", std::process::id()));
        std::fs::create_dir(&root).expect("a new folder in /dev/shm");
        Self::on(device, &root, true)
    }

    /// In somebody else's folder.
    pub fn on(device: &str, root: &Path, ours: bool) -> Option<Self> {
        let domain = match resolve(device) {
            Err(error @ DomainError::NotAvailable { .. }) if !fake::is_on() => {
                println!("not tested: {error}");
                let _ = ours.then(|| std::fs::remove_dir_all(root));
                return None;
            }
            other => other.expect("on the fake driver it is there"),
        };
        let device = cuda::device(device.split_once(':').map_or("", |(_, instance)| instance)).expect("the same");
        let kernels = Kernels::load(&device).expect("kernels");
        Some(Self { domain, device, kernels, root: root.to_owned(), ours })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn config(&self) -> Config {
        Config { root: self.root.clone(), ..Config::default() }
    }

    pub fn folder(&self) -> SegmentFolder {
        let directory = Directory::open_or_create(&self.config()).expect("directory");
        SegmentFolder { directory, topic: TopicStem::new("/cuda", "bytes", 0) }
    }

    pub fn owner() -> Identity {
        Identity::new(0, 1).expect("in range")
    }

    pub fn allocator(&self) -> Box<dyn DomainAllocator> {
        self.domain.allocator(&self.folder(), Self::owner(), 64 * MIB).expect("allocator")
    }

    pub fn remap(&self, allocator: &dyn DomainAllocator, of: &Allocation) -> Arc<dyn RemoteMemory> {
        let segment = allocator.share(of.segment).expect("a segment's id");
        self.domain.remap(&self.folder(), segment, Self::owner().word()).expect("remap")
    }

    pub fn stream(&self) -> OwnStream {
        OwnStream::new(&self.device).expect("a stream")
    }

    /// A stream that is busy for so long, and then fills an allocation.
    pub fn fill_later(&self, stream: &OwnStream, delay: Duration, at: *mut u8, len: usize, seed: u64) {
        self.kernels.spin(stream.stream(), delay.as_nanos() as u64).expect("spin");
        // SAFETY: callers pass an allocation of theirs that they keep until the stream is done.
        unsafe { self.kernels.fill(stream.stream(), at, len, seed) }.expect("fill");
    }

    /// Bytes that are not as filled with `seed`, looked at on the device, behind `stream`.
    pub fn wrong(&self, stream: &OwnStream, at: *const u8, len: usize, seed: u64) -> u64 {
        // SAFETY: callers pass mapped memory.
        unsafe { self.kernels.wrong_bytes(stream.stream(), at, len, seed) }.expect("verify")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_dir_all(&self.root);
        }
        if !std::thread::panicking() {
            fake::assert_lawful();
        }
    }
}

/// What `kernels.cu` writes.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mix = |mut x: u64| {
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    (0..len).map(|at| (mix(seed ^ (at as u64 / 8)) >> (at % 8 * 8)) as u8).collect()
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

//! What the suite stands on: a folder of its own, random numbers, contents that show damage.

use crate::config::Config;
use crate::directory::{Directory, TopicStem};
use crate::domain::{Allocation, DomainAllocator, MemoryDomain, SegmentFolder};
use crate::ids::Identity;
use crate::sys::random::random_u64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A domain under test, and a folder in shared memory that is removed on drop.
pub struct Bench {
    domain: Arc<dyn MemoryDomain>,
    root: PathBuf,
    ours: bool,
}

impl Bench {
    /// A folder of its own for this domain.
    ///
    /// # Panics
    /// Where there is no shared memory.
    pub fn new(domain: Arc<dyn MemoryDomain>) -> Self {
        let root = PathBuf::from(format!("/dev/shm/hazcat-test-{}-domain-{:x}", std::process::id(), random_u64()));
        std::fs::create_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        Self { domain, root, ours: true }
    }

    /// On a folder that somebody else removes.
    pub fn on(domain: Arc<dyn MemoryDomain>, root: &Path) -> Self {
        Self { domain, root: root.to_owned(), ours: false }
    }

    /// The domain under test.
    pub fn domain(&self) -> &Arc<dyn MemoryDomain> {
        &self.domain
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the segments' files lie.
    pub fn folder(&self) -> SegmentFolder {
        let config = Config { root: self.root.clone(), ..Config::default() };
        let directory = Directory::open_or_create(&config).unwrap_or_else(|error| panic!("{error}"));
        SegmentFolder { directory, topic: TopicStem::new("/conformance", "bytes", 0) }
    }

    /// Whose allocators they are.
    pub fn owner() -> Identity {
        Identity::new(0, 1).unwrap_or_else(|| unreachable!("in range"))
    }

    /// An allocator with so many bytes to spend.
    ///
    /// # Panics
    /// Where the domain refuses.
    pub fn allocator(&self, budget: usize) -> Box<dyn DomainAllocator> {
        let allocator = self.domain.allocator(&self.folder(), Self::owner(), budget);
        allocator.unwrap_or_else(|error| panic!("an allocator of {}: {error}", self.domain.id()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

/// A small random generator; its seed (`HAZCAT_SEED`, or from the clock) is printed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn seeded(what: &str) -> Self {
        let given = std::env::var("HAZCAT_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(random_u64);
        println!("{what}: HAZCAT_SEED={seed}");
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// `len` bytes that depend on `seed` and on their place.
pub(super) fn content(seed: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| mix(seed ^ (at as u64 / 8)).to_le_bytes()[at % 8]).collect()
}

/// All of an allocation's first `len` bytes, on the host.
pub(super) fn read(allocator: &dyn DomainAllocator, from: &Allocation, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    allocator.copy_to(from, 0, &mut bytes).unwrap_or_else(|error| panic!("copy_to inside an allocation: {error}"));
    bytes
}

//! The doorbells of this participant, and how it rings those of others.
//!
//! Each participant has a file of [`MAX_BELLS`] words, one cache line each: the only memory of a participant that its peers
//! map writable. Peers' pages are mapped when news of the peer arrives; [`Bells::ring`] finds them without waiting. A page
//! stays mapped while somebody rings in it or holds an [`OwnBell`].
//!
//! A file that somebody removes is made anew ([`Bells::restore_own`]) and takes the place of the old one under the sleepers;
//! peers notice that the name means another file when they next look at the participant. The same goes for a file that was cut
//! short; who has rung in what was lost of it maps it again.

use super::liveness::Liveness;
use super::shared_slot::SharedSlot;
use crate::directory::Directory;
use crate::doorbell;
use crate::ids::Identity;
use crate::lease::MAX_PARTICIPANTS;
use crate::sys::bus_error;
use crate::sys::file_id::FileId;
use crate::sys::fork::ForkGuarded;
use crate::sys::futex;
use crate::sys::mapping::{Access, Mapping, SharedRecord};
use crate::sys::shm_file::{self, FileError, NewFile};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most bells (wait sets that can sleep at the same time) of one participant.
pub const MAX_BELLS: usize = 256;

const MAGIC: u64 = u64::from_le_bytes(*b"hazcatBE");
const VERSION: u64 = 1;
/// Where the words begin: a page boundary, so that peers map nothing else.
const WORDS: u64 = 4096;
const BYTES: usize = size_of::<[BellRecord; MAX_BELLS]>();
const FILE_BYTES: u64 = WORDS + BYTES as u64;

/// One bell. Alone on its cache line: sleepers and ringers of different bells do not disturb each other.
#[repr(C, align(64))]
struct BellRecord {
    word: AtomicU32,
    _padding: [AtomicU32; 15],
}

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for BellRecord {}

/// A mapped page of bells.
struct BellPage {
    mapping: Mapping,
    /// What this process' own last finished ring left in each bell.
    last_rung: Box<[AtomicU64]>,
}

impl BellPage {
    fn map(file: &File, path: &Path) -> Result<Self, FileError> {
        let mapping = Mapping::new(file, WORDS, BYTES, Access::ReadWrite, true)
            .map_err(|error| FileError::from_io(path, 0, error))?;
        let last_rung = (0..MAX_BELLS).map(|_| AtomicU64::new(doorbell::NEVER_RUNG)).collect();
        Ok(Self { mapping, last_rung })
    }

    #[inline]
    fn word(&self, index: usize) -> Option<&AtomicU32> {
        if index >= MAX_BELLS {
            return None;
        }
        let record = self.mapping.record::<BellRecord>(index * size_of::<BellRecord>())?;
        Some(&record.word)
    }

    #[inline]
    fn ring(&self, index: usize) {
        if let (Some(word), Some(last)) = (self.word(index), self.last_rung.get(index)) {
            doorbell::ring(word, last, futex::wake_all);
        }
    }
}

/// This participant's own bells: the page, and which are taken.
struct OwnBells {
    page: BellPage,
    taken: [AtomicU64; MAX_BELLS / 64],
    /// The file that is mapped.
    file: Mutex<ForkGuarded<File>>,
}

/// A bell of this participant, to sleep on; free again when dropped. Usable as long as it exists, even after leaving.
pub struct OwnBell {
    bells: Arc<OwnBells>,
    index: u32,
}

impl OwnBell {
    /// Its number, by which others ring it.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The word to sleep on.
    pub fn word(&self) -> &AtomicU32 {
        /// Never used: the index is in range. A bell that nobody rings, should it ever be.
        static NOWHERE: AtomicU32 = AtomicU32::new(0);
        self.bells.page.word(self.index as usize).unwrap_or(&NOWHERE)
    }
}

impl Drop for OwnBell {
    fn drop(&mut self) {
        let index = self.index as usize;
        if let Some(word) = self.bells.taken.get(index / 64) {
            // SYNC bell-taken
            word.fetch_and(!(1 << (index % 64)), Ordering::Release);
        }
    }
}

/// The bells of a peer.
struct PeerBells {
    identity: Identity,
    file: FileId,
    page: BellPage,
}

/// Makes the file of a participant's bells; `fill` is called before it gets its name.
fn make<T>(
    path: &Path,
    mode: u32,
    identity: Identity,
    fill: impl FnOnce(&File) -> Result<T, FileError>,
) -> Result<(ForkGuarded<File>, T), FileError> {
    let new = NewFile::create(path, mode, FILE_BYTES, FILE_BYTES)?;
    write_header(new.file(), identity).map_err(|error| FileError::from_io(path, FILE_BYTES, error))?;
    let filled = fill(new.file())?;
    // Nobody else has a right to the name: whatever stands there is none of ours.
    let file = ForkGuarded::open(|| new.publish_over())?;
    Ok((file, filled))
}

fn records(words: &Mapping) -> &[BellRecord] {
    words.records(0, MAX_BELLS).unwrap_or(&[])
}

fn header(identity: Identity) -> [u64; 3] {
    [MAGIC, VERSION, identity.word()]
}

fn write_header(file: &File, identity: Identity) -> io::Result<()> {
    let bytes: Vec<u8> = header(identity).iter().flat_map(|word| word.to_le_bytes()).collect();
    file.write_all_at(&bytes, 0)
}

fn read_header(file: &File) -> io::Result<[u64; 3]> {
    let mut words = [[0; 8]; 3];
    file.read_exact_at(words.as_flattened_mut(), 0)?;
    Ok(words.map(u64::from_le_bytes))
}

/// All bells this participant can ring.
pub struct Bells {
    directory: Directory,
    identity: Identity,
    liveness: Arc<Liveness>,
    own: Arc<OwnBells>,
    peers: Box<[SharedSlot<PeerBells>]>,
    /// Held while a peer's page is mapped or dropped.
    mapping: Mutex<()>,
}

impl Bells {
    /// Creates this participant's file of bells.
    pub(crate) fn create(
        directory: &Directory,
        identity: Identity,
        liveness: Arc<Liveness>,
    ) -> Result<Self, FileError> {
        let path = directory.bells_path(identity);
        let (file, page) = make(&path, directory.file_mode(), identity, |file| BellPage::map(file, &path))?;
        Ok(Self {
            directory: directory.clone(),
            identity,
            liveness,
            own: Arc::new(OwnBells { page, taken: Default::default(), file: Mutex::new(file) }),
            peers: (0..MAX_PARTICIPANTS).map(|_| SharedSlot::new()).collect(),
            mapping: Mutex::new(()),
        })
    }

    /// Makes our file anew where somebody removed, replaced or cut it, and writes its header anew where somebody overwrote it.
    /// Answers whether peers have to map it again.
    ///
    /// # Errors
    /// [`FileError`]; what is mapped stays in use then.
    pub(crate) fn restore_own(&self) -> Result<bool, FileError> {
        let path = self.directory.bells_path(self.identity);
        let fail = |error| FileError::from_io(&path, 0, error);
        let mut held = self.own.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(old) = held.get() else { return Ok(false) };
        let meta = old.metadata().map_err(fail)?;
        let in_place = FileId::of(&meta).is_named(&path);
        if in_place && meta.len() >= FILE_BYTES && !self.own.page.mapping.is_cut() {
            if read_header(old).map_err(fail)? != header(self.identity) {
                write_header(old, self.identity).map_err(fail)?;
            }
            return Ok(false);
        }
        if meta.len() < FILE_BYTES {
            // Sleepers are found by the page of the file: they are woken where it is as long as it was.
            let _ = old.set_len(FILE_BYTES);
        }
        let alias = Mapping::new(old, WORDS, BYTES, Access::ReadWrite, false);
        let (file, ()) = make(&path, self.directory.file_mode(), self.identity, |file| {
            let copy = Mapping::new(file, WORDS, BYTES, Access::ReadWrite, false).map_err(fail)?;
            // A word that sleepers know must not come back to a value that they remember.
            for (to, from) in records(&copy).iter().zip(alias.iter().flat_map(records)) {
                to.word.store(from.word.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            self.own.page.mapping.replace(file, WORDS).map_err(fail)
        })?;
        fault_point!("bells.restore.published");
        *held = file;
        // Who has begun to sleep on a word of the old file is woken there; who is about to sees the new word changed.
        self.ring_all_own();
        for record in alias.iter().flat_map(records) {
            doorbell::ring_always(&record.word, futex::wake_all);
        }
        Ok(true)
    }

    /// Takes a bell of one's own; `None` while all are taken.
    pub fn allocate(&self) -> Option<OwnBell> {
        for (at, word) in self.own.taken.iter().enumerate() {
            // SYNC bell-taken
            let free = word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |bits| {
                (bits != u64::MAX).then(|| bits | 1 << bits.trailing_ones())
            });
            if let Ok(bits) = free {
                let index = at as u32 * 64 + bits.trailing_ones();
                return Some(OwnBell { bells: Arc::clone(&self.own), index });
            }
        }
        None
    }

    /// Rings every bell of one's own that is taken, so that every sleeper of this process looks again.
    ///
    /// Whatever was rung before: without a full fence behind what is news, a bell that seems unchanged since the last ring
    /// may have been armed (`tests/loom_wake` finds the sleeper that is forgotten).
    pub fn ring_all_own(&self) {
        for (at, word) in self.own.taken.iter().enumerate() {
            let mut bits = word.load(Ordering::Acquire);
            while bits != 0 {
                if let Some(word) = self.own.page.word(at * 64 + bits.trailing_zeros() as usize) {
                    doorbell::ring_always(word, futex::wake_all);
                }
                bits &= bits - 1;
            }
        }
    }

    /// Rings `bell` of participant `who`, who may be oneself; nothing happens where there is no such bell, or `who` is gone.
    ///
    /// Wait-free once the peer's page is mapped, which happens on news of the peer; before that, it is mapped here.
    #[inline]
    pub fn ring(&self, who: Identity, bell: u32) {
        let bell = bell as usize;
        if who == self.identity {
            return self.own.page.ring(bell);
        }
        if !self.ring_mapped(who, bell) && !self.liveness.is_known_dead(who) && self.map_peer(who).is_ok() {
            self.ring_mapped(who, bell);
        }
    }

    #[inline]
    fn ring_mapped(&self, who: Identity, bell: usize) -> bool {
        let Some(slot) = self.peers.get(who.index() as usize) else { return false };
        slot.with(|peer| match peer {
            Some(peer) if peer.identity == who => {
                peer.page.ring(bell);
                true
            }
            _ => false,
        })
    }

    /// Maps the page of `who`, if it is not mapped.
    ///
    /// # Errors
    /// [`FileError`]; `Missing` for a participant that has left.
    #[cold]
    pub(crate) fn map_peer(&self, who: Identity) -> Result<(), FileError> {
        let path = self.directory.bells_path(who);
        let missing = || FileError::Missing { path: path.clone() };
        let slot = self.peers.get(who.index() as usize).ok_or_else(missing)?;
        let _one_at_a_time = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.with(|peer| peer.map(|peer| (peer.identity, peer.file))) {
            // Mapped, and not made anew since: while it is missing, what is mapped is as good as it gets.
            Some((mapped, file)) if mapped == who && FileId::named(&path).map_or(true, |named| named == file) => {
                return Ok(());
            }
            // A successor of `who` is there already.
            Some((mapped, _)) if crate::lease::is_later(mapped.generation(), who.generation()) => return Err(missing()),
            _ => {}
        }
        let file = shm_file::open(&path, Access::ReadWrite)?;
        let [magic, version, owner] = read_header(&file).map_err(|error| FileError::from_io(&path, 0, error))?;
        if magic != MAGIC {
            return Err(FileError::Corrupt { path, what: "not a file of bells" });
        }
        if version != VERSION {
            return Err(FileError::WrongVersion { path, found: version, expected: VERSION });
        }
        if owner != who.word() {
            return Err(FileError::Corrupt { path, what: "another participant's bells" });
        }
        let fail = |error| FileError::from_io(&path, 0, error);
        let id = FileId::of_file(&file).map_err(fail)?;
        let page = BellPage::map(&file, &path)?;
        fault_point!("bells.map-peer.mapped");
        slot.replace(Some(Box::new(PeerBells { identity: who, file: id, page })));
        Ok(())
    }

    /// Unmaps the page of `who` as soon as nobody rings in it.
    pub(crate) fn forget_peer(&self, who: Identity) {
        let Some(slot) = self.peers.get(who.index() as usize) else { return };
        let _one_at_a_time = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.with(|peer| peer.is_some_and(|peer| peer.identity == who)) {
            slot.replace(None);
        }
    }

    /// Unmaps what could not be unmapped when it was forgotten, and what was cut short: it is mapped again when it is next rung.
    pub(crate) fn tidy(&self) {
        let _one_at_a_time = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        let any_cut = bus_error::cuts() > 0;
        for slot in &self.peers {
            if any_cut && slot.with(|peer| peer.is_some_and(|peer| peer.page.mapping.is_cut())) {
                slot.replace(None);
            }
            slot.tidy();
        }
    }

    /// How many peers' pages are mapped.
    #[cfg(test)]
    fn mapped(&self) -> usize {
        self.peers.iter().filter(|slot| slot.with(|peer| peer.is_some())).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_root::TestRoot;
    use std::collections::HashSet;

    fn id(index: u32, generation: u64) -> Identity {
        Identity::new(index, generation).expect("in range")
    }

    fn bells(root: &TestRoot, who: Identity) -> Bells {
        let directory = Directory::open_or_create(&root.config()).expect("directory");
        Bells::create(&directory, who, Arc::new(Liveness::new())).expect("create")
    }

    #[test]
    fn all_bells_can_be_had_once_and_again_after_a_drop() {
        let root = TestRoot::new();
        let bells = bells(&root, id(0, 1));
        let taken: Vec<OwnBell> = std::iter::from_fn(|| bells.allocate()).collect();
        assert_eq!(taken.len(), MAX_BELLS);
        let indices: HashSet<u32> = taken.iter().map(OwnBell::index).collect();
        let words: HashSet<usize> = taken.iter().map(|bell| bell.word().as_ptr().addr()).collect();
        assert_eq!((indices.len(), words.len()), (MAX_BELLS, MAX_BELLS));
        let mut taken = taken;
        let freed = taken.remove(100).index();
        assert_eq!(bells.allocate().expect("one is free").index(), freed);
    }

    #[test]
    fn a_peer_rings_the_word_that_is_slept_on() {
        let root = TestRoot::new();
        let (first, second) = (bells(&root, id(0, 1)), bells(&root, id(1, 1)));
        let bell = first.allocate().expect("a bell");
        let armed = doorbell::arm(bell.word());
        second.ring(id(0, 1), bell.index());
        assert!(doorbell::rung_since(bell.word(), armed));
        let armed = doorbell::arm(bell.word());
        first.ring(id(0, 1), bell.index());
        assert!(doorbell::rung_since(bell.word(), armed));
        let armed = doorbell::arm(bell.word());
        first.ring_all_own();
        assert!(doorbell::rung_since(bell.word(), armed));
    }

    #[test]
    fn ringing_nobody_is_harmless() {
        let root = TestRoot::new();
        let (first, second) = (bells(&root, id(0, 1)), bells(&root, id(1, 5)));
        first.ring(id(0, 1), u32::MAX);
        first.ring(id(1, 5), MAX_BELLS as u32);
        for gone in [id(1, 4), id(1, 6), id(2, 1), id(Identity::MAX_INDEX, 1)] {
            first.ring(gone, 0);
        }
        assert_eq!(second.allocate().expect("a bell").word().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_successor_replaces_and_a_predecessor_does_not() {
        let root = TestRoot::new();
        let first = bells(&root, id(0, 1));
        let old = bells(&root, id(1, 5));
        let new = bells(&root, id(1, 6));
        let (old_bell, new_bell) = (old.allocate().expect("a bell"), new.allocate().expect("a bell"));
        first.ring(id(1, 5), 0);
        first.ring(id(1, 6), 0);
        assert_eq!((old_bell.word().load(Ordering::Relaxed), new_bell.word().load(Ordering::Relaxed)), (1, 1));
        first.ring(id(1, 5), 0);
        assert_eq!(old_bell.word().load(Ordering::Relaxed), 1, "its page was given up for the successor's");
        first.forget_peer(id(1, 5));
        assert_eq!(first.mapped(), 1);
        first.forget_peer(id(1, 6));
        assert_eq!(first.mapped(), 0);
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let root = TestRoot::new();
        let first = bells(&root, id(0, 1));
        let path = first.directory.bells_path(id(3, 3));
        std::fs::write(&path, vec![1; 20480]).expect("write");
        assert!(matches!(first.map_peer(id(3, 3)), Err(FileError::Corrupt { .. })));
        std::fs::copy(first.directory.bells_path(id(0, 1)), &path).expect("copy");
        assert!(matches!(
            first.map_peer(id(3, 3)),
            Err(FileError::Corrupt { what: "another participant's bells", .. })
        ));
        // The right header but too short for the words.
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[16..24].copy_from_slice(&id(3, 3).word().to_le_bytes());
        std::fs::write(&path, &bytes[..8192]).expect("write");
        assert!(first.map_peer(id(3, 3)).is_err());
    }
}

//! Who is alive.
//!
//! Participant `i` holds an exclusive open-file-description lock on byte `i` of the lease file for as long as it lives;
//! the kernel releases it however the process ends. The lock is everything: no heartbeat, no process id, so it works
//! across PID namespaces, and a file that somebody removes makes nobody dead. The generation of `i`, a number in the same
//! file that grows with every new holder of the byte, tells holders apart: `(i, generation)` is an
//! [`Identity`], never used again.
//!
//! Rules that make it true:
//! * The lease is never mapped (a mapping in a forked child would keep the lock), released only by closing, and closed in
//!   forked children ([`crate::sys::fork`]).
//! * It is probed with `F_OFD_GETLK`, which takes nothing. Any error means "alive".
//! * The generation is written only by who holds the byte, before anybody can have heard of the new identity. So a probe
//!   that sees a lock and a later generation is right that the old holder is dead. An earlier one, or one that fails its
//!   check bits, is somebody's scribble: it makes nobody dead, and the holder writes its own again within a second.
//! * Who finds the file removed or replaced takes the same byte of the new one, under the same identity, and keeps the old one
//!   too, for as long as it tells anything (see `former.rs`): a peer is alive by any of them.
//! * An identity that no lease file of ours has ever shown alive may be alive by one that we do not know. It is not dead while
//!   its participant's file is locked, which every participant keeps locked.
//! * Joining happens with the *gate* byte held shared; the last to leave holds it exclusively while it removes the
//!   directory. A joiner then checks that the name still means the file it has locked.
//!
//! Locks (bytes, unrelated to the content): `0..1024` participants, 1024 gate, 1025 sweep. Content: header (magic,
//! version); at 4096 one generation per participant (48 bits, and 16 to check them); behind them one change counter per participant, which grows with
//! every change of its graph, so that whoever polls learns of all changes by one read.

mod former;
mod generation;
mod observer;
mod repair;

pub(crate) use generation::is_later;
use generation::{generation_at, generation_of, next_generation};
pub use observer::Observer;
pub(crate) use observer::{is_in_use, is_inhabited};

use crate::directory::{Directory, DirectoryError};
use crate::ids::Identity;
use crate::participant::is_alive_elsewhere;
use crate::sys::file_id::FileId;
use crate::sys::fork::ForkGuarded;
use crate::sys::mapping::Access;
use crate::sys::ofd_lock::{self, LockKind};
use crate::sys::shm_file::{self, FileError, NewFile};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Most participants of one directory at a time.
pub const MAX_PARTICIPANTS: u32 = 1024;
/// Where the generations begin in the lease file.
pub const LEASE_DATA: u64 = 4096;

const CHANGES: u64 = LEASE_DATA + 8 * MAX_PARTICIPANTS as u64;
const SIZE: u64 = CHANGES + 8 * MAX_PARTICIPANTS as u64;
const GATE: u64 = MAX_PARTICIPANTS as u64;
const SWEEP: u64 = GATE + 1;
const MAGIC: u64 = u64::from_le_bytes(*b"hazcatLE");
const VERSION: u64 = 2;
/// How long to try to get through the gate: others hold it for microseconds, unless they were stopped.
const GATE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the last to leave tries to find the gate free; what it does not remove, the next to join removes.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a damaged lease is looked at again: who lives by it repairs it once a second.
const HEAL_PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits for a forked child to let go of its copy of our description.
const SHADOW_PATIENCE: Duration = Duration::from_millis(500);

/// Why there is no lease to be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The lease file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// As many participants as there can be.
    #[error("{path}: {limit} participants already, no more fit into one domain")]
    Full {
        /// The lease file.
        path: PathBuf,
        /// The limit.
        limit: u32,
    },
    /// Others have been joining or leaving for too long; one of them is probably stopped.
    #[error("{path}: no way in for {seconds} s; is a process that was joining or leaving stopped?")]
    Busy {
        /// The lease file.
        path: PathBuf,
        /// How long it was tried.
        seconds: u64,
    },
}

/// Who else is there, to one who has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Neighbours {
    None,
    /// Our own byte is still locked, by a copy of the description we closed.
    OurShadow,
    Some,
}

/// A lease file in which we hold our byte.
struct HeldFile {
    file: ForkGuarded<File>,
    id: FileId,
}

/// One participant's claim to be alive.
pub struct Lease {
    /// The last one is the present one; the others were removed or replaced while we held our byte. Empty once released.
    files: RwLock<Vec<HeldFile>>,
    path: PathBuf,
    identity: Identity,
    sweeping: AtomicBool,
}

impl Lease {
    /// Takes the first free participant byte, and removes what is left of a directory in which nobody is alive.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub(crate) fn acquire(directory: &Directory) -> Result<Self, LeaseError> {
        let path = directory.lease_path();
        let begun = Instant::now();
        let deadline = begun + GATE_PATIENCE;
        let mut pause = Duration::from_micros(20);
        loop {
            match Self::try_acquire(directory, &path) {
                Ok(Some(lease)) => return Ok(lease),
                // The directory is being removed, or was replaced, while we look at it.
                Ok(None) | Err(LeaseError::File(FileError::Missing { .. })) => {}
                Err(LeaseError::Directory(DirectoryError::File(FileError::Missing { .. }))) => {}
                Err(LeaseError::File(FileError::Corrupt { .. })) if begun.elapsed() < HEAL_PATIENCE => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Err(LeaseError::Busy { path, seconds: GATE_PATIENCE.as_secs() });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }

    /// One attempt; `None` where it is worth another.
    fn try_acquire(directory: &Directory, path: &Path) -> Result<Option<Self>, LeaseError> {
        let fail = |error| FileError::from_io(path, SIZE, error);
        directory.ensure()?;
        let guarded = match open_or_create(path, directory.file_mode()) {
            // A name that no lease has: nobody is alive by it.
            Err(FileError::Corrupt { .. }) if Self::remove_impostor(directory) => return Ok(None),
            other => other?,
        };
        fault_point!("lease.acquire.opened");
        let Ok(file) = guarded.get() else { return Ok(None) };
        let id = FileId::of_file(file).map_err(fail)?;

        // Indices that may be others', who have lost an earlier lease file and are about to take their places in this one.
        let named: Vec<Identity> = directory.participants().unwrap_or_default();
        let alone = |file: &File| ofd_lock::is_locked_by_another(file, 0, GATE).map(|locked| !locked).map_err(fail);
        if alone(file)? && ofd_lock::try_lock(file, GATE, LockKind::Exclusive).map_err(fail)? {
            // Nobody can join now. What lies here belongs to processes that ended without cleaning up.
            if alone(file)? && id.is_named(path) {
                let lost = is_in_use(directory);
                if check_header(file, path).is_err() {
                    let _ = if lost {
                        fs::remove_file(path)
                    } else {
                        directory.remove_all();
                        Ok(())
                    };
                    return Ok(None);
                }
                // Who has lost an earlier lease file may still be using it all.
                if !lost {
                    fault_point!("lease.acquire.gate-alone");
                    directory.remove_contents();
                    fault_point!("lease.acquire.healed");
                }
            }
        }
        // Converts the exclusive lock where we have it, without a gap.
        if !ofd_lock::try_lock(file, GATE, LockKind::Shared).map_err(fail)? || !id.is_named(path) {
            return Ok(None);
        }
        fault_point!("lease.acquire.gate-shared");
        // From here to the end of this function nobody removes the directory.
        directory.ensure()?;
        check_header(file, path)?;
        let Some(index) = take_byte(file, directory, &named).map_err(fail)? else {
            return Err(LeaseError::Full { path: path.to_path_buf(), limit: MAX_PARTICIPANTS });
        };
        fault_point!("lease.acquire.byte-taken");
        let generation = next_generation(file, index).map_err(fail)?;
        fault_point!("lease.acquire.generation-written");
        let corrupt = || FileError::Corrupt { path: path.to_path_buf(), what: "generation out of range" };
        let identity = Identity::new(index, generation).ok_or_else(corrupt)?;
        ofd_lock::unlock(file, GATE).map_err(fail)?;
        fault_point!("lease.acquire.joined");
        Ok(Some(Self {
            files: RwLock::new(vec![HeldFile { file: guarded, id }]),
            path: path.to_path_buf(),
            identity,
            sweeping: AtomicBool::new(false),
        }))
    }

    /// Whose lease this is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether `who` is alive now: two system calls, no cache. Oneself is, without a probe; any error means alive.
    pub fn is_alive(&self, who: Identity) -> bool {
        if who == self.identity {
            return true;
        }
        if who.index() >= MAX_PARTICIPANTS {
            return false;
        }
        if who.index() == self.identity.index() {
            // A former holder of our byte.
            return false;
        }
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let alive = |held: &HeldFile| match held.file.get() {
            Ok(file) => is_alive_in(file, who).unwrap_or(true),
            Err(_) => true,
        };
        files.is_empty() || files.iter().any(alive)
    }

    /// The latest generation of every index, whether somebody holds it or not; zero where nobody ever did, or it is damaged.
    ///
    /// # Errors
    /// What the system answers.
    pub(crate) fn generations(&self) -> io::Result<Vec<u64>> {
        let words = self.with_file(|file| read_table(file, LEASE_DATA))?;
        Ok(words.into_iter().map(|word| generation_of(word).unwrap_or(0)).collect())
    }

    /// The change counter of every index.
    ///
    /// # Errors
    /// What the system answers.
    pub(crate) fn changes(&self) -> io::Result<Vec<u64>> {
        self.with_file(|file| read_table(file, CHANGES))
    }

    /// Our own change counter; grows over all holders of our index.
    ///
    /// # Errors
    /// What the system answers.
    pub(crate) fn own_change(&self) -> io::Result<u64> {
        self.with_file(|file| read_word(file, CHANGES + 8 * u64::from(self.identity.index())))
    }

    /// Sets our own change counter, for those who poll.
    ///
    /// # Errors
    /// What the system answers.
    pub(crate) fn announce_change(&self, counter: u64) -> io::Result<()> {
        self.with_file(|file| file.write_all_at(&counter.to_le_bytes(), CHANGES + 8 * u64::from(self.identity.index())))
    }

    /// Makes the caller the only one, of all processes, to clean up after dead participants; `None` while another does, and
    /// in a directory that others made in place of ours: by our lease, all of them would be dead.
    pub fn try_sweep_lock(&self) -> Option<SweepGuard<'_>> {
        if !self.name_is_ours() {
            return None;
        }
        // The lock belongs to the description, so threads of this process exclude each other by the flag.
        // SYNC sweep-flag
        if self.sweeping.swap(true, Ordering::Acquire) {
            return None;
        }
        let locked = self.with_file(|file| ofd_lock::try_lock(file, SWEEP, LockKind::Exclusive));
        if matches!(locked, Ok(true)) {
            return Some(SweepGuard { lease: self });
        }
        self.sweeping.store(false, Ordering::Release);
        None
    }

    /// Whether the lease file's name still means our file: if not, somebody removed the directory, and newcomers cannot
    /// find us.
    pub(crate) fn name_is_ours(&self) -> bool {
        self.current_id().is_some_and(|id| id.is_named(&self.path))
    }

    /// Which file we hold our byte in; `None` once released.
    fn current_id(&self) -> Option<FileId> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).last().map(|held| held.id)
    }

    /// Gives the byte back, by closing; the last one out removes the directory. Does nothing the second time.
    pub(crate) fn release(&self, directory: &Directory) {
        let files = std::mem::take(&mut *self.files.write().unwrap_or_else(PoisonError::into_inner));
        if let Some(id) = files.last().map(|held| held.id) {
            drop(files);
            fault_point!("lease.release.closed");
            self.remove_if_last(directory, id);
        }
    }

    /// Removes the directory if nobody else is there, while this participant keeps its byte: for a process that ends with
    /// endpoints still in use.
    pub(crate) fn remove_if_alone(&self, directory: &Directory) {
        let alone = |file: &File| matches!(ofd_lock::is_locked_by_another(file, 0, GATE), Ok(false));
        let _ = self.with_file(|file| {
            if alone(file) && ofd_lock::try_lock(file, GATE, LockKind::Exclusive)? {
                if alone(file) && !is_inhabited(directory) && self.name_is_ours() {
                    directory.remove_all();
                }
                ofd_lock::unlock(file, GATE)?;
            }
            Ok(())
        });
    }

    fn remove_if_last(&self, directory: &Directory, id: FileId) {
        let begun = Instant::now();
        loop {
            // A description of its own: closing it gives back the gate.
            let Ok(guarded) = ForkGuarded::open(|| shm_file::open(&self.path, Access::ReadWrite)) else { return };
            let Ok(file) = guarded.get() else { return };
            let patience = match self.look_around(file, id) {
                // A child that was forked a moment ago still has our description: it will exec, or close it.
                Neighbours::OurShadow => SHADOW_PATIENCE,
                Neighbours::Some => return,
                Neighbours::None => match ofd_lock::try_lock(file, GATE, LockKind::Exclusive) {
                    Ok(true) => {
                        fault_point!("lease.release.gate-alone");
                        let nobody = || self.look_around(file, id) == Neighbours::None && !is_inhabited(directory);
                        if nobody() && id.is_named(&self.path) {
                            directory.remove_all();
                        }
                        return;
                    }
                    // Somebody is joining, and will be the last one to leave, unless it fails; or is removing the
                    // directory, unless it is killed. Only the next look can tell.
                    Ok(false) => LEAVE_PATIENCE,
                    Err(_) => return,
                },
            };
            if begun.elapsed() > patience {
                return;
            }
            drop(guarded);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Who else holds a byte, seen through another description after ours was closed.
    fn look_around(&self, file: &File, id: FileId) -> Neighbours {
        let held = |start, length| ofd_lock::is_locked_by_another(file, start, length).unwrap_or(true);
        if !FileId::of_file(file).is_ok_and(|here| here == id) {
            return Neighbours::Some;
        }
        let own = u64::from(self.identity.index());
        if held(own, 1) {
            // Only of our own byte do we know when it should be free.
            return match read_word(file, LEASE_DATA + 8 * own) {
                Ok(word) if generation_of(word) == Some(self.identity.generation()) => Neighbours::OurShadow,
                _ => Neighbours::Some,
            };
        }
        if held(0, GATE) {
            Neighbours::Some
        } else {
            Neighbours::None
        }
    }

    fn with_file<T>(&self, act: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let held = files.last().ok_or(io::ErrorKind::NotConnected)?;
        act(held.file.get().map_err(|_| io::ErrorKind::NotConnected)?)
    }
}

/// The right to clean up; given back on drop.
pub struct SweepGuard<'a> {
    lease: &'a Lease,
}

impl Drop for SweepGuard<'_> {
    fn drop(&mut self) {
        let _ = self.lease.with_file(|file| ofd_lock::unlock(file, SWEEP));
        // SYNC sweep-flag
        self.lease.sweeping.store(false, Ordering::Release);
    }
}

fn open_or_create(path: &Path, mode: u32) -> Result<ForkGuarded<File>, FileError> {
    match ForkGuarded::open(|| shm_file::open(path, Access::ReadWrite)) {
        Err(FileError::Missing { .. }) => {
            let new = NewFile::create(path, mode, SIZE, SIZE)?;
            let fail = |error| FileError::from_io(path, SIZE, error);
            new.file().write_all_at(&MAGIC.to_le_bytes(), 0).map_err(fail)?;
            new.file().write_all_at(&VERSION.to_le_bytes(), 8).map_err(fail)?;
            match new.publish() {
                Ok(_) | Err(FileError::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
            // Opened by name in any case: locks belong to descriptions, and ours is to be guarded.
            ForkGuarded::open(|| shm_file::open(path, Access::ReadWrite))
        }
        other => other,
    }
}

fn check_header(file: &File, path: &Path) -> Result<(), FileError> {
    let fail = |error| FileError::from_io(path, 0, error);
    let corrupt = |what| FileError::Corrupt { path: path.to_path_buf(), what };
    if file.metadata().map_err(fail)?.len() < SIZE {
        return Err(corrupt("shorter than a lease file"));
    }
    if read_word(file, 0).map_err(fail)? != MAGIC {
        return Err(corrupt("not a lease file"));
    }
    let found = read_word(file, 8).map_err(fail)?;
    if found == 0 {
        // No version is: a repair that was begun.
        return Err(corrupt("half of a header"));
    }
    if found != VERSION {
        return Err(FileError::WrongVersion { path: path.to_path_buf(), found, expected: VERSION });
    }
    Ok(())
}

/// The first free byte; one that another participant may have lost with an earlier lease file only where there is no other.
fn take_byte(file: &File, directory: &Directory, named: &[Identity]) -> io::Result<Option<u32>> {
    let is_free = |index: u32| !ofd_lock::is_locked_by_another(file, u64::from(index), 1).unwrap_or(true);
    let is_lost = |index: u32| {
        let mut of_that_index = named.iter().filter(|who| who.index() == index).peekable();
        of_that_index.peek().is_some() && is_free(index) && of_that_index.any(|who| is_alive_elsewhere(directory, *who))
    };
    for wanted in [false, true] {
        for index in (0..MAX_PARTICIPANTS).filter(|index| is_lost(*index) == wanted) {
            if ofd_lock::try_lock(file, u64::from(index), LockKind::Exclusive)? {
                return Ok(Some(index));
            }
        }
    }
    Ok(None)
}

/// Whether `who`, who is not ourselves, is alive as far as one lease file tells.
fn is_alive_in(file: &File, who: Identity) -> io::Result<bool> {
    if !ofd_lock::is_locked_by_another(file, u64::from(who.index()), 1)? {
        return Ok(false);
    }
    let generation = generation_of(read_word(file, generation_at(who.index()))?);
    Ok(generation.is_none_or(|generation| !is_later(generation, who.generation())))
}

fn read_word(file: &File, at: u64) -> io::Result<u64> {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, at)?;
    Ok(u64::from_le_bytes(word))
}

fn read_table(file: &File, at: u64) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; 8 * MAX_PARTICIPANTS as usize];
    file.read_exact_at(&mut bytes, at)?;
    let word = |chunk: &[u8]| chunk.try_into().map_or(0, u64::from_le_bytes);
    Ok(bytes.chunks_exact(8).map(word).collect())
}

#[cfg(test)]
mod tests;

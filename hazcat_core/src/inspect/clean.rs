//! Removing what nobody holds.

use crate::directory::{Directory, DirectoryError};
use crate::lease::{is_in_use, Observer};
use crate::sys::mapping::Access;
use crate::sys::shm_file::FileError;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to try for the right to clean up: who has it, has it for milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// What became of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody was alive in it: it is gone, with all that was in it.
    Removed,
    /// Nobody was alive in it: what is ours in it is gone. It has stayed, because there is something else in it, or because its
    /// folder is another user's.
    Emptied,
    /// Somebody is alive in it, or is joining: only what belongs to nobody is gone.
    Swept,
    /// Nothing was done: somebody else is cleaning up and does not come to an end, or the lease file is missing while a process
    /// has topics open.
    Busy,
}

/// What [`clean`] did.
#[derive(Debug, Clone)]
pub struct Cleaned {
    /// What became of the directory.
    pub verdict: Verdict,
    /// The files that are gone, and the memory each took. Another process may have removed some of them meanwhile.
    pub removed: Vec<(PathBuf, u64)>,
}

/// Removes from a directory what nobody holds, and the directory itself where that is everything.
///
/// # Errors
/// [`FileError`] where the directory cannot be read or written.
pub fn clean(directory: &Directory) -> Result<Cleaned, FileError> {
    let before = files_of(directory);
    let verdict = match remove(directory)? {
        // With a lease somebody has made it anew meanwhile.
        Verdict::Removed if directory.path().exists() && !directory.lease_path().exists() => Verdict::Emptied,
        verdict => verdict,
    };
    let after: BTreeSet<u64> = files_of(directory).values().map(|(inode, _)| *inode).collect();
    let removed = before
        .into_iter()
        .filter(|(_, (inode, _))| !after.contains(inode))
        .map(|(path, (_, bytes))| (path, bytes))
        .collect();
    Ok(Cleaned { verdict, removed })
}

fn remove(directory: &Directory) -> Result<Verdict, FileError> {
    // Who has lost the lease file is alive by it all the same, and would be taken for dead by a new one.
    let lost = !directory.lease_path().exists() && is_in_use(directory);
    if lost {
        return Ok(Verdict::Busy);
    }
    if directory.is_removed() {
        // Only through a lease can those who join be kept out of what is to go.
        // Another error: somebody has made something of that name meanwhile, which is told by itself.
        if let Err(DirectoryError::File(error)) = directory.ensure() {
            return Err(error);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let removed = match Observer::remove_if_nobody(directory) {
            // What has the lease's name is none: nobody can be alive by it.
            Err(FileError::Corrupt { .. }) if crate::sys::shm_file::remove_impostor(&directory.lease_path()) => {
                continue
            }
            other => other?,
        };
        if removed {
            return Ok(Verdict::Removed);
        }
        match Observer::open(directory, Access::ReadWrite) {
            Ok(lease) => {
                if lease.try_sweep_lock()? {
                    crate::participant::sweep_files(directory, |who| lease.is_alive(who));
                    crate::queue::sweep::sweep_files(directory, |who| lease.is_alive(who));
                    return Ok(Verdict::Swept);
                }
            }
            // Removed by the last to leave, in this moment.
            Err(FileError::Missing { .. }) if !directory.path().exists() => return Ok(Verdict::Removed),
            Err(FileError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() > deadline {
            return Ok(Verdict::Busy);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Inode and memory of every file, by its first name where it has one.
fn files_of(directory: &Directory) -> BTreeMap<PathBuf, (u64, u64)> {
    let mut found = files_below(directory.path());
    let named: BTreeSet<u64> = found.values().map(|(inode, _)| *inode).collect();
    let kept = directory.trusted_kept_path().map(|kept| files_below(&kept)).unwrap_or_default();
    found.extend(kept.into_iter().filter(|(_, (inode, _))| !named.contains(inode)));
    found
}

fn files_below(path: &Path) -> BTreeMap<PathBuf, (u64, u64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => {
                    found.insert(entry.path(), (meta.ino(), meta.blocks() * 512));
                }
                Err(_) => {}
            }
        }
    }
    found
}

//! Lease files that somebody removed or replaced, and how long they are kept open.
//!
//! Two participants see each other alive by any lease file of which both hold their bytes. When the file's name comes to mean
//! another file, each takes its byte of that one, in its own time, and keeps the former one for those who have not.
//!
//! **Invariant.** Of the files that two participants both hold, neither closes the largest: in the order of device and inode,
//! in which all agree, whoever gives and takes names. It follows from the rule by which files are closed: everybody else who
//! holds a byte of it was seen to hold the same byte, as the same identity, of a larger file that one holds oneself. For the
//! largest that two have in common, that cannot be seen. What is seen stays true long enough: who holds a byte of a file has
//! the file in its list ([`Lease::rejoin`] keeps its own threads from asking meanwhile), and closes it by this same rule.
//!
//! A file is closed with its gate held exclusively: who is at the gate might take our byte of it, and then there were two with our
//! index. Who comes later, because the file got its name back, finds the byte free, and that we are alive elsewhere.
//!
//! So besides the present file at most one is open for each participant that has not come along (one that is stopped, or was cut
//! off), however often the lease was removed.

use super::{generation_at, generation_of, read_word, HeldFile, Lease, GATE};
use crate::sys::file_id::FileId;
use crate::sys::ofd_lock::{self, LockKind};
use std::fs::File;
use std::io;
use std::sync::PoisonError;

impl Lease {
    /// Closes former files that tell nothing any more.
    pub(crate) fn let_go_of_former_files(&self) {
        let held = self.files.read().unwrap_or_else(PoisonError::into_inner).len();
        if held < 2 || !self.name_is_ours() {
            return;
        }
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        // The smallest first, each seen against all larger ones that are still held.
        let mut former: Vec<FileId> = files.iter().rev().skip(1).map(|held| held.id).collect();
        former.sort_unstable();
        for id in former {
            let Some(old) = files.iter().find(|held| held.id == id).and_then(|held| held.file.get().ok()) else {
                continue;
            };
            if !matches!(ofd_lock::try_lock(old, GATE, LockKind::Exclusive), Ok(true)) {
                continue;
            }
            if !tells_nothing(&files, old, id).unwrap_or(false) {
                let _ = ofd_lock::unlock(old, GATE);
            } else {
                files.retain(|held| held.id != id);
                fault_point!("lease.former.closed");
            }
        }
    }

    /// Whether we hold our byte of that file.
    pub(super) fn is_held(&self, id: FileId) -> bool {
        self.files.read().unwrap_or_else(PoisonError::into_inner).iter().any(|held| held.id == id)
    }

    /// Has a file that we hold count as the present one.
    pub(super) fn take_for_present(&self, id: FileId) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = files.iter().position(|held| held.id == id) {
            let held = files.remove(at);
            files.push(held);
        }
    }

    pub(super) fn with_former(&self, act: impl Fn(&File)) {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.iter().rev().skip(1).filter_map(|held| held.file.get().ok()).for_each(act);
    }
}

/// Whether everybody else who is alive by that file is so by a larger one of `files` as well.
fn tells_nothing(files: &[HeldFile], old: &File, id: FileId) -> io::Result<bool> {
    let larger: Vec<&File> = files.iter().filter(|held| held.id > id).filter_map(|held| held.file.get().ok()).collect();
    for byte in ofd_lock::all_locked_by_others(old, 0, GATE)? {
        let index = u32::try_from(byte).map_err(|_| io::ErrorKind::InvalidData)?;
        let who = generation_of(read_word(old, generation_at(index))?);
        let is_there = |file: &&File| -> io::Result<bool> {
            let there = generation_of(read_word(file, generation_at(index))?);
            Ok(there.is_some() && there == who && ofd_lock::is_locked_by_another(file, byte, 1)?)
        };
        if !larger.iter().any(|file| is_there(file).unwrap_or(false)) {
            return Ok(false);
        }
    }
    Ok(true)
}

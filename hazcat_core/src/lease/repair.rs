//! Putting right what others did to the lease file.

use super::generation::{generation_at, generation_of, is_later, write_generation};
use super::{check_header, open_or_create, read_word, HeldFile, Lease, LeaseError, GATE, MAGIC, SIZE, VERSION};
use crate::directory::Directory;
use crate::sys::file_id::FileId;
use crate::sys::ofd_lock::{self, LockKind};
use crate::sys::shm_file::{self, FileError};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::PoisonError;
use std::time::Duration;

/// Who joins a new directory holds the gate for microseconds.
const GATE_ATTEMPTS: u32 = 50;

impl Lease {
    /// Puts right the header, the size and our own generation, if somebody has overwritten or cut the file. Answers whether
    /// there was anything to put right.
    ///
    /// # Errors
    /// What the system answers.
    pub(crate) fn repair(&self) -> io::Result<bool> {
        let own = self.identity.generation();
        let index = self.identity.index();
        // By our generation others see in a former file, too, that we have gone on to the next one.
        self.with_former(|file| {
            if generation_of(read_word(file, generation_at(index)).unwrap_or(0)) != Some(own) {
                let _ = write_generation(file, index, own);
            }
        });
        self.with_file(|file| {
            let mut damaged = false;
            if file.metadata()?.len() < SIZE {
                file.set_len(SIZE)?;
                fault_point!("lease.repair.sized");
                shm_file::reserve(file, &self.path, 0, SIZE).map_err(io::Error::other)?;
                damaged = true;
            }
            for (at, word) in [(0, MAGIC), (8, VERSION)] {
                if read_word(file, at)? != word {
                    file.write_all_at(&word.to_le_bytes(), at)?;
                    fault_point!("lease.repair.header-written");
                    damaged = true;
                }
            }
            if generation_of(read_word(file, generation_at(index))?) != Some(own) {
                write_generation(file, index, own)?;
                fault_point!("lease.repair.generation-written");
                damaged = true;
            }
            Ok(damaged)
        })
    }

    /// Takes our byte, under the same identity, in the lease file that the name means now, which is made where it is missing,
    /// with the directory. Others who lost the same file do the same, each with its own byte. `false` where a newcomer has
    /// the byte, or had it: then we cannot be found by our identity.
    ///
    /// # Errors
    /// [`LeaseError`]; nothing has changed then.
    pub(crate) fn rejoin(&self, directory: &Directory) -> Result<bool, LeaseError> {
        let path = &self.path;
        let fail = |error| FileError::from_io(path, SIZE, error);
        directory.ensure()?;
        let guarded = match open_or_create(path, directory.file_mode()) {
            Err(FileError::Corrupt { .. }) if Self::remove_impostor(directory) => {
                open_or_create(path, directory.file_mode())?
            }
            other => other?,
        };
        let Ok(file) = guarded.get() else { return Ok(false) };
        let id = FileId::of_file(file).map_err(fail)?;
        fault_point!("lease.rejoin.opened");
        if self.is_held(id) {
            // Somebody has given the name back to a file that we never left.
            self.take_for_present(id);
            return Ok(true);
        }
        let index = self.identity.index();
        let mut attempts = 0;
        while !ofd_lock::try_lock(file, GATE, LockKind::Shared).map_err(fail)? && attempts < GATE_ATTEMPTS {
            attempts += 1;
            std::thread::sleep(Duration::from_micros(200));
        }
        if attempts == GATE_ATTEMPTS || !id.is_named(path) {
            return Err(LeaseError::Busy { path: path.clone(), seconds: 0 });
        }
        fault_point!("lease.rejoin.gate-shared");
        directory.ensure()?;
        if let Err(error) = check_header(file, path) {
            // Foreign, or damaged while nobody has it: the next look makes a new one.
            if !ofd_lock::is_locked_by_another(file, 0, GATE + 1).map_err(fail)? {
                let _ = std::fs::remove_file(path);
            }
            return Err(error.into());
        }
        // Until it is in the list, no thread of ours may ask: once they see us in the new file, others may leave the old ones.
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if files.is_empty() || !ofd_lock::try_lock(file, u64::from(index), LockKind::Exclusive).map_err(fail)? {
            return Ok(false);
        }
        fault_point!("lease.rejoin.byte-taken");
        let (last, own) =
            (generation_of(read_word(file, generation_at(index)).map_err(fail)?), self.identity.generation());
        if last.is_some_and(|last| is_later(last, own)) {
            return Ok(false);
        }
        // The last step that can fail: before it, nobody takes the byte for ours.
        if last != Some(own) {
            write_generation(file, index, own).map_err(fail)?;
        }
        fault_point!("lease.rejoin.generation-written");
        let _ = ofd_lock::unlock(file, GATE);
        files.push(HeldFile { file: guarded, id });
        fault_point!("lease.rejoin.joined");
        Ok(true)
    }
}

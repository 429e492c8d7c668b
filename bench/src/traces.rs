//! What a run leaves in shared memory, and how it comes off: names of its own, one run at a time, swept before and after.
//!
//! A run that was killed leaves files of the systems it measured; nobody but the next run knows that nobody needs them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where all systems keep their shared memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// What the names of all files of this user's runs begin with.
pub fn prefix() -> String {
    format!("hazcat_bench_{}_", nix::unistd::getuid())
}

/// Folder in which hazcat_core makes its directory.
pub fn hazcat_root() -> PathBuf {
    Path::new(SHARED_MEMORY).join(prefix() + "root")
}

/// The right to measure on this machine; while one run has it, another of the same user waits for nothing but fails.
pub struct Alone {
    _lock: File,
}

impl Alone {
    /// Takes the right, removes what an earlier run has left, and makes the folder for this one.
    pub fn claim() -> io::Result<Self> {
        let path = std::env::temp_dir().join(prefix() + "lock");
        let lock = File::options().create(true).truncate(false).write(true).open(path)?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another benchmark is running on this machine"),
            fs::TryLockError::Error(error) => error,
        })?;
        sweep();
        fs::create_dir(hazcat_root())?;
        Ok(Self { _lock: lock })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        sweep();
    }
}

/// Removes everything of this user's runs. (iceoryx2 leaves its management segment after every run.)
fn sweep() {
    let Ok(entries) = fs::read_dir(SHARED_MEMORY) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix()) {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // What cannot be removed is no reason not to measure; creating the folder says so if it matters.
            let _ = if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        }
    }
}

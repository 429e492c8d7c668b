//! Contexts that discover nobody and are discovered by nobody (`RMW_AUTOMATIC_DISCOVERY_RANGE_OFF`).
//!
//! Such a context gets a folder of its own as the root of its shared memory, so that everything works inside the context
//! and nothing goes beyond it. The folder goes with the context; one whose process was killed stays until the next
//! isolated context of the same user finds it without a live owner.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "hazcat-isolated-";
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A folder that exists as long as this.
pub struct Isolation {
    path: PathBuf,
    /// Holds a lock for as long as the process lives; whoever gets it may clean up.
    _lock: File,
}

impl Isolation {
    /// Makes a new folder in `root`, and removes those of this user that nobody uses any more.
    pub fn new(root: &Path) -> io::Result<Self> {
        // SAFETY: getuid has no preconditions and cannot fail.
        let user = unsafe { libc::getuid() };
        let prefix = format!("{PREFIX}{user}-");
        remove_abandoned(root, &prefix);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = root.join(format!("{prefix}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let lock = File::open(&path)?;
                    if !try_lock(&lock) {
                        // Swept away between the two calls: take another.
                        continue;
                    }
                    return Ok(Self { path, _lock: lock });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Isolation {
    fn drop(&mut self) {
        // Best effort: what cannot be removed is found abandoned later.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn try_lock(file: &File) -> bool {
    // SAFETY: the descriptor is open as long as `file` is.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

fn remove_abandoned(root: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
            if let Ok(lock) = File::open(entry.path()) {
                if try_lock(&lock) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_private_and_do_not_stay() {
        let root = std::env::temp_dir().join(format!("hazcat-isolation-test-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let one = Isolation::new(&root).unwrap();
        let two = Isolation::new(&root).unwrap();
        assert_ne!(one.path(), two.path());
        assert!(one.path().is_dir(), "a live folder is not swept away");
        let one_path = one.path().to_owned();
        drop(one);
        assert!(!one_path.exists());
        // What a killed process leaves behind: a folder without a lock.
        let abandoned = root.join(one_path.file_name().unwrap()).with_extension("dead");
        fs::create_dir(&abandoned).unwrap();
        drop(Isolation::new(&root).unwrap());
        assert!(!abandoned.exists());
        assert!(two.path().is_dir());
        fs::remove_dir_all(&root).unwrap();
    }
}

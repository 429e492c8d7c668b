//! Contexts that discover nobody and are discovered by nobody (`RMW_AUTOMATIC_DISCOVERY_RANGE_OFF`).
//!
//! Such a context gets a folder of its own as the root of its shared memory, so that everything works inside the context
//! and nothing goes beyond it. The folder goes with the context; one whose process was killed stays until the next
//! isolated context of the same user finds it without a live owner.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use hazcat_core::sys::fork::ForkMark;

const PREFIX: &str = "hazcat-isolated-";
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A folder that exists as long as this.
pub struct Isolation {
    path: PathBuf,
    /// In a forked child it is the parent's.
    mark: ForkMark,
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
                Ok(()) => match File::open(&path) {
                    Ok(lock) if try_lock(&lock) && lock.metadata()?.nlink() > 0 => {
                        return Ok(Self { path, mark: ForkMark::here(), _lock: lock });
                    }
                    // Swept away meanwhile, as one without a live owner: take another.
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                },
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
        if self.mark.check().is_ok() {
            // Best effort: what cannot be removed is found abandoned later.
            let _ = fs::remove_dir_all(&self.path);
        }
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

    /// A forked child finishes the context that it has inherited; the folder is its parent's.
    #[test]
    fn a_forked_child_removes_nothing() {
        let root = std::env::temp_dir().join(format!("hazcat-isolation-fork-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let one = Isolation::new(&root).unwrap();
        // SAFETY: the child frees memory and makes system calls, and ends without running any handlers.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(one);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) };
        }
        let mut status = -1;
        // SAFETY: the child above, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!((status, one.path().is_dir()), (0, true));
        drop(one);
        fs::remove_dir_all(&root).unwrap();
    }

    /// Several processes start at once.
    #[test]
    fn many_are_made_at_once() {
        let root = std::env::temp_dir().join(format!("hazcat-isolation-many-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let one = Isolation::new(&root).unwrap();
                        assert!(one.path().is_dir());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        fs::remove_dir_all(&root).unwrap();
    }
}

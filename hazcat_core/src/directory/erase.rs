//! Removing what nobody holds.
//!
//! What is removed lies in the directory itself, wherever its names may lead meanwhile: folders are opened step by step without
//! following symbolic links, and emptied through their descriptors. In a directory that a group shares, a member could otherwise
//! have the others remove files elsewhere.

use super::{parse_hex, Directory, ASIDE, FOLDERS, PAYLOAD, SOCKETS, TOPICS};
use crate::sys::{seqpacket, shm_file};
use nix::fcntl::{open, openat, Flock, FlockArg, OFlag};
use nix::sys::stat::Mode;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What processes that died left half-made is removed when it is this old.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

impl Directory {
    /// Removes files that were begun under a temporary name by processes that died (see [`crate::sys::shm_file`]; there are
    /// none where the file system has files without a name).
    pub(crate) fn remove_abandoned_files(&self) {
        let kept = [TOPICS, PAYLOAD].into_iter().map(|folder| self.kept_folder(folder));
        for folder in FOLDERS.into_iter().map(|folder| self.folder(folder)).chain(kept).flatten() {
            remove_old(&through(&folder), shm_file::ASIDE, |path| fs::remove_file(path));
        }
    }

    /// Removes the sockets of processes that are gone.
    pub(crate) fn remove_abandoned_sockets(&self) {
        let Some(folder) = self.folder(SOCKETS) else { return };
        let Ok(entries) = fs::read_dir(through(&folder)) else { return };
        for entry in entries.flatten() {
            if parse_hex(&entry.file_name().to_string_lossy()).is_some() && seqpacket::is_abandoned(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes all that dead participants left. To be called only while nobody is alive and nobody can join (the gate of
    /// the lease held exclusively).
    pub(crate) fn remove_contents(&self) {
        let kept = [TOPICS, PAYLOAD].into_iter().map(|folder| self.kept_folder(folder));
        for folder in FOLDERS.into_iter().map(|folder| self.folder(folder)).chain(kept) {
            let Some(folder) = folder else { continue };
            let Ok(entries) = fs::read_dir(through(&folder)) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if fs::remove_file(&path).is_err() {
                    let _ = fs::remove_dir_all(&path);
                }
            }
        }
    }

    /// Removes the directory with all in it; same condition as [`Directory::remove_contents`].
    ///
    /// The lease goes last: a process that finds it gone or replaced starts over.
    pub(crate) fn remove_all(&self) {
        self.remove_contents();
        fault_point!("directory.remove.contents-gone");
        for folder in FOLDERS {
            let _ = fs::remove_dir(self.path().join(folder));
        }
        let kept = self.kept_path();
        for path in [kept.join(TOPICS), kept.join(PAYLOAD), kept] {
            let _ = fs::remove_dir(path);
        }
        fault_point!("directory.remove.folders-gone");
        let _ = fs::remove_file(self.lease_path());
        fault_point!("directory.remove.lease-gone");
        // Fails where somebody has begun to make it anew, which is right; and where a group shares it and another member
        // made it, because /dev/shm is sticky: then it stays, empty.
        let _ = fs::remove_dir(self.path());
        fault_point!("directory.remove.gone");
        self.remove_abandoned_directories();
    }

    /// Whether a path is in one of the folders, or in one of those of second names: what is there goes with the directory,
    /// whatever it is.
    pub fn is_in_folder(&self, path: &Path) -> bool {
        let kept = self.kept_path();
        let below = path.strip_prefix(self.path()).or_else(|_| path.strip_prefix(&kept));
        let folder = below.ok().and_then(Path::parent).and_then(|folder| folder.iter().next());
        folder.is_some_and(|folder| FOLDERS.iter().any(|name| folder == *name))
    }

    /// Removes directories that processes of this user were killed over before they were complete: nobody has them locked.
    pub(super) fn remove_abandoned_directories(&self) {
        let Some(root) = self.path().parent() else { return };
        let prefix = format!("{ASIDE}{}-", nix::unistd::geteuid().as_raw());
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
            if ours && lock_directory(&entry.path()).is_ok() {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }

    /// One of the folders; `None` where it, or the directory, is not there or is not a real one.
    fn folder(&self, name: &str) -> Option<OwnedFd> {
        folder_in(self.path(), name)
    }

    /// One of the folders of second names.
    fn kept_folder(&self, name: &str) -> Option<OwnedFd> {
        folder_in(&self.kept_path(), name)
    }
}

fn folder_in(directory: &Path, name: &str) -> Option<OwnedFd> {
    let step = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root = open(directory.parent()?, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_PATH, Mode::empty()).ok()?;
    let directory = openat(&root, directory.file_name()?, step, Mode::empty()).ok()?;
    openat(&directory, name, step, Mode::empty()).ok()
}

/// A path that means an open folder, whatever its name means.
fn through(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

/// Locks a directory that is not complete yet, until the answer is dropped or the process ends.
pub(super) fn lock_directory(path: &Path) -> io::Result<Flock<OwnedFd>> {
    let folder = open(path, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// Removes what was begun under a name with that prefix and not finished for a long time.
pub(super) fn remove_old(folder: &Path, prefix: &str, remove: impl Fn(&Path) -> io::Result<()>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        let old = || {
            let modified = entry.metadata().ok()?.modified().ok()?;
            SystemTime::now().duration_since(modified).ok().filter(|age| *age > ABANDONED_AFTER)
        };
        if ours && old().is_some() {
            let _ = remove(&entry.path());
        }
    }
}

//! A topic whose file somebody removes or replaces while it is in use: it gets its name back, and nobody loses a message.
//!
//! * A topic file that is in use is locked. It has two names ([`crate::directory::kept`]), and what is locked under the second one
//!   is the topic, whatever stands under the first.
//! * Who has a topic open looks at its first name once a second, and when files of its own are lost; who wants to open a topic looks
//!   at its second name before it makes a new file, or uses one that may have been put there.
//! * What stands under the first name instead is removed only under its exclusive lock, as every topic file is: nobody has it open.
//!   Names are given by `link`, which replaces nothing. So two who do this at once, or one who dies at it, leave one of the two
//!   names, or both, and never another file's.
//! * The last one to leave removes both names under the exclusive lock.
//!
//! It cannot be done where somebody removes both names, or others have begun to use the file that was put in the place of the first:
//! then those who have it open go on among themselves, which is said once.

use super::topic::Topic;
use crate::directory::kept::{keep, kept_name};
use crate::directory::{Directory, TopicStem};
use crate::log::warn_log;
use crate::sync::atomic::Ordering;
use crate::sys::file_id::FileId;
use crate::sys::mapping::Access;
use crate::sys::ofd_lock::{self, LockKind};
use crate::sys::shm_file::{self, FileError};
use nix::fcntl::AtFlags;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether a topic without its first name is in use.
pub(crate) fn is_in_use(directory: &Directory, topic: &TopicStem) -> bool {
    kept_name(&directory.topic_path(topic)).is_some_and(|kept| is_locked(&kept))
}

fn is_locked(path: &Path) -> bool {
    shm_file::open(path, Access::ReadOnly).is_ok_and(|file| ofd_lock::is_locked_by_another(&file, 0, 1).unwrap_or(true))
}

/// Before a new topic file is made: gives its first name to one that is in use. Answers whether there was one.
pub(super) fn adopt(path: &Path) -> bool {
    let Some(kept) = kept_name(path).filter(|kept| is_locked(kept)) else { return false };
    let adopted = match fs::hard_link(&kept, path) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
    };
    fault_point!("topic.adopt.linked");
    adopted
}

/// Before a topic file that is open through `lock` is used: whether another file is that topic, and this one is gone now. `lock`
/// has no lock afterwards, if so.
pub(super) fn is_impostor(lock: &File, path: &Path) -> bool {
    let Some(kept) = kept_name(path) else { return false };
    let Ok(file) = FileId::of_file(lock) else { return false };
    if file.is_named(&kept) {
        return false;
    }
    if !is_locked(&kept) {
        keep(path);
        fault_point!("topic.open.kept");
        return false;
    }
    // Where others use it already, there are two topics: nobody can tell which is to go.
    let _ = ofd_lock::unlock(lock, 0);
    displace(lock, path) || !matches!(ofd_lock::try_lock(lock, 0, LockKind::Shared), Ok(true))
}

/// Takes the first name away from a file that nobody has open.
fn displace(lock: &File, path: &Path) -> bool {
    if !matches!(ofd_lock::try_lock(lock, 0, LockKind::Exclusive), Ok(true)) {
        return false;
    }
    if FileId::of_file(lock).is_ok_and(|file| file.is_named(path)) {
        let _ = fs::remove_file(path);
    }
    let _ = ofd_lock::unlock(lock, 0);
    fault_point!("topic.displaced");
    true
}

impl Topic {
    /// Gives the file its names back.
    pub(super) fn restore_names(&self) {
        let (Ok(lock), path) = (self.lock(), self.path()) else { return };
        if self.is_cut() {
            return;
        }
        let Ok(meta) = lock.metadata() else { return };
        match FileId::named(path) {
            Ok(named) if named == FileId::of(&meta) => {
                if meta.nlink() < 2 {
                    keep(path);
                    fault_point!("topic.restore.kept");
                }
                return self.said_lost.store(false, Ordering::Relaxed);
            }
            // Looked at first: what cannot be given a name needs no room for it.
            _ if meta.nlink() == 0 => return self.say_lost("its other name as well"),
            Ok(_) => match shm_file::open(path, Access::ReadWrite) {
                Ok(other) if !displace(&other, path) => return self.say_lost("others use what was put in its place"),
                Err(FileError::Corrupt { .. }) => drop(shm_file::remove_impostor(path)),
                _ => {}
            },
            Err(_) => {}
        }
        let (here, from) = (nix::fcntl::AT_FDCWD, format!("/proc/self/fd/{}", lock.as_raw_fd()));
        let link = || match nix::unistd::linkat(here, from.as_str(), here, path, AtFlags::AT_SYMLINK_FOLLOW) {
            Err(errno) => Err(FileError::from_io(path, 0, errno.into())),
            Ok(()) => Ok(()),
        };
        // Another has been quicker: the next look tells.
        if self.folder().make(link).is_err() {
            return;
        }
        fault_point!("topic.restore.linked");
        warn_log!("{} was removed while in use: it has its name again", path.display());
        keep(path);
    }

    fn say_lost(&self, why: &str) {
        if !self.said_lost.swap(true, Ordering::Relaxed) {
            warn_log!(
                "{} was removed while in use, {why}: who has the topic open goes on, but newcomers do not meet them; close and \
                 open its endpoints to be found again",
                self.path().display()
            );
        }
    }
}

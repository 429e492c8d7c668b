//! A look at a lease file by somebody who takes no byte of it: who is alive, and the right to clean up.

use super::{
    check_header, generation_of, is_alive_in, open_or_create, read_table, Lease, GATE, LEASE_DATA, MAX_PARTICIPANTS,
    SIZE, SWEEP,
};
use crate::directory::{Directory, TopicStem};
use crate::ids::Identity;
use crate::participant::is_alive_elsewhere;
use crate::queue::kept;
use crate::sys::file_id::FileId;
use crate::sys::fork::ForkGuarded;
use crate::sys::mapping::Access;
use crate::sys::ofd_lock::{self, LockKind};
use crate::sys::shm_file::{self, FileError};
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// An opened lease file. Holds nothing but, where it was asked for, the right to sweep; gives that back when dropped.
pub struct Observer {
    file: ForkGuarded<File>,
    id: FileId,
    path: PathBuf,
}

impl Observer {
    /// Opens the lease of a directory, for looking (`ReadOnly`) or for cleaning up as well.
    ///
    /// # Errors
    /// [`FileError`], for a file that is no lease as well.
    pub fn open(directory: &Directory, access: Access) -> Result<Self, FileError> {
        let path = directory.lease_path();
        let file = ForkGuarded::open(|| shm_file::open(&path, access))?;
        Self::over(file, path).and_then(|observer| {
            observer.with_file(|file| Ok(check_header(file, &observer.path)))??;
            Ok(observer)
        })
    }

    fn over(file: ForkGuarded<File>, path: PathBuf) -> Result<Self, FileError> {
        let id = match file.get() {
            Ok(file) => FileId::of_file(file).map_err(|error| FileError::from_io(&path, SIZE, error))?,
            Err(_) => return Err(FileError::Missing { path }),
        };
        Ok(Self { file, id, path })
    }

    fn with_file<T>(&self, act: impl FnOnce(&File) -> io::Result<T>) -> Result<T, FileError> {
        let fail = |error| FileError::from_io(&self.path, SIZE, error);
        let file = self.file.get().map_err(|_| fail(io::ErrorKind::NotConnected.into()))?;
        act(file).map_err(fail)
    }

    /// Everybody who is alive now.
    ///
    /// # Errors
    /// What the system answers.
    pub fn living(&self) -> Result<Vec<Identity>, FileError> {
        self.with_file(|file| {
            let mut living = Vec::new();
            let words = read_table(file, LEASE_DATA)?;
            for (index, word) in (0..MAX_PARTICIPANTS).zip(words) {
                if ofd_lock::is_locked_by_another(file, u64::from(index), 1)? {
                    living.extend(generation_of(word).and_then(|generation| Identity::new(index, generation)));
                }
            }
            Ok(living)
        })
    }

    /// Whether `who`, of whom a file or a record was seen before, is alive now. Any error means alive.
    pub fn is_alive(&self, who: Identity) -> bool {
        if who.index() >= MAX_PARTICIPANTS {
            return false;
        }
        self.with_file(|file| is_alive_in(file, who)).unwrap_or(true)
    }

    /// Which file it is: device and inode, to find who has it open.
    pub fn device_and_inode(&self) -> (u64, u64) {
        (self.id.device, self.id.inode)
    }

    /// Whether the name still means this file. If not, everybody would seem dead who is alive by the other one.
    pub fn name_is_ours(&self) -> bool {
        self.id.is_named(&self.path)
    }

    /// Makes the caller the only one, of all processes, to clean up after dead participants, until this is dropped. `false`
    /// while another does, or where the name means another file by now. Needs to have been opened for writing.
    ///
    /// # Errors
    /// What the system answers.
    pub fn try_sweep_lock(&self) -> Result<bool, FileError> {
        Ok(self.with_file(|file| ofd_lock::try_lock(file, SWEEP, LockKind::Exclusive))? && self.name_is_ours())
    }

    /// Removes a directory with all in it, if nobody is alive in it, nobody is joining, and nobody uses it (as who has lost the
    /// lease file may). A directory without a lease gets one first: only through a lease can those who join
    /// be kept out.
    ///
    /// # Errors
    /// What the system answers, to the opening of the lease for instance.
    pub fn remove_if_nobody(directory: &Directory) -> Result<bool, FileError> {
        let path = directory.lease_path();
        let observer = Self::over(open_or_create(&path, directory.file_mode())?, path)?;
        observer.with_file(|file| {
            let alone = || ofd_lock::is_locked_by_another(file, 0, GATE).map(|locked| !locked);
            if !alone()? || !ofd_lock::try_lock(file, GATE, LockKind::Exclusive)? {
                return Ok(false);
            }
            let nobody = alone()? && observer.name_is_ours() && !is_in_use(directory);
            if nobody {
                directory.remove_all();
            }
            Ok(nobody)
        })
    }
}

/// Whether a process uses the directory, by whatever lease: has a participant's file of its own there, or a topic open. What
/// cannot be told counts as use.
pub(crate) fn is_in_use(directory: &Directory) -> bool {
    let topics = match directory.topics() {
        Err(error) if !matches!(error, FileError::Missing { .. }) => return true,
        topics => topics.unwrap_or_default(),
    };
    is_inhabited(directory) || topics.iter().any(|topic| shm_file::is_in_use(&directory.topic_path(topic)))
}

/// Whether a participant has its file in the directory, by whatever lease it is alive, or a topic that has lost its name is in use:
/// all of this may have been removed, and those who use it have not given it its names again.
pub(crate) fn is_inhabited(directory: &Directory) -> bool {
    let is_lost = |topic: &TopicStem| !directory.topic_path(topic).exists() && kept::is_in_use(directory, topic);
    directory.participants().unwrap_or_default().into_iter().any(|who| is_alive_elsewhere(directory, who))
        || directory.kept_topics().iter().any(is_lost)
}

impl Lease {
    /// Removes what stands in the lease's place and can be none: a symbolic link, a pipe, an empty folder. Nobody can hold it.
    pub(super) fn remove_impostor(directory: &Directory) -> bool {
        shm_file::remove_impostor(&directory.lease_path())
    }
}

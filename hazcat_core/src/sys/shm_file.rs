//! Files in shared memory that appear complete or not at all.
//!
//! A file is built under a temporary name, its pages are reserved with `fallocate`, its header is filled in, and only
//! then is it linked to its name. So a file under its name is never half-built; a reader tells "another version" from
//! "corrupt" by the header alone. A visible file never shrinks.

use super::mapping::{Access, Mapping, SharedRecord};
use super::ofd_lock;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What files are called, with something of their own behind it, until they have their names.
pub(crate) const ASIDE: &str = ".new-";

/// Why a shared file could not be created or opened.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("{path}: no such file")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else created the name first.
    #[error("{path}: exists already")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Shared memory is full.
    #[error("{path}: no room for {needed} bytes in shared memory")]
    Full {
        /// The file.
        path: PathBuf,
        /// Bytes that were to be reserved.
        needed: u64,
    },
    /// The file belongs to somebody who does not let us in.
    #[error("{path}: permission denied (owner uid {owner}, mode {mode:o}, we are uid {us})")]
    Denied {
        /// The file.
        path: PathBuf,
        /// User id of the file's owner.
        owner: u32,
        /// Its mode bits.
        mode: u32,
        /// Our effective user id.
        us: u32,
    },
    /// A file of this name with the layout of another version of this library.
    #[error("{path}: layout version {found:#x}, this library has {expected:#x}")]
    WrongVersion {
        /// The file.
        path: PathBuf,
        /// Version found in its header.
        found: u64,
        /// Version this library writes.
        expected: u64,
    },
    /// Not one of our files, or damaged.
    #[error("{path}: corrupt ({what})")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What did not fit.
        what: &'static str,
    },
    /// Any other answer of the system.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl FileError {
    /// Translates the system's answer for `path`.
    pub fn from_io(path: &Path, needed: u64, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.raw_os_error() {
            Some(libc::ENOENT) => Self::Missing { path },
            Some(libc::EEXIST) => Self::Exists { path },
            Some(libc::ENOSPC) => Self::Full { path, needed },
            Some(libc::EACCES | libc::EPERM) => {
                let nearest = path.ancestors().find_map(|at| std::fs::symlink_metadata(at).ok());
                let (owner, mode) = nearest.map_or((u32::MAX, 0), |meta| (meta.uid(), meta.mode() & 0o7777));
                Self::Denied { path, owner, mode, us: nix::unistd::geteuid().as_raw() }
            }
            _ => Self::Io { path, source },
        }
    }
}

/// The first 16 bytes of every shared file.
#[repr(C)]
pub struct FileHeader {
    /// Tells our files from others, and which kind it is.
    pub magic: AtomicU64,
    /// Version of the layout behind the header; changes with every incompatible change.
    pub version: AtomicU64,
}

// SAFETY: repr(C), atomics only.
unsafe impl SharedRecord for FileHeader {}

impl FileHeader {
    /// Checks kind and version.
    ///
    /// # Errors
    /// [`FileError::Corrupt`] for another kind of file, [`FileError::WrongVersion`] for another layout.
    pub fn check(&self, path: &Path, magic: u64, version: u64) -> Result<(), FileError> {
        if self.magic.load(Ordering::Relaxed) != magic {
            return Err(FileError::Corrupt { path: path.to_path_buf(), what: "not a file of this kind" });
        }
        let found = self.version.load(Ordering::Relaxed);
        if found != version {
            return Err(FileError::WrongVersion { path: path.to_path_buf(), found, expected: version });
        }
        Ok(())
    }

    /// Writes kind and version; done before the file gets its name.
    pub fn stamp(&self, magic: u64, version: u64) {
        self.magic.store(magic, Ordering::Relaxed);
        self.version.store(version, Ordering::Relaxed);
    }
}

/// A file that does not have its name yet. Dropped without [`NewFile::publish`], it is gone.
pub struct NewFile {
    file: File,
    path: PathBuf,
    temporary: Option<PathBuf>,
}

static TEMPORARY_COUNTER: AtomicU32 = AtomicU32::new(0);

impl NewFile {
    /// Starts a file of `size` bytes for the name `path`, invisible until published.
    ///
    /// `reserve` bytes from the start are backed by memory at once; the rest of `size` is reserved by [`reserve`] before
    /// it is touched.
    ///
    /// # Errors
    /// [`FileError::Full`], [`FileError::Denied`] or what the system answers.
    pub fn create(path: &Path, mode: u32, size: u64, reserve_len: u64) -> Result<Self, FileError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let fail = |source| FileError::from_io(path, reserve_len, source);
        // Preferred: a file without any name, which the kernel forgets if we die. tmpfs has them.
        let unnamed = OpenOptions::new().read(true).write(true).mode(mode).custom_flags(libc::O_TMPFILE).open(folder);
        let (file, temporary) = match unnamed {
            Ok(file) => (file, None),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
                let number = TEMPORARY_COUNTER.fetch_add(1, Ordering::Relaxed);
                let temporary = folder.join(format!("{ASIDE}{}-{number}", std::process::id()));
                let mut options = OpenOptions::new();
                let file = options.read(true).write(true).create_new(true).mode(mode).open(&temporary).map_err(fail)?;
                (file, Some(temporary))
            }
            Err(error) => return Err(fail(error)),
        };
        let new = Self { file, path: path.to_path_buf(), temporary };
        // The umask must not take away what the configuration granted.
        nix::sys::stat::fchmod(&new.file, nix::sys::stat::Mode::from_bits_truncate(mode))
            .map_err(|errno| fail(errno.into()))?;
        new.file.set_len(size).map_err(fail)?;
        fault_point!("file.create.sized");
        reserve(&new.file, &new.path, 0, reserve_len)?;
        fault_point!("file.create.reserved");
        Ok(new)
    }

    /// The file, to be mapped and filled in.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the complete file its name.
    ///
    /// # Errors
    /// [`FileError::Exists`] where another process was first: open theirs.
    pub fn publish(mut self) -> Result<File, FileError> {
        fault_point!("file.publish.unlinked");
        let linked = self.link();
        fault_point!("file.publish.linked");
        if let Some(temporary) = self.temporary.take() {
            let _ = std::fs::remove_file(temporary);
        }
        linked?;
        self.file.try_clone().map_err(|error| FileError::from_io(&self.path, 0, error))
    }

    /// Gives the complete file its name, which nobody else has a right to: whatever stands there goes.
    ///
    /// # Errors
    /// [`FileError`], [`FileError::Exists`] where what stands there cannot be removed.
    pub fn publish_over(self) -> Result<File, FileError> {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.is_dir()) {
            let _ = std::fs::remove_dir_all(&self.path);
        } else {
            let _ = std::fs::remove_file(&self.path);
        }
        self.publish()
    }

    fn link(&self) -> Result<(), FileError> {
        use std::os::fd::AsRawFd;
        let fail = |errno: Errno| FileError::from_io(&self.path, 0, errno.into());
        let here = nix::fcntl::AT_FDCWD;
        match &self.temporary {
            None => {
                let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                nix::unistd::linkat(here, from.as_str(), here, &self.path, AtFlags::AT_SYMLINK_FOLLOW).map_err(fail)
            }
            Some(temporary) => nix::unistd::linkat(here, temporary, here, &self.path, AtFlags::empty()).map_err(fail),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// Backs `len` bytes from `offset` with memory, so that touching them cannot fail.
///
/// # Errors
/// [`FileError::Full`] where shared memory has no room.
pub fn reserve(file: &File, path: &Path, offset: u64, len: u64) -> Result<(), FileError> {
    /// One step: a signal interrupts at most this much work.
    const STEP: u64 = 64 << 20;
    let mut done = 0;
    while done < len {
        let step = STEP.min(len - done);
        let at = i64::try_from(offset + done).unwrap_or(i64::MAX);
        let size = i64::try_from(step).unwrap_or(i64::MAX);
        match nix::fcntl::fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, at, size) {
            Ok(()) => done += step,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(FileError::from_io(path, len, errno.into())),
        }
    }
    Ok(())
}

/// What [`FileError::Corrupt`] says of something that is no file of ours whatever is in it.
const IMPOSTOR: &str = "not a regular file";

/// Opens an existing shared file. Symbolic links are not followed, and what is not a regular file (a pipe would make us wait
/// for ever) is refused.
///
/// # Errors
/// [`FileError::Missing`], [`FileError::Denied`], [`FileError::Corrupt`] for another kind of file, or what the system answers.
pub fn open(path: &Path, access: Access) -> Result<File, FileError> {
    let impostor = || FileError::Corrupt { path: path.to_path_buf(), what: IMPOSTOR };
    let file = OpenOptions::new()
        .read(true)
        .write(access == Access::ReadWrite)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => impostor(),
            _ => FileError::from_io(path, 0, error),
        })?;
    if !file.metadata().map_err(|error| FileError::from_io(path, 0, error))?.is_file() {
        return Err(impostor());
    }
    Ok(file)
}

/// Whether another description has a lock on the first byte of the file: whoever made it or uses it says so by that. `false` where
/// there is no such file, or none of ours; any other error means that it is locked.
pub fn is_in_use(path: &Path) -> bool {
    match open(path, Access::ReadOnly) {
        Ok(file) => ofd_lock::is_locked_by_another(&file, 0, 1).unwrap_or(true),
        Err(FileError::Missing { .. } | FileError::Corrupt { .. }) => false,
        Err(_) => true,
    }
}

/// Removes what has the name of a shared file and can be none: a symbolic link, a pipe, an empty folder. Nobody can have it
/// mapped or locked. Answers whether there was one and it is gone.
pub fn remove_impostor(path: &Path) -> bool {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir(path).is_ok(),
        Ok(meta) if !meta.is_file() => std::fs::remove_file(path).is_ok(),
        _ => false,
    }
}

/// Maps a whole opened file and checks its header.
///
/// # Errors
/// [`FileError::Corrupt`] and [`FileError::WrongVersion`] for foreign content.
pub fn map_checked(
    file: &File,
    path: &Path,
    access: Access,
    magic: u64,
    version: u64,
    populate: bool,
) -> Result<Mapping, FileError> {
    let fail = |error| FileError::from_io(path, 0, error);
    let corrupt = |what| FileError::Corrupt { path: path.to_path_buf(), what };
    let len = usize::try_from(file.metadata().map_err(fail)?.len()).map_err(|_| corrupt("too large"))?;
    if len < size_of::<FileHeader>() {
        return Err(corrupt("shorter than a header"));
    }
    let mapping = Mapping::new(file, 0, len, access, populate).map_err(fail)?;
    let header = mapping.record::<FileHeader>(0).ok_or_else(|| corrupt("shorter than a header"))?;
    header.check(path, magic, version)?;
    Ok(mapping)
}

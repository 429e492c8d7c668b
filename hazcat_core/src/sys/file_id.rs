//! Which file it is, whatever names it has.

use std::fs::{symlink_metadata, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Device and inode of a file: the same for all its names and descriptors, and no other file's as long as one of them exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// Number of the file system.
    pub device: u64,
    /// Number of the file there.
    pub inode: u64,
}

impl FileId {
    /// The file that was looked at.
    pub fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino() }
    }

    /// An open file.
    ///
    /// # Errors
    /// What the system answers.
    pub fn of_file(file: &File) -> io::Result<Self> {
        file.metadata().map(|meta| Self::of(&meta))
    }

    /// The file that a name means now; of a symbolic link, the link.
    ///
    /// # Errors
    /// What the system answers; [`io::ErrorKind::NotFound`] where the name means none.
    pub fn named(path: &Path) -> io::Result<Self> {
        symlink_metadata(path).map(|meta| Self::of(&meta))
    }

    /// Whether the name means this file now.
    pub fn is_named(self, path: &Path) -> bool {
        Self::named(path).is_ok_and(|named| named == self)
    }
}

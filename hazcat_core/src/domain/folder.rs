//! Where the files of an allocator's segments lie.

use crate::directory::{Directory, TopicStem};
use crate::ids::SegmentId;
use crate::sys::shm_file::FileError;
use std::path::PathBuf;

/// Which topic's endpoint the segments of an allocator belong to: decides their names.
#[derive(Clone, Debug)]
pub struct SegmentFolder {
    /// The participant's directory.
    pub directory: Directory,
    /// The topic.
    pub topic: TopicStem,
}

impl SegmentFolder {
    /// Path of a segment; `owner` is the identity's word, as it stands in the topic file.
    pub fn path(&self, id: SegmentId, owner: u64) -> PathBuf {
        self.directory.payload_path(id, owner, &self.topic)
    }

    /// Has `create` make a file; where somebody has removed the folder, makes that anew and asks once more.
    ///
    /// # Errors
    /// Those of `create`.
    pub(crate) fn make<T>(&self, create: impl Fn() -> Result<T, FileError>) -> Result<T, FileError> {
        match create() {
            Err(FileError::Missing { .. }) if self.directory.ensure().is_ok() => create(),
            other => other,
        }
    }
}

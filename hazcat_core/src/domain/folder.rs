//! Where the files of an allocator's segments lie.

use crate::directory::{Directory, TopicStem};
use crate::ids::SegmentId;
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
}

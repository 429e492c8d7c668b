//! Why an endpoint could not be created.

use super::OPEN_ATTEMPTS;
use crate::domain::{DomainError, DomainId};
use crate::sys::shm_file::FileError;
use std::path::PathBuf;

/// Why an endpoint could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The topic file could not be created or opened.
    #[error("topic '{topic}': {source}")]
    File {
        /// Name of the topic.
        topic: String,
        /// What went wrong.
        source: FileError,
    },
    /// A name is longer than [`MAX_NAME`](crate::queue::layout::MAX_NAME) bytes.
    #[error("topic '{topic}': name or type name longer than {limit} bytes")]
    NameTooLong {
        /// Name of the topic.
        topic: String,
        /// Most bytes.
        limit: usize,
    },
    /// The topic has as many endpoints of this kind as its file has room for.
    #[error("topic '{topic}': no room for another {kind}, there are {limit}")]
    TableFull {
        /// Name of the topic.
        topic: String,
        /// Publisher or subscription.
        kind: &'static str,
        /// Most of them.
        limit: usize,
    },
    /// Two different topics have the same file name.
    #[error("topic '{topic}': its file {path} belongs to another topic")]
    Collision {
        /// Name of the topic.
        topic: String,
        /// The file.
        path: PathBuf,
    },
    /// The file is being removed and created over and over.
    #[error("topic '{topic}': its file vanished {OPEN_ATTEMPTS} times while being opened")]
    Unstable {
        /// Name of the topic.
        topic: String,
    },
    /// The calling process is a fork of the one that joined.
    #[error("topic '{topic}': a forked child must not use its parent's participant")]
    Forked {
        /// Name of the topic.
        topic: String,
    },
    /// The topic's endpoints want more memory domains than its file has room for.
    #[error("topic '{topic}': no room for memory domain {domain}, there are {limit} on the topic")]
    TooManyDomains {
        /// Name of the topic.
        topic: String,
        /// The domain that was to be added.
        domain: DomainId,
        /// Most of them.
        limit: usize,
    },
    /// The memory domain is not to be had in this process.
    #[error("topic '{topic}': {source}")]
    Domain {
        /// Name of the topic.
        topic: String,
        /// Why.
        source: DomainError,
    },
    /// The device refused an allocator.
    #[error("topic '{topic}': no memory in domain {domain}: {source}")]
    Device {
        /// Name of the topic.
        topic: String,
        /// The domain.
        domain: DomainId,
        /// What the device answered.
        source: crate::domain::AllocateError,
    },
    /// The history does not fit into the publisher's byte budget, or shared memory is full.
    #[error("topic '{topic}': no memory for the history: {source}")]
    History {
        /// Name of the topic.
        topic: String,
        /// What went wrong.
        source: crate::domain::AllocateError,
    },
}

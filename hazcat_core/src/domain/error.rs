//! What can go wrong in a memory domain.

use crate::sys::shm_file::FileError;

/// Why an allocator has nothing.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// The byte budget does not allow more segments; giving something back may help.
    #[error("{needed} bytes needed, {used} of {limit} bytes in use")]
    Budget {
        /// Bytes asked for.
        needed: usize,
        /// Bytes in segments now.
        used: usize,
        /// Most bytes the segments may have.
        limit: usize,
    },
    /// More than the budget or a segment can ever hold, whatever is given back.
    #[error("{needed} bytes can never fit into a budget of {limit} bytes")]
    NeverFits {
        /// Bytes asked for.
        needed: usize,
        /// Most bytes the segments may have.
        limit: usize,
    },
    /// The system refused a segment.
    #[error(transparent)]
    System(#[from] FileError),
    /// The device refused.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl AllocateError {
    /// Whether giving something back may help.
    pub fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::Budget { .. } | Self::System(FileError::Full { .. }) => true,
            Self::Device(error) => error.out_of_memory,
            Self::NeverFits { .. } | Self::System(_) => false,
        }
    }
}

/// What a device answered, by the device's own name for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{domain}: {what}: {name}")]
pub struct DeviceError {
    /// Which device.
    pub domain: super::DomainId,
    /// What was being done.
    pub what: &'static str,
    /// The device's name for the error, such as `CUDA_ERROR_ILLEGAL_ADDRESS`.
    pub name: String,
    /// Whether the device has no memory left.
    pub out_of_memory: bool,
}

/// Why a copy within or between domains failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// Source and destination differ in length, or lie outside the allocation or segment.
    #[error("{len} bytes do not fit into {room} bytes")]
    Bounds {
        /// Bytes to copy.
        len: usize,
        /// Bytes there is room for.
        room: usize,
    },
    /// The memory is mapped read-only here.
    #[error("this memory can only be read here")]
    ReadOnly,
    /// The device refused.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The system refused.
    #[error("{path}: {error}")]
    System {
        /// The segment's file.
        path: std::path::PathBuf,
        /// What the system answered.
        error: std::io::ErrorKind,
    },
}

/// Why there is no such memory domain here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// The text is not `kind` or `kind:instance`.
    #[error("'{text}' is no memory domain: expected a kind and an instance, such as host, sim:0 or cuda:0")]
    Malformed {
        /// What was given.
        text: String,
    },
    /// Nobody registered a domain of this kind in this process.
    #[error("memory domain '{text}': unknown kind (known: {known})")]
    UnknownKind {
        /// What was given.
        text: String,
        /// The kinds there are, comma separated.
        known: String,
    },
    /// The kind is known, but there is no such memory on this machine, or no driver for it.
    #[error("memory domain '{text}' is not available: {why}")]
    NotAvailable {
        /// What was given.
        text: String,
        /// Why.
        why: String,
    },
    /// The kind is registered already.
    #[error("memory domains of kind '{kind}' are registered already")]
    Registered {
        /// The kind.
        kind: String,
    },
}

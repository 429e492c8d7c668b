//! What the tests of messages and their bytes share.
//!
//! * `random`: numbers from a seed that is printed.
//! * `value`: a message as a tree of values; random ones, and their encoding by the `cdr` crate.
//! * `memory`: such a tree in a C message and back, written without the code under test.
//! * `tables`: introspection tables made by hand, for types that rosidl never generated.
//! * `generated`: the test messages that colcon built.
// Each test uses some of it. What C does in one line may be in one block here.
#![allow(dead_code, clippy::multiple_unsafe_ops_per_block)]

pub mod generated;
pub mod memory;
pub mod random;
pub mod tables;
pub mod value;

use rmw_hazcat_rs::cdr::CdrError;
use rmw_hazcat_rs::typesupport::MessageType;
use std::ffi::c_void;

/// An initialized message of a type, with memory of its own.
pub struct Message<'a> {
    pub kind: &'a MessageType,
    pub memory: *mut c_void,
}

impl<'a> Message<'a> {
    pub fn new(kind: &'a MessageType) -> Self {
        // SAFETY: no requirements.
        let memory = unsafe { libc::calloc(1, kind.size_of().max(1)) };
        assert!(!memory.is_null());
        // SAFETY: there is room for a message, and none yet.
        unsafe { kind.init(memory) };
        Self { kind, memory }
    }

    pub fn bytes(&self) -> Result<Vec<u8>, CdrError> {
        // SAFETY: the message is initialized.
        let size = unsafe { self.kind.serialized_size(self.memory) }?;
        // More than needed, to see that nothing more is written.
        let mut out = vec![0xa5; size + 3];
        // SAFETY: as above.
        let written = unsafe { self.kind.serialize(self.memory, &mut out) }?;
        assert_eq!(written, size, "serialized_size of {}", self.kind.ros_name());
        assert_eq!(out[size..], [0xa5; 3], "bytes behind the message were written");
        out.truncate(size);
        // One byte less must be refused, not overrun.
        let mut short = vec![0; size - 1];
        // SAFETY: as above.
        assert!(unsafe { self.kind.serialize(self.memory, &mut short) }.is_err());
        Ok(out)
    }

    pub fn read(&mut self, bytes: &[u8]) -> Result<(), CdrError> {
        // SAFETY: the message is initialized.
        unsafe { self.kind.deserialize(bytes, self.memory) }
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        // SAFETY: the message is initialized, and not used afterwards.
        unsafe { self.kind.fini(self.memory) };
        // SAFETY: from `calloc`.
        unsafe { libc::free(self.memory) };
    }
}

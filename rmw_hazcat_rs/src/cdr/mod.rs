//! ROS messages as bytes: XCDR1, little endian, behind the 4-byte encapsulation header, as every
//! ROS 2 tool expects it; big endian is read as well.
//!
//! A type is compiled once into a `Program`, a list of operations in which neighbouring fields are
//! one `memcpy` wherever the struct and the stream agree, so a message is written without any
//! allocation and in as few copies as its type allows: a primitive sequence is one `memcpy` in either
//! direction.
//!
//! Reading trusts nothing. Whatever the bytes are, reading ends with a message or with a
//! [`CdrError`], leaves the message valid, reads only the bytes given, and never makes a sequence
//! longer than the remaining bytes can fill.
//!
//! # Format
//!
//! Alignment counts from the first byte after the header. A primitive of `n` bytes is aligned to `n`,
//! at most 8 (`long double` is 16 bytes, aligned to 8, copied as it is in memory). A string is its
//! length with the NUL, as `uint32`, then its bytes and the NUL; a reader also takes a string without
//! the NUL, and length 0, for what they mean. A sequence is its length as `uint32`, then its
//! elements, with padding before the first only if there is one. Booleans are 0 or 1; any other
//! byte is read as 1, and so is any other byte in a message to be written. What follows the message
//! is ignored (DDS pads to 4 bytes).
//!
//! A wide string is its number of 16-bit units, as `uint32`, and then **a `uint32` for each of
//! them**, without a NUL; a `wchar` is 2 bytes. This is what both rmw_fastrtps and rmw_cyclonedds
//! write on Jazzy. They differ where a string has a NUL inside: Fast DDS cuts it off there, Cyclone
//! DDS and this crate write all of it.

mod containers;
mod cpp;
mod decode;
mod encode;
mod program;
mod raw;
mod size;

pub(crate) use cpp::check as check_cxx;
pub(crate) use program::Program;

use crate::typesupport::Language;
use containers::{Cpp, C};
use raw::Position;
use thiserror::Error;

/// Bytes before the message: representation and options.
pub const ENCAPSULATION_SIZE: usize = 4;

/// Little-endian XCDR1 ("CDR_LE"), no options.
const HEADER: [u8; ENCAPSULATION_SIZE] = [0, 1, 0, 0];

/// Why a message could not be written to, or read from, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CdrError {
    /// The bytes do not begin with the header of XCDR1.
    #[error("not XCDR1: the encapsulation header begins with {0:#04x} {1:#04x}")]
    UnknownEncapsulation(u8, u8),
    /// The bytes end before the message does.
    #[error("the bytes end within the message: {needed} more at byte {at} of {len}")]
    Truncated {
        /// Bytes needed.
        needed: usize,
        /// Where, counted after the header.
        at: usize,
        /// How many there are after the header.
        len: usize,
    },
    /// The place for the bytes is too short.
    #[error("the buffer is too short: {needed} more bytes at byte {at} of {len}")]
    BufferTooShort {
        /// Bytes needed.
        needed: usize,
        /// Where, counted after the header.
        at: usize,
        /// How many there are after the header.
        len: usize,
    },
    /// A string or sequence has more elements than its type allows.
    #[error("{len} elements where the type allows {bound}")]
    BoundExceeded {
        /// Elements found.
        len: usize,
        /// Elements allowed.
        bound: usize,
    },
    /// A string or sequence is longer than CDR can say.
    #[error("{0} elements do not fit a CDR length")]
    TooLong(usize),
    /// A sequence or string in the message says that it has elements but has no memory.
    #[error("a sequence or string of {0} elements has a null pointer or impossible bounds")]
    BadContainer(usize),
    /// A wide character that is not 16 bits wide.
    #[error("{0:#x} is no 16-bit character")]
    BadWideCharacter(u32),
    /// No memory for a string or sequence.
    #[error("no memory for {0} bytes")]
    NoMemory(usize),
}

/// Bytes that the message takes, with the header.
///
/// # Safety
/// `message` is an initialized message of the type that `program` was compiled from.
pub(crate) unsafe fn serialized_size(program: &Program, message: *const u8) -> Result<usize, CdrError> {
    if let Some(size) = program.fixed_size() {
        return Ok(size);
    }
    let mut position = Position(0);
    match program.language() {
        // SAFETY: passed on, in the language of the program.
        Language::C => unsafe { size::run::<C>(program, message, &mut position) }?,
        // SAFETY: as above.
        Language::Cpp => unsafe { size::run::<Cpp>(program, message, &mut position) }?,
    }
    position.0.checked_add(ENCAPSULATION_SIZE).ok_or(CdrError::TooLong(position.0))
}

/// Writes the message; returns how many bytes.
///
/// # Safety
/// `message` is an initialized message of the type that `program` was compiled from, outside `out`.
pub(crate) unsafe fn serialize(program: &Program, message: *const u8, out: &mut [u8]) -> Result<usize, CdrError> {
    let len = out.len();
    let Some((header, body)) = out.split_first_chunk_mut::<ENCAPSULATION_SIZE>() else {
        return Err(CdrError::BufferTooShort { needed: ENCAPSULATION_SIZE - len, at: 0, len: 0 });
    };
    *header = HEADER;
    let mut writer = encode::Writer::new(body);
    match program.language() {
        // SAFETY: passed on, in the language of the program.
        Language::C => unsafe { encode::run::<C>(program, message, &mut writer) }?,
        // SAFETY: as above.
        Language::Cpp => unsafe { encode::run::<Cpp>(program, message, &mut writer) }?,
    }
    Ok(writer.written() + ENCAPSULATION_SIZE)
}

/// Reads a message.
///
/// # Safety
/// `message` is an initialized message of the type that `program` was compiled from, outside `bytes`.
pub(crate) unsafe fn deserialize(program: &Program, bytes: &[u8], message: *mut u8) -> Result<(), CdrError> {
    let Some((header, body)) = bytes.split_first_chunk::<ENCAPSULATION_SIZE>() else {
        return Err(CdrError::Truncated { needed: ENCAPSULATION_SIZE - bytes.len(), at: 0, len: 0 });
    };
    let big_endian = match header {
        [0, 0, ..] => true,
        [0, 1, ..] => false,
        [a, b, ..] => return Err(CdrError::UnknownEncapsulation(*a, *b)),
    };
    let swap = big_endian != cfg!(target_endian = "big");
    let mut reader = decode::Reader::new(body);
    match (program.language(), swap) {
        // SAFETY: passed on, in the language of the program.
        (Language::C, false) => unsafe { decode::run::<C, false>(program, message, &mut reader) },
        // SAFETY: as above.
        (Language::C, true) => unsafe { decode::run::<C, true>(program, message, &mut reader) },
        // SAFETY: as above.
        (Language::Cpp, false) => unsafe { decode::run::<Cpp, false>(program, message, &mut reader) },
        // SAFETY: as above.
        (Language::Cpp, true) => unsafe { decode::run::<Cpp, true>(program, message, &mut reader) },
    }
}

// The bytes written are those of this machine's order.
#[cfg(not(target_endian = "little"))]
compile_error!("rmw_hazcat_rs writes messages in memory order and needs a little-endian machine");

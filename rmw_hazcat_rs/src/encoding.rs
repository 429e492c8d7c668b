//! How a message lies in its chunk: as the C structure itself, or as a CDR stream.
//!
//! A CDR payload is four zero bytes, the four bytes of the encapsulation header, and the stream. Chunks are aligned to
//! 64 bytes, so the stream's origin is aligned to 8 and with it every primitive inside: a reader could use them in place.
//! What a message is, its own `encoding` says; a plain type can still arrive as CDR, when it was published serialized.

use std::ffi::c_void;

use hazcat_core::queue::Passage;

use crate::cdr::CdrError;
use crate::error::{Code, Context as _, Failure, Result};
use crate::ffi;
use crate::typesupport::MessageType;

/// The C structure itself; only for types without strings and sequences.
pub const PLAIN: u32 = 1;
/// A CDR stream behind [`CDR_PADDING`] zero bytes.
pub const CDR: u32 = 2;
/// Zero bytes in front of the encapsulation header.
pub const CDR_PADDING: usize = 4;

/// How a message of this encoding gets into its chunk from a message of the program's, and out of it.
pub fn passage(encoding: u32) -> Passage {
    if encoding == PLAIN {
        Passage::Copied
    } else {
        Passage::Serialized
    }
}

/// Bytes that a message of this type takes in a chunk, and their encoding.
///
/// # Safety
/// `message` points to an initialised message of this type.
pub unsafe fn size(kind: &MessageType, message: *const c_void) -> Result<(usize, u32)> {
    if kind.is_plain() {
        return Ok((kind.size_of(), PLAIN));
    }
    // SAFETY: forwarded from the caller.
    let size = unsafe { kind.serialized_size(message) }.or_error(|| format!("type '{}'", kind.ros_name()))?;
    Ok((CDR_PADDING + size, CDR))
}

/// Writes a message into a chunk of exactly the size that [`size`] answered. Answers the bytes used.
///
/// # Safety
/// `message` points to an initialised message of this type, which nobody changes meanwhile.
pub unsafe fn write(kind: &MessageType, message: *const c_void, chunk: &mut [u8]) -> Result<usize> {
    if kind.is_plain() {
        let Some(target) = chunk.get_mut(..kind.size_of()) else {
            return Err(Failure::error(format!("type '{}': the chunk is too small", kind.ros_name())));
        };
        // SAFETY: the message is `size_of` bytes long, `target` as many; one is the caller's, one is the chunk.
        unsafe { std::ptr::copy_nonoverlapping(message.cast::<u8>(), target.as_mut_ptr(), target.len()) };
        return Ok(target.len());
    }
    let Some((padding, stream)) = chunk.split_at_mut_checked(CDR_PADDING) else {
        return Err(Failure::error(format!("type '{}': the chunk is too small", kind.ros_name())));
    };
    padding.fill(0);
    // SAFETY: forwarded from the caller.
    let used = unsafe { kind.serialize(message, stream) }.or_error(|| format!("type '{}'", kind.ros_name()))?;
    Ok(CDR_PADDING + used)
}

/// Makes a message out of a chunk's payload.
///
/// # Safety
/// `message` points to an initialised message of this type that nobody else uses.
pub unsafe fn read(kind: &MessageType, encoding: u32, payload: &[u8], message: *mut c_void) -> Result<()> {
    match encoding {
        PLAIN => {
            plain_payload(kind, payload)?;
            // SAFETY: both sides are `size_of` bytes of the same plain type; the payload is shared memory, the message
            // the caller's.
            unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), message.cast::<u8>(), kind.size_of()) };
            Ok(())
        }
        // SAFETY: forwarded from the caller.
        CDR => unsafe { decode(kind, cdr_payload(kind, payload)?, message) },
        other => Err(unknown(kind, other)),
    }
}

/// Makes a message out of its serialized form.
///
/// # Safety
/// `message` points to an initialised message of this type that nobody else uses.
pub unsafe fn decode(kind: &MessageType, stream: &[u8], message: *mut c_void) -> Result<()> {
    // SAFETY: forwarded from the caller.
    let decoded = unsafe { kind.deserialize(stream, message) };
    let code = if matches!(decoded, Err(CdrError::NoMemory(_))) { Code::BadAlloc } else { Code::Error };
    decoded.or_code(code, || format!("cannot decode a message of type '{}'", kind.ros_name()))
}

/// Puts the serialized form of a payload into a serialized message of the caller: the stream as it lies there, or one
/// made from a plain message.
pub fn copy_serialized(
    kind: &MessageType,
    encoding: u32,
    payload: &[u8],
    out: &mut ffi::rmw_serialized_message_t,
) -> Result<()> {
    match encoding {
        CDR => {
            let stream = cdr_payload(kind, payload)?;
            resize_serialized(out, stream.len())?;
            // SAFETY: the caller's buffer was just made that long, and it is not shared memory.
            unsafe { std::ptr::copy_nonoverlapping(stream.as_ptr(), out.buffer.cast::<u8>(), stream.len()) };
            Ok(())
        }
        PLAIN => {
            let message = plain_payload(kind, payload)?.as_ptr().cast::<c_void>();
            // SAFETY: the payload is `size_of` bytes of this plain type, aligned to 64 bytes, and immutable.
            unsafe { serialize(kind, message, out) }
        }
        other => Err(unknown(kind, other)),
    }
}

/// Serializes a message into a serialized message of the caller.
///
/// # Safety
/// `message` points to an initialised message of this type, which nobody changes meanwhile.
pub unsafe fn serialize(
    kind: &MessageType,
    message: *const c_void,
    out: &mut ffi::rmw_serialized_message_t,
) -> Result<()> {
    let subject = || format!("type '{}'", kind.ros_name());
    // SAFETY: forwarded from the caller.
    let size = unsafe { kind.serialized_size(message) }.or_error(subject)?;
    resize_serialized(out, size)?;
    // SAFETY: the buffer was just made `size` bytes long.
    unsafe { std::ptr::write_bytes(out.buffer.cast::<u8>(), 0, size) };
    // SAFETY: so many bytes, all written, of the caller's own buffer.
    let buffer = unsafe { std::slice::from_raw_parts_mut(out.buffer.cast::<u8>(), size) };
    // SAFETY: forwarded from the caller.
    let used = unsafe { kind.serialize(message, buffer) }.or_error(subject)?;
    out.buffer_length = used;
    Ok(())
}

/// Checks that a payload can be read as the C structure of a type.
pub fn plain_payload<'a>(kind: &MessageType, payload: &'a [u8]) -> Result<&'a [u8]> {
    if !kind.is_plain() || payload.len() != kind.size_of() {
        return Err(Failure::error(format!(
            "a message of {} bytes does not hold a plain '{}' of {} bytes",
            payload.len(),
            kind.ros_name(),
            kind.size_of()
        )));
    }
    Ok(payload)
}

fn cdr_payload<'a>(kind: &MessageType, payload: &'a [u8]) -> Result<&'a [u8]> {
    payload
        .get(CDR_PADDING..)
        .ok_or_else(|| Failure::error(format!("a message of {} bytes holds no '{}'", payload.len(), kind.ros_name())))
}

fn unknown(kind: &MessageType, encoding: u32) -> Failure {
    Failure::error(format!("a message of type '{}' has the unknown encoding {encoding}", kind.ros_name()))
}

/// Makes a serialized message of the caller exactly `size` bytes long; its buffer only ever grows.
pub fn resize_serialized(message: &mut ffi::rmw_serialized_message_t, size: usize) -> Result<()> {
    if message.buffer_capacity < size {
        let allocator = crate::allocator::Allocator::new(&message.allocator)?;
        // SAFETY: the buffer belongs to the message's own allocator.
        let buffer = unsafe { allocator.reallocate(message.buffer.cast(), size) }?;
        message.buffer = buffer.as_ptr().cast();
        message.buffer_capacity = size;
    }
    message.buffer_length = size;
    Ok(())
}

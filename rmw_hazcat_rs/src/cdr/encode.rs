//! From a message to bytes.

use super::containers::Containers;
use super::program::{Op, Program};
use super::raw::{self, Position};
use super::size::check_length;
use super::CdrError;
use std::marker::PhantomData;

/// Writes into a buffer, never behind its end.
pub(super) struct Writer<'a> {
    base: *mut u8,
    len: usize,
    position: Position,
    buffer: PhantomData<&'a mut [u8]>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { base: buffer.as_mut_ptr(), len: buffer.len(), position: Position(0), buffer: PhantomData }
    }

    pub(super) fn written(&self) -> usize {
        self.position.0
    }

    /// Zeroes up to the alignment, then the address of `len` bytes to be written.
    fn reserve(&mut self, align: usize, len: usize) -> Result<*mut u8, CdrError> {
        let padding = self.position.padding(align);
        let room = self.len - self.position.0;
        match padding.checked_add(len) {
            Some(needed) if needed <= room => {}
            _ => {
                return Err(CdrError::BufferTooShort {
                    needed: padding.saturating_add(len) - room,
                    at: self.position.0,
                    len: self.len,
                })
            }
        }
        for index in 0..padding {
            // SAFETY: within the buffer, as just compared.
            unsafe { raw::store(self.base, self.position.0 + index, 0u8) };
        }
        let at = self.base.wrapping_add(self.position.0 + padding);
        self.position.0 += padding + len;
        Ok(at)
    }

    /// # Safety
    /// `len` bytes can be read at `from`, which is outside the buffer.
    unsafe fn bytes(&mut self, align: usize, from: *const u8, len: usize) -> Result<(), CdrError> {
        let to = self.reserve(align, len)?;
        // SAFETY: `to` has room for `len`; the rest as this function requires.
        unsafe { raw::copy(from, to, len) };
        Ok(())
    }

    /// # Safety
    /// As for [`bytes`](Self::bytes).
    unsafe fn bools(&mut self, from: *const u8, len: usize) -> Result<(), CdrError> {
        let to = self.reserve(1, len)?;
        // SAFETY: `to` has room for `len`; the rest as this function requires.
        unsafe { raw::copy_bools(from, to, len) };
        Ok(())
    }

    fn number(&mut self, number: usize) -> Result<(), CdrError> {
        let value = u32::try_from(number).map_err(|_| CdrError::TooLong(number))?;
        let to = self.reserve(4, 4)?;
        // SAFETY: `to` has room for 4 bytes.
        unsafe { raw::store(to, 0, value) };
        Ok(())
    }

    fn length(&mut self, len: usize, bound: usize) -> Result<(), CdrError> {
        check_length(len, bound)?;
        self.number(len)
    }
}

/// Writes the message.
///
/// # Safety
/// `message` is an initialized message of the type that `program` was compiled from, with the
/// containers of `K`, outside the buffer.
pub(super) unsafe fn run<K: Containers>(
    program: &Program,
    message: *const u8,
    out: &mut Writer<'_>,
) -> Result<(), CdrError> {
    for op in program.ops() {
        match op {
            Op::Blocks { offset, count, block } => {
                let from = message.wrapping_add(*offset);
                // SAFETY: the blocks lie there.
                unsafe { out.bytes(block.align, from, block.len * count) }?;
            }
            Op::Bools { offset, count } => {
                // SAFETY: the booleans lie there.
                unsafe { out.bools(message.wrapping_add(*offset), *count) }?;
            }
            Op::Strings { offset, count, bound } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` strings lie there.
                unsafe { strings::<K>(base, *count, *bound, out) }?;
            }
            Op::WStrings { offset, count, bound } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` wide strings lie there.
                unsafe { wstrings::<K>(base, *count, *bound, out) }?;
            }
            Op::Messages { offset, count, program } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` messages lie there.
                unsafe { messages::<K>(program, base, *count, out) }?;
            }
            Op::BlockSequence { offset, bound, block } => {
                // SAFETY: a sequence lies there.
                let (base, len) = unsafe { K::sequence(message.wrapping_add(*offset), block.len) }?;
                out.length(len, *bound)?;
                if len > 0 {
                    let bytes = block.len.saturating_mul(len);
                    // SAFETY: the sequence has `len` blocks.
                    unsafe { out.bytes(block.align, base, bytes) }?;
                }
            }
            Op::BoolSequence { offset, bound } => {
                // SAFETY: a sequence lies there.
                let (base, len) = unsafe { K::sequence(message.wrapping_add(*offset), 1) }?;
                out.length(len, *bound)?;
                // SAFETY: the sequence has `len` bytes.
                unsafe { out.bools(base, len) }?;
            }
            Op::BitVector { offset, bound, size, fetch, .. } => {
                let vector = message.wrapping_add(*offset).cast();
                // SAFETY: the function belongs to the vector that lies there.
                let len = unsafe { size(vector) };
                out.length(len, *bound)?;
                let to = out.reserve(1, len)?;
                for index in 0..len {
                    let mut value = 0u8;
                    // SAFETY: as above, with room for a boolean, and `index < len`.
                    unsafe { fetch(vector, index, std::ptr::from_mut(&mut value).cast()) };
                    // SAFETY: `to` has room for `len` bytes.
                    unsafe { raw::store(to, index, value) };
                }
            }
            Op::StringSequence { offset, bound, string_bound, .. } => {
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence lies there.
                let (base, len) = unsafe { K::sequence(at, K::STRING_SIZE) }?;
                out.length(len, *bound)?;
                // SAFETY: it has `len` strings.
                unsafe { strings::<K>(base, len, *string_bound, out) }?;
            }
            Op::WStringSequence { offset, bound, string_bound, .. } => {
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence lies there.
                let (base, len) = unsafe { K::sequence(at, K::STRING_SIZE) }?;
                out.length(len, *bound)?;
                // SAFETY: it has `len` wide strings.
                unsafe { wstrings::<K>(base, len, *string_bound, out) }?;
            }
            Op::MessageSequence { offset, bound, program, .. } => {
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence lies there.
                let (base, len) = unsafe { K::sequence(at, program.stride()) }?;
                out.length(len, *bound)?;
                // SAFETY: it has `len` messages.
                unsafe { messages::<K>(program, base, len, out) }?;
            }
        }
    }
    Ok(())
}

/// # Safety
/// `count` strings lie at `base`.
unsafe fn strings<K: Containers>(
    base: *const u8,
    count: usize,
    bound: usize,
    out: &mut Writer<'_>,
) -> Result<(), CdrError> {
    for index in 0..count {
        // SAFETY: `index < count`.
        let (text, len) = unsafe { K::string(base.wrapping_add(index * K::STRING_SIZE)) }?;
        check_length(len, bound)?;
        out.number(len + 1)?;
        let to = out.reserve(1, len + 1)?;
        // SAFETY: the string has `len` bytes; `to` has room for them.
        unsafe { raw::copy(text, to, len) };
        // SAFETY: `to` has room for one more.
        unsafe { raw::store(to, len, 0u8) };
    }
    Ok(())
}

/// # Safety
/// `count` wide strings lie at `base`.
unsafe fn wstrings<K: Containers>(
    base: *const u8,
    count: usize,
    bound: usize,
    out: &mut Writer<'_>,
) -> Result<(), CdrError> {
    for index in 0..count {
        // SAFETY: `index < count`.
        let (text, len) = unsafe { K::wstring(base.wrapping_add(index * K::STRING_SIZE)) }?;
        out.length(len, bound)?;
        let to = out.reserve(4, len.saturating_mul(4))?;
        for unit in 0..len {
            // SAFETY: the string has `len` units.
            let value: u16 = unsafe { raw::load(text, unit * 2) };
            // SAFETY: `to` has room for 4 bytes each.
            unsafe { raw::store(to, unit * 4, u32::from(value)) };
        }
    }
    Ok(())
}

/// # Safety
/// `count` messages of the program's type lie at `base`.
unsafe fn messages<K: Containers>(
    program: &Program,
    base: *const u8,
    count: usize,
    out: &mut Writer<'_>,
) -> Result<(), CdrError> {
    for index in 0..count {
        // SAFETY: `index < count`.
        unsafe { run::<K>(program, base.wrapping_add(index * program.stride()), out) }?;
    }
    Ok(())
}

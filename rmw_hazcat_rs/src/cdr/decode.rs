//! From bytes to a message. The bytes are whatever somebody sent.

use super::containers::Containers;
use super::cpp::check_room_for_bits;
use super::program::{Block, Op, Program};
use super::raw::{self, Position};
use super::CdrError;
use std::marker::PhantomData;

/// Reads from bytes, never behind their end.
pub(super) struct Reader<'a> {
    base: *const u8,
    len: usize,
    position: Position,
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { base: bytes.as_ptr(), len: bytes.len(), position: Position(0), bytes: PhantomData }
    }

    fn truncated(&self, needed: usize) -> CdrError {
        CdrError::Truncated {
            needed: needed.saturating_sub(self.len - self.position.0),
            at: self.position.0,
            len: self.len,
        }
    }

    /// The address of the next `len` bytes after the alignment, now consumed.
    fn take(&mut self, align: usize, len: usize) -> Result<*const u8, CdrError> {
        let padding = self.position.padding(align);
        let needed = padding.saturating_add(len);
        if needed > self.len - self.position.0 {
            return Err(self.truncated(needed));
        }
        let at = self.base.wrapping_add(self.position.0 + padding);
        self.position.0 += needed;
        Ok(at)
    }

    fn number<const SWAP: bool>(&mut self) -> Result<u32, CdrError> {
        let at = self.take(4, 4)?;
        // SAFETY: 4 bytes were taken there.
        let value: u32 = unsafe { raw::load(at, 0) };
        Ok(if SWAP { value.swap_bytes() } else { value })
    }

    /// The length of a sequence whose elements take at least `min_size` bytes each: within the
    /// type's bound, and no more than the bytes left can hold.
    fn length<const SWAP: bool>(&mut self, bound: usize, min_size: usize) -> Result<usize, CdrError> {
        let len = self.number::<SWAP>()? as usize;
        if len > bound {
            return Err(CdrError::BoundExceeded { len, bound });
        }
        // Elements of no bytes do not exist in ROS; they would be limited like bytes.
        let needed = len.saturating_mul(min_size.max(1));
        if needed > self.len - self.position.0 {
            return Err(self.truncated(needed));
        }
        Ok(len)
    }
}

/// Reads the message. With `SWAP`, the bytes are of the other order.
///
/// # Safety
/// `message` is an initialized message of the type that `program` was compiled from, with the
/// containers of `K`, outside the bytes.
pub(super) unsafe fn run<K: Containers, const SWAP: bool>(
    program: &Program,
    message: *mut u8,
    input: &mut Reader<'_>,
) -> Result<(), CdrError> {
    for op in program.ops() {
        match op {
            Op::Blocks { offset, count, block } => {
                let from = input.take(block.align, block.len * count)?;
                let to = message.wrapping_add(*offset);
                // SAFETY: the blocks lie at `to`, and that many bytes at `from`.
                unsafe { blocks::<SWAP>(from, to, *count, block) };
            }
            Op::Bools { offset, count } => {
                let from = input.take(1, *count)?;
                // SAFETY: the booleans lie there.
                unsafe { raw::copy_bools(from, message.wrapping_add(*offset), *count) };
            }
            Op::Strings { offset, count, bound } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` strings lie there.
                unsafe { strings::<K, SWAP>(base, *count, *bound, input) }?;
            }
            Op::WStrings { offset, count, bound } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` wide strings lie there.
                unsafe { wstrings::<K, SWAP>(base, *count, *bound, input) }?;
            }
            Op::Messages { offset, count, program } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` messages lie there.
                unsafe { messages::<K, SWAP>(program, base, *count, input) }?;
            }
            Op::BlockSequence { offset, bound, block } => {
                let len = input.length::<SWAP>(*bound, block.len)?;
                let from = if len > 0 { input.take(block.align, block.len * len)? } else { input.take(1, 0)? };
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence of such blocks lies there.
                let to = unsafe { K::set_block_sequence(at, len, block.len) }?;
                // SAFETY: `to` has room for `len` blocks, `from` has them.
                unsafe { blocks::<SWAP>(from, to, len, block) };
            }
            Op::BoolSequence { offset, bound } => {
                let len = input.length::<SWAP>(*bound, 1)?;
                let from = input.take(1, len)?;
                // SAFETY: a sequence of bytes lies there.
                let to = unsafe { K::set_block_sequence(message.wrapping_add(*offset), len, 1) }?;
                // SAFETY: `to` has room for `len` bytes, `from` has them.
                unsafe { raw::copy_bools(from, to, len) };
            }
            Op::BitVector { offset, bound, resize, assign, .. } => {
                let len = input.length::<SWAP>(*bound, 1)?;
                let from = input.take(1, len)?;
                let vector = message.wrapping_add(*offset).cast();
                check_room_for_bits(len)?;
                // SAFETY: the function belongs to the vector that lies there.
                unsafe { resize(vector, len) };
                for index in 0..len {
                    // SAFETY: `from` has `len` bytes.
                    let byte: u8 = unsafe { raw::load(from, index) };
                    let value = byte != 0;
                    // SAFETY: as above, and the vector now has `len` elements.
                    unsafe { assign(vector, index, std::ptr::from_ref(&value).cast()) };
                }
            }
            Op::StringSequence { offset, bound, string_bound, resize } => {
                let len = input.length::<SWAP>(*bound, 4)?;
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence of strings lies there, with this function.
                let base = unsafe { K::set_object_sequence(at, len, K::STRING_SIZE, *resize) }?;
                // SAFETY: it now has `len` strings.
                unsafe { strings::<K, SWAP>(base, len, *string_bound, input) }?;
            }
            Op::WStringSequence { offset, bound, string_bound, resize } => {
                let len = input.length::<SWAP>(*bound, 4)?;
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence of wide strings lies there, with this function.
                let base = unsafe { K::set_object_sequence(at, len, K::STRING_SIZE, *resize) }?;
                // SAFETY: it now has `len` wide strings.
                unsafe { wstrings::<K, SWAP>(base, len, *string_bound, input) }?;
            }
            Op::MessageSequence { offset, bound, program, resize } => {
                let len = input.length::<SWAP>(*bound, program.min_size())?;
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence of such messages lies there, with this function.
                let base = unsafe { K::set_object_sequence(at, len, program.stride(), *resize) }?;
                // SAFETY: it now has `len` messages.
                unsafe { messages::<K, SWAP>(program, base, len, input) }?;
            }
        }
    }
    Ok(())
}

/// # Safety
/// `count` blocks can be read at `from` and written at `to`.
unsafe fn blocks<const SWAP: bool>(from: *const u8, to: *mut u8, count: usize, block: &Block) {
    if !SWAP {
        // SAFETY: passed on.
        unsafe { raw::copy(from, to, block.len * count) };
        return;
    }
    let mut at = 0;
    for _ in 0..count {
        for part in &block.parts {
            for _ in 0..part.count {
                let (from, to) = (from.wrapping_add(at), to.wrapping_add(at));
                // SAFETY: the parts of a block add up to its length.
                unsafe { raw::copy_reversed(from, to, part.size) };
                at += part.size;
            }
        }
    }
}

/// # Safety
/// `count` initialized strings lie at `base`.
unsafe fn strings<K: Containers, const SWAP: bool>(
    base: *mut u8,
    count: usize,
    bound: usize,
    input: &mut Reader<'_>,
) -> Result<(), CdrError> {
    for index in 0..count {
        let with_nul = input.number::<SWAP>()? as usize;
        let from = input.take(1, with_nul)?;
        let mut len = with_nul;
        if let Some(last) = with_nul.checked_sub(1) {
            // SAFETY: `from` has `with_nul` bytes.
            if unsafe { raw::load::<u8>(from, last) } == 0 {
                len = last;
            }
        }
        if len > bound {
            return Err(CdrError::BoundExceeded { len, bound });
        }
        // SAFETY: `index < count`.
        let to = unsafe { K::set_string(base.wrapping_add(index * K::STRING_SIZE), len) }?;
        // SAFETY: `to` has room for `len` bytes, `from` has them.
        unsafe { raw::copy(from, to, len) };
    }
    Ok(())
}

/// # Safety
/// `count` initialized wide strings lie at `base`.
unsafe fn wstrings<K: Containers, const SWAP: bool>(
    base: *mut u8,
    count: usize,
    bound: usize,
    input: &mut Reader<'_>,
) -> Result<(), CdrError> {
    for index in 0..count {
        let len = input.length::<SWAP>(bound, 4)?;
        let from = input.take(4, len * 4)?;
        let unit = |at: usize| {
            // SAFETY: `from` has `len` times 4 bytes; `at < len`.
            let value: u32 = unsafe { raw::load(from, at * 4) };
            if SWAP {
                value.swap_bytes()
            } else {
                value
            }
        };
        // All of them first: the string must not be left half written.
        if let Some(bad) = (0..len).map(unit).find(|unit| *unit > 0xffff) {
            return Err(CdrError::BadWideCharacter(bad));
        }
        // SAFETY: `index < count`.
        let to = unsafe { K::set_wstring(base.wrapping_add(index * K::STRING_SIZE), len) }?;
        for at in 0..len {
            #[allow(clippy::cast_possible_truncation)] // checked above
            let value = unit(at) as u16;
            // SAFETY: `to` has room for `len` units.
            unsafe { raw::store(to, at * 2, value) };
        }
    }
    Ok(())
}

/// # Safety
/// `count` initialized messages of the program's type lie at `base`.
unsafe fn messages<K: Containers, const SWAP: bool>(
    program: &Program,
    base: *mut u8,
    count: usize,
    input: &mut Reader<'_>,
) -> Result<(), CdrError> {
    for index in 0..count {
        let message = base.wrapping_add(index * program.stride());
        // SAFETY: `index < count`.
        unsafe { run::<K, SWAP>(program, message, input) }?;
    }
    Ok(())
}

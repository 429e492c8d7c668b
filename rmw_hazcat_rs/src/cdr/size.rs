//! How many bytes a message takes, exactly.

use super::containers::Containers;
use super::program::{Op, Program};
use super::raw::Position;
use super::CdrError;

impl Position {
    fn align(&mut self, align: usize) {
        self.0 = self.0.saturating_add(self.padding(align));
    }

    fn add(&mut self, len: usize) {
        self.0 = self.0.saturating_add(len);
    }

    /// A length, and whether the type and CDR allow it.
    fn length(&mut self, len: usize, bound: usize) -> Result<(), CdrError> {
        check_length(len, bound)?;
        self.align(4);
        self.add(4);
        Ok(())
    }

    fn blocks(&mut self, count: usize, len: usize, align: usize) {
        if count > 0 {
            self.align(align);
            self.add(len.saturating_mul(count));
        }
    }

    fn string(&mut self, len: usize, bound: usize) -> Result<(), CdrError> {
        self.length(len, bound)?;
        self.add(len.saturating_add(1));
        Ok(())
    }

    fn wstring(&mut self, len: usize, bound: usize) -> Result<(), CdrError> {
        self.length(len, bound)?;
        self.add(len.saturating_mul(4));
        Ok(())
    }
}

/// An error if the type does not allow this many elements.
pub(super) fn check_length(len: usize, bound: usize) -> Result<(), CdrError> {
    if len <= bound {
        Ok(())
    } else if u32::try_from(len).is_err() {
        Err(CdrError::TooLong(len))
    } else {
        Err(CdrError::BoundExceeded { len, bound })
    }
}

/// Moves `position` over the message.
///
/// # Safety
/// `message` is an initialized message of the type that `program` was compiled from, with the
/// containers of `K`.
pub(super) unsafe fn run<K: Containers>(
    program: &Program,
    message: *const u8,
    position: &mut Position,
) -> Result<(), CdrError> {
    for op in program.ops() {
        match op {
            Op::Blocks { count, block, .. } => position.blocks(*count, block.len, block.align),
            Op::Bools { count, .. } => position.add(*count),
            Op::Strings { offset, count, bound } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` strings lie there.
                unsafe { strings::<K>(base, *count, *bound, position) }?;
            }
            Op::WStrings { offset, count, bound } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` wide strings lie there.
                unsafe { wstrings::<K>(base, *count, *bound, position) }?;
            }
            Op::Messages { offset, count, program } => {
                let base = message.wrapping_add(*offset);
                // SAFETY: `count` messages lie there.
                unsafe { messages::<K>(program, base, *count, position) }?;
            }
            Op::BlockSequence { offset, bound, block } => {
                // SAFETY: a sequence lies there.
                let (_, len) = unsafe { K::sequence(message.wrapping_add(*offset), block.len) }?;
                position.length(len, *bound)?;
                position.blocks(len, block.len, block.align);
            }
            Op::BoolSequence { offset, bound } => {
                // SAFETY: a sequence lies there.
                let (_, len) = unsafe { K::sequence(message.wrapping_add(*offset), 1) }?;
                position.length(len, *bound)?;
                position.add(len);
            }
            Op::BitVector { offset, bound, size, .. } => {
                // SAFETY: the function belongs to the vector that lies there.
                let len = unsafe { size(message.wrapping_add(*offset).cast()) };
                position.length(len, *bound)?;
                position.add(len);
            }
            Op::StringSequence { offset, bound, string_bound, .. } => {
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence lies there.
                let (base, len) = unsafe { K::sequence(at, K::STRING_SIZE) }?;
                position.length(len, *bound)?;
                // SAFETY: it has `len` strings.
                unsafe { strings::<K>(base, len, *string_bound, position) }?;
            }
            Op::WStringSequence { offset, bound, string_bound, .. } => {
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence lies there.
                let (base, len) = unsafe { K::sequence(at, K::STRING_SIZE) }?;
                position.length(len, *bound)?;
                // SAFETY: it has `len` wide strings.
                unsafe { wstrings::<K>(base, len, *string_bound, position) }?;
            }
            Op::MessageSequence { offset, bound, program, .. } => {
                let at = message.wrapping_add(*offset);
                // SAFETY: a sequence lies there.
                let (base, len) = unsafe { K::sequence(at, program.stride()) }?;
                position.length(len, *bound)?;
                // SAFETY: it has `len` messages.
                unsafe { messages::<K>(program, base, len, position) }?;
            }
        }
    }
    Ok(())
}

/// Moves `position` over a message without strings and sequences; none is needed for that.
pub(super) fn run_fixed(program: &Program, position: &mut Position) -> Result<(), CdrError> {
    for op in program.ops() {
        match op {
            Op::Blocks { count, block, .. } => position.blocks(*count, block.len, block.align),
            Op::Bools { count, .. } => position.add(*count),
            Op::Messages { count, program, .. } => {
                for _ in 0..*count {
                    run_fixed(program, position)?;
                }
            }
            _ => return Err(CdrError::BadContainer(0)),
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
    position: &mut Position,
) -> Result<(), CdrError> {
    for index in 0..count {
        // SAFETY: `index < count`.
        let (_, len) = unsafe { K::string(base.wrapping_add(index * K::STRING_SIZE)) }?;
        position.string(len, bound)?;
    }
    Ok(())
}

/// # Safety
/// `count` wide strings lie at `base`.
unsafe fn wstrings<K: Containers>(
    base: *const u8,
    count: usize,
    bound: usize,
    position: &mut Position,
) -> Result<(), CdrError> {
    for index in 0..count {
        // SAFETY: `index < count`.
        let (_, len) = unsafe { K::wstring(base.wrapping_add(index * K::STRING_SIZE)) }?;
        position.wstring(len, bound)?;
    }
    Ok(())
}

/// # Safety
/// `count` messages of the program's type lie at `base`.
unsafe fn messages<K: Containers>(
    program: &Program,
    base: *const u8,
    count: usize,
    position: &mut Position,
) -> Result<(), CdrError> {
    for index in 0..count {
        // SAFETY: `index < count`.
        unsafe { run::<K>(program, base.wrapping_add(index * program.stride()), position) }?;
    }
    Ok(())
}

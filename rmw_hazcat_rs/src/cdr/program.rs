//! A message type as a list of operations.
//!
//! Nested messages are inlined; arrays and sequences of messages are loops over a program of their
//! own, unless one `memcpy` does for all elements. Neighbouring primitives are merged where they lie
//! in the struct as they lie in the stream, whatever came before: that is decided with what is known
//! at compile time about the position in the stream ([`Known`]).

use crate::typesupport::description::{AssignFn, FetchFn, ResizeCFn, ResizeCppFn, SizeFn};
use crate::typesupport::{Cardinality, Field, FieldKind, Language, Primitive};
use std::sync::Arc;

use super::raw::Position;
use super::ENCAPSULATION_SIZE;

/// Inlining stops where a program would become longer than this.
const MAX_OPS: usize = 4096;

/// `bound` of a string or sequence that has none: what CDR can say at most.
pub(super) const UNBOUNDED: usize = u32::MAX as usize;

/// `count` values of `size` bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub size: usize,
    pub count: usize,
}

/// Bytes that are the same in memory and in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Bytes of one element.
    pub len: usize,
    /// Its alignment in the stream; `len` is a multiple of it where there can be several.
    pub align: usize,
    /// What it is made of, for the other byte order.
    pub parts: Vec<Part>,
}

/// How a sequence of strings or messages is resized.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resize {
    pub c: Option<ResizeCFn>,
    pub cpp: Option<ResizeCppFn>,
}

/// One step; offsets are in bytes from the start of the struct.
#[derive(Debug)]
pub(super) enum Op {
    /// `count` blocks inside the struct.
    Blocks { offset: usize, count: usize, block: Block },
    /// Booleans inside the struct.
    Bools { offset: usize, count: usize },
    /// Strings inside the struct.
    Strings { offset: usize, count: usize, bound: usize },
    /// Wide strings inside the struct.
    WStrings { offset: usize, count: usize, bound: usize },
    /// Messages inside the struct.
    Messages { offset: usize, count: usize, program: Arc<Program> },
    /// A sequence of blocks: one `memcpy`.
    BlockSequence { offset: usize, bound: usize, block: Block },
    /// A sequence of booleans, a byte each in memory.
    BoolSequence { offset: usize, bound: usize },
    /// A `std::vector<bool>`.
    BitVector { offset: usize, bound: usize, size: SizeFn, resize: ResizeCppFn, fetch: FetchFn, assign: AssignFn },
    /// A sequence of strings.
    StringSequence { offset: usize, bound: usize, string_bound: usize, resize: Resize },
    /// A sequence of wide strings.
    WStringSequence { offset: usize, bound: usize, string_bound: usize, resize: Resize },
    /// A sequence of messages.
    MessageSequence { offset: usize, bound: usize, program: Arc<Program>, resize: Resize },
}

/// A compiled message type.
#[derive(Debug)]
pub(crate) struct Program {
    language: Language,
    /// Bytes from one message to the next, in memory.
    stride: usize,
    ops: Vec<Op>,
    /// No encoding is shorter than this, whatever its alignment.
    min_size: usize,
    /// With the header; exact.
    fixed_size: Option<usize>,
    /// With the header.
    max_size: Option<usize>,
}

impl Program {
    /// The program for a struct of these fields and this many bytes.
    pub(crate) fn compile(language: Language, stride: usize, fields: &[Field]) -> Self {
        // A message begins at position 0.
        Compiler::new(language, Known::START).run(stride, fields)
    }

    /// For elements of arrays and sequences, which may begin anywhere.
    fn compile_element(language: Language, stride: usize, fields: &[Field]) -> Self {
        Compiler::new(language, Known::NOTHING).run(stride, fields)
    }

    pub(super) fn language(&self) -> Language {
        self.language
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    pub(super) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Bytes that any encoding takes at least, without the header.
    pub(super) fn min_size(&self) -> usize {
        self.min_size
    }

    /// Bytes that every encoding takes, with the header.
    pub(super) fn fixed_size(&self) -> Option<usize> {
        self.fixed_size
    }

    /// Bytes that no encoding exceeds, with the header.
    pub(crate) fn max_size(&self) -> Option<usize> {
        self.fixed_size.or(self.max_size)
    }

    /// The block that a whole message is, if the struct and the stream agree on all of it.
    fn as_block(&self) -> Option<&Block> {
        match self.ops.as_slice() {
            [Op::Blocks { offset: 0, count: 1, block }] if block.len == self.stride && block.len % block.align == 0 => {
                Some(block)
            }
            _ => None,
        }
    }
}

/// What is known of a position in the stream: its remainder modulo a power of two up to 8.
#[derive(Debug, Clone, Copy)]
struct Known {
    modulus: usize,
    remainder: usize,
}

impl Known {
    const START: Self = Self::multiple_of(8);
    const NOTHING: Self = Self::multiple_of(1);

    const fn multiple_of(modulus: usize) -> Self {
        Self { modulus, remainder: 0 }
    }

    fn is_aligned(self, align: usize) -> bool {
        self.modulus >= align && self.remainder % align == 0
    }

    fn aligned(self, align: usize) -> Self {
        if self.modulus > align {
            Self { modulus: self.modulus, remainder: self.remainder.next_multiple_of(align) % self.modulus }
        } else {
            Self::multiple_of(align)
        }
    }

    fn advanced(self, len: usize) -> Self {
        Self { modulus: self.modulus, remainder: (self.remainder + len % self.modulus) % self.modulus }
    }
}

struct Compiler {
    language: Language,
    known: Known,
    ops: Vec<Op>,
}

impl Compiler {
    fn new(language: Language, known: Known) -> Self {
        Self { language, known, ops: Vec::new() }
    }

    fn run(mut self, stride: usize, fields: &[Field]) -> Program {
        self.fields(fields, 0);
        let fixed = self.ops.iter().all(Op::is_fixed);
        let mut program = Program {
            language: self.language,
            stride,
            min_size: self.ops.iter().fold(0, |sum: usize, op| sum.saturating_add(op.min_size())),
            max_size: max_size(&self.ops, 0).and_then(|max| max.checked_add(ENCAPSULATION_SIZE)),
            ops: self.ops,
            fixed_size: None,
        };
        if fixed {
            let mut position = Position(0);
            if super::size::run_fixed(&program, &mut position).is_ok() {
                program.fixed_size = position.0.checked_add(ENCAPSULATION_SIZE);
            }
        }
        program
    }

    fn fields(&mut self, fields: &[Field], base: usize) {
        for field in fields {
            self.field(field, base + field.offset);
        }
    }

    fn field(&mut self, field: &Field, offset: usize) {
        match field.cardinality {
            Cardinality::One => self.inside(field, offset, 1),
            Cardinality::Array(count) => self.inside(field, offset, count),
            Cardinality::Sequence { bound } => {
                self.sequence(field, offset, bound.unwrap_or(UNBOUNDED).min(UNBOUNDED));
            }
        }
    }

    /// Elements that lie in the struct itself.
    fn inside(&mut self, field: &Field, offset: usize, count: usize) {
        match &field.kind {
            FieldKind::Primitive(Primitive::Boolean) => {
                self.ops.push(Op::Bools { offset, count });
                self.known = self.known.advanced(count);
            }
            FieldKind::Primitive(primitive) => {
                let block = primitive_block(*primitive);
                self.blocks(offset, count, &block);
            }
            FieldKind::String { bound } => {
                let bound = string_bound(*bound);
                self.ops.push(Op::Strings { offset, count, bound });
                self.known = Known::NOTHING;
            }
            FieldKind::WString { bound } => {
                let bound = string_bound(*bound);
                self.ops.push(Op::WStrings { offset, count, bound });
                self.known = Known::multiple_of(4);
            }
            FieldKind::Message(message) => {
                if count == 1 && self.ops.len() < MAX_OPS {
                    self.fields(message.fields(), offset);
                    return;
                }
                let program = self.element(message.size_of(), message.fields());
                if let Some(block) = program.as_block() {
                    let block = block.clone();
                    self.blocks(offset, count, &block);
                } else {
                    self.ops.push(Op::Messages { offset, count, program });
                    self.known = Known::NOTHING;
                }
            }
        }
    }

    /// Blocks inside the struct; merged into the operation before where they continue it.
    fn blocks(&mut self, offset: usize, count: usize, block: &Block) {
        if count == 0 {
            return;
        }
        let len = block.len * count;
        // Many different parts, many times over: not worth unrolling.
        let unrolls = count == 1 || block.parts.len() == 1;
        if unrolls && self.known.is_aligned(block.align) {
            if let Some(Op::Blocks { offset: start, count: 1, block: before }) = self.ops.last_mut() {
                if *start + before.len == offset {
                    before.len += len;
                    extend(&mut before.parts, block, count);
                    self.known = self.known.advanced(len);
                    return;
                }
            }
        }
        self.known = self.known.aligned(block.align).advanced(len);
        self.ops.push(if unrolls {
            let mut parts = Vec::new();
            extend(&mut parts, block, count);
            Op::Blocks { offset, count: 1, block: Block { len, align: block.align, parts } }
        } else {
            Op::Blocks { offset, count, block: block.clone() }
        });
    }

    fn sequence(&mut self, field: &Field, offset: usize, bound: usize) {
        let functions = field.functions;
        let resize = Resize { c: functions.resize_c, cpp: functions.resize_cpp };
        let op = match &field.kind {
            FieldKind::Primitive(Primitive::Boolean) => {
                self.known = Known::NOTHING;
                match (self.language, functions.size, functions.resize_cpp, functions.fetch, functions.assign) {
                    (Language::Cpp, Some(size), Some(resize), Some(fetch), Some(assign)) => {
                        Op::BitVector { offset, bound, size, resize, fetch, assign }
                    }
                    _ => Op::BoolSequence { offset, bound },
                }
            }
            FieldKind::Primitive(primitive) => self.block_sequence(offset, bound, primitive_block(*primitive)),
            FieldKind::String { bound: inner } => {
                self.known = Known::NOTHING;
                Op::StringSequence { offset, bound, string_bound: string_bound(*inner), resize }
            }
            FieldKind::WString { bound: inner } => {
                self.known = Known::multiple_of(4);
                Op::WStringSequence { offset, bound, string_bound: string_bound(*inner), resize }
            }
            FieldKind::Message(message) => {
                let program = self.element(message.size_of(), message.fields());
                if let Some(block) = program.as_block() {
                    let block = block.clone();
                    self.block_sequence(offset, bound, block)
                } else {
                    self.known = Known::NOTHING;
                    Op::MessageSequence { offset, bound, program, resize }
                }
            }
        };
        self.ops.push(op);
    }

    fn block_sequence(&mut self, offset: usize, bound: usize, block: Block) -> Op {
        // Empty: after the length. Else: after whole elements.
        self.known = Known::multiple_of(block.align.min(4));
        Op::BlockSequence { offset, bound, block }
    }

    fn element(&self, stride: usize, fields: &[Field]) -> Arc<Program> {
        Arc::new(Program::compile_element(self.language, stride, fields))
    }
}

fn primitive_block(primitive: Primitive) -> Block {
    Block {
        len: primitive.size(),
        align: primitive.cdr_align(),
        parts: vec![Part { size: primitive.size(), count: 1 }],
    }
}

fn string_bound(bound: Option<usize>) -> usize {
    // The length in the stream counts the NUL.
    bound.unwrap_or(UNBOUNDED - 1).min(UNBOUNDED - 1)
}

/// Adds the parts of `count` blocks; several only of a block with one part.
fn extend(parts: &mut Vec<Part>, block: &Block, count: usize) {
    for part in &block.parts {
        let more = part.count * count;
        match parts.last_mut() {
            Some(last) if last.size == part.size => last.count += more,
            _ => parts.push(Part { size: part.size, count: more }),
        }
    }
}

impl Op {
    fn is_fixed(&self) -> bool {
        match self {
            Self::Blocks { .. } | Self::Bools { .. } => true,
            Self::Messages { program, .. } => program.fixed_size.is_some(),
            _ => false,
        }
    }

    /// Bytes without any padding.
    fn min_size(&self) -> usize {
        match self {
            Self::Blocks { count, block, .. } => block.len.saturating_mul(*count),
            Self::Bools { count, .. } => *count,
            // The length alone: an empty string may come without its NUL.
            Self::Strings { count, .. } | Self::WStrings { count, .. } => count.saturating_mul(4),
            Self::Messages { count, program, .. } => program.min_size.saturating_mul(*count),
            _ => 4,
        }
    }
}

/// Most bytes after `start`, with the largest padding everywhere.
fn max_size(ops: &[Op], start: usize) -> Option<usize> {
    let mut size = start;
    for op in ops {
        // `count` elements of at most `each` bytes, padding included.
        let (length, count, each) = match op {
            Op::Blocks { count, block, .. } => (0, 1, block.len.checked_mul(*count)?.checked_add(block.align - 1)?),
            Op::Bools { count, .. } => (0, *count, 1),
            Op::Strings { count, bound, .. } => (0, *count, max_string(*bound)?),
            Op::WStrings { count, bound, .. } => (0, *count, max_wstring(*bound)?),
            Op::Messages { count, program, .. } => (0, *count, max_size(&program.ops, 0)?),
            Op::BlockSequence { bound, block, .. } => {
                let elements = bounded(*bound)?.checked_mul(block.len)?;
                (7, 1, elements.checked_add(block.align - 1)?)
            }
            Op::BoolSequence { bound, .. } | Op::BitVector { bound, .. } => (7, bounded(*bound)?, 1),
            Op::StringSequence { bound, string_bound, .. } => (7, bounded(*bound)?, max_string(*string_bound)?),
            Op::WStringSequence { bound, string_bound, .. } => (7, bounded(*bound)?, max_wstring(*string_bound)?),
            Op::MessageSequence { bound, program, .. } => (7, bounded(*bound)?, max_size(&program.ops, 0)?),
        };
        size = size.checked_add(length)?.checked_add(usize::checked_mul(count, each)?)?;
    }
    Some(size)
}

fn bounded(bound: usize) -> Option<usize> {
    (bound < UNBOUNDED - 1).then_some(bound)
}

/// Padding, length, characters, NUL.
fn max_string(bound: usize) -> Option<usize> {
    bounded(bound)?.checked_add(3 + 4 + 1)
}

/// Padding, length, 4 bytes a character.
fn max_wstring(bound: usize) -> Option<usize> {
    bounded(bound)?.checked_mul(4)?.checked_add(3 + 4)
}

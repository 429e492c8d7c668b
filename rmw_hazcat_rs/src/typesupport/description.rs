//! The owned, checked description of a message's fields.

use super::MessageType;
use std::ffi::c_void;
use std::sync::Arc;

/// Whose struct a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// `rosidl_generator_c`: strings and sequences are `{data, size, capacity}`.
    C,
    /// `rosidl_generator_cpp`: `std::string`, `std::u16string`, `std::vector`.
    Cpp,
}

/// A type that is its own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are rosidl's
pub enum Primitive {
    Float,
    Double,
    LongDouble,
    Char,
    WChar,
    Boolean,
    Octet,
    UInt8,
    Int8,
    UInt16,
    Int16,
    UInt32,
    Int32,
    UInt64,
    Int64,
}

impl Primitive {
    /// Bytes, in memory and in CDR.
    pub const fn size(self) -> usize {
        match self {
            Self::Char | Self::Boolean | Self::Octet | Self::UInt8 | Self::Int8 => 1,
            Self::WChar | Self::UInt16 | Self::Int16 => 2,
            Self::Float | Self::UInt32 | Self::Int32 => 4,
            Self::Double | Self::UInt64 | Self::Int64 => 8,
            Self::LongDouble => 16,
        }
    }

    /// Alignment in CDR (XCDR1): its size, at most 8.
    pub const fn cdr_align(self) -> usize {
        if self.size() < 8 {
            self.size()
        } else {
            8
        }
    }
}

/// What one element of a field is.
#[derive(Debug, Clone)]
pub enum FieldKind {
    /// A number, character or boolean.
    Primitive(Primitive),
    /// Text of 8-bit characters, at most `bound` of them.
    String {
        /// Most characters allowed.
        bound: Option<usize>,
    },
    /// Text of 16-bit characters, at most `bound` of them.
    WString {
        /// Most characters allowed.
        bound: Option<usize>,
    },
    /// Another message.
    Message(Arc<MessageType>),
}

/// How many elements a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// Exactly one, no array.
    One,
    /// Always this many, inside the struct.
    Array(usize),
    /// A sequence, at most `bound` elements.
    Sequence {
        /// Most elements allowed.
        bound: Option<usize>,
    },
}

/// `size_function` of the introspection: elements in the sequence.
pub type SizeFn = unsafe extern "C-unwind" fn(*const c_void) -> usize;
/// `resize_function` of the C introspection; false if there is no memory.
pub type ResizeCFn = unsafe extern "C-unwind" fn(*mut c_void, usize) -> bool;
/// `resize_function` of the C++ introspection; throws if there is no memory.
pub type ResizeCppFn = unsafe extern "C-unwind" fn(*mut c_void, usize);
/// `fetch_function` of the introspection: copies one element out.
pub type FetchFn = unsafe extern "C-unwind" fn(*const c_void, usize, *mut c_void);
/// `assign_function` of the introspection: copies one element in.
pub type AssignFn = unsafe extern "C-unwind" fn(*mut c_void, usize, *const c_void);

/// The generated functions of a sequence that are used here.
#[derive(Debug, Clone, Copy, Default)]
pub struct SequenceFunctions {
    /// Elements in the sequence.
    pub size: Option<SizeFn>,
    /// Changes the number of elements (C).
    pub resize_c: Option<ResizeCFn>,
    /// Changes the number of elements (C++).
    pub resize_cpp: Option<ResizeCppFn>,
    /// Copies one element out.
    pub fetch: Option<FetchFn>,
    /// Copies one element in.
    pub assign: Option<AssignFn>,
}

/// One field of a message.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What an element is.
    pub kind: FieldKind,
    /// How many elements there are.
    pub cardinality: Cardinality,
    /// Where it lies, in bytes from the start of the struct.
    pub offset: usize,
    /// Functions of a sequence; unused otherwise.
    pub functions: SequenceFunctions,
}

impl Field {
    /// Bytes from one element to the next, in memory.
    pub fn element_size(&self, language: Language) -> usize {
        match (&self.kind, language) {
            (FieldKind::Primitive(primitive), _) => primitive.size(),
            (FieldKind::String { .. } | FieldKind::WString { .. }, Language::C) => 24,
            (FieldKind::String { .. } | FieldKind::WString { .. }, Language::Cpp) => 32,
            (FieldKind::Message(message), _) => message.size_of(),
        }
    }

    /// Whether it is a `std::vector<bool>`, which packs its elements into bits.
    pub fn is_bit_vector(&self, language: Language) -> bool {
        language == Language::Cpp
            && matches!(self.cardinality, Cardinality::Sequence { .. })
            && matches!(self.kind, FieldKind::Primitive(Primitive::Boolean))
    }

    /// Bytes that the field takes in the struct; `None` if that overflows.
    pub fn memory_size(&self, language: Language) -> Option<usize> {
        match self.cardinality {
            Cardinality::One => Some(self.element_size(language)),
            Cardinality::Array(n) => self.element_size(language).checked_mul(n),
            Cardinality::Sequence { .. } if self.is_bit_vector(language) => Some(40),
            Cardinality::Sequence { .. } => Some(24),
        }
    }
}

//! Introspection tables for C structs that are laid out here: random types, or chosen ones.

// Newer ROS 2 levels have more fields than are named here.
#![allow(clippy::needless_update)]

use super::random::Random;
use rmw_hazcat_rs::ffi;
use rmw_hazcat_rs::typesupport::{MessageType, TypeSupportError};
use std::cell::RefCell;
use std::ffi::{c_char, c_void, CString};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

type Members = ffi::rosidl_typesupport_introspection_c__MessageMembers;
type Member = ffi::rosidl_typesupport_introspection_c__MessageMember;
type Handle = ffi::rosidl_message_type_support_t;
type Bytes = ffi::rosidl_runtime_c__uint8__Sequence;

/// What an element of a field is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// rosidl's number of the type, and the size in memory.
    Number(u32, usize),
    Text(usize),
    Wide(usize),
    Struct(Rc<Struct>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Count {
    One,
    Array(usize),
    /// 0: no bound.
    Sequence(usize),
}

#[derive(Debug)]
pub struct Struct {
    pub fields: Vec<(Kind, Count, usize)>,
    pub size: usize,
    pub align: usize,
    slot: usize,
    handle: &'static Handle,
}

/// The numbers of rosidl, with sizes.
pub fn numbers() -> Vec<Kind> {
    [
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_FLOAT, 4),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_DOUBLE, 8),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_LONG_DOUBLE, 16),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_CHAR, 1),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_WCHAR, 2),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_BOOLEAN, 1),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_OCTET, 1),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT8, 1),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_INT8, 1),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT16, 2),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_INT16, 2),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT32, 4),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_INT32, 4),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT64, 8),
        (ffi::rosidl_typesupport_introspection_c__ROS_TYPE_INT64, 8),
    ]
    .into_iter()
    .map(|(number, size)| Kind::Number(number.0, size))
    .collect()
}

impl Kind {
    fn size(&self) -> usize {
        match self {
            Self::Number(_, size) => *size,
            Self::Text(_) | Self::Wide(_) => 24,
            Self::Struct(inner) => inner.size,
        }
    }

    fn align(&self) -> usize {
        match self {
            Self::Number(_, size) => *size,
            Self::Text(_) | Self::Wide(_) => 8,
            Self::Struct(inner) => inner.align,
        }
    }

    fn resize(&self, slot: usize) -> Option<unsafe extern "C" fn(*mut c_void, usize) -> bool> {
        match self {
            Self::Number(..) => None,
            Self::Text(_) | Self::Wide(_) => Some(resize_texts),
            Self::Struct(_) => Some(RESIZE[slot]),
        }
    }
}

impl Struct {
    /// Lays out a struct as a C compiler does, and makes its tables (which are never freed).
    pub fn new(name: &str, fields: Vec<(Kind, Count)>) -> Rc<Self> {
        let mut size = 0usize;
        let mut align = 1;
        let mut members = Vec::new();
        let mut laid_out = Vec::new();
        for (index, (kind, count)) in fields.into_iter().enumerate() {
            let (field_size, field_align) = match count {
                Count::One => (kind.size(), kind.align()),
                Count::Array(n) => (kind.size() * n, kind.align()),
                Count::Sequence(_) => (24, 8),
            };
            let offset = size.next_multiple_of(field_align);
            size = offset + field_size;
            align = align.max(field_align);
            let mut member = Member {
                name_: leak(&format!("field_{index}")),
                offset_: offset as u32,
                is_array_: count != Count::One,
                ..Member::default()
            };
            match count {
                Count::One => {}
                Count::Array(n) => member.array_size_ = n,
                Count::Sequence(bound) => {
                    member.array_size_ = bound;
                    member.is_upper_bound_ = bound > 0;
                }
            }
            match &kind {
                Kind::Number(number, _) => member.type_id_ = *number as u8,
                Kind::Text(bound) => {
                    member.type_id_ = ffi::rosidl_typesupport_introspection_c__ROS_TYPE_STRING.0 as u8;
                    member.string_upper_bound_ = *bound;
                }
                Kind::Wide(bound) => {
                    member.type_id_ = ffi::rosidl_typesupport_introspection_c__ROS_TYPE_WSTRING.0 as u8;
                    member.string_upper_bound_ = *bound;
                }
                Kind::Struct(inner) => {
                    member.type_id_ = ffi::rosidl_typesupport_introspection_c__ROS_TYPE_MESSAGE.0 as u8;
                    member.members_ = inner.handle;
                }
            }
            if matches!(count, Count::Sequence(_)) {
                let slot = if let Kind::Struct(inner) = &kind { inner.slot } else { 0 };
                member.resize_function = kind.resize(slot);
            }
            members.push(member);
            laid_out.push((kind, count, offset));
        }
        let slot = SLOTS.with_borrow(Vec::len);
        assert!(slot < INIT.len(), "too many types in one test; call forget_all");
        let size = size.next_multiple_of(align);
        let table: &'static Members = Box::leak(Box::new(Members {
            message_namespace_: c"test__msg".as_ptr(),
            message_name_: leak(name),
            member_count_: members.len() as u32,
            size_of_: size,
            members_: members.leak().as_ptr(),
            init_function: Some(INIT[slot]),
            fini_function: Some(FINI[slot]),
            ..Members::default()
        }));
        let handle: &'static Handle = Box::leak(Box::new(Handle {
            typesupport_identifier: c"rosidl_typesupport_introspection_c".as_ptr(),
            data: std::ptr::from_ref(table).cast(),
            func: Some(nothing_else),
            ..Handle::default()
        }));
        // A leak checker is to see that these are meant to stay.
        KEPT.lock().unwrap().push(std::ptr::from_ref(handle) as usize);
        let made = Rc::new(Self { fields: laid_out, size, align, slot, handle });
        SLOTS.with_borrow_mut(|slots| slots.push(Rc::clone(&made)));
        made
    }

    /// Its type, as the code under test reads it.
    pub fn message_type(&self) -> Result<Arc<MessageType>, TypeSupportError> {
        // SAFETY: the tables are valid, and are never freed.
        unsafe { MessageType::from_handle(self.handle) }
    }

    /// A struct of random fields, some of them random structs.
    pub fn random(random: &mut Random, depth: usize) -> Rc<Self> {
        let numbers = numbers();
        let count = 1 + random.below(7);
        let mut known: Vec<Rc<Self>> = Vec::new();
        let fields = (0..count)
            .map(|_| {
                let kind = match random.below(12) {
                    0 => Kind::Text(if random.chance(2) { 0 } else { 1 + random.below(30) }),
                    1 => Kind::Wide(if random.chance(2) { 0 } else { 1 + random.below(10) }),
                    2..=4 if depth > 0 => {
                        if known.is_empty() || random.chance(2) {
                            known.push(Self::random(random, depth - 1));
                        }
                        Kind::Struct(Rc::clone(&known[random.below(known.len())]))
                    }
                    _ => numbers[random.below(numbers.len())].clone(),
                };
                let count = match random.below(6) {
                    0 => Count::Array(1 + random.below(4)),
                    1 => Count::Sequence(0),
                    2 => Count::Sequence(1 + random.below(5)),
                    _ => Count::One,
                };
                (kind, count)
            })
            .collect();
        Self::new("Random", fields)
    }
}

/// Forgets the types of this thread; none of their messages may be left.
pub fn forget_all() {
    SLOTS.with_borrow_mut(Vec::clear);
}

/// Handles and what they point to, in all threads.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

thread_local! {
    /// The types whose functions the tables point to.
    static SLOTS: RefCell<Vec<Rc<Struct>>> = const { RefCell::new(Vec::new()) };
}

fn slot(index: usize) -> Rc<Struct> {
    SLOTS.with_borrow(|slots| Rc::clone(&slots[index]))
}

unsafe extern "C" fn nothing_else(_: *const Handle, _: *const c_char) -> *const Handle {
    std::ptr::null()
}

unsafe extern "C" fn init<const SLOT: usize>(message: *mut c_void, _: ffi::rosidl_runtime_c__message_initialization) {
    // Zero is a valid string and a valid sequence.
    // SAFETY: the caller has a message of this type there.
    unsafe { libc::memset(message, 0, slot(SLOT).size) };
}

unsafe extern "C" fn fini<const SLOT: usize>(message: *mut c_void) {
    free_fields(&slot(SLOT), message.cast());
}

unsafe extern "C" fn resize<const SLOT: usize>(sequence: *mut c_void, len: usize) -> bool {
    let kind = slot(SLOT);
    resize_by(sequence.cast(), len, kind.size, |element| free_fields(&kind, element))
}

unsafe extern "C" fn resize_texts(sequence: *mut c_void, len: usize) -> bool {
    resize_by(sequence.cast(), len, 24, free_text)
}

/// As the generated functions do it: throw all away, make all anew.
fn resize_by(sequence: *mut Bytes, len: usize, size: usize, free: impl Fn(*mut u8)) -> bool {
    // SAFETY: a sequence lies there, with `capacity` elements.
    unsafe {
        for index in 0..(*sequence).capacity {
            free((*sequence).data.add(index * size));
        }
        libc::free((*sequence).data.cast());
        *sequence = Bytes::default();
        if len > 0 {
            let data = libc::calloc(len, size);
            if data.is_null() {
                return false;
            }
            *sequence = Bytes { data: data.cast(), size: len, capacity: len };
        }
    }
    true
}

fn free_text(text: *mut u8) {
    // SAFETY: a string or wide string lies there; both begin with the pointer.
    unsafe { libc::free(*text.cast::<*mut c_void>()) };
}

fn free_fields(kind: &Struct, message: *mut u8) {
    for (kind, count, offset) in &kind.fields {
        let at = message.wrapping_add(*offset);
        let (base, len) = match count {
            Count::One => (at, 1),
            Count::Array(n) => (at, *n),
            Count::Sequence(_) => {
                // SAFETY: a sequence lies there.
                let sequence = unsafe { *at.cast::<Bytes>() };
                (sequence.data, sequence.capacity)
            }
        };
        for index in 0..len {
            let element = base.wrapping_add(index * kind.size());
            match kind {
                Kind::Number(..) => break,
                Kind::Text(_) | Kind::Wide(_) => free_text(element),
                Kind::Struct(inner) => free_fields(inner, element),
            }
        }
        if matches!(count, Count::Sequence(_)) {
            // SAFETY: from malloc, and not used afterwards.
            unsafe { libc::free(base.cast()) };
        }
    }
}

fn leak(text: &str) -> *const c_char {
    CString::new(text).unwrap().into_raw()
}

type Init = unsafe extern "C" fn(*mut c_void, ffi::rosidl_runtime_c__message_initialization);
type Fini = unsafe extern "C" fn(*mut c_void);
type Resize = unsafe extern "C" fn(*mut c_void, usize) -> bool;

macro_rules! slots {
    ($($slot:literal)*) => {
        static INIT: &[Init] = &[$(init::<$slot>),*];
        static FINI: &[Fini] = &[$(fini::<$slot>),*];
        static RESIZE: &[Resize] = &[$(resize::<$slot>),*];
    };
}

slots!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
       32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
       64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95);

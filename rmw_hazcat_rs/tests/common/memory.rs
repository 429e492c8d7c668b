//! Values in C messages and back, by the structs that bindgen made, not by the code under test.

use super::value::Value;
use rmw_hazcat_rs::ffi;
use rmw_hazcat_rs::typesupport::{Cardinality, Field, FieldKind, Language, MessageType};
use std::ffi::c_void;

type Text = ffi::rosidl_runtime_c__String;
type Wide = ffi::rosidl_runtime_c__U16String;
type Bytes = ffi::rosidl_runtime_c__uint8__Sequence;

/// Puts a value into an initialized C message.
pub fn write(kind: &MessageType, message: *mut c_void, value: &Value) {
    assert_eq!(kind.language(), Language::C);
    let Value::Struct(values) = value else { panic!("not a message") };
    for (field, value) in kind.fields().iter().zip(values) {
        let at = message.cast::<u8>().wrapping_add(field.offset);
        match (field.cardinality, value) {
            (Cardinality::One, value) => write_element(field, at, value),
            (Cardinality::Array(_), Value::Array(values)) => write_elements(field, at, values),
            (Cardinality::Sequence { .. }, Value::Sequence(values)) => {
                let elements = make_room(field, at, values.len());
                write_elements(field, elements, values);
            }
            other => panic!("no such value: {other:?}"),
        }
    }
}

fn make_room(field: &Field, at: *mut u8, len: usize) -> *mut u8 {
    let sequence = at.cast::<Bytes>();
    if let Some(resize) = field.functions.resize_c {
        // SAFETY: the function of the sequence.
        assert!(unsafe { resize(at.cast(), len) });
    } else {
        // SAFETY: a sequence of an initialized message, whose memory is from malloc.
        unsafe {
            libc::free((*sequence).data.cast());
            let bytes = len * field.element_size(Language::C);
            (*sequence).data = if len == 0 { std::ptr::null_mut() } else { libc::malloc(bytes).cast() };
            (*sequence).size = len;
            (*sequence).capacity = len;
        }
    }
    // SAFETY: a sequence.
    unsafe { (*sequence).data }
}

fn write_elements(field: &Field, base: *mut u8, values: &[Value]) {
    for (index, value) in values.iter().enumerate() {
        write_element(field, base.wrapping_add(index * field.element_size(Language::C)), value);
    }
}

fn write_element(field: &Field, at: *mut u8, value: &Value) {
    match (&field.kind, value) {
        (FieldKind::Primitive(kind), Value::Number(_, bits)) => {
            // SAFETY: the number lies there.
            unsafe { std::ptr::copy_nonoverlapping(bits.to_le_bytes().as_ptr(), at, kind.size()) };
        }
        (FieldKind::String { .. }, Value::Text(text)) => {
            // SAFETY: a string lies there.
            unsafe { write_text(&mut *at.cast::<Text>(), text.as_bytes()) };
        }
        (FieldKind::WString { .. }, Value::Wide(units)) => {
            // SAFETY: a wide string lies there.
            unsafe { write_wide(&mut *at.cast::<Wide>(), units) };
        }
        (FieldKind::Message(kind), value) => write(kind, at.cast(), value),
        other => panic!("no such value: {other:?}"),
    }
}

fn write_text(to: &mut Text, text: &[u8]) {
    let data = fresh(to.data.cast(), text.len() + 1).cast::<u8>();
    // SAFETY: there is room for it and a NUL.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        *data.add(text.len()) = 0;
    }
    *to = Text { data: data.cast(), size: text.len(), capacity: text.len() + 1 };
}

fn write_wide(to: &mut Wide, units: &[u16]) {
    let data = fresh(to.data.cast(), 2 * (units.len() + 1)).cast::<u16>();
    // SAFETY: there is room for it and a 0.
    unsafe {
        std::ptr::copy_nonoverlapping(units.as_ptr(), data, units.len());
        *data.add(units.len()) = 0;
    }
    *to = Wide { data, size: units.len(), capacity: units.len() + 1 };
}

fn fresh(old: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: `old` is null or from malloc, which rcutils uses.
    unsafe { libc::free(old) };
    // SAFETY: no requirements.
    let new = unsafe { libc::malloc(size) };
    assert!(!new.is_null());
    new
}

/// What a C message holds.
pub fn read(kind: &MessageType, message: *const c_void) -> Value {
    assert_eq!(kind.language(), Language::C);
    Value::Struct(
        kind.fields()
            .iter()
            .map(|field| {
                let at = message.cast::<u8>().wrapping_add(field.offset);
                match field.cardinality {
                    Cardinality::One => read_element(field, at),
                    Cardinality::Array(n) => Value::Array(read_elements(field, at, n)),
                    Cardinality::Sequence { .. } => {
                        // SAFETY: a sequence lies there; all begin alike.
                        let sequence = unsafe { *at.cast::<Bytes>() };
                        assert!(sequence.size <= sequence.capacity);
                        Value::Sequence(read_elements(field, sequence.data, sequence.size))
                    }
                }
            })
            .collect(),
    )
}

fn read_elements(field: &Field, base: *const u8, len: usize) -> Vec<Value> {
    (0..len).map(|index| read_element(field, base.wrapping_add(index * field.element_size(Language::C)))).collect()
}

fn read_element(field: &Field, at: *const u8) -> Value {
    match &field.kind {
        FieldKind::Primitive(kind) => {
            let mut bits = [0; 16];
            // SAFETY: the number lies there.
            unsafe { std::ptr::copy_nonoverlapping(at, bits.as_mut_ptr(), kind.size()) };
            Value::Number(*kind, u128::from_le_bytes(bits))
        }
        FieldKind::String { .. } => {
            // SAFETY: a string lies there.
            let text = unsafe { *at.cast::<Text>() };
            if text.data.is_null() {
                return Value::Text(String::new());
            }
            assert!(text.size < text.capacity, "no room for the NUL");
            // SAFETY: it has that many bytes and a NUL.
            let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.size + 1) };
            assert_eq!(bytes[text.size], 0, "no NUL behind the string");
            Value::Text(String::from_utf8(bytes[..text.size].to_vec()).unwrap())
        }
        FieldKind::WString { .. } => {
            // SAFETY: a wide string lies there.
            let text = unsafe { *at.cast::<Wide>() };
            if text.data.is_null() {
                return Value::Wide(Vec::new());
            }
            assert!(text.size < text.capacity, "no room for the 0");
            // SAFETY: it has that many units and a 0.
            let units = unsafe { std::slice::from_raw_parts(text.data, text.size + 1) };
            assert_eq!(units[text.size], 0, "no 0 behind the wide string");
            Value::Wide(units[..text.size].to_vec())
        }
        FieldKind::Message(kind) => read(kind, at.cast()),
    }
}

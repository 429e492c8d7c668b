//! Bytes compared with those of an independent implementation of CDR, for random types and values,
//! and for one struct written out by hand.

mod common;

use common::random::{rounds, Random};
use common::tables::{self, Count, Kind, Struct};
use common::value::{Value, HIGH_FIRST};
use common::{memory, Message};
use rmw_hazcat_rs::cdr::CdrError;
use rmw_hazcat_rs::ffi;
use rmw_hazcat_rs::typesupport::{MessageType, Primitive};
use serde::Serialize;
use std::sync::Arc;

/// All directions of one value, and of it after another in the same message.
fn check(kind: &MessageType, value: &Value, before: &Value) {
    let expected = value.little_endian();
    HIGH_FIRST.set(true);
    let big_endian = value.big_endian();
    HIGH_FIRST.set(false);

    let message = Message::new(kind);
    memory::write(kind, message.memory, value);
    assert_eq!(&memory::read(kind, message.memory), value, "the test itself");
    assert_eq!(message.bytes().unwrap(), expected, "written {kind:?}");
    if let Some(max) = kind.max_serialized_size() {
        assert!(expected.len() <= max, "{} bytes, at most {max} expected", expected.len());
        if kind.is_plain() {
            assert_eq!(expected.len(), max);
        }
    }

    let mut message = Message::new(kind);
    for bytes in [&before.little_endian(), &expected, &before.little_endian(), &big_endian] {
        message.read(bytes).unwrap();
    }
    assert_eq!(&memory::read(kind, message.memory), value, "read {kind:?}");
    assert_eq!(message.bytes().unwrap(), expected);
}

#[test]
fn random_types_with_random_values() {
    let mut random = Random::new("random types");
    let (mut plain, mut bounded) = (0, 0);
    for _ in 0..rounds(2000) {
        let table = Struct::random(&mut random, 3);
        let kind = table.message_type().unwrap();
        assert_eq!(kind.size_of(), table.size);
        plain += usize::from(kind.is_plain());
        bounded += usize::from(kind.max_serialized_size().is_some());
        for _ in 0..8 {
            let (before, value) = (Value::random(&kind, &mut random), Value::random(&kind, &mut random));
            check(&kind, &value, &before);
        }
        tables::forget_all();
    }
    println!("{plain} plain types, {bounded} bounded ones");
}

/// A struct as rosidl_generator_c would write it.
#[repr(C)]
struct Written {
    flag: bool,
    wide: u16,
    big: f64,
    point: [f32; 3],
    text: ffi::rosidl_runtime_c__String,
    pixels: ffi::rosidl_runtime_c__uint8__Sequence,
    stamps: ffi::rosidl_runtime_c__uint64__Sequence,
    last: i16,
}

/// The same for serde.
#[derive(Serialize)]
struct Mirrored {
    flag: bool,
    wide: u16,
    big: f64,
    point: [f32; 3],
    text: String,
    pixels: Vec<u8>,
    stamps: Vec<u64>,
    last: i16,
}

#[test]
fn a_struct_and_its_mirror() {
    let number = |size, constant: ffi::rosidl_typesupport_introspection_c_field_types| Kind::Number(constant.0, size);
    let table = Struct::new(
        "Written",
        vec![
            (number(1, ffi::rosidl_typesupport_introspection_c__ROS_TYPE_BOOLEAN), Count::One),
            (number(2, ffi::rosidl_typesupport_introspection_c__ROS_TYPE_WCHAR), Count::One),
            (number(8, ffi::rosidl_typesupport_introspection_c__ROS_TYPE_DOUBLE), Count::One),
            (number(4, ffi::rosidl_typesupport_introspection_c__ROS_TYPE_FLOAT), Count::Array(3)),
            (Kind::Text(0), Count::One),
            (number(1, ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT8), Count::Sequence(0)),
            (number(8, ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT64), Count::Sequence(0)),
            (number(2, ffi::rosidl_typesupport_introspection_c__ROS_TYPE_INT16), Count::One),
        ],
    );
    assert_eq!(table.size, size_of::<Written>());
    let kind = table.message_type().unwrap();
    let mut random = Random::new("mirror");
    for _ in 0..rounds(200) {
        let text: String = (0..random.below(50)).map(|_| (b'a' + random.below(26) as u8) as char).collect();
        let pixels: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
        let stamps: Vec<u64> = (0..random.below(9)).map(|_| random.next()).collect();
        let mirror = Mirrored {
            flag: random.chance(2),
            wide: random.next() as u16,
            big: random.next() as f64,
            point: [random.next() as f32, -1.0, 0.5],
            text: text.clone(),
            pixels: pixels.clone(),
            stamps: stamps.clone(),
            last: random.next() as i16,
        };
        // The message borrows from the vectors, so it is never finalized.
        let written = Written {
            flag: mirror.flag,
            wide: mirror.wide,
            big: mirror.big,
            point: mirror.point,
            text: ffi::rosidl_runtime_c__String {
                data: text.as_ptr().cast_mut().cast(),
                size: text.len(),
                capacity: text.len() + 1,
            },
            pixels: ffi::rosidl_runtime_c__uint8__Sequence {
                data: pixels.as_ptr().cast_mut(),
                size: pixels.len(),
                capacity: pixels.len(),
            },
            stamps: ffi::rosidl_runtime_c__uint64__Sequence {
                data: stamps.as_ptr().cast_mut(),
                size: stamps.len(),
                capacity: stamps.len(),
            },
            last: mirror.last,
        };
        let expected = cdr::serialize::<_, _, cdr::CdrLe>(&mirror, cdr::Infinite).unwrap();
        let message = std::ptr::from_ref(&written).cast();
        // SAFETY: laid out as the table says (the size was compared), and only read.
        let size = unsafe { kind.serialized_size(message) }.unwrap();
        let mut out = vec![0; size];
        // SAFETY: as above.
        unsafe { kind.serialize(message, &mut out) }.unwrap();
        assert_eq!(out, expected);
    }
    tables::forget_all();
}

/// One field, for the cases below.
fn one(kind: Kind, count: Count) -> Arc<MessageType> {
    Struct::new("One", vec![(kind, count)]).message_type().unwrap()
}

fn text(text: &str) -> Value {
    Value::Struct(vec![Value::Text(text.to_owned())])
}

/// An empty sequence ends at a multiple of 4, any other at one of its elements' size: what follows is
/// one copy only as far as both agree.
#[test]
fn fields_behind_a_sequence_are_placed_whether_it_is_empty_or_not() {
    let u32 = Kind::Number(ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT32.0, 4);
    let u64 = Kind::Number(ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT64.0, 8);
    let kind = Struct::new(
        "Behind",
        vec![(u64.clone(), Count::Sequence(0)), (u32.clone(), Count::One), (u32, Count::One), (u64, Count::One)],
    )
    .message_type()
    .unwrap();
    let of = |len: usize| {
        let number = |size, bits| {
            let kinds = [Primitive::UInt32, Primitive::UInt64];
            Value::Number(kinds[size], bits)
        };
        Value::Struct(vec![Value::Sequence(vec![number(1, 9); len]), number(0, 1), number(0, 2), number(1, 3)])
    };
    check(&kind, &of(0), &of(1));
    check(&kind, &of(1), &of(0));
}

#[test]
fn wide_strings_are_four_bytes_a_unit_without_a_nul() {
    let kind = one(Kind::Wide(0), Count::One);
    let message = Message::new(&kind);
    memory::write(&kind, message.memory, &Value::Struct(vec![Value::Wide(vec![0x41, 0xffff])]));
    let bytes = [0, 1, 0, 0, 2, 0, 0, 0, 0x41, 0, 0, 0, 0xff, 0xff, 0, 0];
    assert_eq!(message.bytes().unwrap(), bytes);

    let mut other = Message::new(&kind);
    let wider = [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(other.read(&wider), Err(CdrError::BadWideCharacter(0x1_0000)));
    assert_eq!(memory::read(&kind, other.memory), Value::Struct(vec![Value::Wide(vec![])]));
}

#[test]
fn strings_come_with_or_without_their_nul() {
    let kind = one(Kind::Text(0), Count::One);
    let mut message = Message::new(&kind);
    for (bytes, expected) in [
        (&[0, 1, 0, 0, 3, 0, 0, 0, b'a', b'b', 0][..], "ab"),
        (&[0, 1, 0, 0, 2, 0, 0, 0, b'a', b'b'], "ab"),
        (&[0, 1, 0, 0, 1, 0, 0, 0, 0], ""),
        (&[0, 1, 0, 0, 0, 0, 0, 0], ""),
        // A NUL inside stays, and padding behind the message is ignored.
        (&[0, 1, 0, 0, 4, 0, 0, 0, b'a', 0, b'b', 0, 0, 0, 0, 0], "a\0b"),
        (&[0, 0, 0, 0, 0, 0, 0, 2, b'c', 0], "c"),
    ] {
        message.read(bytes).unwrap();
        assert_eq!(memory::read(&kind, message.memory), text(expected), "{bytes:?}");
    }
}

#[test]
fn bounds_hold_in_both_directions() {
    for (kind, allowed, refused, error) in [
        (one(Kind::Text(3), Count::One), text("abc"), text("abcd"), CdrError::BoundExceeded { len: 4, bound: 3 }),
        (
            one(Kind::Text(0), Count::Sequence(1)),
            Value::Struct(vec![Value::Sequence(vec![Value::Text("a".into())])]),
            Value::Struct(vec![Value::Sequence(vec![Value::Text("a".into()); 2])]),
            CdrError::BoundExceeded { len: 2, bound: 1 },
        ),
        (
            one(Kind::Wide(2), Count::One),
            Value::Struct(vec![Value::Wide(vec![7; 2])]),
            Value::Struct(vec![Value::Wide(vec![7; 3])]),
            CdrError::BoundExceeded { len: 3, bound: 2 },
        ),
    ] {
        let mut message = Message::new(&kind);
        message.read(&allowed.little_endian()).unwrap();
        assert_eq!(message.read(&refused.little_endian()), Err(error));
        memory::write(&kind, message.memory, &refused);
        assert_eq!(message.bytes(), Err(error));
    }
}

#[test]
fn only_xcdr1_is_read() {
    let kind = one(Kind::Text(0), Count::One);
    let mut message = Message::new(&kind);
    assert_eq!(message.read(&[0, 7, 0, 0, 1, 0, 0, 0, 0]), Err(CdrError::UnknownEncapsulation(0, 7)));
    assert_eq!(message.read(&[1, 1, 0, 0, 1, 0, 0, 0, 0]), Err(CdrError::UnknownEncapsulation(1, 1)));
    assert!(matches!(message.read(&[0, 1, 0]), Err(CdrError::Truncated { needed: 1, .. })));
    assert!(matches!(message.read(&[]), Err(CdrError::Truncated { needed: 4, .. })));
}

#[test]
fn a_length_without_the_bytes_is_refused_before_anything_is_allocated() {
    let bytes = [0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    let mut kinds = tables::numbers();
    kinds.push(Kind::Text(0));
    kinds.push(Kind::Wide(0));
    for kind in kinds {
        let kind = one(kind, Count::Sequence(0));
        let mut message = Message::new(&kind);
        assert!(matches!(message.read(&bytes), Err(CdrError::Truncated { .. })), "{kind:?}");
        assert_eq!(memory::read(&kind, message.memory), Value::Struct(vec![Value::Sequence(vec![])]));
    }
}

#[test]
fn memory_is_reused() {
    let bytes_of = |len: usize| Value::Struct(vec![Value::Sequence(vec![number(7); len])]).little_endian();
    let kind = one(Kind::Number(ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT8.0, 1), Count::Sequence(0));
    let mut message = Message::new(&kind);
    message.read(&bytes_of(1000)).unwrap();
    let data = || {
        // SAFETY: the message is one sequence.
        unsafe { *message.memory.cast::<ffi::rosidl_runtime_c__uint8__Sequence>() }
    };
    let first = data();
    for len in [1000, 10, 0, 999] {
        let mut again = Message { kind: &kind, memory: message.memory };
        again.read(&bytes_of(len)).unwrap();
        std::mem::forget(again);
        assert_eq!((data().data, data().size, data().capacity), (first.data, len, 1000));
    }
}

fn number(bits: u128) -> Value {
    Value::Number(Primitive::UInt8, bits)
}

#[test]
fn booleans_are_made_valid() {
    let boolean = Kind::Number(ffi::rosidl_typesupport_introspection_c__ROS_TYPE_BOOLEAN.0, 1);
    let kind = Struct::new("Booleans", vec![(boolean.clone(), Count::Array(3)), (boolean, Count::Sequence(0))])
        .message_type()
        .unwrap();
    let mut message = Message::new(&kind);
    message.read(&[0, 1, 0, 0, 0, 2, 255, 0, 2, 0, 0, 0, 9, 0]).unwrap();
    let expected = [0, 1, 0, 0, 0, 1, 1, 0, 2, 0, 0, 0, 1, 0];
    assert_eq!(message.bytes().unwrap(), expected);
}

//! The same bytes as the other middlewares write, and messages read from theirs, wherever a ROS 2
//! that has them is sourced.

mod common;

use common::generated::{in_sourced_lib, open, symbol, Package, MESSAGES, TEST_MSGS};
use common::random::{rounds, Random};
use common::value::Value;
use common::Message;
use rmw_hazcat_rs::ffi;
use rmw_hazcat_rs::typesupport::MessageType;
use std::ffi::c_void;

type Handle = *const ffi::rosidl_message_type_support_t;
type Bytes = ffi::rcutils_uint8_array_t;

type Serialize = unsafe extern "C" fn(*const c_void, Handle, *mut Bytes) -> ffi::rmw_ret_t;
type Deserialize = unsafe extern "C" fn(*const Bytes, Handle, *mut c_void) -> ffi::rmw_ret_t;

struct Peer {
    name: &'static str,
    serialize: Serialize,
    deserialize: Deserialize,
}

impl Peer {
    fn sourced(name: &'static str) -> Option<Self> {
        let file = format!("lib{name}.so");
        let Some(lib) = in_sourced_lib(&file) else {
            println!("skipped: no ROS 2 with {name} is sourced");
            return None;
        };
        let library = open(&lib.join(file));
        Some(Self {
            name,
            // SAFETY: the rmw function of this name has this type.
            serialize: unsafe { std::mem::transmute::<*mut c_void, Serialize>(symbol(library, "rmw_serialize")) },
            // SAFETY: as above.
            deserialize: unsafe { std::mem::transmute::<*mut c_void, Deserialize>(symbol(library, "rmw_deserialize")) },
        })
    }

    fn check(&self, handle: Handle, kind: &MessageType, value: &Value) {
        let mut message = Message::new(kind);
        message.read(&value.little_endian()).unwrap();
        let ours = message.bytes().unwrap();

        // SAFETY: no requirements.
        let mut bytes = unsafe { ffi::rcutils_get_zero_initialized_uint8_array() };
        // SAFETY: no requirements.
        let allocator = unsafe { ffi::rcutils_get_default_allocator() };
        // Fast DDS leaves in the padding what was there: zeroes, in an array that is long enough.
        let room = 2 * ours.len() + 64;
        // SAFETY: a zero-initialized array and a valid allocator.
        assert_eq!(unsafe { ffi::rcutils_uint8_array_init(&raw mut bytes, room, &raw const allocator) }, 0);
        // SAFETY: the array has room for it.
        unsafe { bytes.buffer.write_bytes(0, room) };
        let what = format!("{} in {:?} by {}", kind.ros_name(), kind.language(), self.name);
        // SAFETY: an initialized message of the handle's type.
        let result = unsafe { (self.serialize)(message.memory, handle, &raw mut bytes) };
        assert_eq!(result, ffi::RMW_RET_OK, "{what}");
        // SAFETY: the array holds that many bytes.
        let theirs = unsafe { std::slice::from_raw_parts(bytes.buffer, bytes.buffer_length) };
        // Some pad the end, and Fast DDS expects padding before the elements of empty sequences, which
        // it then does not write.
        assert!(theirs.len() >= ours.len(), "{what}");
        assert!(theirs[ours.len()..].iter().all(|byte| *byte == 0), "{what}");
        assert_eq!(&theirs[4..ours.len()], &ours[4..], "{what}");
        assert_eq!(&theirs[..2], &ours[..2], "{what}");

        let mut other = Message::new(kind);
        other.read(theirs).unwrap();
        assert_eq!(other.bytes().unwrap(), ours, "{what}");

        // And they read ours.
        bytes.buffer_length = 0;
        // SAFETY: a valid array.
        assert_eq!(unsafe { ffi::rcutils_uint8_array_resize(&raw mut bytes, ours.len()) }, 0);
        // SAFETY: the array has room for it.
        unsafe { std::ptr::copy_nonoverlapping(ours.as_ptr(), bytes.buffer, ours.len()) };
        bytes.buffer_length = ours.len();
        let third = Message::new(kind);
        // SAFETY: an initialized message of the handle's type.
        let result = unsafe { (self.deserialize)(&raw const bytes, handle, third.memory) };
        assert_eq!(result, ffi::RMW_RET_OK, "{what}");
        assert_eq!(third.bytes().unwrap(), ours, "{what}");
        // SAFETY: a valid array.
        assert_eq!(unsafe { ffi::rcutils_uint8_array_fini(&raw mut bytes) }, 0);
    }
}

fn compare(peer: &'static str) {
    let Some(peer) = Peer::sourced(peer) else { return };
    let mut random = Random::new(peer.name);
    let own = Package::own().filter(Package::has_dispatch).map(|package| (package, &MESSAGES[..]));
    let test_msgs = Package::test_msgs().map(|package| (package, &TEST_MSGS[..]));
    let mut compared = 0;
    for (package, names) in own.into_iter().chain(test_msgs) {
        for name in names {
            for handle in package.dispatch_handles(name) {
                // SAFETY: a generated handle of a library that is never closed.
                let kind = unsafe { MessageType::from_handle(handle) }.unwrap();
                let repeat = if kind.size_of() > 1 << 20 { 1 } else { rounds(30) };
                for _ in 0..repeat {
                    peer.check(handle, &kind, &Value::random(&kind, &mut random));
                    compared += 1;
                }
            }
        }
    }
    println!("{compared} messages compared with {}", peer.name);
}

#[test]
fn the_bytes_are_those_of_fast_dds() {
    compare("rmw_fastrtps_cpp");
}

#[test]
fn the_bytes_are_those_of_cyclone_dds() {
    compare("rmw_cyclonedds_cpp");
}

//! Three types made by hand: a plain message, one with a string, and a service.

// Newer ROS 2 levels have more fields than are named here.
#![allow(clippy::needless_update)]

use rmw_hazcat_rs::ffi;
use std::ffi::{c_char, c_void, CStr};
use std::sync::OnceLock;

type Members = ffi::rosidl_typesupport_introspection_c__MessageMembers;
type Member = ffi::rosidl_typesupport_introspection_c__MessageMember;
type ServiceMembers = ffi::rosidl_typesupport_introspection_c__ServiceMembers;
pub type MessageHandle = ffi::rosidl_message_type_support_t;
pub type ServiceHandle = ffi::rosidl_service_type_support_t;

const INTROSPECTION: &CStr = c"rosidl_typesupport_introspection_c";

/// `test/msg/Pair`: no string, no sequence.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pair {
    pub id: u64,
    pub flag: bool,
    pub value: f64,
}

/// `test/msg/Text`: one string.
#[repr(C)]
pub struct Text {
    pub data: ffi::rosidl_runtime_c__String,
}

impl Text {
    /// An empty text, as the generated function makes it.
    pub fn new() -> Self {
        let mut text = Self { data: ffi::rosidl_runtime_c__String::default() };
        text.set("");
        text
    }

    pub fn of(value: &str) -> Self {
        let mut text = Self::new();
        text.set(value);
        text
    }

    pub fn set(&mut self, value: &str) {
        let size = value.len() + 1;
        self.data.data = unsafe { libc::realloc(self.data.data.cast(), size) }.cast();
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), self.data.data.cast(), value.len()) };
        unsafe { self.data.data.add(value.len()).write(0) };
        self.data.size = value.len();
        self.data.capacity = size;
    }

    pub fn get(&self) -> String {
        unsafe { CStr::from_ptr(self.data.data) }.to_str().unwrap().to_owned()
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        unsafe { libc::free(self.data.data.cast()) };
    }
}

unsafe extern "C" fn init_pair(message: *mut c_void, _: ffi::rosidl_runtime_c__message_initialization) {
    unsafe { message.cast::<Pair>().write(Pair::default()) };
}

unsafe extern "C" fn fini_pair(_: *mut c_void) {}

unsafe extern "C" fn init_text(message: *mut c_void, _: ffi::rosidl_runtime_c__message_initialization) {
    unsafe { message.cast::<Text>().write(Text::new()) };
}

unsafe extern "C" fn fini_text(message: *mut c_void) {
    unsafe { message.cast::<Text>().drop_in_place() };
}

unsafe extern "C" fn no_other_message(_: *const MessageHandle, _: *const c_char) -> *const MessageHandle {
    std::ptr::null()
}

unsafe extern "C" fn no_other_service(_: *const ServiceHandle, _: *const c_char) -> *const ServiceHandle {
    std::ptr::null()
}

fn member(name: &'static CStr, kind: ffi::rosidl_typesupport_introspection_c_field_types, offset: usize) -> Member {
    Member { name_: name.as_ptr(), type_id_: kind.0 as u8, offset_: offset as u32, ..Member::default() }
}

fn pair_members(name: &'static CStr) -> &'static Members {
    let members = vec![
        member(c"id", ffi::rosidl_typesupport_introspection_c__ROS_TYPE_UINT64, std::mem::offset_of!(Pair, id)),
        member(c"flag", ffi::rosidl_typesupport_introspection_c__ROS_TYPE_BOOLEAN, std::mem::offset_of!(Pair, flag)),
        member(c"value", ffi::rosidl_typesupport_introspection_c__ROS_TYPE_DOUBLE, std::mem::offset_of!(Pair, value)),
    ];
    Box::leak(Box::new(Members {
        message_namespace_: c"test__msg".as_ptr(),
        message_name_: name.as_ptr(),
        member_count_: members.len() as u32,
        size_of_: std::mem::size_of::<Pair>(),
        members_: members.leak().as_ptr(),
        init_function: Some(init_pair),
        fini_function: Some(fini_pair),
        ..Members::default()
    }))
}

fn text_members(name: &'static CStr) -> &'static Members {
    let members = vec![member(c"data", ffi::rosidl_typesupport_introspection_c__ROS_TYPE_STRING, 0)];
    Box::leak(Box::new(Members {
        message_namespace_: c"test__msg".as_ptr(),
        message_name_: name.as_ptr(),
        member_count_: members.len() as u32,
        size_of_: std::mem::size_of::<Text>(),
        members_: members.leak().as_ptr(),
        init_function: Some(init_text),
        fini_function: Some(fini_text),
        ..Members::default()
    }))
}

fn handle(members: &'static Members) -> MessageHandle {
    MessageHandle {
        typesupport_identifier: INTROSPECTION.as_ptr(),
        data: std::ptr::from_ref(members).cast(),
        func: Some(no_other_message),
        ..MessageHandle::default()
    }
}

/// Handles are full of pointers to what never changes.
struct Shared<T>(T);
unsafe impl<T> Sync for Shared<T> {}
unsafe impl<T> Send for Shared<T> {}

pub fn pair() -> *const MessageHandle {
    static HANDLE: OnceLock<Shared<MessageHandle>> = OnceLock::new();
    &HANDLE.get_or_init(|| Shared(handle(pair_members(c"Pair")))).0
}

/// Another type than [`pair`], with the same structure.
pub fn other_pair() -> *const MessageHandle {
    static HANDLE: OnceLock<Shared<MessageHandle>> = OnceLock::new();
    &HANDLE.get_or_init(|| Shared(handle(pair_members(c"OtherPair")))).0
}

pub fn text() -> *const MessageHandle {
    static HANDLE: OnceLock<Shared<MessageHandle>> = OnceLock::new();
    &HANDLE.get_or_init(|| Shared(handle(text_members(c"Text")))).0
}

/// `test/srv/Ask`: a [`Text`] for a [`Pair`].
pub fn ask() -> *const ServiceHandle {
    static HANDLE: OnceLock<Shared<ServiceHandle>> = OnceLock::new();
    &HANDLE
        .get_or_init(|| {
            let members = Box::leak(Box::new(ServiceMembers {
                service_namespace_: c"test__srv".as_ptr(),
                service_name_: c"Ask".as_ptr(),
                request_members_: pair_members(c"Ask_Request"),
                response_members_: text_members(c"Ask_Response"),
                ..ServiceMembers::default()
            }));
            Shared(ServiceHandle {
                typesupport_identifier: INTROSPECTION.as_ptr(),
                data: std::ptr::from_ref(members).cast(),
                func: Some(no_other_service),
                ..ServiceHandle::default()
            })
        })
        .0
}

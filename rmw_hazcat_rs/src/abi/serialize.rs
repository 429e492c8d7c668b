//! Messages to bytes and back, without any topic.

use std::ffi::c_void;

use crate::encoding;
use crate::error::{guard, not_null, required, required_mut, Context as _, Failure, Result};
use crate::ffi;
use crate::typesupport::MessageType;

/// The bytes of a serialized message. To read them its capacity does not matter, which is left out where the bytes are
/// somebody else's.
///
/// # Safety
/// The message's buffer is as its length says.
pub(super) unsafe fn bytes(message: &ffi::rmw_serialized_message_t) -> Result<&[u8]> {
    if message.buffer_length == 0 {
        return Ok(&[]);
    }
    if message.buffer.is_null() {
        return Err(Failure::invalid("the serialized message has a length and no buffer"));
    }
    // SAFETY: by the caller's contract.
    Ok(unsafe { std::slice::from_raw_parts(message.buffer.cast::<u8>(), message.buffer_length) })
}

/// Serializes a message.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_serialize(
    ros_message: *const c_void,
    type_support: *const ffi::rosidl_message_type_support_t,
    serialized_message: *mut ffi::rmw_serialized_message_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        not_null(ros_message, "ros_message")?;
        not_null(type_support, "type_support")?;
        // SAFETY: see the function's own contract.
        let out = unsafe { required_mut(serialized_message, "serialized_message") }?;
        // SAFETY: a handle whose library stays loaded during this call.
        let kind = unsafe { MessageType::known(type_support) }.or_error(|| "cannot serialize".to_owned())?;
        // SAFETY: not null, and of that type by the function's contract.
        unsafe { encoding::serialize(&kind, ros_message, out) }
    })
}

/// Makes a message from its serialized form.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_deserialize(
    serialized_message: *const ffi::rmw_serialized_message_t,
    type_support: *const ffi::rosidl_message_type_support_t,
    ros_message: *mut c_void,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let message = unsafe { required(serialized_message, "serialized_message") }?;
        not_null(type_support, "type_support")?;
        not_null(ros_message, "ros_message")?;
        // SAFETY: a handle whose library stays loaded during this call.
        let kind = unsafe { MessageType::known(type_support) }.or_error(|| "cannot deserialize".to_owned())?;
        // SAFETY: an initialised serialized message.
        let bytes = unsafe { bytes(message) }?;
        // SAFETY: not null, and of that type by the function's contract.
        unsafe { encoding::decode(&kind, bytes, ros_message) }
    })
}

/// Most bytes that a message of a bounded type takes. Without a type it is unsupported rather than invalid: that is what
/// upstream's test asks for, which counts as skipped with any other answer.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_get_serialized_message_size(
    type_support: *const ffi::rosidl_message_type_support_t,
    _message_bounds: *const ffi::rosidl_runtime_c__Sequence__bound,
    size: *mut usize,
) -> ffi::rmw_ret_t {
    guard(|| {
        if type_support.is_null() {
            return Err(Failure::unsupported("there is no largest size without a type"));
        }
        // SAFETY: see the function's own contract.
        let size = unsafe { required_mut(size, "size") }?;
        // SAFETY: a handle whose library stays loaded during this call.
        let kind = unsafe { MessageType::known(type_support) }.or_error(|| "no serialized size".to_owned())?;
        *size = kind.max_serialized_size().ok_or_else(|| {
            Failure::unsupported(format!("messages of type '{}' have no largest size", kind.ros_name()))
        })?;
        Ok(())
    })
}

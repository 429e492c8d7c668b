//! Types that were met before, for those who bring a handle with every single message.
//!
//! To read a type takes longer than to serialize most messages, so what was read is kept, by the address of its table. That
//! is only right while the library of the table stays loaded, hence it is kept loaded (that of a dispatching handle always
//! is); what lies in no library, because somebody made it at run time, is read anew each time.

use super::{resolve, MessageType, TypeSupportError};
use crate::ffi;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::{Arc, RwLock};

/// By the address of the table. Never waited for: a forked child may serialize, and finds it locked for ever where the fork
/// happened at the wrong moment. It then reads the type anew.
static KNOWN: RwLock<BTreeMap<usize, Arc<MessageType>>> = RwLock::new(BTreeMap::new());

impl MessageType {
    /// The type of a handle, read only once.
    ///
    /// # Errors
    /// See [`TypeSupportError`].
    ///
    /// # Safety
    /// As for [`from_handle`](Self::from_handle).
    pub unsafe fn known(handle: *const ffi::rosidl_message_type_support_t) -> Result<Arc<Self>, TypeSupportError> {
        // SAFETY: passed on.
        let tables = unsafe { resolve::message_tables(handle) }?;
        let key = tables.data as usize;
        let known = KNOWN.try_read().ok().and_then(|known| known.get(&key).cloned());
        if let Some(kind) = known {
            return Ok(kind);
        }
        // SAFETY: passed on, with the handle's own tables.
        let kind = unsafe { Self::from_tables(handle, &tables) }?;
        if let Ok(mut known) = KNOWN.try_write() {
            if keep_loaded(tables.data) {
                known.insert(key, Arc::clone(&kind));
            }
        }
        Ok(kind)
    }
}

/// Has the library in which something lies stay loaded for ever; `false` if there is none.
fn keep_loaded(what: *const c_void) -> bool {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: any address will do; there is a place for the answer.
    let found = unsafe { libc::dladdr(what, info.as_mut_ptr()) } != 0;
    // SAFETY: all-zero is a valid value of this C structure.
    let info = unsafe { info.assume_init() };
    if !found || info.dli_fname.is_null() {
        return false;
    }
    // SAFETY: a NUL-terminated name; nothing is loaded. The handle stays open.
    !unsafe { libc::dlopen(info.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD) }.is_null()
}

//! What a program says in the options of one publisher or subscription: `rmw_hazcat_rs_memory_domain_t` of
//! `include/rmw_hazcat_rs/memory_domain.h`.

use std::ffi::c_void;

use hazcat_core::domain::Stream;

use crate::error::{Failure, Result};
use crate::ffi;
use crate::logging::{log, Severity};

/// A payload that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    name: String,
    stream: Option<Stream>,
}

impl Payload {
    /// Reads a payload. `None` where there is none, or where it is another implementation's (which is said in the log): rclcpp
    /// gives a payload to whatever middleware there is.
    ///
    /// # Errors
    /// Ours, and malformed.
    ///
    /// # Safety
    /// Null, or points to a payload of some implementation, of at least eight bytes, that nobody changes meanwhile; one that
    /// begins as ours does is as long as it says.
    pub unsafe fn read(pointer: *const c_void) -> Result<Option<Self>> {
        type Layout = ffi::rmw_hazcat_rs_memory_domain_t;
        let payload = pointer.cast::<Layout>();
        if payload.is_null() {
            return Ok(None);
        }
        // SAFETY: the first word, where it is aligned as ours is.
        if !payload.is_aligned() || unsafe { payload.cast::<u64>().read() } != ffi::RMW_HAZCAT_RS_MEMORY_DOMAIN_MAGIC {
            log(Severity::Warn, format_args!("a payload that is not for rmw_hazcat_rs is left aside"));
            return Ok(None);
        }
        // SAFETY: ours, so its second word is its size.
        let size = unsafe { payload.cast::<u64>().wrapping_add(1).read() };
        if size < size_of::<Layout>() as u64 {
            let text = format!("the payload says it has {size} bytes instead of {}", size_of::<Layout>());
            return Err(Failure::invalid(text));
        }
        // SAFETY: ours, and as long as it says.
        let payload = unsafe { payload.read() };
        let name: Vec<u8> = payload.name.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
        let name = String::from_utf8(name).ok().filter(|name| name.len() < payload.name.len());
        let name =
            name.ok_or_else(|| Failure::invalid("the payload's name of a memory domain is too long, or not UTF-8"))?;
        let stream = (!payload.stream.is_null()).then_some(Stream(payload.stream as usize));
        Ok(Some(Self { name, stream }))
    }

    /// The domain it asks for; `None` where it leaves that to the configuration.
    pub fn name(&self) -> Option<&str> {
        Some(self.name.as_str()).filter(|name| !name.is_empty())
    }

    /// The stream it names.
    pub fn stream(&self) -> Option<Stream> {
        self.stream
    }

    /// One as a program makes it.
    #[cfg(test)]
    pub(super) fn of(name: &str, stream: usize) -> Self {
        Self { name: name.to_owned(), stream: (stream != 0).then_some(Stream(stream)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &[u8]) -> ffi::rmw_hazcat_rs_memory_domain_t {
        let mut payload = ffi::rmw_hazcat_rs_memory_domain_t {
            magic: ffi::RMW_HAZCAT_RS_MEMORY_DOMAIN_MAGIC,
            size: size_of::<ffi::rmw_hazcat_rs_memory_domain_t>() as u64,
            ..Default::default()
        };
        for (to, from) in payload.name.iter_mut().zip(name) {
            *to = *from as _;
        }
        payload
    }

    fn read(payload: &ffi::rmw_hazcat_rs_memory_domain_t) -> Result<Option<Payload>> {
        // SAFETY: a whole payload.
        unsafe { Payload::read(std::ptr::from_ref(payload).cast()) }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        assert_eq!(read(&made(b"sim:0")).unwrap(), Some(Payload::of("sim:0", 0)));
        let mut with_stream = made(b"");
        with_stream.stream = 0x10 as _;
        with_stream.size += 8;
        let payload = read(&with_stream).unwrap().unwrap();
        assert_eq!((payload.name(), payload.stream()), (None, Some(Stream(16))));
    }

    #[test]
    fn others_are_left_aside_and_malformed_ones_refused() {
        // SAFETY: null, and eight bytes of another implementation's at an odd address, of which none is read.
        assert_eq!(unsafe { Payload::read(std::ptr::null()) }.unwrap(), None);
        // SAFETY: see above.
        assert_eq!(unsafe { Payload::read(c"another".as_ptr().wrapping_add(1).cast()) }.unwrap(), None);
        let foreign = ffi::rmw_hazcat_rs_memory_domain_t { magic: 1, ..made(b"sim:0") };
        assert_eq!(read(&foreign).unwrap(), None);
        let short = ffi::rmw_hazcat_rs_memory_domain_t { size: 16, ..made(b"sim:0") };
        assert!(read(&short).unwrap_err().message.contains("16"));
        assert!(read(&made(&[b'x'; 80])).is_err(), "no terminating zero");
        assert!(read(&made(b"\xff\xfe")).is_err(), "not UTF-8");
    }
}

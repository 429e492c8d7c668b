//! The one place where errors become return codes and rcutils error strings.
//!
//! Guarantees to the C side: no panic leaves this library, and whatever is not `RMW_RET_OK` leaves an error string for
//! the calling thread that names what it is about. The exception is `RMW_RET_TIMEOUT`: it is an answer and not an
//! error, and a string left behind would show up later as "overwritten".

use std::any::Any;
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe, Location};

use crate::ffi;
use crate::identity;

/// Why a call did not succeed, as far as a return code can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// `RMW_RET_ERROR`.
    Error,
    /// `RMW_RET_TIMEOUT`.
    Timeout,
    /// `RMW_RET_UNSUPPORTED`.
    Unsupported,
    /// `RMW_RET_BAD_ALLOC`.
    BadAlloc,
    /// `RMW_RET_INVALID_ARGUMENT`.
    InvalidArgument,
    /// `RMW_RET_INCORRECT_RMW_IMPLEMENTATION`.
    IncorrectImplementation,
    /// `RMW_RET_NODE_NAME_NON_EXISTENT`.
    NoSuchNode,
}

impl Code {
    fn to_ffi(self) -> ffi::rmw_ret_t {
        let code = match self {
            Code::Error => ffi::RMW_RET_ERROR,
            Code::Timeout => ffi::RMW_RET_TIMEOUT,
            Code::Unsupported => ffi::RMW_RET_UNSUPPORTED,
            Code::BadAlloc => ffi::RMW_RET_BAD_ALLOC,
            Code::InvalidArgument => ffi::RMW_RET_INVALID_ARGUMENT,
            Code::IncorrectImplementation => ffi::RMW_RET_INCORRECT_RMW_IMPLEMENTATION,
            Code::NoSuchNode => ffi::RMW_RET_NODE_NAME_NON_EXISTENT,
        };
        code as ffi::rmw_ret_t
    }
}

/// A call that did not succeed: the code and the text for the caller.
#[derive(Debug)]
pub struct Failure {
    /// What the caller gets returned.
    pub code: Code,
    /// What the caller can read. Empty only for a timeout.
    pub message: Cow<'static, str>,
    /// Where in this library it was found.
    at: &'static Location<'static>,
}

/// What the functions behind the C interface return.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with this code and text.
    #[track_caller]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), at: Location::caller() }
    }

    /// `RMW_RET_ERROR`.
    #[track_caller]
    pub fn error(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Error, message)
    }

    /// `RMW_RET_INVALID_ARGUMENT`.
    #[track_caller]
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// `RMW_RET_UNSUPPORTED`.
    #[track_caller]
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unsupported, message)
    }

    /// `RMW_RET_BAD_ALLOC`.
    #[track_caller]
    pub fn bad_alloc(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadAlloc, message)
    }

    /// `RMW_RET_TIMEOUT`.
    #[track_caller]
    pub fn timeout() -> Self {
        Self::new(Code::Timeout, "")
    }

    /// The same failure with what it is about in front of its text, such as "topic '/chatter'".
    pub fn about(mut self, subject: impl std::fmt::Display) -> Self {
        self.message = format!("{subject}: {}", self.message).into();
        self
    }

    /// The same failure with another code.
    pub fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// Leaves the text in the calling thread's rcutils error state and answers the code.
    fn report(self) -> ffi::rmw_ret_t {
        if self.code != Code::Timeout {
            set_error(&self.message, self.at);
        }
        self.code.to_ffi()
    }
}

/// Turns errors of the layers below into failures, with what they are about.
pub trait Context<T> {
    /// `RMW_RET_ERROR` with the error's own text after "`subject`: ".
    fn or_error(self, subject: impl FnOnce() -> String) -> Result<T>;
    /// The same with another code.
    fn or_code(self, code: Code, subject: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: std::fmt::Display> Context<T> for std::result::Result<T, E> {
    #[track_caller]
    fn or_error(self, subject: impl FnOnce() -> String) -> Result<T> {
        self.or_code(Code::Error, subject)
    }

    #[track_caller]
    fn or_code(self, code: Code, subject: impl FnOnce() -> String) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(Failure::new(code, format!("{}: {error}", subject()))),
        }
    }
}

/// Runs the body of an exported function that returns a code.
pub fn guard(body: impl FnOnce() -> Result<()>) -> ffi::rmw_ret_t {
    match run(body) {
        Ok(()) => ffi::RMW_RET_OK as ffi::rmw_ret_t,
        Err(failure) => failure.report(),
    }
}

/// Runs the body of an exported function that returns a pointer; null means failure.
pub fn guard_ptr<T>(body: impl FnOnce() -> Result<*mut T>) -> *mut T {
    match run(body) {
        Ok(pointer) => pointer,
        Err(failure) => {
            failure.report();
            std::ptr::null_mut()
        }
    }
}

fn run<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // Whatever a panicking body was in the middle of belongs to entities behind locks that recover from poisoning.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(Failure::error(panic_text(panic.as_ref()))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!("rmw_hazcat_rs panicked, please report this: {text}")
}

/// Most bytes of a message: rcutils has room for 768 and complains where it has to cut.
const LONGEST: usize = 700;

fn set_error(message: &str, at: &'static Location<'static>) {
    let end = (0..=LONGEST).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    let text = c_text(if message.len() > LONGEST { message.get(..end).unwrap_or_default() } else { message });
    let file = c_text(at.file());
    // SAFETY: resets the calling thread's own error state; no argument, no precondition. Without it rcutils complains
    // on standard error that an error is being overwritten.
    unsafe { ffi::rcutils_reset_error() };
    // SAFETY: both strings are terminated and live across the call, which copies them.
    unsafe { ffi::rcutils_set_error_state(text.as_ptr(), file.as_ptr(), at.line() as usize) };
}

fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| CString::new(text.replace('\0', "?")).unwrap_or_default())
}

/// A reference to what an argument points at, or "`name` is null".
///
/// # Safety
/// `pointer` is null or points to an initialised `T` that nobody changes during `'a`.
#[track_caller]
pub unsafe fn required<'a, T>(pointer: *const T, name: &'static str) -> Result<&'a T> {
    // SAFETY: forwarded from the caller; null is handled.
    match unsafe { pointer.as_ref() } {
        Some(reference) => Ok(reference),
        None => Err(null(name)),
    }
}

/// A mutable reference to what an argument points at, or "`name` is null".
///
/// # Safety
/// `pointer` is null or points to an initialised `T` that nobody else uses during `'a`.
#[track_caller]
pub unsafe fn required_mut<'a, T>(pointer: *mut T, name: &'static str) -> Result<&'a mut T> {
    // SAFETY: forwarded from the caller; null is handled.
    match unsafe { pointer.as_mut() } {
        Some(reference) => Ok(reference),
        None => Err(null(name)),
    }
}

/// Refuses a null pointer that is only handed on.
#[track_caller]
pub fn not_null<T>(pointer: *const T, name: &'static str) -> Result<()> {
    if pointer.is_null() {
        return Err(null(name));
    }
    Ok(())
}

#[track_caller]
fn null(name: &'static str) -> Failure {
    Failure::invalid(format!("argument '{name}' is null"))
}

/// A string argument, or "`name` is null" / "is not UTF-8".
///
/// # Safety
/// `pointer` is null or points to a zero-terminated string that nobody changes during `'a`.
#[track_caller]
pub unsafe fn required_str<'a>(pointer: *const std::ffi::c_char, name: &'static str) -> Result<&'a str> {
    not_null(pointer, name)?;
    // SAFETY: not null, and zero-terminated by the caller's contract.
    let text = unsafe { CStr::from_ptr(pointer) };
    match text.to_str() {
        Ok(text) => Ok(text),
        Err(_) => Err(Failure::invalid(format!("argument '{name}' is not UTF-8"))),
    }
}

/// Refuses a handle that another rmw implementation made.
#[track_caller]
pub fn check_identifier(found: *const std::ffi::c_char, what: &'static str) -> Result<()> {
    if identity::is_ours(found) {
        return Ok(());
    }
    Err(Failure::new(
        Code::IncorrectImplementation,
        format!("this {what} belongs to another rmw implementation than rmw_hazcat_rs"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_error() -> String {
        // SAFETY: reads the calling thread's own error state.
        let text = unsafe { ffi::rcutils_get_error_string() };
        // SAFETY: rcutils terminates the string inside its fixed buffer.
        unsafe { CStr::from_ptr(text.str_.as_ptr()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn failures_leave_a_text() {
        let code = guard(|| Err(Failure::invalid("no such thing").about("topic '/chatter'")));
        assert_eq!(code, ffi::RMW_RET_INVALID_ARGUMENT as ffi::rmw_ret_t);
        assert!(last_error().contains("topic '/chatter': no such thing"), "{}", last_error());
    }

    #[test]
    fn a_timeout_leaves_none() {
        // SAFETY: resets the calling thread's own error state.
        unsafe { ffi::rcutils_reset_error() };
        assert_eq!(guard(|| Err(Failure::timeout())), ffi::RMW_RET_TIMEOUT as ffi::rmw_ret_t);
        // SAFETY: reads the calling thread's own error state.
        assert!(!unsafe { ffi::rcutils_error_is_set() });
    }

    #[test]
    fn a_panic_is_an_error() {
        let code = guard(|| panic!("number {}", 7));
        assert_eq!(code, ffi::RMW_RET_ERROR as ffi::rmw_ret_t);
        assert!(last_error().contains("number 7"), "{}", last_error());
        assert!(guard_ptr::<u8>(|| panic!("again")).is_null());
    }

    #[test]
    fn odd_texts_are_reported_whole() {
        guard(|| Err(Failure::error("a\0b")));
        assert!(last_error().contains("a?b"));
        guard(|| Err(Failure::error("ö".repeat(10_000))));
        assert!(last_error().starts_with("ööö"));
    }
}

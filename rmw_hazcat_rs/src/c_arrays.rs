//! Lists that are returned to C: string arrays, names with types, endpoint infos.
//!
//! Each function fills a zeroed out-parameter with memory of the given allocator, or leaves it zeroed on failure.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_char;

use crate::allocator::Allocator;
use crate::error::{Failure, Result};
use crate::ffi;

/// Names and, of each, all types seen; sorted.
pub type NamesAndTypes = BTreeMap<String, BTreeSet<String>>;

/// Refuses a string array that holds something already.
///
/// # Safety
/// `array` is null or points to an initialised string array.
#[track_caller]
pub unsafe fn check_zero_strings(array: *const ffi::rcutils_string_array_t, name: &'static str) -> Result<()> {
    // SAFETY: forwarded from the caller.
    let array = unsafe { crate::error::required(array, name) }?;
    if array.size != 0 || !array.data.is_null() {
        return Err(Failure::invalid(format!("argument '{name}' is not zero-initialised")));
    }
    Ok(())
}

/// Refuses names and types that hold something already.
///
/// # Safety
/// `list` is null or points to an initialised `rmw_names_and_types_t`.
#[track_caller]
pub unsafe fn check_zero_names_and_types(list: *const ffi::rmw_names_and_types_t, name: &'static str) -> Result<()> {
    // SAFETY: forwarded from the caller.
    let list = unsafe { crate::error::required(list, name) }?;
    if list.names.size != 0 || !list.names.data.is_null() || !list.types.is_null() {
        return Err(Failure::invalid(format!("argument '{name}' is not zero-initialised")));
    }
    Ok(())
}

/// A string array under construction: gives everything back when dropped.
struct Strings {
    data: *mut *mut c_char,
    filled: usize,
    allocator: Allocator,
}

impl Strings {
    fn new<'a>(items: impl ExactSizeIterator<Item = &'a str>, allocator: &Allocator) -> Result<Self> {
        let data = if items.len() == 0 {
            std::ptr::null_mut()
        } else {
            allocator.zeroed_array::<*mut c_char>(items.len())?.as_ptr()
        };
        let mut strings = Self { data, filled: 0, allocator: *allocator };
        for item in items {
            let text = allocator.string(item)?.into_raw();
            // SAFETY: `filled` is less than the number of elements the array was made for.
            unsafe { strings.data.wrapping_add(strings.filled).write(text) };
            strings.filled += 1;
        }
        Ok(strings)
    }

    fn release(self) -> ffi::rcutils_string_array_t {
        let this = std::mem::ManuallyDrop::new(self);
        ffi::rcutils_string_array_t { size: this.filled, data: this.data, allocator: this.allocator.raw() }
    }
}

impl Drop for Strings {
    fn drop(&mut self) {
        for index in 0..self.filled {
            // SAFETY: the first `filled` elements were written.
            let text = unsafe { self.data.wrapping_add(index).read() };
            // SAFETY: the text came from this allocator and nobody else has it.
            unsafe { self.allocator.free(text) };
        }
        // SAFETY: so did the array.
        unsafe { self.allocator.free(self.data) };
    }
}

/// Fills several string arrays, all or none.
pub fn fill_strings<const N: usize>(
    outs: [&mut ffi::rcutils_string_array_t; N],
    columns: [&[String]; N],
    allocator: &Allocator,
) -> Result<()> {
    let mut made = Vec::with_capacity(N);
    for column in columns {
        made.push(Strings::new(column.iter().map(String::as_str), allocator)?);
    }
    for (out, strings) in outs.into_iter().zip(made) {
        *out = strings.release();
    }
    Ok(())
}

/// Fills content filter options, which may hold anything before.
pub fn fill_content_filter(
    out: &mut ffi::rmw_subscription_content_filter_options_t,
    expression: &str,
    parameters: &[String],
    allocator: &Allocator,
) -> Result<()> {
    let expression = allocator.string(expression)?;
    let parameters = Strings::new(parameters.iter().map(String::as_str), allocator)?;
    *out = ffi::rmw_subscription_content_filter_options_t {
        filter_expression: expression.into_raw(),
        expression_parameters: parameters.release(),
    };
    Ok(())
}

/// Fills names and types. Nothing at all leaves the out-parameter zeroed.
pub fn fill_names_and_types(
    out: &mut ffi::rmw_names_and_types_t,
    list: &NamesAndTypes,
    allocator: &Allocator,
) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let names = Strings::new(list.keys().map(String::as_str), allocator)?;
    let types = allocator.zeroed_array::<ffi::rcutils_string_array_t>(list.len())?;
    let types = TypesGuard { data: types.as_ptr(), allocator: *allocator };
    let mut made = Vec::with_capacity(list.len());
    for set in list.values() {
        made.push(Strings::new(set.iter().map(String::as_str).collect::<Vec<_>>().into_iter(), allocator)?);
    }
    for (index, strings) in made.into_iter().enumerate() {
        // SAFETY: one array per name, and `index` is less than the number of names.
        unsafe { types.data.wrapping_add(index).write(strings.release()) };
    }
    out.names = names.release();
    out.types = types.release();
    Ok(())
}

/// The array of type arrays, before it has elements to give back.
struct TypesGuard {
    data: *mut ffi::rcutils_string_array_t,
    allocator: Allocator,
}

impl TypesGuard {
    fn release(self) -> *mut ffi::rcutils_string_array_t {
        std::mem::ManuallyDrop::new(self).data
    }
}

impl Drop for TypesGuard {
    fn drop(&mut self) {
        // SAFETY: the array came from this allocator; it has no elements yet.
        unsafe { self.allocator.free(self.data) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{c_void, CStr};

    /// Counts what is out and fails from a given allocation on.
    struct Bomb {
        left: usize,
        out: isize,
    }

    unsafe extern "C" fn allocate(size: usize, state: *mut c_void) -> *mut c_void {
        // SAFETY: the state is the test's `Bomb`, used by one thread.
        let bomb = unsafe { &mut *state.cast::<Bomb>() };
        if bomb.left == 0 {
            return std::ptr::null_mut();
        }
        bomb.left -= 1;
        bomb.out += 1;
        // SAFETY: malloc has no preconditions.
        unsafe { libc::malloc(size) }
    }

    unsafe extern "C" fn zero_allocate(count: usize, size: usize, state: *mut c_void) -> *mut c_void {
        // SAFETY: same state, same contract.
        let pointer = unsafe { allocate(count * size, state) };
        if !pointer.is_null() {
            // SAFETY: freshly allocated with that many bytes.
            unsafe { std::ptr::write_bytes(pointer.cast::<u8>(), 0, count * size) };
        }
        pointer
    }

    unsafe extern "C" fn reallocate(_: *mut c_void, _: usize, _: *mut c_void) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe extern "C" fn deallocate(pointer: *mut c_void, state: *mut c_void) {
        // SAFETY: the state is the test's `Bomb`, used by one thread.
        unsafe { &mut *state.cast::<Bomb>() }.out -= 1;
        // SAFETY: everything comes from malloc above.
        unsafe { libc::free(pointer) };
    }

    fn bombed(bomb: &mut Bomb) -> Allocator {
        Allocator::new(&ffi::rcutils_allocator_t {
            allocate: Some(allocate),
            deallocate: Some(deallocate),
            reallocate: Some(reallocate),
            zero_allocate: Some(zero_allocate),
            state: std::ptr::from_mut(bomb).cast(),
        })
        .unwrap()
    }

    fn example() -> NamesAndTypes {
        let mut list = NamesAndTypes::new();
        list.entry("/a".into()).or_default().extend(["x/msg/A".to_owned(), "x/msg/B".to_owned()]);
        list.entry("/b".into()).or_default().insert("x/msg/C".into());
        list
    }

    #[test]
    fn every_allocation_may_fail() {
        let mut failures = 0;
        for left in 0.. {
            let mut bomb = Bomb { left, out: 0 };
            let allocator = bombed(&mut bomb);
            // SAFETY: all-zero is a valid value of this C structure.
            let mut out: ffi::rmw_names_and_types_t = unsafe { std::mem::zeroed() };
            let result = fill_names_and_types(&mut out, &example(), &allocator);
            match result {
                Err(failure) => {
                    failures += 1;
                    assert_eq!(failure.code, crate::error::Code::BadAlloc);
                    assert!(out.names.data.is_null() && out.types.is_null());
                    assert_eq!(bomb.out, 0, "leak when allocation {left} fails");
                }
                Ok(()) => {
                    assert_eq!(out.names.size, 2);
                    // SAFETY: two names were written.
                    let second = unsafe { out.names.data.wrapping_add(1).read() };
                    // SAFETY: each is zero-terminated.
                    let second = unsafe { CStr::from_ptr(second) };
                    assert_eq!(second.to_str().unwrap(), "/b");
                    // SAFETY: one type array per name.
                    assert_eq!(unsafe { (*out.types).size }, 2);
                    for index in 0..2 {
                        // SAFETY: made by `fill_names_and_types`, finished once.
                        let _ = unsafe { ffi::rcutils_string_array_fini(out.types.wrapping_add(index)) };
                    }
                    // SAFETY: came from this allocator.
                    unsafe { allocator.free(out.types) };
                    // SAFETY: made by `fill_names_and_types`, finished once.
                    let _ = unsafe { ffi::rcutils_string_array_fini(&mut out.names) };
                    assert_eq!(bomb.out, 0, "what was returned can be given back to the last byte");
                    break;
                }
            }
        }
        assert!(failures >= 9, "{failures}");
    }

    #[test]
    fn columns_are_filled_together() {
        for left in 0..6 {
            let mut bomb = Bomb { left, out: 0 };
            let allocator = bombed(&mut bomb);
            // SAFETY: all-zero is a valid value of this C structure.
            let (mut one, mut two): (ffi::rcutils_string_array_t, ffi::rcutils_string_array_t) =
                unsafe { std::mem::zeroed() };
            let column = ["n".to_owned(), "m".to_owned()];
            let result = fill_strings([&mut one, &mut two], [&column, &column], &allocator);
            assert!(result.is_err());
            assert!(one.data.is_null() && two.data.is_null());
            assert_eq!(bomb.out, 0);
        }
    }
}

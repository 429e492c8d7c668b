//! Content filters: set at creation or later, asked for, removed.

use std::ffi::{c_char, CStr};

use crate::allocator::Allocator;
use crate::c_arrays::fill_content_filter;
use crate::entity::handle::entity;
use crate::error::{guard, not_null, required, required_mut, Failure, Result};
use crate::ffi;

/// The expression and the parameters that options hold; the expression is empty where they hold none.
///
/// # Safety
/// The options' strings are null or zero-terminated, there are as many parameters as they say, and nobody changes them
/// during `'a`.
pub(super) unsafe fn texts(options: &ffi::rmw_subscription_content_filter_options_t) -> Result<(&str, Vec<&str>)> {
    if options.filter_expression.is_null() {
        return Ok(("", Vec::new()));
    }
    // SAFETY: not null, and zero-terminated by this function's contract.
    let expression = unsafe { text(options.filter_expression) }?;
    let parameters = &options.expression_parameters;
    if parameters.data.is_null() && parameters.size != 0 {
        return Err(Failure::invalid("the content filter's array of parameters is null"));
    }
    let mut texts = Vec::new();
    for index in 0..parameters.size {
        // SAFETY: there are as many as `size` says.
        let parameter = unsafe { parameters.data.wrapping_add(index).read() };
        not_null(parameter, "expression_parameters.data[i]")?;
        // SAFETY: not null, and zero-terminated by this function's contract.
        texts.push(unsafe { text(parameter) }?);
    }
    Ok((expression, texts))
}

/// # Safety
/// `pointer` is zero-terminated text that nobody changes during `'a`.
unsafe fn text<'a>(pointer: *const c_char) -> Result<&'a str> {
    // SAFETY: forwarded from the caller.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Failure::invalid("the content filter is not UTF-8"))
}

/// Sets the content filter, or removes it: with an empty expression, also where there is none.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_set_content_filter(
    subscription: *mut ffi::rmw_subscription_t,
    options: *const ffi::rmw_subscription_content_filter_options_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let own = unsafe { entity(subscription.cast_const()) }?;
        // SAFETY: see the function's own contract.
        let options = unsafe { required(options, "options") }?;
        not_null(options.filter_expression.cast_const(), "options->filter_expression")?;
        // SAFETY: see the function's own contract.
        let (expression, parameters) = unsafe { texts(options) }?;
        own.set_content_filter(expression, &parameters)?;
        // SAFETY: a handle of ours, which `entity` has looked at.
        unsafe { (*subscription).is_cft_enabled = !expression.is_empty() };
        Ok(())
    })
}

/// The content filter that is set.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_subscription_get_content_filter(
    subscription: *const ffi::rmw_subscription_t,
    allocator: *mut ffi::rcutils_allocator_t,
    options: *mut ffi::rmw_subscription_content_filter_options_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let subscription = unsafe { entity(subscription) }?;
        // SAFETY: see the function's own contract.
        let allocator = unsafe { Allocator::from_argument(allocator) }?;
        // SAFETY: see the function's own contract.
        let out = unsafe { required_mut(options, "options") }?;
        let (expression, parameters) = subscription.content_filter().ok_or_else(|| {
            Failure::error("there is no content filter").about(format_args!("topic '{}'", subscription.topic()))
        })?;
        fill_content_filter(out, &expression, &parameters, &allocator)
    })
}

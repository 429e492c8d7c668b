//! Options of a context: made, copied, finished.

use crate::allocator::Allocator;
use crate::error::{check_identifier, guard, required, required_mut, Failure, Result};
use crate::ffi;
use crate::identity;

/// What "the default domain" is written as.
pub(super) const DEFAULT_DOMAIN: usize = usize::MAX;

/// Options that hold nothing, as `rmw_get_zero_initialized_init_options` makes them.
pub(super) fn zeroed() -> ffi::rmw_init_options_t {
    ffi::rmw_init_options_t { domain_id: DEFAULT_DOMAIN, ..ffi::rmw_init_options_t::default() }
}

/// Initialises options with default values.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_init_options_init(
    init_options: *mut ffi::rmw_init_options_t,
    allocator: ffi::rcutils_allocator_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let options = unsafe { required_mut(init_options, "init_options") }?;
        let allocator = Allocator::new(&allocator)?;
        if !options.implementation_identifier.is_null() {
            return Err(Failure::invalid("the init options are initialised already"));
        }
        *options = zeroed();
        options.implementation_identifier = identity::identifier();
        options.allocator = allocator.raw();
        #[cfg(rmw_discovery_options)]
        {
            options.discovery_options.allocator = allocator.raw();
        }
        Ok(())
    })
}

/// Copies options, everything they own included.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_init_options_copy(
    src: *const ffi::rmw_init_options_t,
    dst: *mut ffi::rmw_init_options_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let src = unsafe { required(src, "src") }?;
        // SAFETY: see the function's own contract.
        let dst = unsafe { required_mut(dst, "dst") }?;
        // SAFETY: `src` points to options.
        unsafe { copy(src, dst) }
    })
}

/// The body of [`rmw_init_options_copy`].
///
/// # Safety
/// The strings and peers of `src` are as its fields say.
pub(super) unsafe fn copy(src: &ffi::rmw_init_options_t, dst: &mut ffi::rmw_init_options_t) -> Result<()> {
    if src.implementation_identifier.is_null() {
        return Err(Failure::invalid("the source init options are not initialised"));
    }
    check_identifier(src.implementation_identifier, "init options")?;
    if !dst.implementation_identifier.is_null() {
        return Err(Failure::invalid("the destination init options are initialised already"));
    }
    let allocator = Allocator::new(&src.allocator)?;
    // Everything is allocated before anything is handed over, so that a failure leaves nothing behind.
    // SAFETY: null or a terminated string, by the caller's contract.
    let enclave = unsafe { duplicate(&allocator, src.enclave) }?;
    // SAFETY: as above.
    let security_root = unsafe { duplicate(&allocator, src.security_options.security_root_path) }?;
    #[cfg(rmw_discovery_options)]
    // SAFETY: the peers are as their count says, by the caller's contract.
    let peers = unsafe { duplicate_peers(&allocator, &src.discovery_options) }?;

    *dst = *src;
    dst.enclave = enclave.map_or(std::ptr::null_mut(), crate::allocator::Owned::into_raw);
    dst.security_options.security_root_path =
        security_root.map_or(std::ptr::null_mut(), crate::allocator::Owned::into_raw);
    #[cfg(rmw_discovery_options)]
    {
        dst.discovery_options.static_peers = peers;
        dst.discovery_options.allocator = allocator.raw();
    }
    Ok(())
}

/// # Safety
/// `text` is null or a terminated string.
unsafe fn duplicate(
    allocator: &Allocator,
    text: *const std::ffi::c_char,
) -> Result<Option<crate::allocator::Owned<std::ffi::c_char>>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: forwarded from the caller.
    let text = unsafe { crate::error::required_str(text, "init option") }?;
    allocator.string(text).map(Some)
}

/// # Safety
/// `options.static_peers` has `static_peers_count` elements.
#[cfg(rmw_discovery_options)]
unsafe fn duplicate_peers(
    allocator: &Allocator,
    options: &ffi::rmw_discovery_options_t,
) -> Result<*mut ffi::rmw_peer_address_t> {
    if options.static_peers.is_null() || options.static_peers_count == 0 {
        return Ok(std::ptr::null_mut());
    }
    let copy = allocator.zeroed_array::<ffi::rmw_peer_address_t>(options.static_peers_count)?.as_ptr();
    // SAFETY: both arrays have that many elements; the new one overlaps nothing.
    unsafe { std::ptr::copy_nonoverlapping(options.static_peers, copy, options.static_peers_count) };
    Ok(copy)
}

/// Gives back what options own and zeroes them.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_init_options_fini(init_options: *mut ffi::rmw_init_options_t) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        let options = unsafe { required_mut(init_options, "init_options") }?;
        // SAFETY: see the function's own contract.
        unsafe { finish(options) }
    })
}

/// The body of [`rmw_init_options_fini`].
///
/// # Safety
/// What the options own came from their allocators and nobody uses it any more.
pub(super) unsafe fn finish(options: &mut ffi::rmw_init_options_t) -> Result<()> {
    if options.implementation_identifier.is_null() {
        return Err(Failure::invalid("the init options are not initialised"));
    }
    check_identifier(options.implementation_identifier, "init options")?;
    let allocator = Allocator::new(&options.allocator)?;
    // SAFETY: the options' own string.
    unsafe { allocator.free(options.enclave) };
    // SAFETY: the options' own string.
    unsafe { allocator.free(options.security_options.security_root_path) };
    #[cfg(rmw_discovery_options)]
    if !options.discovery_options.static_peers.is_null() {
        let peers = Allocator::new(&options.discovery_options.allocator).unwrap_or(allocator);
        // SAFETY: the options' own array, of the allocator that they name for it.
        unsafe { peers.free(options.discovery_options.static_peers) };
    }
    *options = zeroed();
    Ok(())
}

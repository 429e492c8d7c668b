//! Contexts: initialised, shut down, finished.

use std::sync::Arc;

use hazcat_core::{Config, Participant};

use super::init_options::{self, DEFAULT_DOMAIN};
use crate::allocator::Allocator;
use crate::entity::context::Context;
use crate::entity::isolation::Isolation;
use crate::error::{check_identifier, guard, required, required_mut, required_str, Context as _, Failure, Result};
use crate::ffi;
use crate::identity;
use crate::logging;
use crate::preference::Preferences;

/// Joins the domain.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_init(
    options: *const ffi::rmw_init_options_t,
    context: *mut ffi::rmw_context_t,
) -> ffi::rmw_ret_t {
    guard(|| {
        logging::init();
        // SAFETY: see the function's own contract.
        let options = unsafe { required(options, "options") }?;
        // SAFETY: see the function's own contract.
        let context = unsafe { required_mut(context, "context") }?;
        if options.implementation_identifier.is_null() {
            return Err(Failure::invalid("the init options are not initialised"));
        }
        check_identifier(options.implementation_identifier, "init options")?;
        // SAFETY: null or a terminated string.
        let enclave = unsafe { required_str(options.enclave, "options->enclave") }?.to_owned();
        if !context.implementation_identifier.is_null() {
            return Err(Failure::invalid("the context is initialised already"));
        }
        if options.security_options.enforce_security == ffi::RMW_SECURITY_ENFORCEMENT_ENFORCE {
            return Err(Failure::unsupported("security is enforced, but rmw_hazcat_rs has no DDS security"));
        }
        if !options.security_options.security_root_path.is_null() {
            logging::log(
                logging::Severity::Warn,
                format_args!("security is configured, but rmw_hazcat_rs has no DDS security: only the files' modes protect messages"),
            );
        }
        let domain = if options.domain_id == DEFAULT_DOMAIN { 0 } else { options.domain_id };
        let domain_id =
            u32::try_from(domain).map_err(|_| Failure::invalid(format!("domain id {domain} is out of range")))?;
        let allocator = Allocator::new(&options.allocator)?;

        let mut copied = init_options::zeroed();
        // SAFETY: `options` points to initialised options.
        unsafe { init_options::copy(options, &mut copied) }?;
        let made = join(domain_id, is_isolated(options), enclave, allocator);
        let entity = match made {
            Ok(entity) => entity,
            Err(failure) => {
                // SAFETY: just made, used by nobody.
                unsafe { init_options::finish(&mut copied) }?;
                return Err(failure);
            }
        };
        context.instance_id = options.instance_id;
        context.implementation_identifier = identity::identifier();
        context.options = copied;
        context.actual_domain_id = domain;
        context.impl_ = Box::into_raw(Box::new(entity)).cast();
        Ok(())
    })
}

fn join(domain_id: u32, isolated: bool, enclave: String, allocator: Allocator) -> Result<Arc<Context>> {
    let subject = || format!("cannot join domain {domain_id}");
    let mut config = Config::from_env().or_error(subject)?;
    config.domain_id = domain_id;
    let preferences = Preferences::from_env().or_error(subject)?;
    let isolation = if isolated { Some(Isolation::new(&config.root).or_error(subject)?) } else { None };
    if let Some(isolation) = &isolation {
        config.root = isolation.path().to_owned();
    }
    let participant = Participant::join(&config).or_error(subject)?;
    Context::new(participant, enclave, allocator, preferences, isolation)
}

#[cfg(rmw_discovery_options)]
fn is_isolated(options: &ffi::rmw_init_options_t) -> bool {
    options.discovery_options.automatic_discovery_range == ffi::RMW_AUTOMATIC_DISCOVERY_RANGE_OFF
}

#[cfg(not(rmw_discovery_options))]
fn is_isolated(_options: &ffi::rmw_init_options_t) -> bool {
    false
}

/// The entity of a context that was initialised here.
///
/// # Safety
/// `context` is null or points to a context; if its identifier is ours, it was initialised and not finished.
#[track_caller]
pub(super) unsafe fn entity<'a>(context: *const ffi::rmw_context_t) -> Result<&'a Arc<Context>> {
    // SAFETY: forwarded from the caller.
    let context = unsafe { required(context, "context") }?;
    if context.impl_.is_null() {
        return Err(Failure::invalid("the context is not initialised"));
    }
    check_identifier(context.implementation_identifier, "context")?;
    // SAFETY: `impl` is the box that `rmw_init` made, which lives until the context is finished.
    Ok(unsafe { &*context.impl_.cast::<Arc<Context>>() })
}

/// Ends the use of a context. Entities may still be destroyed.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_shutdown(context: *mut ffi::rmw_context_t) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        unsafe { entity(context) }?.shut_down();
        Ok(())
    })
}

/// Leaves the domain, as soon as all entities of the context are destroyed.
///
/// # Safety
/// See [`crate::abi`].
#[no_mangle]
pub unsafe extern "C" fn rmw_context_fini(context: *mut ffi::rmw_context_t) -> ffi::rmw_ret_t {
    guard(|| {
        // SAFETY: see the function's own contract.
        if !unsafe { entity(context) }?.is_shut_down() {
            return Err(Failure::invalid("the context has not been shut down"));
        }
        // SAFETY: not null, or `entity` had failed.
        let context = unsafe { &mut *context };
        // SAFETY: the box that `rmw_init` made is given up here, once: the pointer is zeroed below.
        let entity = unsafe { Box::from_raw(context.impl_.cast::<Arc<Context>>()) };
        context.impl_ = std::ptr::null_mut();
        entity.remove_user();
        drop(entity);
        // SAFETY: the context's own options.
        let finished = unsafe { init_options::finish(&mut context.options) };
        *context = ffi::rmw_context_t { options: init_options::zeroed(), ..ffi::rmw_context_t::default() };
        finished
    })
}

//! From an entity to the C handle that stands for it, and back.
//!
//! A handle's `data` is one reference count of its entity, as a raw pointer. Wait sets are given these pointers too, by
//! rcl, which is why `data` is the entity itself and not the handle.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use crate::error::{Failure, Result};

/// A C structure of rmw that stands for an entity.
pub trait Handle {
    /// What its `data` points to.
    type Entity;
    /// What it is called in messages.
    const WHAT: &'static str;

    /// Identifier of the implementation that made it.
    fn identifier(&self) -> *const c_char;
    /// The entity as a raw pointer.
    fn data(&self) -> *mut c_void;
}

macro_rules! handle {
    ($handle:ty, $entity:ty, $what:literal) => {
        impl Handle for $handle {
            type Entity = $entity;
            const WHAT: &'static str = $what;

            fn identifier(&self) -> *const c_char {
                self.implementation_identifier
            }

            fn data(&self) -> *mut c_void {
                self.data
            }
        }
    };
}

handle!(crate::ffi::rmw_node_t, super::node::Node, "node");
handle!(crate::ffi::rmw_publisher_t, super::publisher::Publisher, "publisher");
handle!(crate::ffi::rmw_subscription_t, super::subscription::Subscription, "subscription");
handle!(crate::ffi::rmw_client_t, super::client::Client, "client");
handle!(crate::ffi::rmw_service_t, super::service::Service, "service");
handle!(crate::ffi::rmw_guard_condition_t, super::guard_condition::GuardCondition, "guard condition");
handle!(crate::ffi::rmw_wait_set_t, super::wait_set::WaitSet, "wait set");

/// The handle an argument points at, of this implementation, and its entity.
///
/// # Safety
/// `pointer` is null or points to a handle; if its identifier is ours, this library made it and it was not destroyed.
#[track_caller]
pub unsafe fn entity<'a, H: Handle>(pointer: *const H) -> Result<&'a H::Entity> {
    // SAFETY: forwarded from the caller.
    let handle = unsafe { crate::error::required(pointer, H::WHAT) }?;
    crate::error::check_identifier(handle.identifier(), H::WHAT)?;
    let data: *const H::Entity = handle.data().cast();
    // SAFETY: the handle is ours, so `data` is null or a reference count that the handle holds.
    unsafe { data.as_ref() }.ok_or_else(|| Failure::error(format!("this {} has been destroyed", H::WHAT)))
}

/// Takes the handle's own reference count back, when the handle is destroyed.
///
/// # Safety
/// The handle is ours, was not destroyed, and nobody uses it any more.
pub unsafe fn reclaim<H: Handle>(handle: &H) -> Arc<H::Entity> {
    // SAFETY: `data` came from `Arc::into_raw` when the handle was made and is given up here, once.
    unsafe { Arc::from_raw(handle.data().cast::<H::Entity>()) }
}

/// Takes the reference count of a handle back that will never be destroyed.
///
/// # Safety
/// A handle of the entity exists, and nobody uses it any more.
pub unsafe fn abandon<T: ?Sized>(entity: Arc<T>) {
    let data = Arc::into_raw(entity);
    // SAFETY: the handle's own count, which nobody else gives up by the caller's contract.
    unsafe { Arc::decrement_strong_count(data) };
    // SAFETY: the count of the argument.
    drop(unsafe { Arc::from_raw(data) });
}

/// The raw pointer that a handle keeps.
pub fn into_data<T>(entity: Arc<T>) -> *mut c_void {
    Arc::into_raw(entity).cast_mut().cast()
}

//! The C interface: one thin function per rmw symbol, by theme.
//!
//! Each function checks its arguments in the order that upstream's implementations and tests agree on, calls one
//! operation of an entity, and hands the result out. All run inside [`crate::error::guard`], which keeps panics in and
//! leaves an error string for whatever is not OK.
//!
//! # Safety, for all of them
//!
//! They may be called as rmw's headers say: pointers are null or point to what the header names; handles were made by the
//! function that makes them and are not used after the one that destroys them; out-parameters are writable.

pub mod callbacks;
pub mod client;
pub mod content_filter;
#[cfg(rmw_dynamic_messages)]
pub mod dynamic;
pub mod endpoint_info;
pub mod event;
pub mod features;
pub mod gid;
pub mod graph;
pub mod guard_condition;
pub mod init;
pub mod init_options;
pub mod loan;
pub mod memory_domain;
pub mod network_flow;
pub mod node;
pub mod publisher;
pub mod qos;
pub mod serialize;
pub mod service;
pub mod subscription;
pub mod take;
pub mod wait;

use crate::entity::handle::entity;
use crate::entity::node::Node;
use crate::error::{Code, Failure, Result};
use crate::ffi;
use crate::names::{check_topic_name, NameProblem};

/// The node that an endpoint is to be created in. After the shutdown of its context there are no new ones.
///
/// # Safety
/// As [`entity`]'s.
#[track_caller]
unsafe fn creating_node<'a>(node: *const ffi::rmw_node_t) -> Result<&'a Node> {
    // SAFETY: forwarded from the caller.
    let node = unsafe { entity(node) }?;
    if node.context().is_shut_down() {
        return Err(Failure::error("the context has been shut down"));
    }
    Ok(node)
}

/// "Invalid argument" for a name that is none.
#[track_caller]
fn name_failure(what: &str, name: &str, problem: NameProblem) -> Failure {
    Failure::new(Code::InvalidArgument, format!("{what} '{name}' is not valid: {problem}"))
}

/// Checks the name of a topic or service that an endpoint is created on.
fn check_new_name(what: &str, name: &str, avoid_ros_conventions: bool) -> Result<()> {
    if name.is_empty() {
        return Err(Failure::invalid(format!("the {what} is empty")));
    }
    if !avoid_ros_conventions {
        check_topic_name(name).map_err(|problem| name_failure(what, name, problem))?;
    }
    Ok(())
}

//! Nodes: a name in the graph, and a guard condition that the graph's changes trigger.

use std::sync::Arc;

use hazcat_core::graph::{NodeId, NodeRecord};

use super::arriving::{Arriving, Members};
use super::context::Context;
use super::guard_condition::GuardCondition;
use crate::error::{Context as _, Result};
use crate::ffi;
use crate::identity;

/// A node.
pub struct Node {
    context: Arc<Context>,
    id: NodeId,
    name: String,
    namespace: String,
    members: Members,
    graph_condition: Arc<GuardCondition>,
    /// The handle that `rmw_node_get_graph_guard_condition` gives out; it lives as long as the node.
    graph_handle: ffi::rmw_guard_condition_t,
}

// SAFETY: the handle's pointers go to a static string, to the condition (which any thread may use), and to the caller's
// context, which this library only hands back.
unsafe impl Send for Node {}
// SAFETY: as above; nothing in a node changes after it was made.
unsafe impl Sync for Node {}

impl Node {
    /// Adds a node to the graph. `context_handle` is what `rmw_init` initialised.
    pub fn new(
        context: &Arc<Context>,
        context_handle: *mut ffi::rmw_context_t,
        name: &str,
        namespace: &str,
    ) -> Result<Arc<Self>> {
        let record = NodeRecord {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            enclave: context.enclave().to_owned(),
        };
        let id = context.graph().add_node(record).or_error(|| format!("node '{name}' in '{namespace}'"))?;
        let graph_condition = GuardCondition::new(context.allocator());
        let graph_handle = ffi::rmw_guard_condition_t {
            implementation_identifier: identity::identifier(),
            data: Arc::as_ptr(&graph_condition).cast_mut().cast(),
            context: context_handle,
        };
        context.dispatcher().add_graph_condition(&graph_condition);
        context.add_user();
        Ok(Arc::new(Self {
            context: Arc::clone(context),
            id,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            members: Members::default(),
            graph_condition,
            graph_handle,
        }))
    }

    /// The context it belongs to.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Its number in this participant, as endpoints name it in the graph.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Notes an entity that was made in it.
    pub fn add_member<E: Arriving + 'static>(&self, entity: &Arc<E>) {
        self.members.add(entity);
    }

    /// Its name and namespace, for messages.
    pub fn full_name(&self) -> String {
        let separator = if self.namespace.ends_with('/') { "" } else { "/" };
        [&self.namespace, separator, &self.name].concat()
    }

    /// The handle of the guard condition that is triggered whenever the graph changes.
    pub fn graph_guard_condition(&self) -> *const ffi::rmw_guard_condition_t {
        &self.graph_handle
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.context.dispatcher().remove_graph_condition(&self.graph_condition);
        self.graph_condition.retire();
        self.members.leave_behind();
        if let Err(error) = self.context.graph().remove_node(self.id) {
            crate::logging::log(
                crate::logging::Severity::Debug,
                format_args!("node '{}' stays in the graph until its process ends: {error}", self.full_name()),
            );
        }
        self.context.remove_user();
    }
}

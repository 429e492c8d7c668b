//! Wait sets: a doorbell of their own, nothing else.
//!
//! What is waited for comes with every call, and nothing is kept between calls, so that an entity may be destroyed
//! between two waits, and no wait allocates.

use std::sync::Arc;

use super::context::Context;
use crate::allocator::Allocator;
use crate::error::{Context as _, Result};

/// A wait set.
pub struct WaitSet {
    core: hazcat_core::WaitSet,
    context: Arc<Context>,
}

impl WaitSet {
    /// A wait set of a context.
    pub fn new(context: &Arc<Context>) -> Result<Arc<Self>> {
        let core =
            hazcat_core::WaitSet::new(context.participant()).or_error(|| "cannot create a wait set".to_owned())?;
        Ok(Arc::new(Self { core, context: Arc::clone(context) }))
    }

    /// What its handle was allocated with.
    pub fn allocator(&self) -> &Allocator {
        self.context.allocator()
    }

    /// The context it was made in.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The wait set in the core.
    pub fn core(&self) -> &hazcat_core::WaitSet {
        &self.core
    }
}

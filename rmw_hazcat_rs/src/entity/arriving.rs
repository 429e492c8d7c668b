//! What subscriptions, clients and servers have in common: messages arrive for them, and wait sets wait for that.
//!
//! A wait set may hold entities of other contexts, also of other domains (`domain_bridge` spins such nodes in one
//! executor): a publisher cannot ring that wait set, so the dispatcher of the entity's own context passes the ring on.
//! An entity whose handle is destroyed while somebody waits for it is *retired*: it leaves the graph at once, ends the wait,
//! is not ready, and goes when the wait lets go of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hazcat_core::wait::LocalBell;
use hazcat_core::Waitable;

use super::context::{Announced, Context};
use super::lock;
use crate::arrivals::ArrivalWatch;

/// An entity that messages arrive for.
pub trait Arriving: Waitable {
    /// The context it was made in.
    fn context(&self) -> &Arc<Context>;
    /// Who notices arrivals without anybody waiting.
    fn watch(&self) -> &Arc<ArrivalWatch>;
    /// Whether its handle still exists.
    fn presence(&self) -> &Presence;

    /// Its handle is destroyed: the graph forgets it, callbacks end, and so do the waits that still have it.
    fn retire(&self) {
        let announced = self.presence().end();
        drop(announced);
        self.watch().deactivate(self.context().dispatcher());
        self.watch().ring_waiters();
    }
}

/// Whether an entity's handle exists; while it does, the graph shows the entity.
pub struct Presence {
    retired: AtomicBool,
    announced: Mutex<Option<Announced>>,
}

impl Presence {
    /// Of an entity that is shown in the graph.
    pub fn new(announced: Announced) -> Self {
        Self { retired: AtomicBool::new(false), announced: Mutex::new(Some(announced)) }
    }

    fn end(&self) -> Option<Announced> {
        self.retired.store(true, Ordering::Release);
        lock(&self.announced).take()
    }

    /// Whether the handle was destroyed.
    pub fn has_ended(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// An entity in a wait set of another context.
pub struct Across<'a, E>(pub &'a E);

impl<E: Arriving> Waitable for Across<'_, E> {
    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        self.0.watch().arm_across(self.0.context().dispatcher(), bell);
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        self.0.watch().disarm_across(bell);
    }
}

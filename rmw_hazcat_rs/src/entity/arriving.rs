//! What subscriptions, clients and servers have in common: messages arrive for them, and wait sets wait for that.
//!
//! A wait set may hold entities of other contexts, also of other domains (`domain_bridge` spins such nodes in one
//! executor): a publisher cannot ring that wait set, so the dispatcher of the entity's own context passes the ring on.
//! An entity whose handle is destroyed while somebody waits for it is *retired*: it leaves the graph at once, ends the wait,
//! is not ready, and goes when the wait lets go of it.
//!
//! An entity whose node is destroyed before it is *left behind*: rclpy never destroys the type description services of its
//! nodes (Jazzy). It is retired with its node. What it keeps (a topic and its descriptor, the whole participant) goes with the
//! last node of a finished context, or when many more have been left behind.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use hazcat_core::wait::LocalBell;
use hazcat_core::Waitable;

use super::context::{Announced, Context};
use super::handle;
use super::lock;
use crate::arrivals::ArrivalWatch;

/// An entity that messages arrive for.
pub trait Arriving: Waitable + Send + Sync {
    /// The context it was made in.
    fn context(&self) -> &Arc<Context>;
    /// Who notices arrivals without anybody waiting.
    fn watch(&self) -> &Arc<ArrivalWatch>;
    /// Whether its handle still exists.
    fn presence(&self) -> &Presence;

    /// Its handle is destroyed: the graph forgets it, callbacks end, and so do the waits that still have it.
    fn retire(&self) {
        self.withdraw();
        self.context().left_behind().forget(self.presence());
    }

    /// The same for one whose handle still exists.
    fn withdraw(&self) {
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

/// The entities of one node, as far as they still exist.
#[derive(Default)]
pub struct Members(Mutex<Vec<Weak<dyn Arriving>>>);

impl Members {
    /// Adds one.
    pub fn add<E: Arriving + 'static>(&self, entity: &Arc<E>) {
        let entity: Weak<E> = Arc::downgrade(entity);
        let mut members = lock(&self.0);
        if members.len() == members.capacity() {
            members.retain(|member| member.strong_count() > 0);
        }
        members.push(entity);
    }

    /// Their node is destroyed: those whose handles still exist are left behind.
    pub fn leave_behind(&self) {
        let members = std::mem::take(&mut *lock(&self.0));
        members.iter().filter_map(Weak::upgrade).for_each(LeftBehind::add);
    }
}

/// The entities of a context that were left behind. Their handles still exist; nobody may use one without its node.
#[derive(Default)]
pub struct LeftBehind(Mutex<VecDeque<Arc<dyn Arriving>>>);

/// How many of a context are kept for those who do so all the same.
const KEPT: usize = 64;

impl LeftBehind {
    /// Adds one, unless its handle has just been destroyed; in its stead the oldest ends if there are many.
    fn add(entity: Arc<dyn Arriving>) {
        let mut entities = lock(&entity.context().left_behind().0);
        if entity.presence().has_ended() {
            return;
        }
        entities.push_back(Arc::clone(&entity));
        let oldest = if entities.len() > KEPT { entities.pop_front() } else { None };
        drop(entities);
        entity.withdraw();
        if let Some(oldest) = oldest {
            // SAFETY: its handle was not destroyed, or it had been forgotten; and its node was destroyed long ago, without which it
            // may not be used, nor destroyed.
            unsafe { handle::abandon(oldest) };
        }
    }

    /// One of them may have been destroyed after all. To be called when its presence has ended.
    fn forget(&self, presence: &Presence) {
        lock(&self.0).retain(|entity| !std::ptr::eq(entity.presence(), presence));
    }

    /// Ends them all, for the end of the context.
    pub fn end(&self) {
        let entities = std::mem::take(&mut *lock(&self.0));
        for entity in entities {
            // SAFETY: its handle was not destroyed, or it had been forgotten; and neither its node nor its context exists any more,
            // without which it may not be used, nor destroyed.
            unsafe { handle::abandon(entity) };
        }
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

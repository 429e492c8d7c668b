//! Waiting for an event.

use std::sync::Arc;

use hazcat_core::wait::LocalBell;
use hazcat_core::Waitable;

use super::{EndpointEvents, EventKind, Source};
use crate::arrivals::ArrivalWatch;
use crate::dispatch::Dispatcher;
use crate::entity::context::Context;

/// An event as something to wait for.
#[derive(Clone, Copy)]
pub struct EventWaitable<'a> {
    pub(super) events: &'a EndpointEvents,
    pub(super) kind: EventKind,
    /// Whether the wait set is of another context.
    pub(super) across: bool,
}

impl EventWaitable<'_> {
    /// The same event in a wait set of `context`.
    pub fn in_wait_set_of(self, context: &Context) -> Self {
        let own: *const Dispatcher = Arc::as_ptr(context.dispatcher());
        Self { across: !std::ptr::eq(self.events.dispatcher.as_ptr(), own), ..self }
    }

    /// Who passes the ring on to a wait set of another context.
    fn relay(&self) -> Option<(Arc<ArrivalWatch>, Arc<Dispatcher>)> {
        match &self.events.source {
            Source::Subscription { watch, .. } => Some((watch.upgrade()?, self.events.dispatcher.upgrade()?)),
            Source::Publisher(_) => None,
        }
    }

    /// The queue that has to be looked at to know whether messages were lost.
    fn queue(&self) -> Option<Arc<hazcat_core::Subscription>> {
        (self.kind == EventKind::MessageLost).then(|| self.events.queue()).flatten()
    }
}

impl Waitable for EventWaitable<'_> {
    fn is_ready(&self) -> bool {
        if let Some(queue) = self.queue() {
            self.events.look_for_losses(&queue);
        }
        self.events.channel(self.kind).condition.is_ready()
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        self.events.channel(self.kind).condition.arm(bell);
        if let Some(queue) = self.queue() {
            match self.relay().filter(|_| self.across) {
                Some((watch, dispatcher)) => watch.arm_across(&dispatcher, bell),
                None => queue.arm(bell),
            }
        }
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        self.events.channel(self.kind).condition.disarm(bell);
        if let Some(queue) = self.queue() {
            match self.relay().filter(|_| self.across) {
                Some((watch, _)) => watch.disarm_across(bell),
                None => queue.disarm(bell),
            }
        }
    }
}

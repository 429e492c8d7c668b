//! Waiting for an event.

use std::sync::Arc;

use hazcat_core::wait::LocalBell;
use hazcat_core::Waitable;

use super::{EndpointEvents, EventKind};
/// An event as something to wait for.
#[derive(Clone, Copy)]
pub struct EventWaitable<'a> {
    pub(super) events: &'a EndpointEvents,
    pub(super) kind: EventKind,
}

impl EventWaitable<'_> {
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
            queue.arm(bell);
        }
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        self.events.channel(self.kind).condition.disarm(bell);
        if let Some(queue) = self.queue() {
            queue.disarm(bell);
        }
    }
}

//! Callbacks for new messages, requests and responses.
//!
//! The dispatcher sleeps on the subscription like any wait set and calls back when the ring has moved on.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use hazcat_core::wait::LocalBell;
use hazcat_core::{GuardCondition, Subscription, Waitable};

use crate::callback::CallbackSlot;
use crate::dispatch::Dispatcher;
use crate::entity::events::EndpointEvents;
use crate::entity::lock;
use crate::ffi;

/// Further than any ring moves.
const NEVER: u64 = u64::MAX;

/// Watches one subscription for new messages. Each is told of once, to whichever callback is there first.
pub struct ArrivalWatch {
    subscription: Arc<Subscription>,
    /// Most messages that can be unread at a time.
    depth: u64,
    /// How far the ring had moved when somebody was told last; [`NEVER`] if nobody ever was.
    seen: AtomicU64,
    /// Who wants to know; the dispatcher watches while anybody does.
    interest: Mutex<Interest>,
    slot: CallbackSlot,
    /// Triggered with every arrival, for wait sets of other contexts.
    relay: GuardCondition,
}

#[derive(Default)]
struct Interest {
    /// The callback.
    callback: bool,
    /// Whose message-lost event is to be told of with every arrival.
    losses: Option<Weak<EndpointEvents>>,
    /// Wait sets of other contexts.
    relay: bool,
}

impl Interest {
    fn any(&self) -> bool {
        self.callback || self.losses.is_some() || self.relay
    }
}

impl ArrivalWatch {
    /// A watch that nobody listens to yet.
    pub fn new(subscription: &Arc<Subscription>, depth: u64) -> Arc<Self> {
        Arc::new(Self {
            subscription: Arc::clone(subscription),
            depth,
            seen: AtomicU64::new(NEVER),
            interest: Mutex::default(),
            slot: CallbackSlot::default(),
            relay: GuardCondition::new(),
        })
    }

    /// How far the ring has moved: grows with every message, whoever it is for (with a content filter, with every one that
    /// passes it).
    fn arrived(&self) -> u64 {
        self.subscription.arrivals()
    }

    /// Registers a callback, or none; it is told at once of what lies there unread and nobody was told of yet.
    pub fn set_callback(
        self: &Arc<Self>,
        dispatcher: &Dispatcher,
        callback: ffi::rmw_event_callback_t,
        user_data: *const c_void,
    ) {
        if callback.is_none() {
            self.slot.set(None, user_data, |_| 0);
            self.change_interest(dispatcher, |interest| interest.callback = false);
            return;
        }
        self.slot.set(callback, user_data, |noted| {
            let arrived = self.arrived();
            let before = self.seen.swap(arrived, Ordering::Relaxed);
            // With a new filter, or with none any more, the count is another: then all that is unread counts as new.
            let new = usize::try_from(arrived.checked_sub(before).unwrap_or(NEVER)).unwrap_or(usize::MAX);
            let untold = noted.saturating_add(new);
            if untold > 0 && self.subscription.has_data() {
                untold.min(usize::try_from(self.subscription.unread_estimate().max(1)).unwrap_or(usize::MAX))
            } else {
                0
            }
        });
        self.change_interest(dispatcher, |interest| interest.callback = true);
    }

    /// Looks for lost messages with every arrival, for `events`; or not any more.
    pub fn set_losses(self: &Arc<Self>, dispatcher: &Dispatcher, events: Option<Weak<EndpointEvents>>) {
        self.change_interest(dispatcher, |interest| interest.losses = events);
    }

    /// Has the dispatcher ring `bell` with every arrival: a bell of another context, which publishers cannot reach (they
    /// know the bells of the subscription's own participant only). Once somebody has asked for it, the dispatcher goes on
    /// watching, so that the next wait costs nothing.
    pub fn arm_across(self: &Arc<Self>, dispatcher: &Dispatcher, bell: &Arc<LocalBell>) {
        self.relay.arm(bell);
        self.change_interest(dispatcher, |interest| interest.relay = true);
    }

    /// Ends that for `bell`.
    pub fn disarm_across(&self, bell: &Arc<LocalBell>) {
        self.relay.disarm(bell);
    }

    /// Has everybody who sleeps on the subscription look again.
    pub fn ring_waiters(&self) {
        self.subscription.ring_waiters();
        self.relay.trigger();
    }

    /// Ends all calls; for the end of the entity.
    pub fn deactivate(self: &Arc<Self>, dispatcher: &Dispatcher) {
        self.change_interest(dispatcher, |interest| *interest = Interest::default());
    }

    fn change_interest(self: &Arc<Self>, dispatcher: &Dispatcher, change: impl FnOnce(&mut Interest)) {
        let (before, after) = {
            let mut interest = lock(&self.interest);
            let before = interest.any();
            change(&mut interest);
            (before, interest.any())
        };
        match (before, after) {
            (false, true) => dispatcher.add_watch(self),
            (true, false) => dispatcher.remove_watch(self),
            _ => {}
        }
    }

    /// Tells the callback of what arrived since the last time. Called by the dispatcher.
    pub fn dispatch(&self) {
        let arrived = self.arrived();
        let before = self.seen.swap(arrived, Ordering::Relaxed);
        if arrived != before {
            self.relay.trigger();
            let losses = lock(&self.interest).losses.as_ref().and_then(Weak::upgrade);
            if let Some(losses) = losses {
                losses.look_for_losses(&self.subscription);
            }
        }
        // Nothing new, or not for this subscription, or taken already.
        if arrived == before || !self.subscription.has_data() {
            return;
        }
        let new = arrived.wrapping_sub(before).clamp(1, self.depth.max(1));
        self.slot.add(usize::try_from(new).unwrap_or(usize::MAX));
        self.slot.deliver();
    }
}

/// How the dispatcher waits: for the ring to move on, not for a message to lie there, which would not end before the
/// user takes it.
impl Waitable for ArrivalWatch {
    fn is_ready(&self) -> bool {
        self.arrived() != self.seen.load(Ordering::Relaxed)
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        self.subscription.arm(bell);
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        self.subscription.disarm(bell);
    }
}

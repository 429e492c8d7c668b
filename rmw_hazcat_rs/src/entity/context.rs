//! The participant of an rmw context, and what all entities of the context share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use hazcat_core::graph::{EndpointId, EndpointRecord, Graph, GraphSnapshot, ListenerId};
use hazcat_core::ids::Gid;
use hazcat_core::participant::Participant;

use super::arriving::LeftBehind;
use super::isolation::Isolation;
use crate::allocator::Allocator;
use crate::descriptors;
use crate::dispatch::Dispatcher;
use crate::error::{Context as _, Result};
use crate::exit;
use crate::preference::Preferences;

/// One rmw context: one participant.
pub struct Context {
    dispatcher: Arc<Dispatcher>,
    listener: ListenerId,
    participant: Arc<Participant>,
    enclave: String,
    allocator: Allocator,
    preferences: Preferences,
    shut_down: AtomicBool,
    /// Its nodes, and one more until it is finished.
    users: AtomicUsize,
    left_behind: LeftBehind,
    next_gid: AtomicU64,
    /// Last: removed when the participant has left it.
    _isolation: Option<Isolation>,
}

impl Context {
    /// Takes over a participant that has joined: begins to follow the graph.
    pub fn new(
        participant: Arc<Participant>,
        enclave: String,
        allocator: Allocator,
        preferences: Preferences,
        isolation: Option<Isolation>,
    ) -> Result<Arc<Self>> {
        let dispatcher = Dispatcher::start(&participant)?;
        let news: Weak<Dispatcher> = Arc::downgrade(&dispatcher);
        let listener = participant.graph().add_listener(Box::new(move || {
            if let Some(dispatcher) = news.upgrade() {
                dispatcher.graph_changed();
            }
        }));
        exit::leave_at_exit(&participant);
        Ok(Arc::new(Self {
            dispatcher,
            listener,
            participant,
            enclave,
            allocator,
            preferences,
            shut_down: AtomicBool::new(false),
            users: AtomicUsize::new(1),
            left_behind: LeftBehind::default(),
            next_gid: AtomicU64::new(1),
            _isolation: isolation,
        }))
    }

    /// The participant in the core.
    pub fn participant(&self) -> &Arc<Participant> {
        &self.participant
    }

    /// The graph as this participant knows it.
    pub fn graph(&self) -> &Graph {
        self.participant.graph()
    }

    /// The graph at this moment.
    pub fn snapshot(&self) -> Arc<GraphSnapshot> {
        self.graph().snapshot()
    }

    /// Calls callbacks and follows the graph for all entities of this context.
    pub fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// The enclave given at initialisation.
    pub fn enclave(&self) -> &str {
        &self.enclave
    }

    /// What handles are allocated with.
    pub fn allocator(&self) -> &Allocator {
        &self.allocator
    }

    /// In which memory domains its endpoints are to be, as far as they do not say so themselves.
    pub fn preferences(&self) -> &Preferences {
        &self.preferences
    }

    /// A gid that no other endpoint has.
    pub fn new_gid(&self) -> Gid {
        Gid::new(self.participant.identity(), self.next_gid.fetch_add(1, Ordering::Relaxed))
    }

    /// Its entities whose nodes were destroyed before them.
    pub fn left_behind(&self) -> &LeftBehind {
        &self.left_behind
    }

    /// There is one more node.
    pub fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// A node is destroyed, or the context is finished. With the last of them goes what was left behind.
    pub fn remove_user(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.left_behind.end();
        }
    }

    /// No new nodes from here on. Idempotent.
    pub fn shut_down(&self) {
        self.shut_down.store(true, Ordering::Release);
    }

    /// Whether [`Context::shut_down`] was called.
    pub fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    /// Shows an endpoint to everybody until the answer is dropped.
    pub fn announce(self: &Arc<Self>, record: EndpointRecord) -> Result<Announced> {
        let subject = format!("'{}'", record.name);
        let id = self.graph().add_endpoint(record).or_error(|| subject)?;
        descriptors::make_room();
        Ok(Announced { context: Arc::clone(self), id })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.participant.graph().remove_listener(self.listener);
        self.dispatcher.stop();
        self.participant.leave();
    }
}

/// An endpoint in the graph; it disappears when this is dropped.
pub struct Announced {
    context: Arc<Context>,
    id: EndpointId,
}

impl Drop for Announced {
    fn drop(&mut self) {
        // The only thing left to do is to say so: an entity that is being destroyed cannot refuse.
        if let Err(error) = self.context.graph().remove_endpoint(self.id) {
            crate::logging::log(
                crate::logging::Severity::Debug,
                format_args!("an endpoint stays in the graph until its process ends: {error}"),
            );
        }
    }
}

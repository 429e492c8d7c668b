//! The graph: nodes and endpoints of all participants of the domain.
//!
//! Each participant writes its own into its file ([`file`]) and holds a copy of what the others wrote. A change of one's
//! own is in the file, visible to whoever joins, and in the snapshot when the call returns; changes of others arrive by
//! news ([`crate::news`]). Readers get an immutable snapshot and block nobody.
//!
//! The core gives no meaning to names, and none to attributes.

mod codec;
pub(crate) mod file;
mod local;
mod record;
mod snapshot;

pub use codec::DecodeError;
pub use record::{
    EndpointId, EndpointKind, EndpointRecord, NodeId, NodeRecord, ParticipantGraph, MAX_ATTRIBUTES_BYTES,
    MAX_ENDPOINTS, MAX_LONG_NAME_BYTES, MAX_NAME_BYTES, MAX_NODES,
};
pub use snapshot::{EndpointView, GraphSnapshot, NodeView};

use crate::directory::Directory;
use crate::ids::Identity;
use crate::lease::Lease;
use crate::sys::fork::{ForkMark, ForkedChild};
use crate::sys::shm_file::FileError;
use file::GraphFile;
use local::{LocalRegistry, Undo};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The bytes of a graph, as they stand in its participant's file.
pub(crate) fn encode_graph(graph: &ParticipantGraph) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(graph, &mut bytes);
    bytes
}

/// The graph that such bytes mean.
pub(crate) fn decode_graph(identity: Identity, bytes: &[u8]) -> Result<ParticipantGraph, DecodeError> {
    codec::decode(identity, bytes)
}

/// Why a change of one's own graph did not happen. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// A name or the attributes are longer than allowed.
    #[error("{what} too long")]
    TooLong {
        /// Which part.
        what: &'static str,
    },
    /// As many as one participant can have.
    #[error("no more than {limit} {what} in one participant")]
    TooMany {
        /// Nodes, endpoints or bytes.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// No node of this participant has that id.
    #[error("no such node: {0:?}")]
    UnknownNode(NodeId),
    /// No endpoint of this participant has that id.
    #[error("no such endpoint: {0:?}")]
    UnknownEndpoint(EndpointId),
    /// The participant has left.
    #[error("the participant has left")]
    Left,
    /// The file could not be written, for lack of room for instance.
    #[error(transparent)]
    File(#[from] FileError),
    /// A forked child owns nothing.
    #[error(transparent)]
    Forked(#[from] ForkedChild),
}

/// Names a listener, to remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

type Listener = Arc<dyn Fn() + Send + Sync>;

/// The graph as one participant knows it.
pub struct Graph {
    lease: Arc<Lease>,
    mark: ForkMark,
    own_path: PathBuf,
    mode: u32,
    own: Mutex<Own>,
    current: RwLock<Arc<GraphSnapshot>>,
    version: AtomicU64,
    listeners: Mutex<Vec<(ListenerId, Listener)>>,
    next_listener: AtomicU64,
}

/// What a change of one's own touches, under one lock: the order in the file is the order in the snapshot.
struct Own {
    registry: LocalRegistry,
    /// `None` after leaving.
    file: Option<GraphFile>,
    sequence: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Graph {
    /// Creates this participant's file with an empty graph.
    pub(crate) fn create(directory: &Directory, lease: Arc<Lease>) -> Result<Self, FileError> {
        let identity = lease.identity();
        let own_path = directory.participant_path(identity);
        let mode = directory.own_file_mode();
        // Goes on from the former holder of our index, so that pollers see every change as a growing counter.
        let sequence = lease.own_change().map_err(|error| FileError::from_io(&own_path, 0, error))?.wrapping_add(1);
        let registry = LocalRegistry::new(identity);
        let graph = Arc::new(registry.graph());
        let file = GraphFile::create(&own_path, mode, &graph, sequence)?;
        let mut snapshot = GraphSnapshot::default();
        snapshot.participants.insert(identity, graph);
        let _ = lease.announce_change(sequence);
        Ok(Self {
            lease,
            mark: ForkMark::here(),
            own_path,
            mode,
            own: Mutex::new(Own { registry, file: Some(file), sequence }),
            current: RwLock::new(Arc::new(snapshot)),
            version: AtomicU64::new(0),
            listeners: Mutex::new(Vec::new()),
            next_listener: AtomicU64::new(0),
        })
    }

    /// Adds a node. Visible to everybody who joins after this returns, and to the others as soon as news reaches them.
    ///
    /// # Errors
    /// [`GraphError`], with nothing changed.
    pub fn add_node(&self, record: NodeRecord) -> Result<NodeId, GraphError> {
        self.change(|registry| registry.add_node(record))
    }

    /// Removes a node. Its endpoints, if there are any left, stay until they are removed.
    ///
    /// # Errors
    /// [`GraphError`], with nothing changed.
    pub fn remove_node(&self, id: NodeId) -> Result<(), GraphError> {
        self.change(|registry| Ok(((), registry.remove_node(id)?)))
    }

    /// Adds an endpoint to a node of this participant.
    ///
    /// # Errors
    /// [`GraphError`], with nothing changed.
    pub fn add_endpoint(&self, record: EndpointRecord) -> Result<EndpointId, GraphError> {
        self.change(|registry| registry.add_endpoint(record))
    }

    /// Replaces an endpoint's attributes.
    ///
    /// # Errors
    /// [`GraphError`], with nothing changed.
    pub fn update_endpoint(&self, id: EndpointId, attributes: Vec<u8>) -> Result<(), GraphError> {
        self.change(|registry| Ok(((), registry.update_endpoint(id, attributes)?)))
    }

    /// Removes an endpoint.
    ///
    /// # Errors
    /// [`GraphError`], with nothing changed.
    pub fn remove_endpoint(&self, id: EndpointId) -> Result<(), GraphError> {
        self.change(|registry| Ok(((), registry.remove_endpoint(id)?)))
    }

    /// Changes the registry, writes it, puts it into the snapshot; or none of the three.
    fn change<T>(
        &self,
        act: impl FnOnce(&mut LocalRegistry) -> Result<(T, Undo), GraphError>,
    ) -> Result<T, GraphError> {
        self.mark.check()?;
        let mut own = lock(&self.own);
        let Own { registry, file, sequence } = &mut *own;
        let file = file.as_mut().ok_or(GraphError::Left)?;
        let (value, undo) = act(registry)?;
        let graph = registry.graph();
        let next = sequence.wrapping_add(1);
        if let Err(error) = file.write(&graph, next) {
            registry.undo(undo);
            return Err(error);
        }
        fault_point!("graph.change.written");
        *sequence = next;
        // Only pollers look there, and they look at the file too when they sweep.
        let _ = self.lease.announce_change(next);
        fault_point!("graph.change.announced");
        self.replace(|participants| {
            participants.insert(graph.identity, Arc::new(graph));
            true
        });
        drop(own);
        self.notify();
        Ok(value)
    }

    /// The graph now. Cheap: no copy, no system call.
    pub fn snapshot(&self) -> Arc<GraphSnapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows with every change of the graph.
    pub fn version(&self) -> u64 {
        // SYNC graph-version: pairs with the store in `replace`.
        self.version.load(Ordering::Acquire)
    }

    /// Has `listener` called after every change, of one's own on the calling thread, of others on the news thread. No
    /// lock of the graph is held during the call. Several changes may be one call.
    pub fn add_listener(&self, listener: Box<dyn Fn() + Send + Sync>) -> ListenerId {
        let id = ListenerId(self.next_listener.fetch_add(1, Ordering::Relaxed));
        lock(&self.listeners).push((id, Arc::from(listener)));
        id
    }

    /// Removes a listener. A call that has begun on another thread may still be running.
    pub fn remove_listener(&self, id: ListenerId) {
        // Dropped outside the lock: it may own anything.
        let removed = {
            let mut listeners = lock(&self.listeners);
            let at = listeners.iter().position(|(other, _)| *other == id);
            at.map(|at| listeners.swap_remove(at))
        };
        drop(removed);
    }

    /// Puts what others wrote into the snapshot: `Some` replaces, `None` removes. Tells whether anything changed; the
    /// caller then calls [`Graph::notify`].
    pub(crate) fn apply(&self, changes: Vec<(Identity, Option<Arc<ParticipantGraph>>)>) -> bool {
        let own = self.lease.identity();
        self.replace(|participants| {
            let mut changed = false;
            for (who, graph) in changes {
                changed |= match graph {
                    _ if who == own => false,
                    Some(graph) if participants.get(&who) == Some(&graph) => false,
                    Some(graph) => {
                        participants.insert(who, graph);
                        true
                    }
                    None => participants.remove(&who).is_some(),
                };
            }
            changed
        })
    }

    fn replace(
        &self,
        change: impl FnOnce(&mut std::collections::BTreeMap<Identity, Arc<ParticipantGraph>>) -> bool,
    ) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = GraphSnapshot::clone(&current);
        if !change(&mut next.participants) {
            return false;
        }
        next.version += 1;
        // SYNC graph-version: who sees the number gets at least this snapshot.
        self.version.store(next.version, Ordering::Release);
        let before = std::mem::replace(&mut *current, Arc::new(next));
        drop(current);
        drop(before);
        true
    }

    pub(crate) fn notify(&self) {
        let listeners: Vec<Listener> = lock(&self.listeners).iter().map(|(_, listener)| Arc::clone(listener)).collect();
        for listener in listeners {
            listener();
        }
    }

    /// Makes our file anew where somebody removed, replaced or overwrote it. Answers whether that was so.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn restore_own_file(&self) -> Result<bool, FileError> {
        let mut own = lock(&self.own);
        let Own { registry, file, sequence } = &mut *own;
        let Some(current) = file.as_mut() else { return Ok(false) };
        let fail = |error| FileError::from_io(&self.own_path, 0, error);
        if current.is_intact(|| registry.graph(), *sequence).map_err(fail)? {
            return Ok(false);
        }
        // Another sequence: who polls is to look again.
        *sequence = sequence.wrapping_add(1);
        *file = Some(GraphFile::create(&self.own_path, self.mode, &registry.graph(), *sequence)?);
        fault_point!("graph.restore.published");
        let _ = self.lease.announce_change(*sequence);
        Ok(true)
    }

    /// Has everybody look at our file again.
    ///
    /// # Errors
    /// [`GraphError`].
    pub(crate) fn touch_own_file(&self) -> Result<(), GraphError> {
        let mut own = lock(&self.own);
        let Own { registry, file, sequence } = &mut *own;
        let Some(file) = file.as_mut() else { return Ok(()) };
        let next = sequence.wrapping_add(1);
        file.write(&registry.graph(), next)?;
        *sequence = next;
        let _ = self.lease.announce_change(next);
        Ok(())
    }

    /// Removes our file and refuses changes from now on.
    pub(crate) fn leave(&self) {
        let file = lock(&self.own).file.take();
        if file.is_some() {
            let _ = std::fs::remove_file(&self.own_path);
        }
        drop(file);
    }
}

//! One participant: this process' (or one context's) membership in a domain.
//!
//! [`Participant::join`] takes a lease ([`crate::lease`]), writes the participant's files, starts the news thread
//! ([`crate::news`]) and returns when all who were there are known. [`Participant::leave`], or dropping, undoes it all; the
//! last to leave removes the directory. A process that is killed leaves files behind, which the survivors remove, or who
//! joins next.
//!
//! ```no_run
//! use hazcat_core::config::Config;
//! use hazcat_core::graph::NodeRecord;
//! use hazcat_core::participant::Participant;
//!
//! let participant = Participant::join(&Config::default())?;
//! let node = NodeRecord { name: "talker".into(), namespace: "/".into(), enclave: String::new() };
//! participant.graph().add_node(node)?;
//! for node in participant.graph().snapshot().nodes() {
//!     println!("{}: {}", node.participant, node.record.name);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bells;
mod liveness;
mod shared_slot;

pub use bells::{Bells, OwnBell, MAX_BELLS};

use crate::config::Config;
use crate::directory::{Directory, DirectoryError};
use crate::graph::Graph;
use crate::ids::Identity;
use crate::lease::{Lease, LeaseError};
use crate::news::{self, News, NewsThread, Watch};
use crate::sys::bus_error;
use crate::sys::fork::{ForkMark, ForkedChild};
use crate::sys::shm_file::{self, FileError};
use liveness::Liveness;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Is told what the news thread learns. Called on that thread: be brief. Must not panic (a panic is caught and logged).
pub trait NewsListener: Send + Sync {
    /// `dead` is dead (or has left): it is known as dead, out of the graph, and its bells are unmapped. Sleepers of this
    /// process are rung after all listeners were called.
    fn on_death(&self, dead: Identity);

    /// About once a second: a chance to look after what no event announces. Sleepers of this process are rung after it.
    fn on_tick(&self);
}

/// Why a participant could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// There is no lease to be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The participant's files cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// The news thread cannot be started.
    #[error("news thread: {0}")]
    Thread(#[source] io::Error),
}

/// What participant and news thread share.
pub(crate) struct Core {
    pub(crate) identity: Identity,
    pub(crate) config: Config,
    pub(crate) directory: Directory,
    pub(crate) lease: Arc<Lease>,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) bells: Bells,
    pub(crate) graph: Graph,
    mark: ForkMark,
    listeners: Mutex<Vec<Weak<dyn NewsListener>>>,
}

impl Core {
    /// The listeners that still exist.
    pub(crate) fn listeners(&self) -> Vec<Arc<dyn NewsListener>> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alive = Vec::with_capacity(listeners.len());
        listeners.retain(|listener| match listener.upgrade() {
            Some(listener) => {
                alive.push(listener);
                true
            }
            None => false,
        });
        alive
    }

    /// Whether `who` is dead: by all lease files of ours, and not alive by one that we do not know.
    pub(crate) fn is_dead(&self, who: Identity) -> bool {
        is_dead(&self.directory, who, |who| self.lease.is_alive(who))
    }

    /// Marks a participant as dead and removes its files. Harmless when several processes do it: names are never reused.
    ///
    /// Nothing is removed from a directory that others made in place of ours: by our lease, all of them would be dead.
    pub(crate) fn bury(&self, dead: Identity) {
        self.liveness.note_dead(dead);
        self.bells.forget_peer(dead);
        if self.lease.name_is_ours() {
            Self::remove_files_of(&self.directory, dead);
        }
    }

    fn remove_files_of(directory: &Directory, identity: Identity) {
        let _ = std::fs::remove_file(directory.participant_path(identity));
        fault_point!("participant.files-half-removed");
        let _ = std::fs::remove_file(directory.bells_path(identity));
    }
}

/// Membership in a domain. See the [module](self).
pub struct Participant {
    core: Arc<Core>,
    /// `None` after leaving.
    news: Mutex<Option<NewsThread>>,
}

impl Participant {
    /// Joins the domain that `config` names.
    ///
    /// # Errors
    /// [`JoinError`], with nothing left behind.
    pub fn join(config: &Config) -> Result<Arc<Self>, JoinError> {
        if config.handle_sigbus {
            bus_error::install();
        }
        let directory = Directory::open_or_create(config)?;
        let watch = news::open_watch(config);
        let lease = Arc::new(Lease::acquire(&directory)?);
        let joined = Self::join_with(config, &directory, &lease, watch);
        if joined.is_err() {
            Core::remove_files_of(&directory, lease.identity());
            lease.release(&directory);
        }
        joined
    }

    fn join_with(
        config: &Config,
        directory: &Directory,
        lease: &Arc<Lease>,
        watch: Option<Watch>,
    ) -> Result<Arc<Self>, JoinError> {
        let identity = lease.identity();
        sweep(directory, lease);
        fault_point!("participant.join.swept");
        let liveness = Arc::new(Liveness::new());
        // Before the participant's file, which is what others notice.
        let bells = Bells::create(directory, identity, Arc::clone(&liveness))?;
        fault_point!("participant.join.bells-made");
        let graph = Graph::create(directory, Arc::clone(lease))?;
        fault_point!("participant.join.graph-made");
        let core = Arc::new(Core {
            identity,
            config: config.clone(),
            directory: directory.clone(),
            lease: Arc::clone(lease),
            liveness,
            bells,
            graph,
            mark: ForkMark::here(),
            listeners: Mutex::new(Vec::new()),
        });
        let mut news = News::new(Arc::clone(&core), watch);
        news.scan();
        fault_point!("participant.join.scanned");
        let thread = NewsThread::start(news).map_err(JoinError::Thread)?;
        fault_point!("participant.join.joined");
        Ok(Arc::new(Self { core, news: Mutex::new(Some(thread)) }))
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// Who we are.
    pub fn identity(&self) -> Identity {
        self.core.identity
    }

    /// Where everything lies.
    pub fn directory(&self) -> &Directory {
        &self.core.directory
    }

    /// Our lease.
    pub fn lease(&self) -> &Lease {
        &self.core.lease
    }

    /// Our bells, and those of others.
    pub fn bells(&self) -> &Bells {
        &self.core.bells
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.core.graph
    }

    /// Fails in a forked child, which owns nothing. One load, no system call.
    ///
    /// # Errors
    /// [`ForkedChild`].
    #[inline]
    pub fn check_fork(&self) -> Result<(), ForkedChild> {
        self.core.mark.check()
    }

    /// Whether `who` is alive now: a fresh probe. Oneself is; any error means alive.
    pub fn is_alive(&self, who: Identity) -> bool {
        self.core.lease.is_alive(who)
    }

    /// Whether news of the death of `who` have arrived: a hint, wait-free, no system call.
    #[inline]
    pub fn is_known_dead(&self, who: Identity) -> bool {
        self.core.liveness.is_known_dead(who)
    }

    /// Has `listener` told of deaths from now on, until it is dropped.
    pub fn add_news_listener(&self, listener: Weak<dyn NewsListener>) {
        self.core.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Leaves the domain: the news thread ends, our files go, the lease is given back; the last one out removes the
    /// directory. Does nothing the second time, and nothing in a forked child.
    ///
    /// While endpoints exist (a process that exits without destroying them) the lease stays ours until they are gone or
    /// the process is: without it, others would take our records and our held messages for a dead participant's.
    pub fn leave(&self) {
        let thread = self.news.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Closed at the very end.
        let mut _watch = None;
        if let Some(thread) = thread {
            if self.check_fork().is_err() {
                // The thread is the parent's.
                std::mem::forget(thread);
                return;
            }
            _watch = thread.stop();
            fault_point!("participant.leave.news-stopped");
            self.core.graph.leave();
            fault_point!("participant.leave.graph-left");
            Core::remove_files_of(&self.core.directory, self.core.identity);
            fault_point!("participant.leave.files-removed");
        }
        if self.check_fork().is_err() {
            return;
        }
        if crate::queue::topic::has_open(self.core.identity) {
            self.core.lease.remove_if_alone(&self.core.directory);
        } else {
            self.core.lease.release(&self.core.directory);
        }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        // Topics keep their participant, so there is none any more.
        self.leave();
    }
}

/// Removes files of dead participants; one process at a time does it.
fn sweep(directory: &Directory, lease: &Lease) {
    if let Some(_guard) = lease.try_sweep_lock() {
        sweep_files(directory, |who| lease.is_alive(who));
    }
}

/// Whether `who`, whom no lease file of ours shows alive, is so by one that we do not know: its own file is locked. Who lost a
/// lease file may not have come to the next one yet.
pub(crate) fn is_alive_elsewhere(directory: &Directory, who: Identity) -> bool {
    shm_file::is_in_use(&directory.participant_path(who))
}

/// Whether `who` is dead: not alive by the lease that is asked, nor by any other.
pub(crate) fn is_dead(directory: &Directory, who: Identity, is_alive: impl FnOnce(Identity) -> bool) -> bool {
    !is_alive(who) && !is_alive_elsewhere(directory, who)
}

/// The same, to be called with the right to sweep.
pub(crate) fn sweep_files(directory: &Directory, is_alive: impl Fn(Identity) -> bool) {
    let mut owners = directory.participants().unwrap_or_default();
    owners.extend(directory.bell_owners().unwrap_or_default());
    owners.sort_unstable();
    owners.dedup();
    for owner in owners {
        if is_dead(directory, owner, &is_alive) {
            Core::remove_files_of(directory, owner);
        }
    }
    directory.remove_abandoned_files();
}

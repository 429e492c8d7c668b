//! News: who appeared, who changed its graph, who died. One sleeping thread per participant.
//!
//! The thread sleeps on an inotify watch of the folder of participants and wakes at once for three kinds of events: a file
//! appears, a file is written to, the kernel closes a file's writing descriptor (or the name is removed). Events are hints
//! only:
//! * The close comes just before the lock is released, so a suspect is probed several times (`BACK_OFF`).
//! * Whatever events miss (a process that takes long to die, a file that was torn when read) the sweep finds, once a second:
//!   it probes everybody, compares change counters, and looks at the folder.
//! * Lost events mean an early sweep. Without inotify the sweep runs every [`Config::poll_interval`] instead.
//!
//! Nothing may depend on how fast news are.
//!
//! A death is handled in this order: known as dead, bells unmapped, files removed; out of the graph; listeners; graph
//! listeners; one's own bells rung, so that every sleeper looks again: a publisher killed between publishing and ringing
//! delays nobody for longer than that.
//!
//! [`Config::poll_interval`]: crate::config::Config::poll_interval

mod watch;

use crate::config::Config;
use crate::graph::file::{self, ReadError};
use crate::graph::ParticipantGraph;
use crate::ids::Identity;
use crate::log::{debug_log, warn_log};
use crate::participant::Core;
use crate::sys::fork::ForkGuarded;
use crate::sys::shm_file::FileError;
use crate::sys::thread;
use nix::errno::Errno;
use nix::poll::{ppoll, PollFd, PollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watch::Hints;
pub(crate) use watch::Watch;

/// How often everything is looked at, events or not.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// When a suspect is probed, each time counted from the probe before. Then the sweep takes over. On an overloaded machine a
/// killed process takes tenths of a second to die.
const BACK_OFF: [Duration; 9] = [
    Duration::ZERO,
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
];
/// When a file that was being written is read again ...
const READ_AGAIN: Duration = Duration::from_millis(1);
/// ... and how often, before it counts as damaged: then the sweep looks at it, and its owner repairs it.
const READ_ATTEMPTS: u32 = 50;
/// So many events at once mean that more are coming ...
const CROWD: usize = 16;
/// ... and that it pays to wait for them.
const SETTLE: Duration = Duration::from_millis(2);

/// What is known of another participant.
struct Peer {
    /// Sequence of the graph that was read last; `None` while none could be read.
    sequence: Option<u64>,
    /// Why it is not in the graph was said once.
    complained: bool,
}

struct Suspect {
    probes: usize,
    due: Instant,
}

/// What the news will sleep on, to be opened before the lease (see [`Watch`]); `None` where there is only polling.
pub(crate) fn open_watch(config: &Config) -> Option<Watch> {
    said(config, config.use_inotify.then(Watch::open)?)
}

/// Says why there is no watch.
fn said<T>(config: &Config, watch: Result<T, Errno>) -> Option<T> {
    watch.map_err(|errno| warn_log!("no inotify watch ({errno}), polling every {:?}", config.poll_interval)).ok()
}

/// What a round of looking around has found.
#[derive(Default)]
struct Findings {
    deaths: Vec<Identity>,
    graphs: Vec<(Identity, Option<Arc<ParticipantGraph>>)>,
}

/// The state of the news thread.
pub(crate) struct News {
    core: Arc<Core>,
    watch: Option<Watch>,
    peers: BTreeMap<Identity, Peer>,
    suspects: BTreeMap<Identity, Suspect>,
    /// How often each was met half-written.
    read_again: BTreeMap<Identity, u32>,
    /// Somebody removed the directory under us; said once.
    cut_off: bool,
}

impl News {
    /// Starts to watch, before anything is scanned.
    pub(crate) fn new(core: Arc<Core>, watch: Option<Watch>) -> Self {
        let watch = watch.filter(|watch| said(&core.config, watch.add(&core.directory)).is_some());
        Self {
            core,
            watch,
            peers: BTreeMap::new(),
            suspects: BTreeMap::new(),
            read_again: BTreeMap::new(),
            cut_off: false,
        }
    }

    /// Gets to know all who are there.
    pub(crate) fn scan(&mut self) {
        let mut findings = Findings::default();
        self.sweep(&mut findings);
        self.tell(findings);
    }

    /// Until told to stop. What it has slept on is left to the caller, since it takes long to close.
    fn run(mut self, stop: &EventFd) -> Option<Watch> {
        let interval = if self.watch.is_some() {
            SWEEP_INTERVAL
        } else {
            self.core.config.poll_interval.clamp(Duration::from_millis(1), SWEEP_INTERVAL)
        };
        let mut next_sweep = Instant::now() + interval;
        let mut next_tick = Instant::now() + SWEEP_INTERVAL;
        loop {
            let until = self.next_due().map_or(next_sweep, |due| due.min(next_sweep)).min(next_tick);
            if self.sleep(stop, until) {
                return self.watch;
            }
            let mut hints = Hints::default();
            if let Some(watch) = &self.watch {
                watch.drain(&mut hints);
            }
            let crowd = hints.events >= CROWD;
            let mut findings = Findings::default();
            self.follow(hints, &mut findings, &mut next_sweep);
            self.probe_suspects(&mut findings);
            for (who, attempts) in std::mem::take(&mut self.read_again) {
                self.look_again_at(who, attempts, &mut findings);
            }
            let now = Instant::now();
            if now >= next_sweep {
                self.sweep(&mut findings);
                next_sweep = now + interval;
            }
            self.tell(findings);
            if now >= next_tick {
                next_tick = now + SWEEP_INTERVAL;
                self.tick();
            }
            if crowd {
                std::thread::sleep(SETTLE);
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let suspect = self.suspects.values().map(|suspect| suspect.due).min();
        let again = (!self.read_again.is_empty()).then(|| Instant::now() + READ_AGAIN);
        match (suspect, again) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Sleeps until there are events or it is time; `true` when told to stop.
    fn sleep(&self, stop: &EventFd, until: Instant) -> bool {
        let mut descriptors = vec![PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        if let Some(inotify) = self.watch.as_ref().and_then(Watch::inotify) {
            descriptors.push(PollFd::new(inotify.as_fd(), PollFlags::POLLIN));
        }
        let timeout = until.saturating_duration_since(Instant::now());
        match ppoll(&mut descriptors, Some(TimeSpec::from_duration(timeout)), None) {
            Ok(_) => descriptors.first().is_some_and(|stop| stop.any().unwrap_or(true)),
            Err(Errno::EINTR) => false,
            Err(_) => {
                // Cannot happen with valid descriptors; must not spin if it does.
                std::thread::sleep(Duration::from_millis(10));
                stop.read().is_ok()
            }
        }
    }

    fn follow(&mut self, hints: Hints, findings: &mut Findings, next_sweep: &mut Instant) {
        for who in hints.changed {
            self.look_at(who, findings);
        }
        let own = self.core.identity;
        for who in hints.suspected {
            if who == own {
                self.restore_own();
            } else if self.peers.contains_key(&who) || !self.core.liveness.is_known_dead(who) {
                self.suspects.insert(who, Suspect { probes: 0, due: Instant::now() });
            }
        }
        if hints.unwatched {
            self.watch_again();
        }
        if hints.directory {
            self.check_directory();
        }
        if hints.lost || hints.unwatched {
            *next_sweep = Instant::now();
        }
    }

    fn probe_suspects(&mut self, findings: &mut Findings) {
        let now = Instant::now();
        let due: Vec<Identity> =
            self.suspects.iter().filter(|(_, suspect)| suspect.due <= now).map(|(who, _)| *who).collect();
        for who in due {
            if self.has_died(who) {
                self.dead(who, findings);
            } else if let Some(suspect) = self.suspects.get_mut(&who) {
                suspect.probes += 1;
                match BACK_OFF.get(suspect.probes) {
                    Some(pause) => suspect.due = now + *pause,
                    None => drop(self.suspects.remove(&who)),
                }
            }
        }
    }

    /// Whom a lease file of ours has shown alive is shown alive by one of them until it dies (see the invariant in
    /// `lease/former.rs`): no look at its file, which would need a descriptor, and deaths are noticed without any.
    fn has_died(&self, who: Identity) -> bool {
        if self.peers.contains_key(&who) {
            !self.core.lease.is_alive(who)
        } else {
            self.core.is_dead(who)
        }
    }

    fn dead(&mut self, who: Identity, findings: &mut Findings) {
        self.peers.remove(&who);
        self.suspects.remove(&who);
        self.read_again.remove(&who);
        self.core.bury(who);
        fault_point!("news.death.buried");
        findings.deaths.push(who);
        findings.graphs.push((who, None));
    }

    /// Reads what a participant says about itself.
    fn look_at(&mut self, who: Identity, findings: &mut Findings) {
        self.look_again_at(who, 0, findings);
    }

    fn look_again_at(&mut self, who: Identity, attempts: u32, findings: &mut Findings) {
        if who == self.core.identity || self.core.liveness.is_known_dead(who) {
            return;
        }
        if !self.peers.contains_key(&who) {
            if !self.core.lease.is_alive(who) {
                // In a directory that others made in place of ours, strangers are not dead, only not ours.
                if self.core.lease.name_is_ours() && self.core.is_dead(who) {
                    self.dead(who, findings);
                }
                return;
            }
            self.core.liveness.note_alive(who);
            // It may have the place of one whose death has not come through yet: its news are read first.
            let former = self.peers.keys().find(|peer| peer.index() == who.index()).copied();
            if let Some(former) = former.filter(|former| self.core.is_dead(*former)) {
                self.dead(former, findings);
            }
            self.peers.insert(who, Peer { sequence: None, complained: false });
        }
        match self.read(who) {
            Ok((sequence, graph)) => {
                if let Some(peer) = self.peers.get_mut(&who) {
                    peer.sequence = Some(sequence);
                    peer.complained = false;
                }
                findings.graphs.push((who, Some(Arc::new(graph))));
            }
            Err(ReadError::Torn) if attempts < READ_ATTEMPTS => {
                self.read_again.insert(who, attempts + 1);
            }
            // It is leaving, or somebody removed its files: it stays in the graph for as long as it lives.
            Err(ReadError::File(FileError::Missing { .. })) => {}
            Err(error) => {
                if let Some(peer) = self.peers.get_mut(&who) {
                    // The sweep looks again.
                    peer.sequence = None;
                    if !std::mem::replace(&mut peer.complained, true) {
                        warn_log!("{who} is alive but cannot be talked to: {error}");
                    }
                }
                findings.graphs.push((who, None));
            }
        }
    }

    /// A participant whose bells cannot be mapped is not listed: what is listed can be talked to.
    fn read(&self, who: Identity) -> Result<(u64, ParticipantGraph), ReadError> {
        let read = file::read(&self.core.directory.participant_path(who), who)?;
        match self.core.bells.map_peer(who) {
            // Removed by somebody: it cannot be rung, and looks for itself once a second.
            Ok(()) | Err(FileError::Missing { .. }) => Ok(read),
            Err(error) => Err(error.into()),
        }
    }

    /// Gets to know of deaths that nobody announces: of those who had died, and whose files were removed, before we
    /// joined, and of those who joined and died between two looks. What they left in topic files would count as theirs for ever.
    fn note_former_participants(&self, findings: &mut Findings) {
        let core = &self.core;
        // Read before the probes: a generation that begins meanwhile is not taken for the one that ended.
        for (index, generation) in core.lease.generations().unwrap_or_default().into_iter().enumerate() {
            let Some(who) = Identity::new(index as u32, generation).filter(|_| generation != 0) else { continue };
            if core.liveness.is_known_dead(who) || self.peers.contains_key(&who) {
                continue;
            }
            if core.lease.is_alive(who) {
                core.liveness.note_alive(who);
            } else if core.is_dead(who) {
                core.liveness.note_dead(who);
                findings.deaths.push(who);
            }
        }
    }

    /// Looks at everything.
    fn sweep(&mut self, findings: &mut Findings) {
        let core = Arc::clone(&self.core);
        self.note_former_participants(findings);
        if let Ok(present) = core.directory.participants() {
            if !present.contains(&core.identity) {
                self.restore_own();
            }
            for who in present {
                if core.liveness.is_known_dead(who) && core.is_dead(who) {
                    // Not met alive, so nobody has removed its files.
                    core.bury(who);
                } else if !self.peers.contains_key(&who) {
                    self.look_at(who, findings);
                }
            }
        } else {
            self.watch_again();
        }
        let changes = core.lease.changes().unwrap_or_default();
        let known: Vec<(Identity, Option<u64>)> = self.peers.iter().map(|(who, peer)| (*who, peer.sequence)).collect();
        for (who, sequence) in known {
            if self.has_died(who) {
                self.dead(who, findings);
            } else if sequence.is_none_or(|seen| changes.get(who.index() as usize).is_some_and(|now| *now > seen)) {
                self.look_at(who, findings);
            }
        }
        core.bells.tidy();
        self.check_directory();
    }

    /// Passes on what was found. No lock is held.
    fn tell(&self, findings: Findings) {
        let Findings { deaths, graphs } = findings;
        let changed = !graphs.is_empty() && self.core.graph.apply(graphs);
        if !deaths.is_empty() {
            debug_log!("{}: gone: {deaths:?}", self.core.identity);
            fault_point!("news.death.out-of-graph");
            for listener in self.core.listeners() {
                for dead in &deaths {
                    guarded(|| listener.on_death(*dead));
                }
            }
        }
        if changed {
            guarded(|| self.core.graph.notify());
        }
        if !deaths.is_empty() {
            fault_point!("news.death.told");
            self.core.bells.ring_all_own();
        }
    }

    fn tick(&mut self) {
        self.restore_own();
        for listener in self.core.listeners() {
            guarded(|| listener.on_tick());
        }
        self.core.bells.ring_all_own();
    }

    /// Repairs our files. Not in a directory that others have made in place of ours: there we would be taken for dead, and
    /// removed again.
    fn restore_own(&self) {
        let core = &self.core;
        if !core.lease.name_is_ours() {
            return;
        }
        match core.lease.repair() {
            Ok(true) => warn_log!("{} was damaged; repaired", core.directory.lease_path().display()),
            Ok(false) => {}
            Err(error) => debug_log!("the lease cannot be repaired: {error}"),
        }
        core.lease.let_go_of_former_files();
        match core.bells.restore_own() {
            Ok(true) => {
                warn_log!("{} was removed; made anew", core.directory.bells_path(core.identity).display());
                let _ = core.graph.touch_own_file();
            }
            Ok(false) => {}
            Err(error) => debug_log!("own bells cannot be made anew: {error}"),
        }
        match core.graph.restore_own_file() {
            Ok(true) => {
                warn_log!("{} was damaged; made anew", core.directory.participant_path(core.identity).display())
            }
            Ok(false) => {}
            Err(error) => debug_log!("own file cannot be made anew: {error}"),
        }
        crate::queue::topic::restore_names(core.identity);
    }

    /// Finds out whether the directory is still ours, and takes our place in the one that has its name now, if it is not.
    fn check_directory(&mut self) {
        let core = Arc::clone(&self.core);
        if core.lease.name_is_ours() {
            self.cut_off = false;
            return;
        }
        let path = core.directory.path().display();
        // Endpoints of ours in topic files that nobody can find would be listed, and nobody could talk to them.
        let lost = crate::queue::topic::lost_files(core.identity);
        let refused = if lost == 0 {
            match core.lease.rejoin(&core.directory) {
                Ok(true) => {
                    warn_log!("{path} was removed while in use: made anew, with all who were in it");
                    self.cut_off = false;
                    self.watch_again();
                    // Who came before us found nobody alive behind our files.
                    let _ = core.graph.touch_own_file();
                    return;
                }
                Ok(false) => "a newcomer has our place".to_owned(),
                Err(error) => error.to_string(),
            }
        } else {
            format!("{lost} topics are in use whose files are gone")
        };
        if !std::mem::replace(&mut self.cut_off, true) {
            warn_log!(
                "{path} was removed while in use, and {refused}: participants that know each other go on, but newcomers cannot \
                 find them; restart them to be found again"
            );
        }
    }

    /// Makes removed folders anew, where the directory is still ours, and watches again.
    fn watch_again(&mut self) {
        if !self.core.lease.name_is_ours() {
            // Comes back here, if there is something to watch.
            return self.check_directory();
        }
        if let Err(error) = self.core.directory.ensure() {
            warn_log!("{error}");
        }
        if let Some(watch) = &self.watch {
            if let Err(errno) = watch.add(&self.core.directory) {
                warn_log!("{} cannot be watched: {errno}", self.core.directory.participants_path().display());
            }
        }
        self.restore_own();
    }
}

/// A listener's panic must not end the news.
fn guarded(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        warn_log!("a listener panicked on the news thread");
    }
}

/// The running thread.
pub(crate) struct NewsThread {
    stop: Arc<ForkGuarded<EventFd>>,
    handle: JoinHandle<Option<Watch>>,
}

impl NewsThread {
    pub(crate) fn start(news: News) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let stop = Arc::new(ForkGuarded::open(|| EventFd::from_flags(flags))?);
        let stopped = Arc::clone(&stop);
        let run = move || stopped.get().ok().and_then(|stop| news.run(stop));
        Ok(Self { stop, handle: thread::spawn("hazcat-news", run)? })
    }

    /// Ends the thread and waits for it, unless this is the thread itself (a listener may drop the last participant). What it
    /// answers is to be dropped when nobody waits.
    pub(crate) fn stop(self) -> Option<Watch> {
        if let Ok(stop) = self.stop.get() {
            let _ = stop.write(1);
        }
        let is_itself = self.handle.thread().id() == std::thread::current().id();
        (!is_itself).then(|| self.handle.join()).and_then(Result::ok).flatten()
    }
}

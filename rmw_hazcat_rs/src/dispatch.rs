//! The thread of a context that follows the graph for all its entities and calls the callbacks that users registered.
//! (One that has publishers with automatic leases has another, [`crate::heartbeat`].)
//!
//! It sleeps on a doorbell of its own. The graph's listener (the core's news thread, or whoever changes the graph) only
//! triggers guard conditions and wakes it, so that nothing of a user runs on a thread of the core. Graph changes are
//! gathered: working them off may take a tenth of its time at most, so that a hundred processes that start at once do
//! not keep each other busy. It looks at the time only for endpoints that have deadlines or leases to be watched.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use hazcat_core::graph::{EndpointKind, EndpointView, GraphSnapshot};
use hazcat_core::participant::{NewsListener, Participant};
use hazcat_core::sys::clock::monotonic_nanos;
use hazcat_core::sys::thread;
use hazcat_core::wait::{GuardCondition, WaitSet, Waitable};
use hazcat_core::Identity;

use crate::arrivals::ArrivalWatch;
use crate::entity::{self, lock};
use crate::error::{Context as _, Result};
use crate::heartbeat::Heartbeat;
use crate::logging::{log, Severity};

/// Longest that graph changes are gathered.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Of its time, the part spent on the graph is at most one in so many.
const GRAPH_SHARE: u32 = 10;

/// An entity that wants to know what happens elsewhere.
pub trait Observer: Send + Sync {
    /// The graph has changed.
    fn on_graph(&self, view: &GraphView<'_>);
    /// Something was noted for its callbacks.
    fn deliver(&self);
}

/// Something that happens by the passing of time.
pub trait Timed: Send + Sync {
    /// Looks what has happened until `now` (nanoseconds of the monotonic clock), and tells its callbacks; answers when to
    /// look again, `None` where nothing will happen before the graph changes.
    fn on_time(&self, now: u64) -> Option<u64>;
}

/// The graph, prepared for many questions at once.
pub struct GraphView<'a> {
    /// The graph itself.
    pub snapshot: &'a GraphSnapshot,
    topics: HashMap<&'a str, Vec<EndpointView<'a>>>,
}

impl<'a> GraphView<'a> {
    fn new(snapshot: &'a GraphSnapshot) -> Self {
        let mut topics: HashMap<&str, Vec<EndpointView<'_>>> = HashMap::new();
        for endpoint in snapshot.endpoints() {
            if matches!(endpoint.record.kind, EndpointKind::Publisher | EndpointKind::Subscription) {
                topics.entry(&endpoint.record.name).or_default().push(endpoint);
            }
        }
        Self { snapshot, topics }
    }

    /// The publishers and subscriptions on a topic.
    pub fn on_topic(&self, name: &str) -> &[EndpointView<'a>] {
        self.topics.get(name).map_or(&[], Vec::as_slice)
    }
}

#[derive(Default)]
struct Watches {
    items: Vec<Arc<ArrivalWatch>>,
    /// Grows with every change of `items`.
    generation: u64,
    /// The generation that the thread works with.
    in_use: u64,
    /// What the thread waits for, while it does not wait: callbacks run then, which may take any time.
    idle: Option<Vec<Arc<ArrivalWatch>>>,
    /// Whose callback the thread is calling; only compared.
    calling: usize,
    /// Threads that wait for the thread to let go of a watch.
    waiting: usize,
    stopped: bool,
}

impl Watches {
    /// Has the thread let go of `watch`, as far as that is possible now; answers whether it has.
    fn let_go(&mut self, watch: &Arc<ArrivalWatch>, generation: u64) -> bool {
        if self.stopped || self.in_use >= generation {
            return true;
        }
        let Some(idle) = &mut self.idle else { return false };
        idle.retain(|other| !Arc::ptr_eq(other, watch));
        self.calling != Arc::as_ptr(watch) as usize
    }
}

struct Shared {
    wake: GuardCondition,
    stop: AtomicBool,
    graph_changed: AtomicBool,
    deliveries: AtomicBool,
    graph_conditions: Mutex<Vec<Weak<entity::guard_condition::GuardCondition>>>,
    observers: Mutex<Vec<Weak<dyn Observer>>>,
    timed: Mutex<Vec<Weak<dyn Timed>>>,
    timed_changed: AtomicBool,
    watches: Mutex<Watches>,
    watches_let_go: Condvar,
}

/// See the module.
pub struct Dispatcher {
    shared: Arc<Shared>,
    participant: Weak<Participant>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
    heartbeat: Heartbeat,
}

impl Dispatcher {
    /// Starts the thread.
    pub fn start(participant: &Arc<Participant>) -> Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            wake: GuardCondition::new(),
            stop: AtomicBool::new(false),
            graph_changed: AtomicBool::new(true),
            deliveries: AtomicBool::new(false),
            graph_conditions: Mutex::default(),
            observers: Mutex::default(),
            timed: Mutex::default(),
            timed_changed: AtomicBool::new(false),
            watches: Mutex::default(),
            watches_let_go: Condvar::new(),
        });
        let mut wait_set = WaitSet::new(participant).or_error(|| "cannot start the dispatcher".to_owned())?;
        // It is in no hurry that would be worth a busy processor.
        wait_set.set_spin(Duration::ZERO);
        let thread = {
            let (shared, participant) = (Arc::clone(&shared), Arc::downgrade(participant));
            thread::spawn("hazcat-dispatch", move || {
                let snapshot = || participant.upgrade().map(|participant| participant.graph().snapshot());
                let shared = Finishing(shared);
                shared.0.run(wait_set, &snapshot);
            })
            .or_error(|| "cannot start the dispatcher".to_owned())?
        };
        let thread_id = thread.thread().id();
        let listener: Weak<Shared> = Arc::downgrade(&shared);
        participant.add_news_listener(listener);
        Ok(Arc::new(Self {
            shared,
            participant: Arc::downgrade(participant),
            thread: Mutex::new(Some(thread)),
            thread_id,
            heartbeat: Heartbeat::default(),
        }))
    }

    /// The thread that gives signs of life, which no callback holds up.
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Ends the threads and waits for that, unless it is one of them that calls. Idempotent.
    pub fn stop(&self) {
        if self.is_forked() {
            self.heartbeat.forget();
            // The thread is the parent's: here there is nothing to wait for, and what it had locked stays locked.
            if let Ok(mut thread) = self.thread.try_lock() {
                std::mem::forget(thread.take());
            }
            return;
        }
        self.heartbeat.stop();
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake.trigger();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            if !self.is_current_thread() && thread.join().is_err() {
                log(Severity::Error, format_args!("the dispatcher's thread has panicked"));
            }
        }
    }

    /// Whether this process is a fork of the one that has the thread.
    fn is_forked(&self) -> bool {
        self.participant.upgrade().is_some_and(|participant| participant.check_fork().is_err())
    }

    /// Whether the calling thread is the dispatcher's: then a callback of a user is running.
    pub fn is_current_thread(&self) -> bool {
        std::thread::current().id() == self.thread_id
    }

    /// To be called after any change of the graph, on any thread; returns at once.
    pub fn graph_changed(&self) {
        for condition in lock(&self.shared.graph_conditions).iter().filter_map(Weak::upgrade) {
            condition.trigger();
        }
        self.shared.graph_changed.store(true, Ordering::Release);
        self.shared.wake.trigger();
    }

    /// Has the thread call [`Observer::deliver`] of all observers soon.
    pub fn request_delivery(&self) {
        self.shared.deliveries.store(true, Ordering::Release);
        self.shared.wake.trigger();
    }

    /// Triggers `condition` with every change of the graph.
    pub fn add_graph_condition(&self, condition: &Arc<entity::guard_condition::GuardCondition>) {
        lock(&self.shared.graph_conditions).push(Arc::downgrade(condition));
    }

    /// Ends that.
    pub fn remove_graph_condition(&self, condition: &Arc<entity::guard_condition::GuardCondition>) {
        lock(&self.shared.graph_conditions).retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(condition)));
    }

    /// Tells `observer` of every change of the graph, the present state included, as long as it lives.
    pub fn add_observer(&self, observer: Weak<dyn Observer>) {
        {
            let mut observers = lock(&self.shared.observers);
            observers.retain(|observer| observer.strong_count() > 0);
            observers.push(observer);
        }
        self.shared.graph_changed.store(true, Ordering::Release);
        self.shared.wake.trigger();
    }

    /// Has the thread look at the time for `timed`, as long as it lives: now, whenever it asks for it, and after changes of
    /// the graph. Before all others if it is `early`, as is what others look at.
    pub fn add_timed(&self, timed: Weak<dyn Timed>, early: bool) {
        {
            let mut all = lock(&self.shared.timed);
            all.retain(|timed| timed.strong_count() > 0);
            let at = if early { 0 } else { all.len() };
            all.insert(at, timed);
        }
        self.shared.timed_changed.store(true, Ordering::Release);
        self.shared.wake.trigger();
    }

    /// Has the thread watch for arrivals.
    pub fn add_watch(&self, watch: &Arc<ArrivalWatch>) {
        let mut watches = lock(&self.shared.watches);
        watches.items.push(Arc::clone(watch));
        watches.generation += 1;
        drop(watches);
        self.shared.wake.trigger();
    }

    /// Ends that; when this returns the thread has let go of it (unless it is the one that calls). It waits for a callback of
    /// this watch, and for no other: that one may be waiting for a lock that the caller has.
    pub fn remove_watch(&self, watch: &Arc<ArrivalWatch>) {
        let mut watches = lock(&self.shared.watches);
        watches.items.retain(|other| !Arc::ptr_eq(other, watch));
        watches.generation += 1;
        let generation = watches.generation;
        self.shared.wake.trigger();
        if self.is_current_thread() || self.is_forked() {
            return;
        }
        watches.waiting += 1;
        while !watches.let_go(watch, generation) {
            watches = match self.shared.watches_let_go.wait(watches) {
                Ok(watches) => watches,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
        watches.waiting -= 1;
    }
}

/// Who dies before anybody has read its file changes no graph; what was opened for it must be closed all the same.
impl NewsListener for Shared {
    fn on_death(&self, _dead: Identity) {
        self.graph_changed.store(true, Ordering::Release);
        self.wake.trigger();
    }

    fn on_tick(&self) {}
}

/// Tells everybody that the thread has ended, also if it has panicked.
struct Finishing(Arc<Shared>);

impl Drop for Finishing {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self, wait_set: WaitSet, snapshot: &dyn Fn() -> Option<Arc<GraphSnapshot>>) {
        let mut graph_due: Option<Instant> = None;
        let mut time_due: Option<Instant> = None;
        let mut not_before = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            let watched = self.take_over_watches();
            let due = graph_due.into_iter().chain(time_due).min();
            let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
            {
                let all = |each: &mut dyn FnMut(&dyn Waitable) -> bool| {
                    if each(&self.wake) {
                        watched.iter().all(|watch| each(&**watch));
                    }
                };
                if let Err(error) = wait_set.wait_with(&all, timeout) {
                    log(Severity::Error, format_args!("the dispatcher cannot wait any more: {error}"));
                    return;
                }
            }
            self.put_down_watches(watched);
            self.wake.take();
            if self.graph_changed.swap(false, Ordering::AcqRel) && graph_due.is_none() {
                graph_due = Some(not_before);
            }
            let now = Instant::now();
            let mut look_at_time = time_due.is_some_and(|due| due <= now);
            if graph_due.is_some_and(|due| due <= now) {
                graph_due = None;
                look_at_time = true;
                let Some(snapshot) = snapshot() else { return };
                self.follow_graph(&snapshot);
                let spent = now.elapsed();
                not_before = Instant::now() + (spent * (GRAPH_SHARE - 1)).min(LONGEST_PAUSE);
                self.deliveries.store(true, Ordering::Release);
            }
            if self.timed_changed.swap(false, Ordering::AcqRel) || look_at_time {
                time_due = self.look_at_time();
            }
            self.dispatch_arrivals();
            if self.deliveries.swap(false, Ordering::AcqRel) {
                self.for_observers(|observer| observer.deliver());
            }
        }
    }

    /// What to wait for now.
    fn take_over_watches(&self) -> Vec<Arc<ArrivalWatch>> {
        let mut watches = lock(&self.watches);
        let watched = watches.idle.take().unwrap_or_default();
        if watches.in_use == watches.generation {
            return watched;
        }
        let new = watches.items.clone();
        let generation = watches.generation;
        drop(watches);
        // Before anybody is told: letting go may end a subscription.
        drop(watched);
        self.change_watches(|watches| watches.in_use = generation);
        new
    }

    /// From here on until it waits again, the thread keeps nobody's watch but the one whose callback it calls.
    fn put_down_watches(&self, watched: Vec<Arc<ArrivalWatch>>) {
        self.change_watches(|watches| watches.idle = Some(watched));
    }

    fn dispatch_arrivals(&self) {
        // One that moves to an earlier place meanwhile, because another one went, is not passed over for long: it is still ready
        // when the thread is to wait.
        for index in 0.. {
            let mut watches = lock(&self.watches);
            let Some(watch) = watches.idle.as_ref().and_then(|idle| idle.get(index)).cloned() else { break };
            watches.calling = Arc::as_ptr(&watch) as usize;
            drop(watches);
            watch.dispatch();
            drop(watch);
            self.change_watches(|watches| watches.calling = 0);
        }
    }

    /// Changes what those who wait for the thread to let go of a watch look at.
    fn change_watches(&self, change: impl FnOnce(&mut Watches)) {
        let mut watches = lock(&self.watches);
        change(&mut watches);
        if watches.waiting > 0 {
            self.watches_let_go.notify_all();
        }
    }

    fn follow_graph(&self, snapshot: &GraphSnapshot) {
        let view = GraphView::new(snapshot);
        self.for_observers(|observer| observer.on_graph(&view));
    }

    /// Looks at the time for all who asked for it; answers when to do so again.
    fn look_at_time(&self) -> Option<Instant> {
        let timed: Vec<Arc<dyn Timed>> = lock(&self.timed).iter().filter_map(Weak::upgrade).collect();
        let due = timed.iter().filter_map(|timed| timed.on_time(monotonic_nanos())).min()?;
        Instant::now().checked_add(Duration::from_nanos(due.saturating_sub(monotonic_nanos())))
    }

    /// Calls `each` with every observer that still exists; keeps none of the others meanwhile.
    fn for_observers(&self, each: impl Fn(&dyn Observer)) {
        let observers = lock(&self.observers).clone();
        observers.iter().filter_map(Weak::upgrade).for_each(|observer| each(&*observer));
    }

    fn finish(&self) {
        let idle = lock(&self.watches).idle.take();
        // Before anybody is told.
        drop(idle);
        self.change_watches(|watches| watches.stopped = true);
    }
}

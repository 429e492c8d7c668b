//! Runs a model under loom and proves that it ran; runs a model's twin and proves that its planted bug is found.
//!
//! What the models cannot show: loom lets two full fences synchronise with each other, which is more than the language
//! promises, and it explores at most the given number of preemptions where one is given (`LOOM_MAX_PREEMPTIONS` overrides
//! it). All else (stale reads, every order of conflicting accesses) it tries.
#![allow(dead_code)] // each test binary uses its part

use hazcat_core::ids::{PublisherIndex, Sequence};
use hazcat_core::ring::word::MessageRef;
use hazcat_core::ring::RingView;
use hazcat_core::sync::atomic::AtomicU64;
use hazcat_core::sync::seeded::{self, Fault};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64 as Counter, Ordering};
use std::sync::{Arc, Once};
use std::time::Instant;

/// No limit on preemptions: everything is explored.
pub const EVERYTHING: Option<usize> = None;

thread_local! {
    // loom runs all threads of a model on the thread that checks it.
    static EXPECTS_PANIC: Cell<bool> = const { Cell::new(false) };
    static SEEN: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Notes that a run of the model came through an interesting place.
pub fn seen(what: &'static str) {
    SEEN.with(|seen| *seen.borrow_mut().entry(what).or_default() += 1);
}

/// Checks that `model` never panics, and that every one of `wanted` was [`seen`] in at least one run.
pub fn holds(name: &str, preemptions: Option<usize>, wanted: &[&str], model: impl Fn() + Send + Sync + 'static) {
    let (runs, outcome) = explore(name, preemptions, None, false, model);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    assert!(runs > 1, "{name}: {runs} runs explored nothing");
    for what in wanted {
        assert!(SEEN.with(|seen| seen.borrow().contains_key(what)), "{name}: no run in which {what}");
    }
}

/// Checks that `model` with a bug panics with `expected` somewhere in the message. `fault` is the bug to plant into the
/// pure modules, if it is not planted by the model itself.
pub fn is_found(
    name: &str,
    preemptions: Option<usize>,
    fault: Option<Fault>,
    expected: &str,
    model: impl Fn() + Send + Sync + 'static,
) {
    let (runs, outcome) = explore(name, preemptions, fault, true, model);
    assert!(runs > 0, "{name}: nothing ran");
    let Err(panic) = outcome else { panic!("{name}: the planted bug was not found in {runs} runs") };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default();
    assert!(text.contains(expected), "{name}: expected '{expected}', found '{text}'");
}

fn explore(
    name: &str,
    preemptions: Option<usize>,
    fault: Option<Fault>,
    expects_panic: bool,
    model: impl Fn() + Send + Sync + 'static,
) -> (u64, std::thread::Result<()>) {
    quieten();
    let runs = Arc::new(Counter::new(0));
    let counted = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    let bound = builder.preemption_bound.map_or("all interleavings".into(), |bound| format!("{bound} preemptions"));
    SEEN.with(|seen| seen.borrow_mut().clear());
    EXPECTS_PANIC.set(expects_panic);
    seeded::plant(fault);
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            model();
        });
    }));
    seeded::plant(None);
    EXPECTS_PANIC.set(false);
    let runs = runs.load(Ordering::Relaxed);
    let what = if expects_panic { "bug found after" } else { "held in" };
    // Past the test harness' capture: the figures are part of the result.
    let _ = writeln!(
        std::io::stderr(),
        "loom {name}: {what} {runs} runs ({bound}), {:.1} s",
        began.elapsed().as_secs_f64()
    );
    (runs, outcome)
}

/// Keeps expected panics off the screen.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !EXPECTS_PANIC.get() {
                default(info);
            }
        }));
    });
}

/// What one thread of a model does to what they share.
pub type Role<S> = Box<dyn FnOnce(&S)>;

/// Runs each role in a thread of its own and waits for all of them.
pub fn run<S: 'static>(shared: Arc<S>, roles: Vec<Role<S>>) {
    let spawn = |role: Role<S>| {
        let shared = Arc::clone(&shared);
        loom::thread::spawn(move || role(&shared))
    };
    let threads: Vec<_> = roles.into_iter().map(spawn).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A ring of `N` slots outside shared memory.
pub struct Ring<const N: usize> {
    pub head: AtomicU64,
    pub slots: [AtomicU64; N],
}

impl<const N: usize> Ring<N> {
    /// As `queue::topic::create` leaves it.
    pub fn new() -> Self {
        let head = RingView::first_sequence(N).0;
        Self { head: AtomicU64::new(head), slots: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    pub fn view(&self) -> RingView<'_> {
        RingView::new(&self.head, &self.slots).expect("a power of two")
    }
}

/// Position of the first message in a ring of `N` slots.
pub fn first<const N: usize>() -> Sequence {
    RingView::first_sequence(N)
}

/// A message of a publisher.
pub fn message(publisher: u16, chunk: u32) -> MessageRef {
    MessageRef::new(PublisherIndex(publisher), 0, chunk).expect("in range")
}

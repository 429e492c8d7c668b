//! Fault points: named places in operations on shared memory at which a test kills the process.
//!
//! `fault_point!("topic.remove.closed")` stands between two steps of an operation that somebody else would have to finish.
//! Without the feature `fault-points` it is nothing at all. With it, a process that called `kill_at` sends itself SIGKILL
//! when it passes the point for the n-th time, and one that called `count` learns which points it passes and how often.
//!
//! `tests/fault_points` reads the names out of the source: a point that no scenario passes, a name that is used twice, or
//! a survivor that suffers fails it. The feature does not compile without debug assertions, so no release has it.

/// A named place at which a test can kill the process; nothing in an ordinary build.
macro_rules! fault_point {
    ($name:literal) => {
        #[cfg(feature = "fault-points")]
        $crate::fault::pass($name);
    };
}

#[cfg(all(feature = "fault-points", not(debug_assertions)))]
compile_error!("the feature fault-points is for tests only");

#[cfg(feature = "fault-points")]
pub use armed::{count, counts, kill_at, once, pass, plant};

#[cfg(feature = "fault-points")]
mod armed {
    use crate::sync::seeded::{self, Fault};
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    enum Plan {
        Kill { point: String, at: u64, passed: AtomicU64 },
        Count(Mutex<BTreeMap<&'static str, u64>>),
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();

    type Hook = (&'static str, Box<dyn FnOnce() + Send>);

    static HOOK: Mutex<Option<Hook>> = Mutex::new(None);
    static HOOKED: AtomicBool = AtomicBool::new(false);

    /// Has this process killed when it passes `point` for the `at`-th time. Only the first plan of a process counts.
    pub fn kill_at(point: &str, at: u64) {
        let _ = PLAN.set(Plan::Kill { point: point.to_owned(), at, passed: AtomicU64::new(0) });
    }

    /// Has passages counted from now on.
    pub fn count() {
        let _ = PLAN.set(Plan::Count(Mutex::default()));
    }

    /// How often which points were passed since [`count`].
    pub fn counts() -> BTreeMap<&'static str, u64> {
        match PLAN.get() {
            Some(Plan::Count(counts)) => counts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Has `act` called by the thread that next passes `point`: to do there what another process might do meanwhile.
    pub fn once(point: &'static str, act: impl FnOnce() + Send + 'static) {
        *HOOK.lock().unwrap_or_else(PoisonError::into_inner) = Some((point, Box::new(act)));
        HOOKED.store(true, Ordering::Release);
    }

    #[cold]
    fn call_hook(point: &str) {
        let mut hook = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, act)) = hook.take_if(|(at, _)| *at == point) {
            HOOKED.store(false, Ordering::Release);
            drop(hook);
            act();
        }
    }

    /// Plants a bug into this process, for tests that show that they find it.
    ///
    /// # Errors
    /// The name, where no bug has it.
    pub fn plant(bug: &str) -> Result<(), String> {
        let (_, fault) = Fault::IN_THE_QUEUE.into_iter().find(|(name, _)| *name == bug).ok_or(bug)?;
        seeded::plant(Some(fault));
        Ok(())
    }

    /// The process passes a point.
    pub fn pass(point: &'static str) {
        if HOOKED.load(Ordering::Acquire) {
            call_hook(point);
        }
        match PLAN.get() {
            None => {}
            Some(Plan::Count(counts)) => {
                *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(point).or_default() += 1;
            }
            Some(Plan::Kill { point: chosen, at, passed }) => {
                let here = chosen == point && passed.fetch_add(1, Ordering::Relaxed) + 1 == *at;
                if here {
                    die();
                }
            }
        }
    }

    fn die() -> ! {
        loop {
            let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::SIGKILL);
        }
    }
}

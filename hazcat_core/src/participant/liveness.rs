//! What is known about deaths, to be asked without a system call.
//!
//! A hint: "dead" is true (an identity never comes back), anything else only means "not known to be dead". Where memory is
//! to be reused, probe ([`crate::lease::Lease::is_alive`]).

use crate::ids::Identity;
use crate::lease::{is_later, MAX_PARTICIPANTS};
use std::sync::atomic::{AtomicU64, Ordering};

/// Per index: all generations before this one are dead; zero: nothing is known. Generations of an index only grow, round the
/// wrap as well.
pub(crate) struct Liveness {
    dead_before: Box<[AtomicU64]>,
}

impl Liveness {
    pub(crate) fn new() -> Self {
        Self { dead_before: (0..MAX_PARTICIPANTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// `who` was found dead.
    pub(crate) fn note_dead(&self, who: Identity) {
        // Zero is no generation: one follows the largest.
        self.raise(who, who.generation() % Identity::MAX_GENERATION + 1);
    }

    /// `who` was found alive, so former holders of its index are dead.
    pub(crate) fn note_alive(&self, who: Identity) {
        self.raise(who, who.generation());
    }

    fn raise(&self, who: Identity, to: u64) {
        if let Some(word) = self.dead_before.get(who.index() as usize) {
            let later = |known| (known == 0 || is_later(to, known)).then_some(to);
            // SYNC known-dead
            let _ = word.fetch_update(Ordering::Release, Ordering::Relaxed, later);
        }
    }

    /// Wait-free.
    #[inline]
    pub(crate) fn is_known_dead(&self, who: Identity) -> bool {
        // SYNC known-dead
        self.dead_before.get(who.index() as usize).is_none_or(|word| {
            let before = word.load(Ordering::Acquire);
            before != 0 && is_later(before, who.generation())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_stay_dead_and_successors_live() {
        let id = |generation| Identity::new(7, generation).expect("in range");
        let liveness = Liveness::new();
        assert!(!liveness.is_known_dead(id(10)));
        liveness.note_alive(id(10));
        assert!(liveness.is_known_dead(id(9)) && !liveness.is_known_dead(id(10)));
        liveness.note_dead(id(10));
        assert!(liveness.is_known_dead(id(10)) && !liveness.is_known_dead(id(11)));
        liveness.note_alive(id(10));
        assert!(liveness.is_known_dead(id(10)), "old news change nothing");
        assert!(liveness.is_known_dead(Identity::new(5000, 1).expect("in range")), "no such index");
    }

    #[test]
    fn generations_wrap_around() {
        let id = |generation| Identity::new(7, generation).expect("in range");
        let liveness = Liveness::new();
        let last = Identity::MAX_GENERATION;
        liveness.note_alive(id(last));
        assert!(liveness.is_known_dead(id(last - 1)) && !liveness.is_known_dead(id(last)));
        liveness.note_dead(id(last));
        assert!(liveness.is_known_dead(id(last)) && !liveness.is_known_dead(id(1)));
        liveness.note_dead(id(1));
        assert!(liveness.is_known_dead(id(1)) && !liveness.is_known_dead(id(2)));
        liveness.note_alive(id(last));
        assert!(liveness.is_known_dead(id(last)) && liveness.is_known_dead(id(1)), "old news change nothing");
    }
}

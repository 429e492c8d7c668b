//! Whether looking around before a sleep has lately been any use.
//!
//! It is none where nobody else can run meanwhile: the scheduler likes to put two processes that wake each other on one
//! processor, and then whoever looks around keeps the other from answering, for all the time it looks. So after a look in
//! vain the next waits sleep at once, twice as many after each; one look that finds something starts from the beginning.

use crate::sync::atomic::{AtomicU32, Ordering};

/// Most waits that sleep at once before the next look: few enough to notice within a second that times have changed, many
/// enough that 99 of 100 waits are not longer for it.
const MOST: u32 = 1023;

/// What has become of the looks of one wait set. One thread at a time uses it.
#[derive(Default)]
pub(super) struct Luck {
    /// Waits that will sleep at once after the next look in vain.
    penalty: AtomicU32,
    /// Waits still to sleep at once.
    left: AtomicU32,
}

impl Luck {
    /// Whether this wait may look around. To be asked once per wait.
    pub(super) fn may_look(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return true;
        }
        self.left.store(left - 1, Ordering::Relaxed);
        false
    }

    /// Notes how a look ended.
    pub(super) fn note(&self, found: bool) {
        let penalty = if found { 0 } else { (2 * self.penalty.load(Ordering::Relaxed) + 1).min(MOST) };
        self.penalty.store(penalty, Ordering::Relaxed);
        self.left.store(penalty, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so many waits, how many look around, each look ending in the same way.
    fn looks(luck: &Luck, waits: u32, found: bool) -> u32 {
        (0..waits)
            .map(|_| {
                let may = luck.may_look();
                if may {
                    luck.note(found);
                }
                u32::from(may)
            })
            .sum()
    }

    #[test]
    fn every_wait_looks_where_looking_finds() {
        assert_eq!(looks(&Luck::default(), 100, true), 100);
    }

    #[test]
    fn looks_in_vain_become_rare_and_never_end() {
        let luck = Luck::default();
        assert_eq!(looks(&luck, 127, false), 7);
        looks(&luck, 2 * MOST, false);
        assert_eq!(looks(&luck, 10 * (MOST + 1), false), 10);
    }

    #[test]
    fn one_find_brings_back_the_looks() {
        let luck = Luck::default();
        looks(&luck, 10_000, false);
        let waits = (1..).find(|_| luck.may_look()).expect("a look at last");
        assert!(waits <= MOST + 1, "{waits}");
        luck.note(true);
        assert_eq!(looks(&luck, 100, true), 100);
    }
}

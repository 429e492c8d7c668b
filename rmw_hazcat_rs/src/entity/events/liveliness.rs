//! Liveliness: that a publisher is alive, and shows it at least so often if it has a lease.
//!
//! Without a lease a publisher is alive as long as its process is, which the kernel knows. With one, it must also give a
//! sign of life within each lease: by publishing or asserting (manual liveliness), or by a thread of its process
//! (automatic, [`crate::heartbeat`]), so that a process that was stopped, or hangs as a whole, is noticed too. Either way
//! it counts as alive from its creation on. Times are nanoseconds of the monotonic clock.
//!
//! What subscriptions count is what they count over DDS: a publisher that leaves is taken off the list; one with a lease
//! whose process died is not alive, for [`MOURNING`], and then taken off.

use std::collections::BTreeMap;

use hazcat_core::Signs;

use super::GidBytes;

/// How long a publisher with a lease whose process died is counted as not alive, before it is forgotten: ten seconds, as
/// DDS middlewares take to forget the participant.
pub(super) const MOURNING: u64 = 10_000_000_000;
/// How often one with automatic liveliness gives a sign of life during its lease.
const BEATS: u64 = 4;
/// Shortest and longest time until a publisher that is not alive is looked at again.
const RECOVERY: (u64, u64) = (2_000_000, 100_000_000);

/// A publisher's own lease.
#[derive(Debug)]
pub(super) struct OwnLease {
    lease: u64,
    automatic: bool,
    /// The sign of life whose lease ran out last.
    lapsed: Option<u64>,
}

/// What a look at one's own lease has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnLook {
    /// Whether the lease has run out since the last look.
    pub(super) lost: bool,
    /// When to look again.
    pub(super) next: u64,
}

impl OwnLease {
    pub(super) fn new(lease: u64, automatic: bool) -> Self {
        Self { lease, automatic, lapsed: None }
    }

    /// Looks how things are at `now`, the last sign of life having been given at `shown`.
    pub(super) fn look(&mut self, shown: u64, now: u64) -> OwnLook {
        let until = shown.saturating_add(self.lease);
        let expired = now >= until;
        let lost = expired && self.lapsed != Some(shown);
        if expired {
            self.lapsed = Some(shown);
        }
        let next = match (self.automatic, expired) {
            (true, _) => now.saturating_add(self.lease / BEATS),
            (false, false) => until,
            // Whenever it is asserted again, that lease does not run out before the next look.
            (false, true) => now.saturating_add(self.lease),
        };
        OwnLook { lost, next }
    }

    /// Whether the process gives the signs of life by itself.
    pub(super) fn is_automatic(&self) -> bool {
        self.automatic
    }
}

/// One publisher, as a subscription sees it.
#[derive(Clone, Copy, Debug)]
struct Peer {
    lease: Option<u64>,
    alive: bool,
}

/// A number of publishers, and how it has changed since the last look.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: i64,
    pub(super) change: i64,
}

impl Tally {
    fn add(&mut self, more: i64) {
        self.count += more;
        self.change += more;
    }

    fn take(&mut self) -> Self {
        let tally = *self;
        self.change = 0;
        tally
    }
}

/// All matched publishers of a subscription, alive or not.
#[derive(Default, Debug)]
pub(super) struct Liveliness {
    peers: BTreeMap<GidBytes, Peer>,
    /// Until when those whose process died are counted as not alive.
    mourned: Vec<u64>,
    alive: Tally,
    not_alive: Tally,
}

impl Liveliness {
    /// Whether it knows this publisher.
    pub(super) fn knows(&self, gid: &GidBytes) -> bool {
        self.peers.contains_key(gid)
    }

    /// Publishers that it knows.
    pub(super) fn gids(&self) -> impl Iterator<Item = &GidBytes> {
        self.peers.keys()
    }

    /// A publisher that is matched from now on.
    pub(super) fn came(&mut self, gid: GidBytes, lease: Option<u64>, signs: Option<Signs>, now: u64) {
        let peer = Peer { lease, alive: true };
        let alive = lapse(peer, signs).is_none_or(|lapse| now < lapse);
        self.peers.insert(gid, Peer { lease, alive });
        self.tally(alive).add(1);
    }

    /// A publisher that is not matched any more; `has_died` if its process ended without giving notice.
    pub(super) fn went(&mut self, gid: &GidBytes, has_died: bool, now: u64) {
        let Some(peer) = self.peers.remove(gid) else { return };
        if !has_died || peer.lease.is_none() {
            return self.tally(peer.alive).add(-1);
        }
        if peer.alive {
            self.alive.add(-1);
            self.not_alive.add(1);
        }
        self.mourned.push(now.saturating_add(MOURNING));
    }

    /// Looks who is alive at `now`; answers how many changes there were, and when to look again.
    pub(super) fn look(&mut self, signs_of: impl Fn(&GidBytes) -> Option<Signs>, now: u64) -> (u64, Option<u64>) {
        let (mut changes, mut next) = (0, None::<u64>);
        let mut sooner = |at: u64| next = Some(next.map_or(at, |other| other.min(at)));
        for (gid, peer) in &mut self.peers {
            let Some(lease) = peer.lease else { continue };
            // Without signs it is about to leave the graph.
            let Some(lapse) = lapse(*peer, signs_of(gid)) else { continue };
            let alive = now < lapse;
            if alive != peer.alive {
                let (to, from) = match alive {
                    true => (&mut self.alive, &mut self.not_alive),
                    false => (&mut self.not_alive, &mut self.alive),
                };
                to.add(1);
                from.add(-1);
                peer.alive = alive;
                changes += 1;
            }
            sooner(if alive { lapse } else { now.saturating_add((lease / 8).clamp(RECOVERY.0, RECOVERY.1)) });
        }
        let mourned = self.mourned.len();
        self.mourned.retain(|until| *until > now);
        let forgotten = mourned - self.mourned.len();
        self.not_alive.add(-(forgotten as i64));
        self.mourned.iter().for_each(|until| sooner(*until));
        (changes + forgotten as u64, next)
    }

    /// The numbers of those alive and not alive; their changes count from here on anew.
    pub(super) fn take(&mut self) -> (Tally, Tally) {
        (self.alive.take(), self.not_alive.take())
    }

    fn tally(&mut self, alive: bool) -> &mut Tally {
        if alive {
            &mut self.alive
        } else {
            &mut self.not_alive
        }
    }
}

/// When a publisher's lease runs out, as far as its last sign of life goes; `None` where it has no lease or no sign.
fn lapse(peer: Peer, signs: Option<Signs>) -> Option<u64> {
    let signs = signs.filter(|signs| !signs.has_left && signs.shown != 0)?;
    Some(signs.shown.saturating_add(peer.lease?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GID: GidBytes = [1; 16];

    fn shown(at: u64) -> Option<Signs> {
        Some(Signs { published: 0, shown: at, has_left: false })
    }

    fn counts(liveliness: &mut Liveliness) -> [i64; 4] {
        let (alive, not_alive) = liveliness.take();
        [alive.count, alive.change, not_alive.count, not_alive.change]
    }

    #[test]
    fn a_manual_lease_is_lost_once_for_each_sign_of_life() {
        let mut own = OwnLease::new(10, false);
        let look = |lost, next| OwnLook { lost, next };
        assert_eq!(own.look(100, 105), look(false, 110));
        assert_eq!(own.look(100, 110), look(true, 120));
        assert_eq!(own.look(100, 120), look(false, 130));
        assert_eq!(own.look(125, 130), look(false, 135));
        assert_eq!(own.look(125, 140), look(true, 150));
    }

    #[test]
    fn an_automatic_one_beats_and_notices_that_it_was_stopped() {
        let mut own = OwnLease::new(100, true);
        assert_eq!(own.look(1000, 1020), OwnLook { lost: false, next: 1045 });
        assert_eq!(own.look(1020, 5000), OwnLook { lost: true, next: 5025 });
    }

    #[test]
    fn publishers_come_and_go() {
        let mut liveliness = Liveliness::default();
        liveliness.came(GID, None, None, 5);
        assert_eq!(counts(&mut liveliness), [1, 1, 0, 0]);
        assert_eq!(liveliness.look(|_| None, 1_000_000), (0, None));
        liveliness.went(&GID, true, 9);
        assert_eq!(counts(&mut liveliness), [0, -1, 0, 0], "without a lease it is as if it had left");
    }

    #[test]
    fn a_lease_runs_out_and_is_renewed() {
        let mut liveliness = Liveliness::default();
        liveliness.came(GID, Some(1000), shown(100), 200);
        assert_eq!(liveliness.look(|_| shown(100), 1099), (0, Some(1100)));
        assert_eq!(liveliness.look(|_| shown(100), 1100), (1, Some(1100 + RECOVERY.0)));
        assert_eq!(counts(&mut liveliness), [0, 0, 1, 1], "came and lapsed since the last look");
        assert_eq!(liveliness.look(|_| shown(5000), 5010), (1, Some(6000)));
        assert_eq!(counts(&mut liveliness), [1, 1, 0, -1]);
        liveliness.went(&GID, false, 5020);
        assert_eq!(counts(&mut liveliness), [0, -1, 0, 0]);
    }

    #[test]
    fn one_that_had_lapsed_before_is_not_alive() {
        let mut liveliness = Liveliness::default();
        liveliness.came(GID, Some(10), shown(100), 200);
        assert_eq!(counts(&mut liveliness), [0, 0, 1, 1]);
        liveliness.went(&GID, false, 210);
        assert_eq!(counts(&mut liveliness), [0, 0, 0, -1]);
    }

    #[test]
    fn one_with_a_lease_that_died_is_mourned() {
        let mut liveliness = Liveliness::default();
        liveliness.came(GID, Some(1000), shown(100), 200);
        counts(&mut liveliness);
        liveliness.went(&GID, true, 300);
        assert_eq!(counts(&mut liveliness), [0, -1, 1, 1]);
        assert_eq!(liveliness.look(|_| None, 400), (0, Some(300 + MOURNING)));
        assert_eq!(liveliness.look(|_| None, 300 + MOURNING), (1, None));
        assert_eq!(counts(&mut liveliness), [0, 0, 0, -1]);
    }
}

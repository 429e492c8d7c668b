//! What happens by the passing of time: missed deadlines, and leases that run out or are renewed.

use std::collections::BTreeSet;

use hazcat_core::sys::clock::monotonic_nanos;
use hazcat_core::{Gid, Signs};

use super::{EndpointEvents, EventKind, GidBytes, Source, State};
use crate::attributes::Attributes;
use crate::dispatch::{GraphView, Observer as _, Timed};
use crate::entity::lock;
use crate::heartbeat::Beating;

/// Shortest time between two looks at the clock.
const SHORTEST_LOOK: u64 = 200_000;

impl EndpointEvents {
    /// The signs of life of a publisher on a subscription's topic.
    fn signs_of(&self, publisher: &GidBytes) -> Option<Signs> {
        match &self.source {
            Source::Subscription { topic, .. } => topic.upgrade()?.signs_of(Gid(*publisher)),
            Source::Publisher(_) => None,
        }
    }

    /// Brings the list of publishers up to date; answers how many changes there were.
    pub(super) fn follow_publishers(&self, state: &mut State, view: &GraphView<'_>) -> u64 {
        let now = monotonic_nanos();
        let State { liveliness, matched_now, .. } = state;
        let gone: Vec<GidBytes> = liveliness.gids().filter(|gid| !matched_now.contains(*gid)).copied().collect();
        let mut changes = gone.len() as u64;
        for gid in gone {
            let stays = Gid(gid).owner().is_some_and(|owner| view.snapshot.participant(owner).is_some());
            // One whose process died did not say that it leaves. (What it said is gone if another one has its place
            // already: then it counts as having left.)
            let has_died = !stays && self.signs_of(&gid).is_some_and(|signs| !signs.has_left);
            liveliness.went(&gid, has_died, now);
        }
        for other in view.on_topic(&self.own.topic) {
            let gid = other.record.gid;
            if matched_now.contains(&gid) && !liveliness.knows(&gid) {
                let lease = Attributes::decode(&other.record.attributes).and_then(|theirs| theirs.qos.lease.nanos());
                let signs = lease.and_then(|_| self.signs_of(&gid));
                liveliness.came(gid, lease, signs, now);
                changes += 1;
            }
        }
        changes
    }

    /// When one of the matched publishers published last; zero for never.
    fn latest_publication(&self, matched: &BTreeSet<GidBytes>) -> u64 {
        matched.iter().filter_map(|gid| self.signs_of(gid)).map(|signs| signs.published).max().unwrap_or(0)
    }

    /// Notes what the publishers of a subscription have done, before some of them are forgotten.
    pub(super) fn note_publications(&self, state: &mut State) {
        let State { matched_now, deadline, .. } = state;
        if let (Some(deadline), Source::Subscription { .. }) = (deadline, &self.source) {
            deadline.saw(self.latest_publication(matched_now), monotonic_nanos());
        }
    }

    /// Looks at the signs of life of others; answers what was noted, and when to look again.
    fn look_at_publishers(&self, state: &mut State, now: u64) -> ([(EventKind, u64); 2], Option<u64>) {
        let State { liveliness, matched_now, deadline, deadline_missed, watches_liveliness, .. } = state;
        let (mut missed, mut changes, mut next) = (0, 0, None);
        if let Some(deadline) = deadline {
            let (more, look) = deadline.look(self.latest_publication(matched_now), now);
            deadline_missed.add(more);
            (missed, next) = (more, Some(look));
        }
        if *watches_liveliness {
            let (more, look) = liveliness.look(|gid| self.signs_of(gid), now);
            (changes, next) = (more, earlier(next, look));
        }
        ([(EventKind::DeadlineMissed, missed), (EventKind::LivelinessChanged, changes)], next)
    }

    /// Looks at one's own signs of life.
    fn look_at_oneself(
        &self,
        state: &mut State,
        core: &hazcat_core::Publisher,
        now: u64,
    ) -> ([(EventKind, u64); 2], Option<u64>) {
        let Some(signs) = core.signs() else { return ([(EventKind::DeadlineMissed, 0); 2], None) };
        let (mut missed, mut lost, mut next) = (0, 0, None);
        if let Some(deadline) = &mut state.deadline {
            let (more, look) = deadline.look(signs.published, now);
            state.deadline_missed.add(more);
            (missed, next) = (more, Some(look));
        }
        if let Some(lease) = state.own_lease.as_mut().filter(|lease| !lease.is_automatic()) {
            let look = lease.look(signs.shown, now);
            lost = u64::from(look.lost);
            state.liveliness_lost.add(lost);
            next = earlier(next, Some(look.next));
        }
        ([(EventKind::DeadlineMissed, missed), (EventKind::LivelinessLost, lost)], next)
    }
}

impl Beating for EndpointEvents {
    fn beat(&self, now: u64) -> Option<u64> {
        let Source::Publisher(core) = &self.source else { return None };
        let core = core.upgrade()?;
        let mut state = lock(&self.state);
        let look = state.own_lease.as_mut()?.look(core.signs()?.shown, now);
        core.note_alive(monotonic_nanos());
        let lost = u64::from(look.lost);
        state.liveliness_lost.add(lost);
        drop(state);
        if lost > 0 {
            self.note(EventKind::LivelinessLost, lost);
            if let Some(dispatcher) = self.dispatcher.upgrade() {
                dispatcher.request_delivery();
            }
        }
        Some(look.next)
    }
}

/// The earlier of two times, where there are any.
fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Timed for EndpointEvents {
    fn on_time(&self, now: u64) -> Option<u64> {
        let mut state = lock(&self.state);
        let (noted, next) = match &self.source {
            Source::Subscription { .. } => self.look_at_publishers(&mut state, now),
            Source::Publisher(core) => self.look_at_oneself(&mut state, &*core.upgrade()?, now),
        };
        drop(state);
        if noted.iter().any(|(_, events)| *events > 0) {
            for (kind, events) in noted {
                self.note(kind, events);
            }
            self.deliver();
        }
        next.map(|next| next.max(now.saturating_add(SHORTEST_LOOK)))
    }
}

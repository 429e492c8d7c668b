//! The signs of life that a publisher gives with its messages, where its QoS promises any.
//!
//! Most publishers have none of this, and pay a look at one word for it. What the signs mean is told in
//! [`hazcat_core::queue::signs`]; who looks at them, in [`super::events`].

use hazcat_core::sys::clock::monotonic_nanos;

use crate::qos::{Liveliness, Qos};

/// What a publisher has to show.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// When it published: it has a deadline.
    publications: bool,
    /// That it is alive: it has a lease, and asserts its liveliness itself.
    life: bool,
}

impl Pulse {
    /// What a publisher with this QoS has to show, if anything. With a lease it counts as alive from here on.
    pub fn begin(core: &hazcat_core::Publisher, qos: &Qos) -> Option<Self> {
        let has_lease = qos.lease.nanos().is_some();
        if has_lease {
            core.note_alive(monotonic_nanos());
        }
        let publications = qos.deadline.nanos().is_some();
        let life = has_lease && qos.liveliness == Liveliness::ManualByTopic;
        (publications || life).then_some(Self { publications, life })
    }

    /// It has published.
    pub fn published(&self, core: &hazcat_core::Publisher) {
        let now = monotonic_nanos();
        if self.publications {
            core.note_published(now);
        }
        if self.life {
            core.note_alive(now);
        }
    }

    /// Its user says that it is alive.
    pub fn asserted(&self, core: &hazcat_core::Publisher) {
        if self.life {
            core.note_alive(monotonic_nanos());
        }
    }
}

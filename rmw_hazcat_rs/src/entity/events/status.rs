//! What an event has to tell.

use crate::ffi;

/// A total and what was added since the last look.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Count {
    pub(super) total: u64,
    pub(super) change: u64,
}

impl Count {
    pub(super) fn add(&mut self, more: u64) {
        self.total += more;
        self.change += more;
    }

    pub(super) fn take(&mut self) -> Self {
        let count = *self;
        self.change = 0;
        count
    }
}

/// What [`super::EndpointEvents::take`] answers, one per kind of status structure.
pub enum Status {
    /// For `rmw_liveliness_changed_status_t`.
    Liveliness(ffi::rmw_liveliness_changed_status_t),
    /// For `rmw_liveliness_lost_status_t`.
    LivelinessLost(ffi::rmw_liveliness_lost_status_t),
    /// For `rmw_offered_deadline_missed_status_t`.
    OfferedDeadlineMissed(ffi::rmw_offered_deadline_missed_status_t),
    /// For `rmw_requested_deadline_missed_status_t`.
    RequestedDeadlineMissed(ffi::rmw_requested_deadline_missed_status_t),
    /// For `rmw_qos_incompatible_event_status_t`.
    IncompatibleQos(ffi::rmw_qos_incompatible_event_status_t),
    /// For `rmw_message_lost_status_t`.
    MessageLost(ffi::rmw_message_lost_status_t),
    /// For `rmw_incompatible_type_status_t`, where the headers have it.
    IncompatibleType {
        /// Endpoints of another type seen so far.
        total: i32,
        /// Of those, new ones.
        change: i32,
    },
    /// For `rmw_matched_status_t`, where the headers have it.
    Matched {
        /// Endpoints that matched so far.
        total: usize,
        /// Of those, new ones.
        change: usize,
        /// Endpoints that match now.
        now: usize,
        /// How much that has changed.
        now_change: i32,
    },
}

/// As many as an `i32` can say.
pub(super) fn saturate<T: TryInto<i32>>(value: T) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

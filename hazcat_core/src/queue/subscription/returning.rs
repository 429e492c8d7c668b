//! Giving messages back behind the work that reads them: a device's stream goes on reading after the call has returned.
//!
//! Until the stream has passed that point the message counts as held, for its publisher, for whoever copied it, and among the
//! messages that this subscription may hold; and its memory stays mapped here. Where the process dies, both end with it.

use super::places::Places;
use super::{NotHeld, Subscription};
use crate::domain::{CopyError, RemoteMemory, Stream};
use crate::ids::SubscriptionIndex;
use crate::queue::sample::{RawSample, Taken};
use crate::queue::topic::Topic;
use crate::ring::held;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait, when leaving, for streams that still use messages.
const DEVICE_PATIENCE: Duration = Duration::from_secs(5);

/// Why a message was not returned as it should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReturnError {
    /// It is not held.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The device cannot say when the stream has passed; the message was returned at once.
    #[error(transparent)]
    Device(CopyError),
}

/// A message that a stream still uses: given back on drop, wherever that happens.
struct Returning {
    topic: Arc<Topic>,
    index: SubscriptionIndex,
    place: usize,
    places: Arc<Places>,
    /// Mapped until then, even if the subscription has gone.
    _memory: Arc<dyn RemoteMemory>,
}

impl Returning {
    fn new(
        topic: &Arc<Topic>,
        index: SubscriptionIndex,
        place: usize,
        places: &Arc<Places>,
        memory: Arc<dyn RemoteMemory>,
    ) -> Self {
        Self { topic: Arc::clone(topic), index, place, places: Arc::clone(places), _memory: memory }
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        // A forked child's copy of it is the parent's business.
        if self.topic.participant().check_fork().is_err() {
            return;
        }
        if let Some(entry) = self.topic.subscription(self.index).and_then(|record| record.held.get(self.place)) {
            held::clear(entry);
        }
        self.places.vacate(self.place);
    }
}

impl Subscription {
    /// Gives a message in device memory back when all work that has been submitted to `stream` is done with it. Does not wait.
    ///
    /// Until then the message counts as held, and stays mapped. A message on the host is given back at once.
    ///
    /// # Errors
    /// [`ReturnError::NotHeld`] where it is not held (any more), else the device's error; the message is given back then too.
    pub fn return_raw_after(&self, sample: &RawSample, stream: Stream) -> Result<(), ReturnError> {
        self.return_taken_after(&sample.taken, stream)
    }

    pub(in crate::queue) fn return_taken_after(&self, taken: &Taken, stream: Stream) -> Result<(), ReturnError> {
        if self.topic.participant().check_fork().is_err() {
            return Err(NotHeld.into());
        }
        let Some(device) = self.device_of(taken) else { return Ok(self.return_raw(taken.index)?) };
        let place = taken.index.place as usize;
        // A second return would clear the entry under a later message.
        if !self.places.leave_to_stream(taken.index) {
            return Err(NotHeld.into());
        }
        let returning = Returning::new(&self.topic, self.index, place, &self.places, device.memory());
        let done = device.when_done(stream, Box::new(move || drop(returning)));
        done.map_err(ReturnError::Device)
    }

    /// Waits until no stream uses a message of this subscription; `false` where that takes too long.
    pub(super) fn wait_for_streams(&self) -> bool {
        let began = Instant::now();
        // What streams still use stays announced in this record.
        while self.places.are_returning() {
            if began.elapsed() > DEVICE_PATIENCE {
                return false;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        true
    }
}

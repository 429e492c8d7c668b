//! Waiting for messages: the subscription's bit among the armed ones, and the bell that is rung for it.

use super::Subscription;
use crate::queue::topic::armed_bit;
use crate::sync::atomic::Ordering;
use crate::wait::{LocalBell, Waitable};
use std::sync::Arc;

impl Subscription {
    /// Has everybody of this process who sleeps on this subscription look again.
    pub fn ring_waiters(&self) {
        self.attached.ring();
    }
}

impl Waitable for Subscription {
    fn is_ready(&self) -> bool {
        self.has_data()
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        let Some(record) = self.record() else { return };
        let (word, bit) = armed_bit(self.index);
        let Some(armed) = self.topic.layout().hot().armed.get(word) else { return };
        self.attached.add(bell, || {
            // SYNC armed: first which bell, then the bit.
            record.bell.store(bell.index(), Ordering::Release);
            fault_point!("wait.bell-named");
            armed.fetch_or(bit, Ordering::AcqRel);
            fault_point!("wait.armed");
        });
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        let Some(record) = self.record() else { return };
        let (word, bit) = armed_bit(self.index);
        let Some(armed) = self.topic.layout().hot().armed.get(word) else { return };
        self.attached.remove(bell, |other| match other {
            // Another wait set waits for the same subscription. The record has room for one bell: it is theirs from now
            // on, and they look again, because a ring may have gone to ours.
            Some(other) => {
                record.bell.store(other.index(), Ordering::Release);
                other.ring();
            }
            None => {
                fault_point!("wait.before-disarm");
                armed.fetch_and(!bit, Ordering::AcqRel);
                fault_point!("wait.disarmed");
            }
        });
    }
}

//! What victims and survivors exchange: five topics, how their endpoints are, and what must hold of all that is received.

use crate::support::*;
use hazcat_core::domain::DomainId;
use hazcat_core::{Gid, History, Participant, PublisherOptions, Sample, Subscription, SubscriptionOptions};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything is keep-all: every message must arrive.
pub const ALL: &str = "all";
/// Transient-local publishers that keep the last messages, of up to a megabyte.
pub const LAST: &str = "last";
/// Publishers and subscriptions on the host and on a simulated device.
pub const ACROSS: &str = "across";

/// Where survivor `index` serves requests.
pub fn requests(index: u64) -> String {
    format!("requests-{index}")
}

/// Where a client gets its replies.
pub fn replies(client: u64) -> String {
    format!("replies-{client:x}")
}

/// As whom a participant signs its requests.
pub fn client_id(participant: &Participant) -> u64 {
    participant.identity().word()
}

pub fn device() -> DomainId {
    DomainId::new("sim", 1).expect("in range")
}

pub fn keep_all_publisher(max_blocking: Duration) -> PublisherOptions {
    PublisherOptions { history: History::KeepAll, max_blocking, ..PublisherOptions::default() }
}

pub fn keep_all() -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepAll, ..SubscriptionOptions::default() }
}

pub fn last_publisher() -> PublisherOptions {
    PublisherOptions {
        transient_local: true,
        history: History::KeepLast(8),
        byte_budget: 16 << 20,
        ..PublisherOptions::default()
    }
}

pub fn last(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { transient_local: true, history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

pub fn publisher_in(domain: DomainId) -> PublisherOptions {
    PublisherOptions { domain, byte_budget: 4 << 20, ..PublisherOptions::default() }
}

pub fn subscription_in(domain: DomainId) -> SubscriptionOptions {
    let history = History::KeepLast(32);
    SubscriptionOptions { domain, history, copy_budget: 4 << 20, ..SubscriptionOptions::default() }
}

/// A multiple of eight, of any magnitude up to a megabyte.
pub fn size(random: &mut Random) -> usize {
    let magnitude = random.below(18);
    16 + 8 * random.below(1 << magnitude) as usize
}

/// Publishes a message of either domain.
pub fn publish_across(publisher: &hazcat_core::Publisher, who: u64, bytes: usize) {
    let number = publisher.next_number();
    if publisher.domain().is_host() {
        return publish(publisher, who, number, bytes);
    }
    let mut content = vec![0; bytes];
    fill(&mut content, who, number);
    let mut loan = publisher.loan_on_device(bytes).expect("loan");
    loan.copy_from(&content).expect("fits");
    loan.publish(&hazcat_core::MessageMeta::default()).expect("publish");
}

/// Who published a sample of either domain, and as what number. Panics if it is damaged.
pub fn expect_whole_anywhere(sample: &Sample<'_>) -> (u64, u64) {
    let Some(on_device) = sample.device() else { return expect_whole(sample) };
    let mut bytes = vec![0; on_device.len()];
    hazcat_core::domain::simulated::read(on_device.address().as_ptr(), &mut bytes).expect("device memory");
    whole(&bytes).unwrap_or_else(|| panic!("a damaged message on the device: {:?}", sample.info()))
}

/// A subscription, and what it has got of each publisher.
pub struct Receiver {
    pub sub: Subscription,
    complete: bool,
    last: HashMap<Gid, u64>,
    /// Numbers that were skipped between two that came.
    pub gaps: u64,
    /// Messages taken.
    pub count: u64,
}

impl Receiver {
    /// `complete`: no number may be missing from the first one on.
    pub fn new(participant: &Arc<Participant>, topic: &str, options: SubscriptionOptions, complete: bool) -> Self {
        let sub = subscription(participant, topic, options);
        Self { sub, complete, last: HashMap::new(), gaps: 0, count: 0 }
    }

    /// Takes the next message: whole, with a later number than the last one of its publisher.
    pub fn take(&mut self) -> Option<(u64, u64)> {
        let sample = self.sub.take().expect("take")?;
        let (who, number) = expect_whole_anywhere(&sample);
        assert_eq!(sample.info().number.0, number);
        if let Some(before) = self.last.insert(sample.info().gid, number) {
            assert!(number > before, "{number} after {before}: twice or out of order");
            assert!(!self.complete || number == before + 1, "{number} of {who} after {before}, {:?}", self.sub.lost());
            self.gaps += number - before - 1;
        }
        self.count += 1;
        Some((who, number))
    }

    /// Takes all there is, but not for ever: others may publish as quickly as this takes.
    pub fn take_all(&mut self) {
        (0..5000).map_while(|_| self.take()).for_each(drop);
    }

    /// The last number that came from a publisher.
    pub fn last_of(&self, gid: &str) -> u64 {
        self.last.iter().find(|(of, _)| hex(**of) == gid).map_or(0, |(_, number)| *number)
    }

    /// Every gap must have been counted as lost; where all must arrive, nothing may.
    pub fn expect_losses_told(&mut self) {
        let lost = self.sub.take_lost().total;
        assert!(self.gaps <= lost, "{} messages are missing, {lost} were counted as lost", self.gaps);
        assert!(!self.complete || lost == 0, "{lost} lost");
    }
}

pub fn hex(gid: Gid) -> String {
    format!("{gid:?}")
}

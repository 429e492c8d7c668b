//! What the tests of domains share: endpoints in domains, messages that show damage wherever they lie.

use crate::support::*;
use hazcat_core::domain::DomainId;
use hazcat_core::queue::layout::{taken, PublisherRecord, SubscriptionRecord};
use hazcat_core::{
    History, MessageMeta, Participant, Publisher, PublisherOptions, Subscription, SubscriptionOptions, TakeError,
};
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Simulated device `number`.
pub fn sim(number: u32) -> DomainId {
    DomainId::new("sim", number).expect("in range")
}

pub fn publisher_in(participant: &Arc<Participant>, name: &str, domain: DomainId) -> Publisher {
    publisher(participant, name, PublisherOptions { domain, ..PublisherOptions::default() })
}

/// A subscription that keeps up to a hundred messages.
pub fn subscription_in(participant: &Arc<Participant>, name: &str, domain: DomainId) -> Subscription {
    subscription(participant, name, deep(domain, 100))
}

pub fn deep(domain: DomainId, depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { domain, history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

/// Publishes a message that shows damage, in the publisher's own domain.
pub fn send(publisher: &Publisher, number: u64, bytes: usize) {
    if publisher.domain().is_host() {
        return publish(publisher, 0, number, bytes);
    }
    let mut content = vec![0; bytes];
    fill(&mut content, 0, number);
    let mut loan = publisher.loan_on_device(bytes).expect("loan");
    loan.copy_from(&content).expect("fits");
    loan.publish(&MessageMeta::default()).expect("publish");
}

/// Takes the next message, which must be whole and in `domain`; its number.
pub fn receive_in(subscription: &Subscription, domain: DomainId) -> Result<Option<u64>, TakeError> {
    let Some(sample) = subscription.take()? else { return Ok(None) };
    let bytes = match sample.device() {
        None => {
            assert!(domain.is_host(), "a message on the host where one in {domain} was wanted");
            sample.to_vec()
        }
        Some(device) => {
            assert_eq!(device.domain(), domain);
            assert!(sample.is_empty(), "bytes of the device as bytes of the host");
            let mut bytes = vec![0; device.len()];
            // As code on the device would: not a copy that counts.
            hazcat_core::domain::simulated::read(device.address().as_ptr(), &mut bytes).expect("device memory");
            bytes
        }
    };
    let (_, number) = whole(&bytes).expect("a damaged message");
    Ok(Some(number))
}

/// Takes everything there is, in `domain`; the numbers.
pub fn receive_all(subscription: &Subscription, domain: DomainId) -> Vec<u64> {
    std::iter::from_fn(|| receive_in(subscription, domain).expect("take")).collect()
}

fn record(subscription: &Subscription) -> &SubscriptionRecord {
    let records = subscription.topic().layout().subscriptions();
    let gid = subscription.gid().words();
    let is_its = |record: &&SubscriptionRecord| {
        record.owner.load(Ordering::Acquire) != 0
            && [0, 1].iter().all(|at| record.gid[*at].load(Ordering::Relaxed) == gid[*at])
    };
    records.iter().find(is_its).expect("it has a record")
}

/// One of the counters of a subscription.
pub fn counted(subscription: &Subscription, what: usize) -> u64 {
    record(subscription).counters[what].load(Ordering::Relaxed)
}

/// All copies that a subscription made.
pub fn copies_by(subscription: &Subscription) -> u64 {
    [taken::TO_HOST, taken::TO_DEVICE, taken::BETWEEN_DEVICES].iter().map(|what| counted(subscription, *what)).sum()
}

/// All copies that were made into a domain on a topic.
pub fn copies_into(subscription: &Subscription, domain: DomainId) -> u64 {
    let rows = subscription.topic().layout().domains();
    let row = rows.iter().find(|row| row.domain.load(Ordering::Relaxed) == domain.word()).expect("registered");
    row.copies.load(Ordering::Relaxed)
}

/// The records of copiers that a topic has now.
pub fn copiers(subscription: &Subscription) -> Vec<&PublisherRecord> {
    use hazcat_core::queue::layout::COPIER;
    let records = subscription.topic().layout().publishers().iter();
    let is_copier = |record: &&PublisherRecord| {
        record.owner.load(Ordering::Acquire) != 0 && record.flags.load(Ordering::Relaxed) & COPIER != 0
    };
    records.filter(is_copier).collect()
}

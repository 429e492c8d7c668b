//! What each process stands on: a participant, a device, its kernels.

use super::Failure;
use hazcat_core::domain::cuda::kernels::{Kernels, OwnStream};
use hazcat_core::domain::cuda::{self, Device};
use hazcat_core::domain::{registry, DomainId};
use hazcat_core::{
    Config, History, Participant, Publisher, PublisherOptions, Sample, Subscription, SubscriptionOptions, TopicKey,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Unread messages that subscriptions keep: one is read after the other.
const DEPTH: usize = 2;

pub struct Scene {
    pub participant: Arc<Participant>,
    pub domain: DomainId,
    pub kernels: Kernels,
    pub stream: OwnStream,
}

impl Scene {
    pub fn device(name: &str) -> Result<Arc<Device>, Failure> {
        let instance = match name.split_once(':') {
            Some((cuda::KIND, instance)) => instance,
            None if name == cuda::KIND => "",
            _ => return Err(format!("{name} is no CUDA device, such as cuda:0").into()),
        };
        Ok(cuda::device(instance)?)
    }

    pub fn new(root: &Path, device: &str) -> Result<Self, Failure> {
        let domain = registry::resolve(device)?.id();
        let device = Self::device(device)?;
        let participant = Participant::join(&Config { root: root.to_owned(), ..Config::default() })?;
        Ok(Self { participant, domain, kernels: Kernels::load(&device)?, stream: OwnStream::new(&device)? })
    }

    fn key(topic: &str) -> TopicKey {
        TopicKey { name: topic.into(), type_name: "bytes".into(), type_hash: 0 }
    }

    /// A publisher on the device, with room for a few messages of this size.
    pub fn publisher(&self, topic: &str, size: usize) -> Result<Publisher, Failure> {
        let options = PublisherOptions {
            history: History::KeepLast(DEPTH),
            byte_budget: room(size),
            domain: self.domain,
            ..PublisherOptions::default()
        };
        Ok(Publisher::new(&self.participant, &Self::key(topic), options)?)
    }

    /// A subscription in a domain, with room for a few copies of this size.
    pub fn subscription(&self, topic: &str, domain: DomainId, size: usize) -> Result<Subscription, Failure> {
        let options = SubscriptionOptions {
            history: History::KeepLast(DEPTH),
            domain,
            copy_budget: room(size),
            ..SubscriptionOptions::default()
        };
        Ok(Subscription::new(&self.participant, &Self::key(topic), options)?)
    }
}

fn room(size: usize) -> usize {
    6 * size + (64 << 20)
}

/// Takes the next message; polls for it, with pauses of `pause`. Answers what the clock was right before and after.
pub fn take(subscription: &Subscription, pause: Duration) -> Result<(Sample<'_>, i64, i64), Failure> {
    loop {
        let before = now();
        if let Some(sample) = subscription.take()? {
            return Ok((sample, before, now()));
        }
        if pause.is_zero() {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(pause);
        }
    }
}

/// Nanoseconds of the clock that all processes of a machine have in common.
pub fn now() -> i64 {
    let time =
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// What `kernels.cu` fills a message with, word by word.
fn word(seed: u64, at: u64) -> u64 {
    let mut x = seed ^ at;
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Bytes of a message on the host that are not as filled.
pub fn wrong_bytes(bytes: &[u8], seed: u64) -> i64 {
    let wrong = |(at, chunk): (usize, &[u8])| {
        let expected = word(seed, at as u64).to_le_bytes();
        if expected.get(..chunk.len()) == Some(chunk) {
            0
        } else {
            chunk.iter().zip(expected).filter(|(found, expected)| *found != expected).count() as i64
        }
    };
    bytes.chunks(8).enumerate().map(wrong).sum()
}

//! Who lives on: publishes in one thread, takes and serves in another, misses nothing.

use crate::endpoints::*;
use crate::support::*;
use hazcat_core::domain::DomainId;
use hazcat_core::{Participant, Publisher, Subscription};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{mpsc, Arc};
use std::time::Duration;

/// Requests that a survivor sends before it has got the reply to the first of them.
const IN_FLIGHT: u64 = 8;

/// What one survivor takes.
struct Taking {
    participant: Arc<Participant>,
    all: Receiver,
    queues: [Receiver; 3],
    requests: Subscription,
    repliers: HashMap<u64, Publisher>,
    replies: Subscription,
    replied: Arc<AtomicU64>,
    served: u64,
}

/// What it publishes.
struct Publishing {
    all: Publisher,
    last: Publisher,
    across: [Publisher; 2],
    requests: Publisher,
    client: u64,
}

impl Taking {
    fn new(participant: &Arc<Participant>, index: u64) -> Self {
        let receiver = |topic, options, complete| Receiver::new(participant, topic, options, complete);
        Self {
            participant: Arc::clone(participant),
            all: receiver(ALL, keep_all(), true),
            queues: [
                receiver(LAST, last(64), false),
                receiver(ACROSS, subscription_in(DomainId::HOST), false),
                receiver(ACROSS, subscription_in(device()), false),
            ],
            requests: subscription(participant, &requests(index), keep_all()),
            repliers: HashMap::new(),
            replies: subscription(participant, &replies(client_id(participant)), keep_all()),
            replied: Arc::default(),
            served: 0,
        }
    }

    /// Takes and serves what there is.
    fn turn(&mut self) {
        self.all.take_all();
        self.queues.iter_mut().for_each(Receiver::take_all);
        for _ in 0..1000 {
            let Some((client, number)) = take(&self.requests) else { break };
            self.served += 1;
            if self.repliers.len() > 8 {
                self.repliers.clear();
            }
            let replier = self.repliers.entry(client);
            let replier = replier.or_insert_with(|| {
                publisher(&self.participant, &replies(client), keep_all_publisher(Duration::from_millis(1)))
            });
            let mut loan = replier.loan(64).expect("loan");
            fill(&mut loan, client, number);
            // A victim need not be there to take it.
            let _ = replier.publish(loan, &hazcat_core::MessageMeta::default());
        }
        while let Some((client, number)) = take(&self.replies) {
            assert_eq!(client, client_id(&self.participant), "a reply to somebody else");
            let before = self.replied.fetch_add(1, Ordering::Relaxed);
            assert_eq!(number, before + 1, "replies come once and in order");
        }
    }

    fn count(&self) -> u64 {
        let received: u64 = self.queues.iter().map(|receiver| receiver.count).sum();
        received + self.all.count + self.served + self.replied.load(Ordering::Relaxed)
    }
}

impl Publishing {
    fn new(participant: &Arc<Participant>, index: u64) -> Self {
        let make = |topic: &str, options| publisher(participant, topic, options);
        Self {
            all: make(ALL, keep_all_publisher(Duration::MAX)),
            last: make(LAST, last_publisher()),
            across: [DomainId::HOST, device()].map(|domain| make(ACROSS, publisher_in(domain))),
            requests: make(&requests(1 - index), keep_all_publisher(Duration::MAX)),
            client: client_id(participant),
        }
    }

    /// Publishes until it is told to stop; how many keep-all messages and requests.
    fn run(&self, mut random: Random, stop: &AtomicBool, replied: &AtomicU64) -> (u64, u64) {
        let (mut published, mut asked) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..random.below(20) {
                published += 1;
                assert_eq!(self.all.next_number(), published);
                publish(&self.all, 1, published, 64);
            }
            match random.below(8) {
                0 | 1 => publish(&self.last, 1, self.last.next_number(), size(&mut random)),
                2 => publish_across(&self.across[random.below(2) as usize], 1, size(&mut random).min(100_000)),
                3..=5 if asked < replied.load(Ordering::Relaxed) + IN_FLIGHT => {
                    asked += 1;
                    publish(&self.requests, self.client, asked, 64);
                }
                _ => {}
            }
        }
        (published, asked)
    }
}

/// Until its input says stop; then takes the rest and tells.
pub fn run(participant: &Arc<Participant>, index: u64, random: &mut Random) {
    let mut taking = Taking::new(participant, index);
    let publishing = Publishing::new(participant, index);
    answer("ready");
    assert_eq!(next_line().as_deref(), Some("go"));
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || {
        while let Some(line) = next_line() {
            let _ = sender.send(line);
        }
    });
    let stop = AtomicBool::new(false);
    let replied = Arc::clone(&taking.replied);
    let asked = std::thread::scope(|scope| {
        let (seed, stop, publishing, replied) = (random.fork(), &stop, &publishing, &*replied);
        let thread = scope.spawn(move || publishing.run(seed, stop, replied));
        while !thread.is_finished() {
            taking.turn();
            match told.try_recv().as_deref() {
                Ok("count") => answer(taking.count()),
                Ok("stop") => stop.store(true, Ordering::Relaxed),
                _ if random.below(8) == 0 => std::thread::sleep(Duration::from_micros(random.below(200))),
                _ => {}
            }
        }
        let (published, asked) = thread.join().expect("no panic");
        answer(format!("{} {published}", hex(publishing.all.gid())));
        asked
    });
    // Everybody goes on taking until everybody has stopped publishing and has got its replies.
    let mut expected: Option<Vec<(String, u64)>> = None;
    let is_there = |taking: &Taking, expected: &[(String, u64)]| {
        expected.iter().all(|(gid, total)| taking.all.last_of(gid) >= *total)
    };
    while expected.as_ref().is_none_or(|expected| !is_there(&taking, expected))
        || taking.replied.load(Ordering::Relaxed) < asked
    {
        taking.turn();
        if let Ok(line) = told.try_recv() {
            let words: Vec<&str> = line.split(' ').collect();
            let pairs = words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].parse().expect("a number")));
            expected = Some(pairs.collect());
        }
        std::thread::yield_now();
    }
    for (gid, total) in expected.into_iter().flatten() {
        assert_eq!(taking.all.last_of(&gid), total, "the last message of survivor {gid}");
    }
    taking.all.expect_losses_told();
    taking.queues.iter_mut().for_each(Receiver::expect_losses_told);
    let count = taking.count();
    answer(format!("{count} {asked}"));
    // The other one may still wait for replies.
    while told.recv_timeout(Duration::from_micros(100)) != Err(mpsc::RecvTimeoutError::Disconnected) {
        taking.turn();
        taking.repliers.clear();
    }
}

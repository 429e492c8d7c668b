//! Those who live on, and what they are asked for after each death.

use crate::support::*;
use crate::talking::*;
use crate::victim::{keep_all, keep_all_publisher, lasting, lasting_publisher, small_publisher};
use hazcat_core::domain::DomainId;
use hazcat_core::graph::NodeRecord;
use hazcat_core::{Gid, Participant, Publisher, Subscription, SubscriptionOptions};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Payload of the topic on which memory is scarce: sixty of these are all there is.
const SMALL_BYTES: usize = 4096;

/// Numbers of the survivors' messages across domains are above this one.
const SURVIVORS_MARK: u64 = 1 << 32;

/// Two participants that exchange messages on four topics: keep-all, transient-local, and with little memory.
pub struct Survivors {
    root: std::path::PathBuf,
    here: Arc<Participant>,
    there: Arc<Participant>,
    to: [Publisher; 3],
    from: [Subscription; 3],
    /// Device to host, by copies of which victims make some.
    to_host: Publisher,
    from_device: Subscription,
    sent: u64,
    received: [HashMap<Gid, u64>; 3],
    published: [u64; 3],
    since_account: u64,
    messages_of_victims: u64,
}

fn node(name: &str) -> NodeRecord {
    NodeRecord { name: name.into(), namespace: "/".into(), enclave: "/".into() }
}

impl Survivors {
    pub fn new(root: &Root) -> Self {
        let (here, there) = (root.join(), root.join());
        here.graph().add_node(node("here")).expect("add node");
        there.graph().add_node(node("there")).expect("add node");
        let from = [
            subscription(&there, "all", keep_all()),
            subscription(&there, "last", lasting(1000)),
            subscription(&there, "small", lasting(1000)),
        ];
        let to = [
            publisher(&here, "all", keep_all_publisher(Duration::MAX)),
            publisher(&here, "last", lasting_publisher()),
            publisher(&here, "small", small_publisher()),
        ];
        let from_device = subscription_in(&there, "across", DomainId::HOST);
        let to_host = publisher_in(&here, "across", sim(3));
        Self {
            to_host,
            from_device,
            sent: 0,
            root: root.path().to_path_buf(),
            here,
            there,
            to,
            from,
            received: Default::default(),
            published: [0; 3],
            since_account: 0,
            messages_of_victims: 0,
        }
    }

    fn publish(&mut self, which: usize, bytes: usize) {
        self.published[which] += 1;
        publish(&self.to[which], 1, self.published[which], bytes);
    }

    /// Takes everything; of each publisher every number once and in order, of the living ones without a gap.
    fn take_all(&mut self) {
        for which in 0..3 {
            while let Some(sample) = self.from[which].take().expect("take") {
                let (who, number) = expect_whole(&sample);
                let gid = sample.info().gid;
                assert_eq!(sample.info().number.0, number);
                let before = self.received[which].insert(gid, number).unwrap_or(0);
                // On the keep-all topic nothing of a victim may be missing either, until it dies.
                if who == 1 || which == 0 {
                    assert_eq!(number, before + 1, "topic {which}, publisher {gid:?}");
                } else {
                    assert!(number > before, "topic {which}: {number} after {before}");
                }
                self.messages_of_victims += u64::from(who == 9);
            }
        }
    }

    /// A message from the device, which arrives on the host next, whoever made the copy.
    fn send_across(&mut self) {
        self.sent += 1;
        let marked = SURVIVORS_MARK + self.sent;
        send(&self.to_host, marked, 2000);
        let got = receive_all(&self.from_device, DomainId::HOST);
        let survivors: Vec<u64> = got.into_iter().filter(|number| *number > SURVIVORS_MARK).collect();
        assert_eq!(survivors, [marked], "across domains");
        assert_eq!(self.from_device.lost().total, 0);
    }

    /// A few messages on each topic.
    pub fn round(&mut self) {
        // A victim that is busy elsewhere makes no room for keep-all messages: half of what it may leave unread.
        if self.since_account < 1000 {
            self.since_account += 10;
            (0..10).for_each(|_| self.publish(0, 64));
        }
        (0..3).for_each(|_| self.publish(1, 256));
        (0..3).for_each(|_| self.publish(2, SMALL_BYTES));
        self.take_all();
        self.send_across();
        std::thread::sleep(Duration::from_millis(1));
    }

    /// After a death: everything arrives, memory has come back, the graph knows who is alive, a newcomer takes part.
    pub fn account(&mut self, what: &str) {
        self.since_account = 0;
        // More than a dead keep-all subscription would let through, and many times the small budget.
        for turn in 0..150 {
            (0..20).for_each(|_| self.publish(0, 64));
            self.publish(1, 512);
            (0..2).for_each(|_| self.publish(2, SMALL_BYTES));
            if turn % 10 == 0 {
                self.take_all();
                self.send_across();
            }
        }
        self.take_all();
        for which in 0..3 {
            let gid = self.to[which].gid();
            let last = self.received[which].get(&gid).copied();
            assert_eq!(last, Some(self.published[which]), "topic {which} after {what}");
        }
        assert_eq!(self.from[0].lost().total, 0, "{what}");
        // Memory: as many chunks at once as the budget has, while nobody reads.
        let loans: Vec<_> = (0..40).map(|_| self.to[2].loan(SMALL_BYTES)).collect();
        assert!(
            loans.iter().all(Result::is_ok),
            "after {what}: {:?}",
            loans.iter().find_map(|loan| loan.as_ref().err())
        );
        drop(loans);
        for participant in [&self.here, &self.there] {
            wait_until(&format!("the graph is right after {what}"), || {
                let graph = participant.graph().snapshot();
                let mut names: Vec<_> = graph.nodes().map(|node| node.record.name.clone()).collect();
                names.sort();
                names == ["here", "there"] && graph.participants().count() == 2
            });
        }
        self.newcomer(what);
    }

    fn newcomer(&mut self, what: &str) {
        let config = hazcat_core::Config { root: self.root.clone(), ..Default::default() };
        let here = Participant::join(&config).expect("join");
        let last = subscription(&here, "last", lasting(8));
        let all = subscription(&here, "all", keep_all());
        let to_all = publisher(&here, "all", keep_all_publisher(Duration::MAX));
        let past = self.published[1] - 7..=self.published[1];
        let got: Vec<(u64, u64)> = take_all(&last).into_iter().filter(|(who, _)| *who == 1).collect();
        assert_eq!(got, past.map(|number| (1, number)).collect::<Vec<_>>(), "the past, after {what}");
        for number in 1..=5 {
            publish(&to_all, 5, number, 64);
            self.publish(0, 64);
        }
        let (newcomers, survivors): (Vec<_>, Vec<_>) = take_all(&all).into_iter().partition(|(who, _)| *who == 5);
        assert_eq!(newcomers, (1..=5).map(|number| (5, number)).collect::<Vec<_>>(), "{what}");
        assert_eq!(survivors.len(), 5, "{what}");
        self.take_all();
        assert_eq!(self.received[0].get(&to_all.gid()), Some(&5), "{what}");
        drop((last, all, to_all));
        here.leave();
    }

    /// Nothing of the dead is left: two participants, four topics, segments of the survivors alone.
    pub fn expect_no_leftovers(&mut self, what: &str) {
        let owners = [&self.here, &self.there].map(|who| format!("-{:016x}-", who.identity().word()));
        let directory = self.here.directory().path().to_path_buf();
        let names = |folder: &str| -> Vec<String> {
            let entries = std::fs::read_dir(directory.join(folder)).expect("list").flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let counts = || {
            let segments = names("payload");
            let foreign = segments.iter().filter(|name| !owners.iter().any(|owner| name.contains(owner))).count();
            (names("participants").len(), names("bells").len(), names("topics").len(), foreign)
        };
        let clean = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until_for(Duration::from_secs(20), what, || counts() == (2, 2, 4, 0));
        }));
        assert!(clean.is_ok(), "participants, bells, topics, foreign segments: {:?} after {what}", counts());
    }

    pub fn summary(&self) -> String {
        format!("{:?} messages of survivors, {} of victims", self.published, self.messages_of_victims)
    }

    pub fn leave(self) {
        let Self { here, there, to, from, to_host, from_device, .. } = self;
        drop((to, from, to_host, from_device));
        here.leave();
        there.leave();
    }
}

/// Who joins next, with nobody alive, finds nothing that disturbs, and leaves nothing.
pub fn next_finds_everything_in_order(root: &Root, what: &str) {
    let here = root.join();
    // A victim of the victim dies a moment after it.
    wait_until(what, || here.graph().snapshot().participants().count() == 1);
    for (topic, keeps_all) in [("all", true), ("last", false), ("litter", true)] {
        let sub = subscription(&here, topic, if keeps_all { keep_all() } else { lasting(10) });
        let to =
            publisher(&here, topic, if keeps_all { keep_all_publisher(Duration::MAX) } else { lasting_publisher() });
        assert_eq!(take(&sub), None, "{topic} after {what}");
        for number in 1..=2500 {
            publish(&to, 5, number, 64);
            assert_eq!(take(&sub), Some((5, number)), "{topic} after {what}");
        }
    }
    let again = subscription(&here, "small", SubscriptionOptions::default());
    assert_eq!(take(&again), None);
    for folder in ["participants", "bells"] {
        assert_eq!(root.files_in(folder).len(), 1, "{folder} after {what}");
    }
    drop(again);
    here.leave();
    let left: Vec<_> = std::fs::read_dir(root.path()).expect("root").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?} after {what}");
}

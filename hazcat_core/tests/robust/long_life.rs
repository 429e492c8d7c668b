//! A process that outlives thousands of others, joins and leaves without end, and processes that are stopped for a while. (Numbers
//! near their end: `queue_hostile.rs` for laps and positions, the unit tests of `lease` for generations.)
//!
//! `HAZCAT_LONG=1`: 10,000 processes, a third of them killed. `HAZCAT_SOAK_SECONDS=3600`: joins and leaves for so long;
//! many more of them with `HAZCAT_NO_INOTIFY=1`, because the kernel takes milliseconds to close an inotify instance.

use crate::support::*;
use crate::usage::Usage;
use hazcat_core::graph::NodeRecord;
use hazcat_core::{
    Config, History, MessageMeta, Participant, PublishError, Publisher, PublisherOptions, Subscription,
    SubscriptionOptions,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// To be printed by the test.
macro_rules! say {
    ($($what:tt)*) => { answer(format!($($what)*)) };
}

/// One short life: joins, says who it is, publishes and listens, and leaves in good order.
fn live_briefly(config: &Config, random: &mut Random) {
    let here = Participant::join(config).expect("join");
    let name = format!("n{}", random.below(1000));
    let record = NodeRecord { name, namespace: "/".into(), enclave: "/".into() };
    here.graph().add_node(record).expect("node");
    let options = PublisherOptions { transient_local: random.below(2) == 0, ..PublisherOptions::default() };
    let publisher = publisher(&here, "news", options);
    publish(&publisher, here.identity().word(), random.below(1000), 16 + 8 * random.below(100) as usize);
    let sub =
        subscription(&here, "orders", SubscriptionOptions { transient_local: true, ..SubscriptionOptions::default() });
    assert!(take(&sub).is_some(), "the survivor's last orders");
    if random.below(4) == 0 {
        // A topic of its own, made and removed again.
        drop(publisher_of_its_own(&here, random));
    }
}

fn publisher_of_its_own(here: &Arc<Participant>, random: &mut Random) -> Publisher {
    publisher(here, &format!("own{}", random.below(1 << 20)), PublisherOptions::default())
}

/// A child: lives briefly, over and over, until its input ends; tells how often. Or (`argument` is "once") once, and waits.
pub fn come_and_go(config: &Config, argument: &str) {
    let mut random = Random::new(std::process::id().into());
    if argument == "once" {
        live_briefly(config, &mut random);
        let here = Participant::join(config).expect("join");
        let publisher = publisher(&here, "news", PublisherOptions::default());
        publish(&publisher, 1, 1, 64);
        answer("ready");
        while next_line().is_some() {}
        return;
    }
    answer("ready");
    let mut lives = 0u64;
    while let Some(line) = next_line() {
        let until = Instant::now() + Duration::from_millis(line.parse().expect("milliseconds"));
        while Instant::now() < until {
            live_briefly(config, &mut random);
            lives += 1;
        }
        // The news thread of the last one may still be letting go.
        wait_until("all is unmapped", || Usage::now().mappings == 0);
        let usage = Usage::at_rest();
        let Usage { descriptors, mappings, resident, allocated } = usage;
        answer(format!("{lives} {descriptors} {mappings} {resident} {allocated}"));
    }
}

/// The one that stays, with all that it uses.
struct Survivor {
    root: Root,
    here: Arc<Participant>,
    orders: Publisher,
    news: Subscription,
    taken: u64,
}

impl Survivor {
    fn new() -> Self {
        let root = Root::new();
        let here = root.join();
        let lasting = PublisherOptions { transient_local: true, ..PublisherOptions::default() };
        let orders = publisher(&here, "orders", lasting);
        publish(&orders, 1, 1, 64);
        let deep = SubscriptionOptions { history: History::KeepLast(1000), ..SubscriptionOptions::default() };
        let news = subscription(&here, "news", deep);
        Self { root, here, orders, news, taken: 0 }
    }

    fn go_on(&mut self) {
        self.taken += take_all(&self.news).len() as u64;
        publish(&self.orders, 1, self.taken, 64);
    }

    /// Everybody else is gone, and what they left has been cleaned up.
    fn settled(&mut self) -> (Usage, usize) {
        wait_until("the others are gone", || self.here.graph().snapshot().nodes().count() == 0);
        let files = |survivor: &Self| survivor.root.files().len();
        // Cleaning up behind the dead takes a second or two.
        let deadline = Instant::now() + Duration::from_secs(10);
        while files(self) > 8 && Instant::now() < deadline {
            self.go_on();
            std::thread::sleep(Duration::from_millis(20));
        }
        (Usage::at_rest(), files(self))
    }
}

/// Runs a measurement in a process of its own: other tests of this one have descriptors and mappings too.
fn in_a_process_of_its_own(role: &str, patience: Duration) {
    let _watchdog = Watchdog::with_patience(patience);
    let root = Root::new();
    let mut process = Peer::start(&root, role);
    while let Some(line) = process.try_answer() {
        println!("{line}");
    }
    assert!(process.finish().success());
}

#[test]
fn a_process_outlives_many_others() {
    in_a_process_of_its_own("outlive", Duration::from_secs(if long() { 3600 } else { 300 }));
}

/// A child: the process that outlives.
pub fn outlive() {
    let count = if long() { 10_000 } else { 60 };
    let mut survivor = Survivor::new();
    let mut start = None;
    let mut killed = 0;
    for number in 0..count {
        let mut peer = Peer::started(&survivor.root, "come-and-go once");
        survivor.go_on();
        if number % 3 == 0 {
            peer.kill();
            killed += 1;
        } else {
            assert!(peer.finish().success());
        }
        if number == count / 6 {
            start = Some(survivor.settled());
        }
    }
    let (before, files_before) = start.expect("measured");
    let (after, files_after) = survivor.settled();
    say!("{count} processes outlived, {killed} of them killed; {} messages taken", survivor.taken);
    say!("{before:?}, {files_before} files; at the end {after:?}, {files_after} files");
    assert!(survivor.taken >= count, "of each at least one message");
    assert!(after.descriptors <= before.descriptors && after.mappings <= before.mappings + 4);
    assert!(files_after <= files_before + 2);
    assert!(after.resident <= before.resident + (2 << 20), "memory grows");
}

fn soak() -> Option<Duration> {
    std::env::var("HAZCAT_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).map(Duration::from_secs)
}

#[test]
fn joins_and_leaves_without_end_leave_nothing() {
    in_a_process_of_its_own("stay", soak().unwrap_or_default() * 2 + Duration::from_secs(300));
}

/// A child: the process that stays while others come and go.
pub fn stay() {
    let soak = soak();
    let duration = soak.unwrap_or(Duration::from_millis(1500));
    let mut survivor = Survivor::new();
    let mut peers: Vec<Peer> = (0..2).map(|_| Peer::started(&survivor.root, "come-and-go on")).collect();
    let mut round = |survivor: &mut Survivor, length: Duration| -> Vec<Vec<u64>> {
        peers.iter_mut().for_each(|peer| peer.send(&length.as_millis().to_string()));
        let until = Instant::now() + length;
        while Instant::now() < until {
            survivor.go_on();
            std::thread::sleep(Duration::from_millis(2));
        }
        let numbers = |line: String| line.split(' ').map(|word| word.parse().expect("a number")).collect();
        peers.iter_mut().map(|peer| numbers(peer.answer())).collect()
    };
    // Heaps and caches have their size after a tenth.
    let first = round(&mut survivor, duration / 10);
    let (before, files_before) = survivor.settled();
    let steps = (duration.as_secs() / 60).max(1) as u32;
    let mut last = first.clone();
    for step in 0..steps {
        last = round(&mut survivor, duration * 9 / 10 / steps);
        if soak.is_some() {
            let lives: u64 = last.iter().map(|peer| peer[0]).sum();
            say!("{step}: {lives} joins and leaves, {:?}, peers {last:?}", Usage::now());
        }
    }
    let (after, files_after) = survivor.settled();
    let lives: u64 = last.iter().map(|peer| peer[0]).sum();
    say!("{lives} joins and leaves, {} messages taken", survivor.taken);
    say!("{before:?}, {files_before} files; at the end {after:?}, {files_after} files; peers {first:?} and {last:?}");
    assert!(lives > 10);
    assert!(after.descriptors <= before.descriptors && after.mappings <= before.mappings + 4);
    assert!(files_after <= files_before + 2 && after.resident <= before.resident + (2 << 20));
    for (first, last) in first.iter().zip(&last) {
        assert!(last[1] <= first[1] + 2 && last[2] <= first[2] + 4, "descriptors and mappings of who comes and goes");
        assert!(last[3] <= first[3] + (4 << 20), "memory of who comes and goes");
    }
}

/// A child: publishes as fast as it can (`publish`), or takes (`take`), until its input ends; tells how much.
pub fn keep_busy(config: &Config, argument: &str) {
    let here = Participant::join(config).expect("join");
    let stop = AtomicBool::new(false);
    let publisher = (argument == "publish").then(|| publisher(&here, "t", PublisherOptions::default()));
    let sub = (argument != "publish").then(|| {
        let history = if argument == "keep-all" { History::KeepAll } else { History::KeepLast(10) };
        subscription(&here, "t", SubscriptionOptions { history, ..SubscriptionOptions::default() })
    });
    answer("ready");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while next_line().is_some() {}
            stop.store(true, Ordering::Relaxed);
        });
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            if let Some(publisher) = &publisher {
                publish(publisher, 2, number, 256);
            }
            if let Some(sub) = &sub {
                let _ = take_all(sub);
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn whoever_is_stopped_slows_nobody_down_but_keep_all_publishers() {
    let rounds = if long() { 200 } else { 8 };
    let _watchdog = Watchdog::with_patience(Duration::from_secs(600));
    let mut random = Random::seeded("stopping");
    let root = Root::new();
    let here = root.join();
    let own = publisher(&here, "t", PublisherOptions::default());
    let sub = subscription(&here, "t", SubscriptionOptions { history: History::KeepLast(1000), ..Default::default() });
    let mut peers = vec![
        Peer::started(&root, "keep-busy publish"),
        Peer::started(&root, "keep-busy take"),
        Peer::started(&root, "keep-busy take"),
    ];
    let time = |what: &str| {
        let begun = Instant::now();
        for number in 1..=2000 {
            publish(&own, 1, number, 256);
            if number % 100 == 0 {
                let mine = take_all(&sub).iter().filter(|(who, _)| *who == 1).count() as u64;
                let lost = sub.take_lost().total;
                assert!(mine > 0 || lost > 0, "{what}: nothing arrives");
            }
        }
        begun.elapsed()
    };
    let undisturbed = time("undisturbed");
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        // At any instruction: of a publication, of a take.
        let victim = round % peers.len();
        std::thread::sleep(Duration::from_micros(random.below(2000)));
        peers[victim].signal(libc::SIGSTOP);
        slowest = slowest.max(time("somebody is stopped"));
        peers[victim].signal(libc::SIGCONT);
    }
    println!("2,000 publications: {undisturbed:?} undisturbed, at the most {slowest:?} beside a stopped process");

    // A keep-all publisher waits for its blocking time, says so, and goes on when the other does.
    let careful = Peer::started(&root, "keep-busy keep-all");
    let keep_all = publisher(
        &here,
        "t",
        PublisherOptions { history: History::KeepAll, max_blocking: Duration::from_millis(20), ..Default::default() },
    );
    careful.signal(libc::SIGSTOP);
    let mut failed = None;
    let try_to_publish = || {
        let mut loan = keep_all.loan(64).expect("loan");
        fill(&mut loan, 3, 1);
        keep_all.publish(loan, &MessageMeta::default())
    };
    for _ in 0..100_000 {
        failed = try_to_publish().err();
        if failed.is_some() {
            break;
        }
    }
    assert!(matches!(failed, Some(PublishError::TimedOut)), "{failed:?}");
    assert!(time("a keep-all subscription is stopped") > Duration::ZERO);
    careful.signal(libc::SIGCONT);
    wait_until("the keep-all publisher goes on", || try_to_publish().is_ok());
    peers.push(careful);
    for mut peer in peers {
        assert!(peer.finish().success());
    }
}

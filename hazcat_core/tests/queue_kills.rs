//! Processes killed with SIGKILL at random instants: what survivors exchange is complete and in order, memory comes back,
//! and nothing remains at the end.
//!
//! Two topics. On `all` everything is keep-all: every message of every publisher must arrive, without a gap, up to the last
//! one of a publisher that was killed. On `last` publishers are transient-local and keep the last messages, of up to a
//! megabyte: what arrives must be whole, in order and unique, and every gap counted as lost.

mod support;

use hazcat_core::{
    Gid, History, MessageMeta, Participant, PublishError, PublisherOptions, Subscription, SubscriptionOptions,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;

fn keep_all_publisher(max_blocking: Duration) -> PublisherOptions {
    PublisherOptions { history: History::KeepAll, max_blocking, ..PublisherOptions::default() }
}

fn keep_all() -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepAll, ..SubscriptionOptions::default() }
}

fn last_publisher() -> PublisherOptions {
    PublisherOptions {
        transient_local: true,
        history: History::KeepLast(8),
        byte_budget: 16 << 20,
        ..PublisherOptions::default()
    }
}

fn last(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { transient_local: true, history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

fn size(random: &mut Random) -> usize {
    let magnitude = random.below(18);
    16 + 8 * random.below(1 << magnitude) as usize
}

/// What a subscription has got of each publisher.
#[derive(Default)]
struct Received(HashMap<Gid, u64>);

impl Received {
    /// Takes all there is. `complete`: no number may be missing from the first one on.
    fn take_all(&mut self, sub: &Subscription, complete: bool) -> u64 {
        let mut count = 0;
        // Not for ever: others may publish as quickly as this takes.
        while count < 10_000 {
            let Some(sample) = sub.take().expect("take") else { break };
            let (_, number) = expect_whole(&sample);
            assert_eq!(sample.info().number.0, number);
            let before = self.0.insert(sample.info().gid, number);
            match before {
                Some(before) if complete => assert_eq!(number, before + 1, "lost so far: {:?}", sub.lost()),
                Some(before) => assert!(number > before, "{number} after {before}"),
                None => {}
            }
            count += 1;
        }
        count
    }
}

/// Not a test: what a child runs.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    let mut words = role.split(' ');
    let (role, seed) = (words.next().expect("a role"), words.next().and_then(|seed| seed.parse().ok()));
    let mut random = Random::new(seed.unwrap_or(0));
    let participant = Participant::join(&config).expect("join");
    match role {
        "victim" => victim(&participant, &mut random),
        "survivor" => survivor(&participant, &mut random),
        other => panic!("{other}"),
    }
    participant.leave();
}

/// Does everything at random, for ever: creates and drops endpoints, publishes, takes, holds.
fn victim(participant: &Arc<Participant>, random: &mut Random) {
    answer("ready");
    loop {
        let subs = [subscription(participant, "all", keep_all()), subscription(participant, "last", last(4))];
        // It takes and publishes in one thread: it must not wait for itself for long.
        let publishers = [
            publisher(participant, "all", keep_all_publisher(Duration::from_millis(1))),
            publisher(participant, "last", last_publisher()),
        ];
        let mut received = [Received::default(), Received::default()];
        let mut held = Vec::new();
        for _ in 0..random.below(3000) {
            let which = random.below(2) as usize;
            match random.below(8) {
                0..=3 => {
                    let number = publishers[which].next_number();
                    let mut loan = publishers[which].loan(if which == 0 { 64 } else { size(random) }).expect("loan");
                    fill(&mut loan, 0, number);
                    match publishers[which].publish(loan, &MessageMeta::default()) {
                        Ok(_) => {}
                        // Numbers are not used again, and what is expected to follow without a gap would not.
                        Err(PublishError::TimedOut) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                4 => drop(publishers[which].loan(size(random)).expect("loan")),
                5 if held.len() < 10 => held.extend(subs[1].take().expect("take")),
                6 if !held.is_empty() => {
                    let at = random.below(held.len() as u64) as usize;
                    expect_whole(&held.swap_remove(at));
                }
                _ => {
                    received[0].take_all(&subs[0], true);
                    if which == 1 && held.len() < 25 {
                        received[1] = Received::default();
                        received[1].take_all(&subs[1], false);
                    }
                }
            }
        }
    }
}

/// Publishes in one thread and takes in another until its input says stop, then takes the rest and tells.
fn survivor(participant: &Arc<Participant>, random: &mut Random) {
    let all = subscription(participant, "all", keep_all());
    let newest = subscription(participant, "last", last(64));
    let publishers = [
        publisher(participant, "all", keep_all_publisher(Duration::MAX)),
        publisher(participant, "last", last_publisher()),
    ];
    answer("ready");
    assert_eq!(next_line().as_deref(), Some("go"));
    let (sender, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Some(line) = next_line() {
            let _ = sender.send(line);
        }
    });
    let stop = AtomicBool::new(false);
    let mut received = [Received::default(), Received::default()];
    let mut count = 0;
    std::thread::scope(|scope| {
        let (stop, publishers) = (&stop, &publishers);
        let mut publishing = random.fork();
        let publishing = scope.spawn(move || {
            let mut published = 0;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..publishing.below(20) {
                    published += 1;
                    assert_eq!(publishers[0].next_number(), published);
                    publish(&publishers[0], 1, published, 64);
                }
                if publishing.below(4) == 0 {
                    publish(&publishers[1], 1, publishers[1].next_number(), size(&mut publishing));
                }
            }
            published
        });
        while told.try_recv().map_or(true, |line| line != "stop") {
            count += received[0].take_all(&all, true);
            count += received[1].take_all(&newest, false);
            if random.below(8) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(200)));
            }
        }
        stop.store(true, Ordering::Relaxed);
        while !publishing.is_finished() {
            received[0].take_all(&all, true);
        }
        answer(format!("{} {}", hex(publishers[0].gid()), publishing.join().expect("no panic")));
    });
    // Everybody goes on taking until everybody has stopped publishing.
    let expected: Vec<(String, u64)> = loop {
        received[0].take_all(&all, true);
        received[1].take_all(&newest, false);
        if let Ok(line) = told.try_recv() {
            let words: Vec<&str> = line.split(' ').collect();
            break words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].parse().expect("a number"))).collect();
        }
        std::thread::yield_now();
    };
    while received[0].take_all(&all, true) > 0 {}
    for (gid, total) in expected {
        let got = received[0].0.iter().find(|(of, _)| hex(**of) == gid).map_or(0, |(_, number)| *number);
        assert_eq!(got, total, "the last message of survivor {gid}");
    }
    // What may be counted as lost is what the killed had published and the ring did not hold any more: of everybody's
    // messages every number was checked.
    answer(count);
    while told.recv().is_ok() {}
}

fn hex(gid: Gid) -> String {
    format!("{gid:?}")
}

#[test]
fn survivors_miss_nothing_and_nothing_remains() {
    let duration = Duration::from_secs(if long() { 120 } else { 6 });
    let _watchdog = Watchdog::with_patience(duration + Duration::from_secs(120));
    let mut random = Random::seeded("survivors_miss_nothing");
    let root = Root::new();
    let mut survivors: Vec<Peer> =
        (0..2).map(|_| Peer::started(&root, &format!("survivor {}", random.next()))).collect();
    survivors.iter_mut().for_each(|survivor| survivor.send("go"));
    let mut victims: Vec<Peer> = Vec::new();
    let mut kills = 0;
    let end = Instant::now() + duration;
    while Instant::now() < end {
        if victims.len() < 3 {
            victims.push(Peer::start(&root, &format!("victim {}", random.next())));
        }
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        if random.below(3) > 0 && !victims.is_empty() {
            let at = random.below(victims.len() as u64) as usize;
            let mut victim = victims.swap_remove(at);
            if let Some(status) = victim.try_wait() {
                panic!("a victim ended by itself: {status}");
            }
            victim.kill();
            kills += 1;
        }
        for survivor in &mut survivors {
            assert_eq!(survivor.try_wait(), None, "a survivor has ended");
        }
    }
    victims.iter_mut().for_each(Peer::kill);
    survivors.iter_mut().for_each(|survivor| survivor.send("stop"));
    let totals: Vec<String> = survivors.iter_mut().map(Peer::answer).collect();
    survivors.iter_mut().for_each(|survivor| survivor.send(&totals.join(" ")));
    let counts: Vec<u64> = survivors.iter_mut().map(|survivor| survivor.answer().parse().expect("a number")).collect();
    println!("{kills} killed; survivors published {totals:?} and received {counts:?}");
    assert!(kills > 10, "only {kills} were killed");
    // The dead have left nothing: two participants, two topics, and a segment or a few for each living publisher.
    wait_until("what the dead left is removed", || {
        root.files_in("participants").len() == 2 && root.files_in("bells").len() == 2 && {
            let segments = root.files_in("payload");
            let owners = segments.iter().filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some(name.split('-').nth(1)?.to_owned())
            });
            let mut owners: Vec<String> = owners.collect();
            owners.sort_unstable();
            owners.dedup();
            owners.len() == 2
        }
    });
    assert_eq!(root.files_in("topics").len(), 2);
    for survivor in &mut survivors {
        assert!(survivor.finish().success());
    }
    root.assert_empty();
}

#[test]
fn all_are_killed_and_who_comes_next_finds_it_clean() {
    let _watchdog = Watchdog::new();
    let mut random = Random::seeded("all_are_killed");
    let root = Root::new();
    for _ in 0..if long() { 200 } else { 12 } {
        let mut victims: Vec<Peer> =
            (0..2).map(|_| Peer::started(&root, &format!("victim {}", random.next()))).collect();
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        victims.iter_mut().for_each(Peer::kill);
        let here = root.join();
        let sub = subscription(&here, "all", keep_all());
        assert!(!sub.has_data());
        let publisher = publisher(&here, "all", keep_all_publisher(Duration::from_secs(60)));
        for number in 1..=3000 {
            publish(&publisher, 5, number, 64);
            assert_eq!(take(&sub), Some((5, number)), "no dead subscription is waited for");
        }
        assert_eq!(root.files_in("participants").len(), 1);
        assert_eq!(root.files_in("payload").len(), 1);
        drop((sub, publisher));
        here.leave();
        root.assert_empty();
    }
}

#[test]
fn the_dead_of_before_do_not_count_for_who_joins_later() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    // Somebody else keeps the directory, and has no topic open: nobody cleans up in topics.
    let bystander = root.join();
    for _ in 0..5 {
        let mut survivors: Vec<Peer> = (0..2).map(|seed| Peer::started(&root, &format!("survivor {seed}"))).collect();
        survivors.iter_mut().for_each(Peer::kill);
        let here = root.join();
        let publisher = publisher(&here, "all", keep_all_publisher(Duration::from_secs(60)));
        let started = Instant::now();
        for number in 1..=5000 {
            publish(&publisher, 5, number, 64);
        }
        assert!(started.elapsed() < Duration::from_secs(60), "a dead keep-all subscription was waited for");
        drop(publisher);
        here.leave();
    }
    bystander.leave();
    root.assert_empty();
}

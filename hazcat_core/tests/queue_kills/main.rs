//! Processes killed with SIGKILL at random instants: what survivors exchange is complete and in order, memory comes back,
//! and nothing remains at the end.
//!
//! | file | what |
//! |---|---|
//! | `endpoints.rs` | the topics, and what must hold of everything received |
//! | `victim.rs`, `survivor.rs` | what the processes do |
//! | `storm.rs` | hundreds of kills among survivors; `HAZCAT_LONG=1`: ten thousand |
//! | `steps.rs` | one publish, one take: stopped after every instruction, killed at any |
//! | here | everybody killed, and who comes next |
//!
//! On `all` everything is keep-all: every message of every publisher must arrive, without a gap, up to the last one of a
//! publisher that was killed; requests are all answered, once and in order. On `last` publishers are transient-local and keep
//! the last messages, of up to a megabyte, and on `across` messages lie on the host and on a simulated device: what arrives
//! must be whole, in order and unique, and every gap counted as lost.

#[path = "../support/mod.rs"]
mod support;

mod endpoints;
mod steps;
mod storm;
mod survivor;
mod victim;

use endpoints::*;
use hazcat_core::{Participant, PublisherOptions};
use std::time::{Duration, Instant};
use support::*;

/// Not a test: what a child runs.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    // Who kills it is to know that it would have ended by itself, and no other thread of it is to go on.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        answer(format!("panic {}", panic.to_string().replace('\n', " ")));
        std::process::abort();
    }));
    let words: Vec<&str> = role.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|word: &&str| word.parse().ok()).unwrap_or(0);
    let mut random = Random::new(number(1));
    let participant = Participant::join(&config).expect("join");
    match words.first() {
        Some(&"victim") => victim::run(&participant, &mut random),
        Some(&"generous") => {
            let to_all = publisher(&participant, ALL, keep_all_publisher(Duration::MAX));
            (1..=100).for_each(|number| publish(&to_all, 0, number, 64));
            answer("ready");
            while next_line().is_some() {}
        }
        Some(&"stepped") => steps::run(&participant, words.get(1).copied().unwrap_or_default(), number(2)),
        Some(&"survivor") => survivor::run(&participant, number(2), &mut random),
        other => panic!("{other:?}"),
    }
    participant.leave();
}

#[test]
fn all_are_killed_and_who_comes_next_finds_it_clean() {
    let _watchdog = Watchdog::new();
    let mut random = Random::seeded("all_are_killed");
    let root = Root::new();
    for _ in 0..if long() { 200 } else { 12 } {
        let mut victims: Vec<Peer> = (0..2).map(|_| Peer::start(&root, &format!("victim {}", random.next()))).collect();
        victims.iter_mut().for_each(|victim| assert!(victim.answer().starts_with("ready")));
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
        let mut survivors: Vec<Peer> =
            (0..2).map(|index| Peer::started(&root, &format!("survivor {index} {index}"))).collect();
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

/// What it has published outlives a keep-all publisher, wherever in the ring it was, until keep-all subscriptions have it.
#[test]
fn messages_of_a_killed_keep_all_publisher_reach_who_is_lapped() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let mut slow = Receiver::new(&here, ALL, keep_all(), false);
    let mut victim = Peer::started(&root, "generous");
    victim.kill();
    wait_until("its death is known", || root.files_in("participants").len() == 1);
    let rushing = publisher(&here, ALL, PublisherOptions::default());
    for number in 1..=10_000 {
        publish(&rushing, 1, number, 16);
    }
    // Long enough for a sweep or two.
    std::thread::sleep(Duration::from_millis(1200));
    let of_victim: Vec<u64> =
        std::iter::from_fn(|| slow.take()).filter(|(who, _)| *who == 0).map(|(_, number)| number).collect();
    assert_eq!(of_victim, (1..=100).collect::<Vec<_>>());
    let lost = slow.sub.take_lost().total;
    assert_eq!(slow.count + lost, 10_100, "{} came, {lost} were counted as lost", slow.count);
    let own = format!("-{:016x}-", here.identity().word());
    let is_own = |path: &std::path::PathBuf| path.to_string_lossy().contains(&own);
    wait_until("its memory is freed", || root.files_in("payload").iter().all(is_own));
    drop((slow, rushing));
    here.leave();
    root.assert_empty();
}

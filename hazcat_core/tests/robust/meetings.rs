//! Who comes at the same time meets: a publisher and a subscription of different participants, while others come, leave and die
//! on the same topics.
//!
//! `HAZCAT_LONG=1`: ten minutes.

use crate::support::*;
use hazcat_core::domain::DomainId;
use hazcat_core::{Config, Participant, PublisherOptions, SubscriptionOptions, WaitSet, Waitable};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long two look for one another, at the most.
const PATIENCE: Duration = Duration::from_secs(20);

/// A child: pairs that come together, over and over, until its input ends; tells how many, and how long they took at the most.
pub fn come_together(config: &Config, seed: u64) {
    answer("ready");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while next_line().is_some() {}
            over.store(true, Ordering::Relaxed);
        });
        let mut random = Random::new(seed);
        let (mut pairs, mut longest) = (0u64, Duration::ZERO);
        while !over.load(Ordering::Relaxed) {
            longest = longest.max(meet(config, &mut random));
            pairs += 1;
        }
        answer(format!("{pairs} {}", longest.as_micros()));
    });
}

/// One pair: how long it took until the first message arrived.
fn meet(config: &Config, random: &mut Random) -> Duration {
    let name = format!("meeting{}", random.below(3));
    let token = random.next();
    let pauses = [random.below(400), random.below(400)].map(Duration::from_micros);
    let domain = if random.below(3) == 0 { DomainId::new("sim", 0).expect("a domain") } else { DomainId::HOST };
    let late = random.below(2) == 0;
    let met = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(pauses[0]);
            let here = Participant::join(config).expect("join");
            let publisher = publisher(&here, &name, PublisherOptions::default());
            let mut number = 0;
            while !met.load(Ordering::Relaxed) {
                number += 1;
                publish(&publisher, token, number, 64);
                std::thread::sleep(Duration::from_micros(300));
            }
            if late {
                std::thread::sleep(pauses[1]);
            }
        });
        std::thread::sleep(pauses[1]);
        let here = Participant::join(config).expect("join");
        let sub = subscription(&here, &name, SubscriptionOptions { domain, ..SubscriptionOptions::default() });
        let begun = Instant::now();
        let wait_set = WaitSet::new(&here).expect("a bell");
        let items: [&dyn Waitable; 1] = [&sub];
        loop {
            let _ = wait_set.wait(&items, Some(Duration::from_secs(5))).expect("wait");
            let mut arrived = false;
            while let Some(sample) = sub.take().expect("take") {
                arrived |= domain != DomainId::HOST || expect_whole(&sample).0 == token;
            }
            if arrived {
                break;
            }
            if begun.elapsed() > PATIENCE {
                let graph = here.graph().snapshot();
                eprintln!(
                    "{}: never met on {name} (domain {domain}, late {late}), lost {:?}",
                    here.identity(),
                    sub.take_lost()
                );
                eprintln!("participants known: {}", graph.nodes().count());
                std::process::abort();
            }
        }
        met.store(true, Ordering::Relaxed);
        begun.elapsed()
    })
}

#[test]
fn who_comes_at_the_same_time_meets() {
    let patience = Duration::from_secs(if long() { 600 } else { 2 });
    let _watchdog = Watchdog::with_patience(patience * 2 + Duration::from_secs(100));
    let mut random = Random::seeded("meetings");
    let root = Root::new();
    let start = |random: &mut Random| Peer::started(&root, &format!("come-together {}", random.next()));
    let mut lasting: Vec<Peer> = (0..3).map(|_| start(&mut random)).collect();
    let until = Instant::now() + patience;
    let mut killed = 0;
    while Instant::now() < until {
        let mut victim = start(&mut random);
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        victim.kill();
        killed += 1;
        assert!(lasting.iter_mut().all(|peer| peer.try_wait().is_none()), "a pair never met");
    }
    let mut pairs = 0;
    let mut longest = 0;
    for mut peer in lasting {
        let ended = peer.finish_with_answer();
        let (count, micros) = ended.split_once(' ').expect("two numbers");
        pairs += count.parse::<u64>().expect("a number");
        longest = longest.max(micros.parse::<u64>().expect("a number"));
    }
    println!("{pairs} pairs met, the slowest after {longest} us; {killed} processes killed meanwhile");
    assert!(pairs > 10);
}

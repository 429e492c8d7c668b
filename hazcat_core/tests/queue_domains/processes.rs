//! The same between processes: exact numbers of copies, claimants that are killed or stopped, and processes that are killed at
//! random.

use crate::support::*;
use crate::talking::*;
use hazcat_core::domain::simulated::{SimulatedDevice, Trouble};
use hazcat_core::domain::DomainId;
use hazcat_core::queue::layout::taken;
use hazcat_core::ring::place::Place;
use hazcat_core::{Config, History, Participant, PublisherOptions, Sequence, SubscriptionOptions};
use std::time::{Duration, Instant};

const HOST: DomainId = DomainId::HOST;
const MESSAGES: u64 = 1000;
const BYTES: usize = 2000;

fn domain_of(text: &str) -> DomainId {
    hazcat_core::domain::registry::resolve(text).expect("a domain").id()
}

/// What children do: `<role> <arguments>`.
pub fn child(role: &str, config: Config) {
    let words: Vec<&str> = role.split(' ').collect();
    let argument = |index: usize| words.get(index).copied().expect("an argument");
    // However loaded the machine is, nobody loses patience with a claimant that is alive.
    let copy_wait = if argument(0) == "hasty" { Duration::from_millis(2) } else { PATIENCE };
    let participant = Participant::join(&Config { copy_wait, ..config }).expect("join");
    match argument(0) {
        "publish" => {
            let publisher = publisher_in(&participant, "topic", domain_of(argument(1)));
            answer("ready");
            next_line();
            (1..=MESSAGES).for_each(|number| send(&publisher, number, BYTES));
            answer("published");
            next_line();
        }
        "take" | "hasty" => {
            let (domain, count) = (domain_of(argument(1)), argument(2).parse().expect("a number"));
            let subscription = subscription(&participant, "topic", deep(domain, MESSAGES as usize));
            answer("ready");
            next_line();
            let mut expected = 1;
            while expected <= count {
                match receive_in(&subscription, domain).expect("take") {
                    Some(number) => {
                        assert_eq!(number, expected, "lost so far: {:?}", subscription.lost());
                        expected += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
            answer(format!("{} {}", copies_by(&subscription), counted(&subscription, taken::PRIVATE_COPIES)));
            next_line();
        }
        // Knows nothing of the memory in which the first messages lie.
        "stranger" => {
            let subscription = subscription_in(&participant, "topic", HOST);
            answer("ready");
            let got = loop {
                match receive_in(&subscription, HOST).expect("no error") {
                    Some(number) => break number,
                    None => std::thread::yield_now(),
                }
            };
            answer(format!("{got} {}", subscription.lost().total));
            next_line();
        }
        // Claims the first message, and never finishes.
        "stuck" => {
            let subscription = subscription_in(&participant, "topic", domain_of(argument(1)));
            let device = SimulatedDevice::get(argument(2).parse().expect("a number")).expect("in range");
            device.set_trouble(Trouble { copy_delay: Duration::from_secs(3600), ..Trouble::default() });
            answer("ready");
            while subscription.take().expect("take").is_none() {
                std::thread::yield_now();
            }
        }
        "random" => random_life(&participant, argument(1).parse().expect("a seed")),
        other => panic!("{other}"),
    }
    participant.leave();
}

/// Copies and private copies of a child that took everything.
fn figures(child: &mut Peer) -> (u64, u64) {
    let text = child.answer();
    let mut numbers = text.split(' ').map(|number| number.parse().expect("a number"));
    (numbers.next().expect("two numbers"), numbers.next().expect("two numbers"))
}

/// One publisher on a device, and so many subscriptions on the host and on the same device, each in a process of its own:
/// how many copies were made in all.
fn copies_made(on_host: usize, on_device: usize) -> u64 {
    let root = Root::new();
    let mut publisher = Peer::started(&root, "publish sim:0");
    let roles = std::iter::repeat_n("host", on_host).chain(std::iter::repeat_n("sim:0", on_device));
    let mut takers: Vec<Peer> =
        roles.map(|domain| Peer::started(&root, &format!("take {domain} {MESSAGES}"))).collect();
    takers.iter_mut().for_each(|taker| taker.send("go"));
    publisher.send("go");
    assert_eq!(publisher.answer(), "published");
    let figures: Vec<(u64, u64)> = takers.iter_mut().map(figures).collect();
    assert!(figures.iter().all(|(_, private)| *private == 0), "copies that nobody could share: {figures:?}");
    assert!(figures[on_host..].iter().all(|(copies, _)| *copies == 0), "copies within a domain: {figures:?}");
    for child in takers.iter_mut().chain([&mut publisher]) {
        assert!(child.finish().success());
    }
    root.assert_empty();
    figures.iter().map(|(copies, _)| copies).sum()
}

#[test]
fn eight_processes_make_exactly_one_copy_per_message() {
    let _watchdog = Watchdog::new();
    assert_eq!(copies_made(3, 4), MESSAGES);
}

#[test]
fn without_host_subscriptions_nothing_is_copied() {
    let _watchdog = Watchdog::new();
    assert_eq!(copies_made(0, 4), 0);
}

/// A process claims the first message of a device publisher and gets stuck. `then` is done to it when it has.
fn with_a_stuck_claimant(taker: &str, then: impl FnOnce(&mut Peer)) -> Vec<(u64, u64)> {
    let root = Root::new();
    let participant = root.join();
    let publisher = publisher_in(&participant, "topic", sim(0));
    let mut stuck = Peer::started(&root, "stuck host 0");
    let mut takers: Vec<Peer> = (0..3).map(|_| Peer::started(&root, &format!("{taker} host 50"))).collect();
    // They have joined before the first message, and find it claimed.
    let watch = subscription_in(&participant, "topic", sim(0));
    send(&publisher, 1, BYTES);
    wait_until("the place is claimed", || {
        let at = Sequence(watch.topic().ring().head().0 - 1);
        watch.topic().layout().places(0).is_some_and(|places| matches!(places.look(at), Place::Claimed(..)))
    });
    takers.iter_mut().for_each(|taker| taker.send("go"));
    then(&mut stuck);
    (2..=50).for_each(|number| send(&publisher, number, BYTES));
    let figures = takers.iter_mut().map(figures).collect();
    takers.iter_mut().for_each(|taker| assert!(taker.finish().success()));
    stuck.kill();
    drop((publisher, watch));
    participant.leave();
    root.assert_empty();
    figures
}

#[test]
fn a_claimant_that_is_killed_is_taken_over() {
    let _watchdog = Watchdog::new();
    let figures = with_a_stuck_claimant("take", Peer::kill);
    assert!(figures.iter().all(|(_, private)| *private == 0), "the claim was taken over, by one of them: {figures:?}");
    assert_eq!(figures.iter().map(|(copies, _)| copies).sum::<u64>(), 50, "{figures:?}");
}

#[test]
fn a_claimant_that_is_stopped_costs_a_copy_each_and_no_message() {
    let _watchdog = Watchdog::new();
    let figures = with_a_stuck_claimant("hasty", |_| {});
    assert!(figures.iter().all(|(_, private)| *private >= 1), "nobody waits for ever: {figures:?}");
}

/// For ever: publishers and subscriptions in random domains, messages of random sizes, held and returned.
fn random_life(participant: &std::sync::Arc<Participant>, seed: u64) {
    let mut random = Random::new(seed);
    let domains = [HOST, sim(0), sim(1)];
    let mut publishers = Vec::new();
    let mut subscriptions = Vec::new();
    let who = random.next() >> 1;
    let mut number = 0;
    answer("ready");
    loop {
        let domain = domains[random.below(3) as usize];
        match random.below(40) {
            0 if publishers.len() < 3 => publishers.push(publisher(participant, "topic", random_publisher(domain))),
            1 if subscriptions.len() < 3 => {
                let options = SubscriptionOptions { transient_local: random.below(2) == 0, ..deep(domain, 20) };
                subscriptions.push((subscription(participant, "topic", options), domain));
            }
            2 if !publishers.is_empty() => drop(publishers.swap_remove(random.below(publishers.len() as u64) as usize)),
            3 if !subscriptions.is_empty() => {
                drop(subscriptions.swap_remove(random.below(subscriptions.len() as u64) as usize));
            }
            4..=20 => {
                if let Some(publisher) = publishers.last() {
                    number += 1;
                    publish_anywhere(publisher, who, number, 16 + 8 * random.below(4000) as usize);
                }
            }
            _ => {
                for (subscription, domain) in &subscriptions {
                    let _ = receive_in(subscription, *domain).expect("take");
                }
            }
        }
    }
}

fn random_publisher(domain: DomainId) -> PublisherOptions {
    PublisherOptions { domain, transient_local: true, history: History::KeepLast(5), ..PublisherOptions::default() }
}

fn publish_anywhere(publisher: &hazcat_core::Publisher, who: u64, number: u64, bytes: usize) {
    let mut content = vec![0; bytes];
    fill(&mut content, who, number);
    if publisher.domain().is_host() {
        return publish(publisher, who, number, bytes);
    }
    let mut loan = publisher.loan_on_device(bytes).expect("loan");
    loan.copy_from(&content).expect("fits");
    loan.publish(&Default::default()).expect("publish");
}

#[test]
fn processes_killed_at_random_leave_whole_messages_and_no_memory() {
    let _watchdog = Watchdog::with_patience(Duration::from_secs(600));
    let root = Root::new();
    let mut random = Random::seeded("kills across domains");
    let participant = root.join();
    let subscriptions: Vec<_> = [HOST, sim(0), sim(1)]
        .map(|domain| (subscription_in(&participant, "topic", domain), domain))
        .into_iter()
        .collect();
    let (time, mut received, mut kills) = (Duration::from_secs(if long() { 300 } else { 6 }), 0, 0);
    let start = |random: &mut Random| Peer::started(&root, &format!("random {}", random.next() >> 1));
    let mut victims: Vec<Peer> = (0..3).map(|_| start(&mut random)).collect();
    let began = Instant::now();
    while began.elapsed() < time {
        let next = Instant::now() + Duration::from_millis(random.below(60));
        while Instant::now() < next {
            for (subscription, domain) in &subscriptions {
                received += u64::from(receive_in(subscription, *domain).expect("take").is_some());
            }
        }
        let which = random.below(3) as usize;
        assert_eq!(victims[which].try_wait(), None, "a child ended by itself");
        victims[which].kill();
        kills += 1;
        victims[which] = start(&mut random);
    }
    victims.iter_mut().for_each(Peer::kill);
    println!("{kills} kills, {received} messages");
    assert!(kills > 10 && received > 100, "{kills} kills, {received} messages: tested nothing");
    // What survivors exchange afterwards is as it should be, and what the dead left is swept.
    for (subscription, domain) in &subscriptions {
        receive_all(subscription, *domain);
    }
    let publisher = publisher_in(&participant, "topic", sim(1));
    send(&publisher, 77, BYTES);
    for (subscription, domain) in &subscriptions {
        assert_eq!(receive_all(subscription, *domain), [77]);
    }
    drop((publisher, subscriptions));
    participant.leave();
    root.assert_empty();
}

//! What the victim does: everything there is to do to shared memory, in less than a tenth of a second.

use crate::support::*;
use crate::talking::*;
use hazcat_core::directory::TopicStem;
use hazcat_core::domain::DomainId;
use hazcat_core::fault;
use hazcat_core::graph::{EndpointKind, EndpointRecord, NodeRecord};
use hazcat_core::lease::Observer;
use hazcat_core::sys::mapping::Access;
use hazcat_core::{
    Config, History, MessageMeta, Participant, PublishError, Publisher, PublisherOptions, Subscription,
    SubscriptionOptions, WaitOutcome, WaitSet,
};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest that anything here waits for somebody else.
const PATIENT: Duration = Duration::from_secs(20);

pub fn keep_all_publisher(max_blocking: Duration) -> PublisherOptions {
    PublisherOptions { history: History::KeepAll, max_blocking, ..PublisherOptions::default() }
}

pub fn keep_all() -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepAll, ..SubscriptionOptions::default() }
}

pub fn lasting_publisher() -> PublisherOptions {
    PublisherOptions { transient_local: true, history: History::KeepLast(8), ..PublisherOptions::default() }
}

pub fn lasting(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { transient_local: true, history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

/// A publisher with little memory.
pub fn small_publisher() -> PublisherOptions {
    PublisherOptions { byte_budget: 256 << 10, ..PublisherOptions::default() }
}

fn publish_some(publisher: &Publisher, count: u64, bytes: usize) {
    for _ in 0..count {
        publish(publisher, 9, publisher.next_number(), bytes);
    }
}

/// The whole scenario, from joining to having left.
pub fn everything(config: &Config) {
    let participant = Participant::join(config).expect("join");
    graph(&participant);
    {
        let all = subscription(&participant, "all", keep_all());
        let last = subscription(&participant, "last", lasting(100));
        let small = subscription(&participant, "small", SubscriptionOptions::default());
        let to_all = publisher(&participant, "all", keep_all_publisher(PATIENT));
        let to_last = publisher(&participant, "last", lasting_publisher());
        let to_small = publisher(&participant, "small", small_publisher());
        messages(&to_all, &to_last, &to_small, &all, &last, &small);
        sleeping(&participant, &to_last, &last);
        pressure(&participant);
        waiting_for_space(&participant);
        lapped(&participant);
        departed(&participant);
        across(&participant);
        taken_over(&participant);
        // Takes part to the end: held messages, unread ones.
        publish_some(&to_all, 3, 64);
        let held = last.take().expect("take");
        drop(held);
    }
    behind_the_dead(&participant);
    damaged(&participant);
    participant.leave();
}

fn graph(participant: &Participant) {
    let record = NodeRecord { name: "victim".into(), namespace: "/".into(), enclave: "/".into() };
    let node = participant.graph().add_node(record).expect("add node");
    let record = EndpointRecord {
        kind: EndpointKind::Publisher,
        node: node.0,
        gid: [3; 16],
        name: "/topic".into(),
        type_name: "test/Type".into(),
        attributes: vec![5; 100],
    };
    let endpoint = participant.graph().add_endpoint(record).expect("add endpoint");
    participant.graph().update_endpoint(endpoint, vec![6; 1000]).expect("update");
    participant.graph().remove_endpoint(endpoint).expect("remove");
}

fn messages(
    to_all: &Publisher,
    to_last: &Publisher,
    to_small: &Publisher,
    all: &Subscription,
    last: &Subscription,
    small: &Subscription,
) {
    let mut held = Vec::new();
    for turn in 0..30 {
        publish_some(to_all, 3, 64);
        publish_some(to_last, 2, 16 << (turn % 12));
        publish_some(to_small, 2, 4096);
        drop(to_last.loan(100).expect("loan"));
        take_all(all);
        if let Some(sample) = small.take().expect("take").filter(|_| held.len() < 8) {
            expect_whole(&sample);
            held.push(sample);
        }
        if turn % 3 == 0 {
            take_all(last);
        }
    }
}

/// Sleeps until another thread's message comes.
fn sleeping(participant: &Arc<Participant>, to_last: &Publisher, last: &Subscription) {
    let mut set = WaitSet::new(participant).expect("a wait set");
    set.set_spin(Duration::ZERO);
    for _ in 0..3 {
        take_all(last);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(2));
                publish_some(to_last, 1, 64);
            });
            assert_eq!(set.wait(&[last], Some(PATIENT)), Ok(WaitOutcome::Ready));
        });
    }
    let quiet = subscription(participant, "quiet", SubscriptionOptions::default());
    assert_eq!(set.wait(&[&quiet], Some(Duration::from_millis(1))), Ok(WaitOutcome::TimedOut));
}

/// Runs out of memory, and drops its own unread messages.
fn pressure(participant: &Arc<Participant>) {
    let unread = subscription(
        participant,
        "pressed",
        SubscriptionOptions { history: History::KeepLast(1000), ..SubscriptionOptions::default() },
    );
    let to_unread = publisher(participant, "pressed", small_publisher());
    publish_some(&to_unread, 100, 8000);
    assert!(!take_all(&unread).is_empty());
}

/// A keep-all publisher finds no room, gives up, and finds room when it has been made.
fn waiting_for_space(participant: &Arc<Participant>) {
    let tight = subscription(participant, "tight", keep_all());
    let to_tight = publisher(participant, "tight", keep_all_publisher(Duration::from_millis(1)));
    loop {
        let mut loan = to_tight.loan(16).expect("loan");
        fill(&mut loan, 9, to_tight.next_number());
        match to_tight.publish(loan, &MessageMeta::default()) {
            Ok(_) => {}
            Err(PublishError::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // One place, and another publisher takes it between the look and the claim: the message is withdrawn.
    let patient = Arc::new(publisher(participant, "tight", keep_all_publisher(PATIENT)));
    assert_eq!(take(&tight), Some((9, 1)));
    let quicker = Arc::clone(&patient);
    fault::once("publish.after-history", move || publish_some(&quicker, 1, 16));
    let mut loan = to_tight.loan(16).expect("loan");
    fill(&mut loan, 9, to_tight.next_number());
    assert_eq!(to_tight.publish(loan, &MessageMeta::default()), Err(PublishError::TimedOut));
    std::thread::scope(|scope| {
        scope.spawn(|| publish_some(&patient, 1, 16));
        std::thread::sleep(Duration::from_millis(2));
        while take(&tight).is_none_or(|(_, number)| number < 2000) {}
    });
}

/// A keep-all subscription is lapped by publishers that do not wait, and fetches what is kept for it.
fn lapped(participant: &Arc<Participant>) {
    let slow = subscription(participant, "lapped", keep_all());
    let keeping = publisher(participant, "lapped", keep_all_publisher(PATIENT));
    let rushing = publisher(participant, "lapped", PublisherOptions::default());
    publish_some(&keeping, 5, 64);
    publish_some(&rushing, 5000, 16);
    let kept: Vec<u64> = take_all(&slow).into_iter().take(5).map(|(_, number)| number).collect();
    assert_eq!(kept, [1, 2, 3, 4, 5]);
}

/// Publishers leave with messages unread, which are then read.
fn departed(participant: &Arc<Participant>) {
    let late = subscription(participant, "departed", keep_all());
    for options in [keep_all_publisher(PATIENT), PublisherOptions::default()] {
        let leaving = publisher(participant, "departed", options);
        publish_some(&leaving, 5, 64);
        let unused = leaving.loan(64).expect("loan");
        drop(unused);
    }
    assert_eq!(take_all(&late).len(), 10);
    drop(late);
    let _one_more = subscription(participant, "departed", SubscriptionOptions::default());
}

/// Messages go from a device to the host and back, by copies that subscriptions share.
fn across(participant: &Arc<Participant>) {
    let (device, host) = (sim(3), DomainId::HOST);
    let subs = [subscription_in(participant, "across", host), subscription_in(participant, "across", device)];
    let publishers = [publisher_in(participant, "across", device), publisher_in(participant, "across", host)];
    let again = subscription_in(participant, "across", host);
    for number in 1..=5 {
        publishers.iter().for_each(|publisher| send(publisher, number, 3000));
        assert!(receive_in(&subs[0], host).expect("take").is_some());
        assert!(receive_in(&subs[1], device).expect("take").is_some());
    }
    assert!(receive_all(&again, host).len() >= 10);
    // Held while its maker leaves.
    let held = subs[0].take().expect("take");
    drop(held);
}

/// Another process, which ends with this one.
fn another(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
    // The output stays open for as long as one of the two lives.
    command.env("HAZCAT_TEST_QUEUE_ROLE", role).stdin(Stdio::null());
    name_parent(&mut command);
    command
}

/// One process dies while it copies, another when it has taken that copy over: this one takes it over again.
fn taken_over(participant: &Arc<Participant>) {
    let sub = subscription_in(participant, "taken over", DomainId::HOST);
    let to_host = publisher_in(participant, "taken over", sim(3));
    let copiers = ["copy.claimed", "copy.taken-over"].map(|point| {
        let mut command = another(&format!("copier {point}"));
        let mut copier = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
        let said = BufReader::new(copier.stdout.as_mut().expect("piped")).lines();
        assert!(said.map_while(Result::ok).any(|line| line.contains("@@subscribed")));
        copier
    });
    (1..=3).for_each(|number| send(&to_host, number, 2000));
    for mut copier in copiers {
        // The end of its input is the sign.
        drop(copier.stdin.take());
        assert!(!copier.wait().expect("wait").success(), "it dies");
    }
    assert_eq!(receive_all(&sub, DomainId::HOST), [1, 2, 3]);
}

/// What makes copies, until it is killed.
pub fn copier(config: &Config) {
    let participant = Participant::join(config).expect("join");
    let sub = subscription_in(&participant, "taken over", DomainId::HOST);
    answer("subscribed");
    next_line();
    receive_all(&sub, DomainId::HOST);
}

/// Another process dies on a topic of its own and on a common one: cleans up behind it.
fn behind_the_dead(participant: &Arc<Participant>) {
    let litter = subscription(participant, "litter", keep_all());
    let to_litter = publisher(participant, "litter", keep_all_publisher(PATIENT));
    let before = segments(participant);
    // Dies with everything unread and held; dies with a segment that nobody has named.
    for role in ["litter", "litter segment.create.published 3"] {
        assert!(!another(role).status().expect("run").success(), "it dies");
        publish_some(&to_litter, 5, 64);
        take_all(&litter);
    }
    // Until the sweeps have removed what they left, or somebody else has.
    let deadline = Instant::now() + Duration::from_millis(1500);
    while segments(participant).iter().any(|name| !before.contains(name)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Its files are cut and removed, and it puts them right: the lease as well, with a new one in the place of the old one.
fn damaged(participant: &Arc<Participant>) {
    let (directory, who) = (participant.directory(), participant.identity());
    let (lease, own) = (directory.lease_path(), directory.participant_path(who));
    let deadline = Instant::now() + PATIENT;
    let wait_until = |done: &dyn Fn() -> bool| {
        while !done() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(200));
        }
    };
    // It looks after all its files when one of them goes, after its topics last: twice, so that one look is complete.
    let look_after_all = || {
        for _ in 0..2 {
            let _ = std::fs::remove_file(&own);
            wait_until(&|| own.exists());
        }
    };
    lost_topic(participant, &look_after_all);
    drop(File::options().write(true).open(&lease).and_then(|file| file.set_len(0)));
    let _ = std::fs::remove_file(directory.bells_path(who));
    look_after_all();
    let _ = std::fs::remove_file(&lease);
    wait_until(&|| {
        let living = Observer::open(directory, Access::ReadOnly).and_then(|new| new.living());
        living.is_ok_and(|living| living.contains(&who))
    });
    // The old one is closed as soon as the others are in the new one, too.
    let soon = Instant::now() + Duration::from_millis(1500);
    let lost = format!("{} (deleted)", lease.display());
    let keeps_lost = || {
        let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|path| path.as_os_str() == lost.as_str())
    };
    while keeps_lost() && Instant::now() < soon {
        look_after_all();
    }
}

/// The file of a topic in use is removed and replaced, its second name as well.
fn lost_topic(participant: &Arc<Participant>, look_after_all: &dyn Fn()) {
    let (directory, key) = (participant.directory(), topic("lost"));
    let path = directory.topic_path(&TopicStem::new(&key.name, &key.type_name, key.type_hash));
    let lost = subscription(participant, "lost", keep_all());
    let to_lost = publisher(participant, "lost", keep_all_publisher(PATIENT));
    let _ = std::fs::remove_file(&path);
    publish_some(&to_lost, 3, 64);
    look_after_all();
    let _ = std::fs::remove_file(&path).and_then(|()| std::fs::write(&path, "no topic"));
    look_after_all();
    let second = second_name(&path);
    let _ = std::fs::remove_file(&second);
    look_after_all();
    let _ = std::fs::remove_file(&second).and_then(|()| std::fs::write(&second, "no topic"));
    look_after_all();
    // Somebody else is the first to look for it.
    let other = Participant::join(participant.config()).expect("join");
    let _ = std::fs::remove_file(&path);
    let late = subscription(&other, "lost", keep_all());
    publish_some(&to_lost, 3, 64);
    assert_eq!((take_all(&late).len(), take_all(&lost).len()), (3, 6));
    drop((late, lost, to_lost));
    // One more who finds its second name missing.
    let last = subscription(participant, "lost", keep_all());
    let _ = std::fs::remove_file(&second);
    let late = subscription(&other, "lost", keep_all());
    drop((last, late));
    other.leave();
}

/// Names of the segments that are not the participant's own.
fn segments(participant: &Participant) -> Vec<OsString> {
    let own = format!("-{:016x}-", participant.identity().word());
    let entries = std::fs::read_dir(participant.directory().path().join("payload")).expect("list").flatten();
    entries.map(|entry| entry.file_name()).filter(|name| !name.to_string_lossy().contains(&own)).collect()
}

/// What the other process does before it dies; it dies with its parent at the latest.
pub fn litter(config: &Config) {
    let participant = Participant::join(config).expect("join");
    let sub = subscription(&participant, "litter", keep_all());
    let to_litter = publisher(&participant, "litter", lasting_publisher());
    let to_nobody = publisher(&participant, "deserted", lasting_publisher());
    publish_some(&to_litter, 5, 64);
    publish_some(&to_nobody, 5, 64);
    let _held = sub.take().expect("take");
    // Sleeps, says its bit.
    let mut set = WaitSet::new(&participant).expect("a wait set");
    set.set_spin(Duration::ZERO);
    let never = subscription(&participant, "deserted", SubscriptionOptions::default());
    std::thread::scope(|scope| {
        scope.spawn(|| set.wait(&[&never], None));
        std::thread::sleep(Duration::from_millis(1));
        // A second segment.
        publish_some(&to_litter, 3, 100_000);
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::SIGKILL);
    });
}

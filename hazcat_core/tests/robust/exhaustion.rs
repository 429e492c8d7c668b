//! Descriptors, address space and places in tables run out: each says so by its own error, what goes on without goes on, and
//! all is well when the shortage ends. (Full memory and budgets: `queue_memory.rs`; inotify instances: `control/trouble.rs`.)

use crate::support::*;
use hazcat_core::queue::layout::MAX_SUBSCRIPTIONS;
use hazcat_core::ring::word::MAX_PUBLISHERS;
use hazcat_core::{
    Config, CreateError, History, LoanError, Participant, Publisher, PublisherOptions, Subscription,
    SubscriptionOptions,
};
use std::fs::File;
use std::sync::Arc;

/// Makes something scarce in this process; what it returns ends the shortage when it is dropped.
type Shortage = fn() -> Box<dyn std::any::Any>;

/// A limit of this process, put back on drop.
struct Limited(libc::__rlimit_resource_t, libc::rlimit);

impl Limited {
    fn to(resource: libc::__rlimit_resource_t, most: u64) -> Self {
        let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a live record to be filled in.
        assert_eq!(unsafe { libc::getrlimit(resource, &raw mut before) }, 0);
        let now = libc::rlimit { rlim_cur: most, ..before };
        // SAFETY: a live record.
        assert_eq!(unsafe { libc::setrlimit(resource, &raw const now) }, 0);
        Self(resource, before)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // SAFETY: a live record, with the values that were there before.
        unsafe { libc::setrlimit(self.0, &raw const self.1) };
    }
}

fn no_descriptors() -> Box<dyn std::any::Any> {
    let limited = Limited::to(libc::RLIMIT_NOFILE, 64);
    let hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!hoard.is_empty());
    Box::new((hoard, limited))
}

fn no_address_space() -> Box<dyn std::any::Any> {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = statm.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    // Enough for the small things that every program allocates.
    Box::new(Limited::to(libc::RLIMIT_AS, pages * 4096 + (256 << 10)))
}

/// A child: goes through a shortage; says what it was told.
pub fn go_short(config: &Config, of: &str) {
    let (shortage, told): (Shortage, &str) = match of {
        "descriptors" => (no_descriptors, "Too many open files"),
        "address-space" => (no_address_space, "Cannot allocate memory"),
        other => panic!("no shortage of {other}"),
    };
    let here = Participant::join(config).expect("join");
    let sub = subscription(&here, "own", SubscriptionOptions::default());
    let own = publisher(&here, "own", PublisherOptions::default());
    let foreign = subscription(
        &here,
        "shared",
        SubscriptionOptions { history: History::KeepLast(100), ..SubscriptionOptions::default() },
    );
    publish(&own, 1, 1, 64);
    assert_eq!(take_numbers(&sub), [1]);
    answer("ready");
    let scarcity = shortage();

    // What is there goes on.
    for number in 2..=1000 {
        publish(&own, 1, number, 64);
        assert_eq!(take_numbers(&sub), [number]);
    }
    // What needs more says what is wanting, and of what.
    let refused = |what: &str, error: String, parts: &[&str]| {
        parts.iter().chain([&told]).for_each(|part| assert!(error.contains(part), "{what}: {error}"));
    };
    let error = Publisher::new(&here, &topic("other"), PublisherOptions::default()).err().expect("no publisher");
    refused("publisher", error.to_string(), &["topic 'other'", "/topics/"]);
    let error = Subscription::new(&here, &topic("other"), SubscriptionOptions::default()).err().expect("none");
    refused("subscription", error.to_string(), &["topic 'other'", "/topics/"]);
    let error = own.loan(8 << 20).err().expect("no large loan");
    assert!(matches!(error, LoanError::System { .. }), "{error:?}");
    refused("loan", error.to_string(), &["topic 'own'", "/payload/"]);
    if of == "descriptors" {
        let error = Participant::join(&Config { domain_id: 7, ..config.clone() }).err().expect("no join");
        refused("join", error.to_string(), &[&config.root.display().to_string()]);
    }
    // Others publish meanwhile. Where their memory cannot be mapped here, their messages are lost or still to come, not wrong.
    answer("short");
    assert_eq!(next_line().as_deref(), Some("published"));
    let during = std::iter::from_fn(|| foreign.take().ok().flatten().map(|sample| expect_whole(&sample).1)).count();
    assert!(during == 0 || of != "descriptors", "nothing could be mapped");

    drop(scarcity);
    drop(publisher(&here, "other", PublisherOptions::default()));
    drop(own.loan(8 << 20).expect("a large loan"));
    answer("enough");
    // All that comes now arrives; what had come before is there or counted.
    wait_until("the last message", || std::iter::from_fn(|| take(&foreign)).any(|(_, number)| number == 20));
    answer(foreign.take_lost().total);
    drop(foreign);
    while next_line().is_some() {}
    here.leave();
}

fn somebody_goes_short_of(what: &str) {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let mut poor = Peer::started(&root, &format!("go-short {what}"));
    let own = subscription(&here, "own", SubscriptionOptions::default());
    assert_eq!(poor.answer(), "short");
    // A newcomer whom the poor one cannot get to know yet, and a publisher whose memory it cannot map.
    let newcomer = root.join();
    let shared = publisher(&newcomer, "shared", PublisherOptions::default());
    (1..=10).for_each(|number| publish(&shared, 1, number, 64));
    assert!(here.is_alive(newcomer.identity()));
    poor.send("published");
    assert_eq!(poor.answer(), "enough");
    (11..=20).for_each(|number| publish(&shared, 1, number, 64));
    let lost: u64 = poor.answer().parse().expect("a number");
    println!("{lost} of 20 messages lost for want of {what}");
    assert!(lost <= 10, "only those that came during the shortage");
    assert!(poor.finish().success());
    drop((own, shared));
    newcomer.leave();
    here.leave();
    root.assert_empty();
}

#[test]
fn without_descriptors_what_is_there_goes_on() {
    somebody_goes_short_of("descriptors");
}

#[test]
fn without_address_space_what_is_there_goes_on() {
    somebody_goes_short_of("address-space");
}

/// A child: publishes ten messages that nobody may lose.
pub fn be_generous(config: &Config) {
    let here = Participant::join(config).expect("join");
    let options = PublisherOptions { history: History::KeepAll, ..PublisherOptions::default() };
    let publisher = publisher(&here, "kept", options);
    (1..=10).for_each(|number| publish(&publisher, 0, number, 64));
    answer("ready");
    while next_line().is_some() {}
}

/// A child: cleans up behind others while it has no descriptors left to look at what they have left.
pub fn sweep_short(config: &Config) {
    let here = Participant::join(config).expect("join");
    let rushing = publisher(&here, "kept", PublisherOptions::default());
    // Memory for all that will be unread.
    drop((0..5000).map(|_| rushing.loan(16).expect("loan")).collect::<Vec<_>>());
    let spare = subscription(&here, "kept", SubscriptionOptions::default());
    let _scarcity = no_descriptors();
    answer("ready");
    // For that it needs none: it has met the one that dies.
    wait_until("the death is known", || here.graph().snapshot().participants().count() == 2);
    (1..=10_000).for_each(|number| publish(&rushing, 1, number, 16));
    // Who leaves sweeps.
    drop(spare);
    answer("swept");
    while next_line().is_some() {}
}

#[test]
fn who_cannot_look_at_what_a_killed_publisher_kept_leaves_it_alone() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let keep_all = SubscriptionOptions { history: History::KeepAll, ..SubscriptionOptions::default() };
    let slow = subscription(&here, "kept", keep_all);
    let mut generous = Peer::started(&root, "be-generous");
    let mut poor = Peer::started(&root, "sweep-short");
    generous.kill();
    assert_eq!(poor.answer(), "swept");
    let kept: Vec<u64> = take_all(&slow).into_iter().filter(|(who, _)| *who == 0).map(|(_, number)| number).collect();
    assert_eq!(kept, (1..=10).collect::<Vec<_>>());
    poor.kill();
    drop(slow);
    here.leave();
    root.assert_empty();
}

#[test]
fn full_tables_of_a_topic_say_so_and_have_room_again() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let limit = |error: CreateError, kind: &str, most: usize| {
        let text = error.to_string();
        assert!(matches!(error, CreateError::TableFull { .. }), "{text}");
        assert!(text.contains("topic 't'") && text.contains(kind) && text.contains(&most.to_string()), "{text}");
    };
    let new_subscription = || {
        Subscription::new(&here, &topic("t"), SubscriptionOptions { gid: gid(&here), ..SubscriptionOptions::default() })
    };
    let mut subs: Vec<Subscription> = (0..MAX_SUBSCRIPTIONS).map(|_| new_subscription().expect("room")).collect();
    limit(new_subscription().err().expect("full"), "subscription", MAX_SUBSCRIPTIONS);
    let new_publisher =
        || Publisher::new(&here, &topic("t"), PublisherOptions { gid: gid(&here), ..PublisherOptions::default() });
    let mut publishers: Vec<Publisher> = (0..MAX_PUBLISHERS).map(|_| new_publisher().expect("room")).collect();
    limit(new_publisher().err().expect("full"), "publisher", MAX_PUBLISHERS);
    // All of them work.
    let last = publishers.last().expect("one");
    publish(last, 1, 1, 64);
    subs.iter().for_each(|sub| assert_eq!(take_numbers(sub), [1]));
    drop((subs.pop(), publishers.pop()));
    let (sub, publisher) = (new_subscription().expect("room again"), new_publisher().expect("room again"));
    publish(&publisher, 1, 2, 64);
    assert_eq!(take_numbers(&sub), [2]);
}

#[test]
fn a_full_domain_says_so_and_has_room_again() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    // The kernel's locks are what counts: held here without the threads and files of whole participants.
    let here = root.join();
    let lease = File::options().read(true).write(true).open(here.directory().lease_path()).expect("open");
    for byte in 1..u64::from(hazcat_core::lease::MAX_PARTICIPANTS) {
        use hazcat_core::sys::ofd_lock::{try_lock, LockKind};
        assert!(try_lock(&lease, byte, LockKind::Exclusive).expect("lock"));
    }
    let error = Participant::join(&root.config()).err().expect("full").to_string();
    assert!(error.contains("1024 participants") && error.contains("/lease"), "{error}");
    drop(lease);
    let other: Arc<Participant> = root.join();
    assert!(here.is_alive(other.identity()));
}

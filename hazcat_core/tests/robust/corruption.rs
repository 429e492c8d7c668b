//! Every shared file is overwritten, replaced, cut short (mapped or not) and removed, at random and with aim, while
//! processes use all there is: topics over host and device memory, every history, loans, wait sets, filters, the graph.

use crate::support::*;
use crate::usage::{descriptors, Usage};
use hazcat_core::domain::DomainId;
use hazcat_core::graph::{EndpointKind, EndpointRecord, NodeRecord};
use hazcat_core::{
    inspect, Config, GuardCondition, History, MessageMeta, Participant, Publisher, PublisherOptions, Subscription,
    SubscriptionOptions, WaitSet, Waitable,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{symlink, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOPICS: u64 = 3;

/// What a worker has done.
#[derive(Default)]
struct Done {
    turns: u64,
    published: u64,
    taken: u64,
    refused: u64,
}

/// Where messages of an endpoint lie.
fn domain(random: &mut Random) -> DomainId {
    match random.below(3) {
        0 => DomainId::new("sim", 0).expect("in range"),
        _ => DomainId::HOST,
    }
}

fn history(random: &mut Random) -> History {
    match random.below(3) {
        0 => History::KeepAll,
        _ => History::KeepLast(1 + random.below(100) as usize),
    }
}

/// A child: uses everything until its input ends, except that each line is a topic to talk to itself on, which has to work.
pub fn use_everything(config: &Config, seed: u64) {
    let participant = Participant::join(config).expect("join");
    let before = Usage::now();
    let (stop, pause) = (AtomicBool::new(false), AtomicBool::new(false));
    answer("ready");
    let done = std::thread::scope(|scope| {
        let (participant, stop, pause) = (&participant, &stop, &pause);
        let worker = scope.spawn(move || work(participant, &mut Random::new(seed), stop, pause));
        while let Some(line) = next_line() {
            pause.store(true, Ordering::Relaxed);
            let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| talk_to_oneself(participant, &line)));
            answer(said.unwrap_or_else(|_| "a panic".into()));
            pause.store(false, Ordering::Relaxed);
        }
        stop.store(true, Ordering::Relaxed);
        worker.join().expect("no panic")
    });
    // What subscriptions have mapped is let go with them; the rest within a second or two, but for the bells of the others, and
    // one former lease file that may have been made after the present one (it goes with the next).
    let settled = || {
        let now = Usage::now();
        now.descriptors <= before.descriptors + 1 && now.mappings <= before.mappings + 5
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !settled() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let leaked = if settled() {
        String::new()
    } else {
        format!("; LEAKED: {before:?} became {:?}, {:?}", Usage::now(), descriptors())
    };
    participant.leave();
    let Done { turns, published, taken, refused } = done;
    answer(format!("{turns} turns, {published} published, {taken} taken, {refused} refusals{leaked}"));
}

/// Whether ten messages arrive, whole and in order.
fn talk_to_oneself(participant: &Arc<Participant>, name: &str) -> String {
    let sub = subscription(participant, name, SubscriptionOptions::default());
    let publisher = publisher(participant, name, PublisherOptions::default());
    (1..=10).for_each(|number| publish(&publisher, 1, number, 64));
    format!("{:?}", take_numbers(&sub))
}

fn work(participant: &Arc<Participant>, random: &mut Random, stop: &AtomicBool, pause: &AtomicBool) -> Done {
    let mut done = Done::default();
    while !stop.load(Ordering::Relaxed) {
        let key = topic(&format!("t{}", random.below(TOPICS)));
        let publishers: Vec<Publisher> = (0..1 + random.below(2))
            .filter_map(|_| {
                let options = PublisherOptions {
                    gid: gid(participant),
                    history: history(random),
                    transient_local: random.below(2) == 0,
                    max_blocking: Duration::from_millis(1),
                    byte_budget: 2 << 20,
                    domain: domain(random),
                    ..PublisherOptions::default()
                };
                Publisher::new(participant, &key, options).map_err(|error| check_error(&error, &mut done)).ok()
            })
            .collect();
        let subs: Vec<Subscription> = (0..1 + random.below(2))
            .filter_map(|_| {
                let options = SubscriptionOptions {
                    gid: gid(participant),
                    history: history(random),
                    transient_local: random.below(2) == 0,
                    domain: domain(random),
                    copy_budget: 2 << 20,
                    ..SubscriptionOptions::default()
                };
                Subscription::new(participant, &key, options).map_err(|error| check_error(&error, &mut done)).ok()
            })
            .collect();
        change_graph(participant, random);
        let Ok(set) = WaitSet::new(participant) else { continue };
        let guard = GuardCondition::new();
        let mut held = Vec::new();
        for _ in 0..60 {
            done.turns += 1;
            while pause.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            for publisher in &publishers {
                let bytes = 16 + 8 * random.below(1000) as usize;
                if let Ok(mut loan) = publisher.loan(bytes) {
                    fill(&mut loan, 1, done.turns);
                    done.published += u64::from(publisher.publish(loan, &MessageMeta::default()).is_ok());
                }
            }
            for sub in &subs {
                for _ in 0..random.below(4) {
                    let Ok(Some(sample)) = sub.take() else { break };
                    done.taken += 1;
                    std::hint::black_box(sample.iter().fold(0u8, |sum, byte| sum ^ byte));
                    if random.below(4) == 0 {
                        held.push(sample);
                    }
                }
                std::hint::black_box((sub.has_data(), sub.unread_estimate(), sub.take_lost()));
            }
            if random.below(4) == 0 && !held.is_empty() {
                held.swap_remove(random.below(held.len() as u64) as usize);
            }
            if random.below(8) == 0 {
                let mut items: Vec<&dyn Waitable> = subs.iter().map(|sub| sub as &dyn Waitable).collect();
                items.push(&guard);
                let _ = set.wait(&items, Some(Duration::from_micros(200)));
            }
        }
        if random.below(8) == 0 {
            let _ = inspect::look(participant.directory());
        }
    }
    done
}

/// A refusal has to say where.
fn check_error(error: &hazcat_core::CreateError, done: &mut Done) {
    assert!(error.to_string().contains("topic 't"), "{error}");
    done.refused += 1;
}

fn change_graph(participant: &Arc<Participant>, random: &mut Random) {
    let name = format!("n{}", random.below(100));
    let record = NodeRecord { name: name.clone(), namespace: "/".into(), enclave: "/".into() };
    let Ok(node) = participant.graph().add_node(record) else { return };
    let record = EndpointRecord {
        kind: EndpointKind::Publisher,
        node: node.0,
        gid: [7; 16],
        name,
        type_name: "t".into(),
        attributes: vec![1; 60],
    };
    let _ = participant.graph().add_endpoint(record);
    std::hint::black_box(participant.graph().snapshot().endpoints().count());
    let _ = participant.graph().remove_node(node);
}

/// Somebody with the right to write to everything.
struct Vandal {
    random: Random,
    /// What was done how often.
    counts: BTreeMap<&'static str, u64>,
    /// Earlier contents, some of each kind of file.
    older: Vec<(PathBuf, Vec<u8>)>,
}

impl Vandal {
    fn new(random: Random) -> Self {
        Self { random, counts: BTreeMap::new(), older: Vec::new() }
    }

    fn kind(path: &Path) -> &'static str {
        let kinds = ["topics", "payload", "bells", "participants", "sockets"];
        kinds.into_iter().find(|kind| path.parent().is_some_and(|of| of.ends_with(kind))).unwrap_or("lease")
    }

    fn strike(&mut self, path: &Path) {
        let random = &mut self.random;
        let open =
            || File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path);
        // A pipe of an earlier stroke would make the vandal wait: it can only be removed.
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        let length = if meta.is_file() { meta.len() } else { 0 };
        let whole = || if meta.is_file() { fs::read(path) } else { Err(std::io::ErrorKind::Unsupported.into()) };
        if length > 0 && length < 1 << 22 && random.below(4) == 0 && self.older.len() < 200 {
            self.older.extend(whole().ok().map(|bytes| (path.to_path_buf(), bytes)));
        }
        // Complete files under the name, as whoever may write to the folder can put them there.
        let replace = |bytes: &[u8]| {
            // What stands there from an earlier stroke may be a pipe.
            let aside = path.with_file_name(".aside");
            let _ = fs::remove_file(&aside);
            let replaced = fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, path)).is_ok();
            // In the way of a folder it would stay, and be struck in its turn: a foreign folder that nobody removes.
            let _ = fs::remove_file(&aside);
            replaced
        };
        let older = |random: &mut Random, same: bool| -> Option<Vec<u8>> {
            let fits = |(from, _): &&(PathBuf, Vec<u8>)| !same || Self::kind(from) == Self::kind(path);
            let fitting: Vec<_> = self.older.iter().filter(fits).collect();
            fitting.get(random.below(fitting.len() as u64) as usize).map(|(_, bytes)| bytes.clone())
        };
        let what = match random.below(if Self::kind(path) == "lease" { 25 } else { 21 }) {
            0..=7 => {
                let Ok(file) = open() else { return };
                for _ in 0..1 + random.below(16) {
                    // Only what is backed by memory: an untouched page of a sparse file would be made by the stroke.
                    let at = match random.below(4) {
                        0 => random.below(64),
                        1 => 2048 + random.below(512),
                        2 => 4096 + random.below(8192),
                        _ => random.below(length),
                    };
                    let at = at.min(length.saturating_sub(8)) & !7;
                    let mut old = [0; 8];
                    let _ = file.read_at(&mut old, at);
                    let old = u64::from_le_bytes(old);
                    let new = match random.below(6) {
                        0 => 0,
                        1 => u64::MAX,
                        2 => old.wrapping_add(random.below(5)).wrapping_sub(2),
                        3 => old ^ 1 << random.below(64),
                        4 => 1 << random.below(64),
                        _ => random.next(),
                    };
                    if length >= 8 {
                        let _ = file.write_all_at(&new.to_le_bytes(), at);
                    }
                }
                "overwritten in part"
            }
            8 => match (open(), older(random, true)) {
                (Ok(file), Some(bytes)) if file.write_all_at(&bytes[..bytes.len().min(length as usize)], 0).is_ok() => {
                    "overwritten by an older version"
                }
                _ => return,
            },
            9 => match older(random, true) {
                Some(bytes) if replace(&bytes) => "replaced by an older version",
                _ => return,
            },
            10 => match older(random, false) {
                Some(bytes) if replace(&bytes) => "replaced by another file of ours",
                _ => return,
            },
            11 if replace(b"#!/bin/sh\necho no file of hazcat\n") => "replaced by a foreign file",
            12 | 13 => match whole() {
                Ok(bytes) if replace(&bytes[..random.below(bytes.len() as u64) as usize]) => "replaced by a cut copy",
                _ => return,
            },
            14 => match open().and_then(|file| file.set_len(random.below(length))) {
                Ok(()) => "cut",
                Err(_) => return,
            },
            19 => {
                match open().and_then(|file| file.set_len(random.below(length)).and_then(|()| file.set_len(length))) {
                    Ok(()) => "cut and made as long as before",
                    Err(_) => return,
                }
            }
            15 => match open().and_then(|file| file.set_len(length + random.below(1 << 16))) {
                Ok(()) => "made longer",
                Err(_) => return,
            },
            16 if fs::remove_file(path).is_ok() && symlink("/etc/hostname", path).is_ok() => {
                "replaced by a symbolic link"
            }
            17 if fs::remove_file(path).is_ok() && fs::create_dir(path).is_ok() => "replaced by a folder",
            18 if fs::remove_file(path).is_ok() && nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).is_ok() => {
                "replaced by a pipe"
            }
            // Whole folders now and then, by way of the lease.
            21 => {
                let folder = ["topics", "payload", "bells", "participants", "sockets"][random.below(5) as usize];
                let Some(folder) = path.parent().map(|of| of.join(folder)) else { return };
                drop(fs::remove_dir_all(folder));
                "folder removed"
            }
            22..=24 => return,
            _ if fs::remove_file(path).is_ok() => "removed",
            _ => return,
        };
        *self.counts.entry(what).or_default() += 1;
    }
}

#[test]
fn whatever_is_done_to_the_files_crashes_hangs_and_leaks_nothing() {
    let duration = Duration::from_secs(if long() { 300 } else { 2 });
    let _watchdog = Watchdog::with_patience(duration + Duration::from_secs(200));
    let mut random = Random::seeded("corruption");
    let root = Root::new();
    let mut vandal = Vandal::new(random.fork());
    let mut workers: Vec<Peer> =
        (0..3).map(|_| Peer::started(&root, &format!("use-everything {}", random.next()))).collect();
    let end = Instant::now() + duration;
    let mut rounds = 0u64;
    while Instant::now() < end {
        let files = root.files();
        for _ in 0..1 + random.below(4) {
            if let Some(path) = files.get(random.below(files.len() as u64) as usize) {
                vandal.strike(path);
            }
        }
        for worker in &mut workers {
            assert_eq!(worker.try_wait(), None, "a worker has crashed");
        }
        // Now and then some peace, so that something can be built up that can be broken.
        rounds += 1;
        let pause = if rounds % 64 == 0 { 20_000 } else { 2000 };
        std::thread::sleep(Duration::from_micros(random.below(pause)));
    }
    let total: u64 = vandal.counts.values().sum();
    println!("{total} corruptions: {:?}", vandal.counts);
    assert!(vandal.counts.len() >= 10, "{:?}", vandal.counts);
    // The old ones talk on a new topic, and a newcomer as well.
    for worker in &mut workers {
        assert_eq!(worker.ask("fresh"), format!("{:?}", (1..=10).collect::<Vec<_>>()));
    }
    let newcomer = root.join();
    assert_eq!(talk_to_oneself(&newcomer, "fresh"), format!("{:?}", (1..=10).collect::<Vec<_>>()));
    for worker in &mut workers {
        let status = worker.finish();
        assert!(status.success(), "{status}");
        let report = worker.answer();
        println!("{report}");
        assert!(!report.contains("LEAKED"), "{report}");
    }
    newcomer.leave();
    root.assert_empty();
}

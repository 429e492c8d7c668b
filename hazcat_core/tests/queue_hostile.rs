//! Shared memory that somebody scribbles on, and numbers at the end of their range: messages may be lost then, but nothing
//! crashes, reads where it must not, or turns in circles.

mod support;

use hazcat_core::ids::PublisherIndex;
use hazcat_core::queue::layout::{publisher_pages, slots_range, subscription_pages, TopicLayout};
use hazcat_core::ring::word::{SlotWord, Tombstone};
use hazcat_core::sys::mapping::{Access, Mapping};
use hazcat_core::sys::ofd_lock::{self, LockKind};
use hazcat_core::{
    FilterFn, GuardCondition, History, Participant, Publisher, PublisherOptions, Subscription, SubscriptionOptions,
};
use hazcat_core::{WaitSet, Waitable};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;

/// A filter that reads all of a message.
fn odd_sums() -> FilterFn {
    Box::new(|_, payload| payload.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) % 2 == 1)
}

fn keep_last(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

/// A topic file's bytes, as anybody in the domain can reach them.
struct Scribbler {
    layout: TopicLayout,
    mapping: Mapping,
}

impl Scribbler {
    fn open(root: &Root, part: &str) -> Option<Self> {
        let path = root.files_in(part).into_iter().next()?;
        let file = File::options().read(true).write(true).open(path).ok()?;
        let len = file.metadata().ok()?.len() as usize;
        let map = || Mapping::new(&file, 0, len, Access::ReadWrite, false);
        Some(Self { layout: TopicLayout::new(map().ok()?)?, mapping: map().ok()? })
    }

    fn words(&self) -> &[AtomicU64] {
        self.mapping.records(0, self.mapping.len() / 8).expect("a whole file")
    }

    /// Sets the position that is published next, as if so many messages had been published before.
    fn set_head(&self, head: u64) {
        let capacity = self.layout.capacity();
        let (offset, len) = slots_range(capacity);
        let slots: &[AtomicU64] = self.mapping.records(offset as usize, len as usize / 8).expect("the slots");
        for at in head - capacity as u64..head {
            let lap = SlotWord::lap_tag(at / capacity as u64);
            let word = SlotWord::tombstone(lap, PublisherIndex(0), Tombstone::Expired);
            slots[at as usize % capacity].store(word.0, Ordering::Relaxed);
        }
        self.layout.hot().head.store(head, Ordering::Release);
    }
}

/// Not a test: what a child runs.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    let mut words = role.split(' ');
    let (role, seed) = (words.next().expect("a role"), words.next().and_then(|seed| seed.parse().ok()));
    assert_eq!(role, "worker");
    let _watchdog = Watchdog::with_patience(Duration::from_secs(300));
    let participant = Participant::join(&config).expect("join");
    let stop = std::sync::atomic::AtomicBool::new(false);
    answer("ready");
    std::thread::scope(|scope| {
        let (participant, stop) = (&participant, &stop);
        scope.spawn(move || {
            while next_line().is_some() {}
            stop.store(true, Ordering::Relaxed);
        });
        let workers: Vec<_> = (0..2)
            .map(|index| {
                let seed: u64 = seed.unwrap_or(0);
                scope.spawn(move || work(participant, &mut Random::new(seed + index), stop))
            })
            .collect();
        for worker in workers {
            let (turns, published, taken) = worker.join().expect("no panic");
            answer(format!("{turns} turns, {published} published, {taken} taken"));
        }
    });
    participant.leave();
}

/// Everything a topic can be used for, whatever comes of it.
fn work(participant: &Arc<Participant>, random: &mut Random, stop: &std::sync::atomic::AtomicBool) -> (u64, u64, u64) {
    let key = topic("t");
    let (mut turns, mut published, mut taken) = (0, 0, 0);
    while !stop.load(Ordering::Relaxed) {
        let history = |random: &mut Random| match random.below(3) {
            0 => History::KeepAll,
            _ => History::KeepLast(1 + random.below(100) as usize),
        };
        let publishers: Vec<Publisher> = (0..1 + random.below(2))
            .filter_map(|_| {
                let options = PublisherOptions {
                    gid: gid(participant),
                    traits: random.below(3),
                    history: history(random),
                    transient_local: random.below(2) == 0,
                    max_blocking: Duration::from_millis(2),
                    byte_budget: 8 << 20,
                    ..PublisherOptions::default()
                };
                Publisher::new(participant, &key, options).ok()
            })
            .collect();
        let subs: Vec<Subscription> = (0..1 + random.below(3))
            .filter_map(|_| {
                let options = SubscriptionOptions {
                    gid: gid(participant),
                    history: history(random),
                    transient_local: random.below(2) == 0,
                    traits: random.below(3),
                    accept: Box::new(|info| info.traits != 2),
                    filter: (random.below(3) == 0).then(odd_sums),
                    ..SubscriptionOptions::default()
                };
                Subscription::new(participant, &key, options).ok()
            })
            .collect();
        let Ok(set) = WaitSet::new(participant) else { continue };
        let guard = GuardCondition::new();
        let mut held = Vec::new();
        for _ in 0..200 {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            turns += 1;
            for publisher in &publishers {
                let bytes = 16 + 8 * random.below(2000) as usize;
                if let Ok(mut loan) = publisher.loan(bytes) {
                    fill(&mut loan, 1, turns);
                    published += u64::from(publisher.publish(loan, &hazcat_core::MessageMeta::default()).is_ok());
                }
            }
            for sub in &subs {
                for _ in 0..random.below(4) {
                    if let Ok(Some(sample)) = sub.take() {
                        taken += 1;
                        // Every byte of it can be read, whatever it is.
                        std::hint::black_box(sample.iter().map(|byte| u64::from(*byte)).sum::<u64>());
                        std::hint::black_box(sample.info());
                        if random.below(4) == 0 {
                            held.push(sample);
                        }
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
            publishers.iter().for_each(|publisher| {
                std::hint::black_box(publisher.is_acknowledged());
            });
        }
    }
    (turns, published, taken)
}

/// Values that are more trouble than random ones.
fn nasty(random: &mut Random, near: u64) -> u64 {
    match random.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => near.wrapping_add(1),
        3 => near.wrapping_sub(1),
        4 => near ^ 1 << random.below(64),
        5 => 1 << random.below(64),
        6 => near.rotate_left(random.below(64) as u32),
        _ => random.next(),
    }
}

#[test]
fn scribbling_on_shared_memory_crashes_nobody_and_stops_nobody() {
    let duration = Duration::from_secs(if long() { 120 } else { 5 });
    let _watchdog = Watchdog::with_patience(duration + Duration::from_secs(200));
    let mut random = Random::seeded("scribbling");
    let root = Root::new();
    let here = root.join();
    // Not the first page's header: who opens the file checks it. Everything else is fair game.
    const FROM: u64 = 2048 / 8;
    let mut workers: Vec<Peer> = (0..2).map(|_| Peer::started(&root, &format!("worker {}", random.next()))).collect();
    let end = Instant::now() + duration;
    let mut strokes = 0u64;
    let mut scribbler = None;
    while Instant::now() < end {
        let opened = Scribbler::open(&root, "topics");
        if let Some(opened) = opened {
            scribbler = Some(opened);
        }
        let Some(scribbler) = &scribbler else { continue };
        for _ in 0..1 << random.below(8) {
            let words = scribbler.words();
            // Pages that nobody uses yet are not backed by memory: left alone, as they are by everybody else.
            let page = |(offset, len): (u64, u64)| offset / 8..(offset + len) / 8;
            let (subs, publishers) = (page(subscription_pages(0)), page(publisher_pages(0)));
            let slots = page(slots_range(4096));
            let at = match random.below(4) {
                // The hot words, a few records, any slot.
                0 => FROM + random.below(32),
                1 => subs.start + random.below(subs.end - subs.start),
                2 => publishers.start + random.below(publishers.end - publishers.start),
                _ => slots.start + random.below(slots.end - slots.start),
            };
            if let Some(word) = words.get(at as usize) {
                word.store(nasty(&mut random, word.load(Ordering::Relaxed)), Ordering::Relaxed);
                strokes += 1;
            }
        }
        // Messages and histories as well, by a process that is allowed to write to the files.
        for path in root.files_in("payload").into_iter().take(4) {
            let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
            let len = file.metadata().map_or(0, |meta| meta.len());
            for _ in 0..20 {
                let at = 64 + random.below(len.max(72) - 72 + 1) / 8 * 8;
                let _ = file.write_all_at(&nasty(&mut random, at).to_le_bytes(), at.min(len.saturating_sub(8)));
            }
        }
        // Now and then a fresh start: the damage is so thorough that little gets through after a while.
        if random.below(50) == 0 {
            root.files_in("topics").into_iter().for_each(|path| drop(std::fs::remove_file(path)));
        }
        for worker in &mut workers {
            assert_eq!(worker.try_wait(), None, "a worker has crashed");
        }
        std::thread::sleep(Duration::from_micros(random.below(3000)));
    }
    for worker in &mut workers {
        let status = worker.finish();
        assert!(status.success(), "{status}");
        println!("{}; {}", worker.answer(), worker.answer());
    }
    println!("{strokes} words overwritten");
    // Whoever comes later starts anew.
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 64);
    assert_eq!(take_numbers(&sub), [1]);
}

#[test]
fn laps_wrap_around() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let key = topic("t");
    // Creates the topic.
    let publisher = publisher(&here, "t", PublisherOptions { transient_local: true, ..PublisherOptions::default() });
    let scribbler = Scribbler::open(&root, "topics").expect("the topic's file");
    let capacity = scribbler.layout.capacity() as u64;
    let tags = u64::from(SlotWord::LAP_MASK) + 1;
    for laps in [tags, 2 * tags, tags << 20] {
        scribbler.set_head(laps * capacity - 2000);
        let sub = subscription(&here, "t", keep_last(100));
        let all = Subscription::new(
            &here,
            &key,
            SubscriptionOptions { history: History::KeepAll, gid: gid(&here), ..keep_last(1) },
        );
        let all = all.expect("subscription");
        let slow = subscription(&here, "t", keep_last(10));
        for number in 1..=5000u64 {
            publish(&publisher, 1, number, 64);
            assert_eq!(take(&sub), Some((1, number)));
            assert_eq!(take(&all), Some((1, number)));
        }
        assert_eq!(take_numbers(&slow), (4991..=5000).collect::<Vec<_>>());
        assert_eq!((sub.take_lost().total, all.take_lost().total, slow.take_lost().total), (0, 0, 4990));
        let late = subscription(&here, "t", SubscriptionOptions { transient_local: true, ..keep_last(5) });
        assert_eq!(take_numbers(&late), (4996..=5000).collect::<Vec<_>>());
    }
}

#[test]
fn a_reader_that_slept_through_more_than_half_of_all_laps_goes_on() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let scribbler = Scribbler::open(&root, "topics").expect("the topic's file");
    let capacity = scribbler.layout.capacity() as u64;
    let half = (u64::from(SlotWord::LAP_MASK) + 1) >> 1;
    for laps in [1, 2, half - 1, half, half + 1, 2 * half - 2] {
        let sub = subscription(&here, "t", keep_last(10));
        let head = publisher.topic().ring().helped_head().0;
        publish(&publisher, 1, 1, 64);
        scribbler.set_head(head + laps * capacity + 77);
        for number in 2..=20 {
            publish(&publisher, 1, number, 64);
        }
        assert!(sub.has_data(), "{laps} laps behind");
        assert_eq!(take_numbers(&sub), (11..=20).collect::<Vec<_>>(), "{laps} laps behind");
        assert_eq!(sub.take_lost().total, laps * capacity + 77 + 19 - 10);
    }
}

#[test]
fn a_slot_that_contradicts_the_head_is_an_error_or_a_lost_message() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=3 {
        publish(&publisher, 1, number, 64);
    }
    let scribbler = Scribbler::open(&root, "topics").expect("the topic's file");
    let capacity = scribbler.layout.capacity();
    let (offset, len) = slots_range(capacity);
    let slots: &[AtomicU64] = scribbler.mapping.records(offset as usize, len as usize / 8).expect("the slots");
    let head = publisher.topic().ring().head().0 as usize;
    // The second message's slot, far in the future: that message is lost, the third arrives.
    slots[(head - 2) % capacity].store(u64::MAX >> 4, Ordering::Relaxed);
    assert_eq!(take_numbers(&sub), [1, 3]);
    assert_eq!(sub.take_lost().total, 1);
    // The next slot: nobody can publish there, and both sides say so instead of trying for ever.
    slots[head % capacity].store(u64::MAX >> 4, Ordering::Relaxed);
    let loan = publisher.loan(64).expect("loan");
    assert!(publisher.publish(loan, &hazcat_core::MessageMeta::default()).is_err());
    assert!(sub.take().is_err());
}

#[test]
fn a_topic_file_that_is_none_is_refused_while_somebody_has_it_open_and_made_anew_when_nobody_has() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let keeper = publisher(&here, "t", PublisherOptions::default());
    let path = root.files_in("topics").remove(0);
    let original = std::fs::read(&path).expect("read");
    drop(keeper);
    let spoiled = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).expect("write");
        let holder = File::options().read(true).write(true).open(&path).expect("open");
        assert!(ofd_lock::try_lock(&holder, 0, LockKind::Shared).expect("lock"));
        let error = Publisher::new(&here, &topic("t"), PublisherOptions::default()).err().expect(what).to_string();
        assert!(error.contains("topic 't'") && error.contains(&path.display().to_string()), "{what}: {error}");
        error
    };
    let anew = |what: &str| {
        let publisher = publisher(&here, "t", PublisherOptions::default());
        let sub = subscription(&here, "t", keep_last(1));
        publish(&publisher, 1, 1, 64);
        assert_eq!(take_numbers(&sub), [1], "{what}");
    };
    let refused = |bytes: &[u8], what: &str| {
        let error = spoiled(bytes, what);
        anew(what);
        error
    };
    refused(b"", "empty");
    refused(&original[..100], "truncated");
    refused(&original[..original.len() - 4096], "a page short");
    refused(&[0xff; 70_000], "something else");
    let with = |at: usize, value: u64| {
        let mut bytes = original.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    assert!(refused(&with(8, 99), "another version").contains("version 0x63"));
    for capacity in [0, 1, 4095, 8192, 1 << 40, u64::MAX] {
        refused(&with(16, capacity), "another capacity");
    }
    // A whole file, but of another topic: that is no damage.
    let mut names = original.clone();
    names[128] ^= 1;
    assert!(spoiled(&names, "another topic").contains("belongs to another topic"));
    std::fs::remove_file(&path).expect("remove");
    // What can be no file of ours at all.
    std::os::unix::fs::symlink("/etc/passwd", &path).expect("symlink");
    anew("a symbolic link");
    let pipe = nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU);
    pipe.expect("pipe");
    anew("a pipe");
    std::fs::create_dir(&path).expect("folder");
    anew("a folder");
}

#[test]
fn a_file_that_was_closed_by_somebody_who_was_killed_is_finished_by_the_next() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let keeper = publisher(&here, "t", PublisherOptions::default());
    let path = root.files_in("topics").remove(0);
    let copy = std::fs::read(&path).expect("read");
    drop(keeper);
    // As it is left between the two steps of removing it.
    std::fs::write(&path, &copy).expect("write");
    let scribbler = Scribbler::open(&root, "topics").expect("the file");
    scribbler.layout.header().closed.store(1, Ordering::Release);
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let sub = subscription(&here, "t", keep_last(1));
    publish(&publisher, 1, 1, 64);
    assert_eq!(take_numbers(&sub), [1]);
    assert_eq!(publisher.topic().layout().header().closed.load(Ordering::Acquire), 0, "a new file");
}

#[test]
fn a_segment_that_its_killed_publisher_never_named_is_removed() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let publisher = publisher(&here, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 64);
    let named = root.files_in("payload").remove(0);
    let name = named.file_name().expect("a name").to_string_lossy().into_owned();
    let mut parts: Vec<&str> = name.splitn(3, '-').collect();
    // The same topic, another id, an owner who is dead.
    let (id, owner) = ("00000000000000ff", format!("{:016x}", 77u64 << 16 | 900));
    (parts[0], parts[1]) = (id, &owner);
    let orphan = named.with_file_name(parts.join("-"));
    std::fs::copy(&named, &orphan).expect("copy");
    let second = root.join();
    drop(support::publisher(&second, "other", PublisherOptions::default()));
    wait_until("the orphan is removed", || !orphan.exists());
    assert!(named.exists());
}

#[test]
fn removed_folders_are_made_anew_by_who_needs_them() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    for folder in ["topics", "payload"] {
        let _ = std::fs::remove_dir_all(here.directory().path().join(folder));
        let name = format!("without {folder}");
        let sub = subscription(&here, &name, keep_last(10));
        let publisher = publisher(&here, &name, PublisherOptions::default());
        let _ = std::fs::remove_dir_all(here.directory().path().join("payload"));
        publish(&publisher, 1, 1, 64);
        assert_eq!(take_numbers(&sub), [1], "{name}");
    }
}

/// What a subscription holds is announced where everybody can write. Its own process must not believe what stands there.
#[test]
fn what_is_held_stays_mapped_and_places_come_back_whatever_is_announced() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&here, "t", keep_last(10));
    let scribbler = Scribbler::open(&root, "topics").expect("the topic's file");
    let announce = |word: u64| {
        let held = scribbler.layout.subscriptions().iter().flat_map(|record| &record.held);
        held.for_each(|entry| entry.store(word, Ordering::Relaxed));
    };
    let mut held = Vec::new();
    for who in 1..=3 {
        let publisher = publisher(&there, "t", PublisherOptions::default());
        publish(&publisher, who, who, 4096);
        held.push(sub.take().expect("take").expect("a message"));
        // Nobody seems to hold anything: the publisher's record is free at once, and its memory nowhere named any more.
        announce(0);
    }
    assert_eq!(root.files_in("payload"), <[std::path::PathBuf; 0]>::default(), "all publishers have left");
    for (who, sample) in (1..).zip(&held) {
        assert_eq!(expect_whole(sample), (who, who));
    }
    drop(held);
    announce(u64::MAX);
    let publisher = publisher(&there, "t", PublisherOptions::default());
    for number in 1..=100 {
        publish(&publisher, 4, number, 64);
        assert_eq!(take(&sub), Some((4, number)), "no place is lost");
    }
}

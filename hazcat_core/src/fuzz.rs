//! What fuzzers feed: one function per kind of bytes that others can write.
//!
//! Each takes any bytes, must neither panic nor turn in circles, and asserts what must hold of whatever it accepts. `fuzz/` has a
//! libFuzzer target for each, and `tests/fuzz_corpus.rs` runs them in every test run over the kept corpus and changes of it.

use crate::config::Config;
use crate::directory::{parse_participant_name, Directory, TopicStem};
use crate::graph::file as graph_file;
use crate::graph::{decode_graph, encode_graph};
use crate::ids::{Identity, SegmentId};
use crate::participant::Participant;
use crate::payload::segment::Segment;
use crate::queue::layout::{self, Owner, TopicLayout};
use crate::queue::{History, TopicKey};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::mapping::{Access, Mapping};
use crate::sys::shm_file;
use crate::{inspect, MessageMeta, Publisher, PublisherOptions, Subscription, SubscriptionOptions};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::Arc;

/// A function to be fed.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("graph", graph),
    ("participant_file", participant_file),
    ("headers", headers),
    ("names", names),
    ("config", config),
    ("queue", queue),
];

fn who() -> Identity {
    Identity::new(3, 77).unwrap_or_else(|| unreachable!("in range"))
}

/// A folder of this process in shared memory, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/hazcat-test-{}-fuzz-{number}", std::process::id()));
        let _ = std::fs::create_dir(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

thread_local! {
    static FOLDER: Folder = Folder::new();
}

/// The bytes as a file.
fn with_file<T>(bytes: &[u8], act: impl FnOnce(&std::path::Path) -> T) -> T {
    FOLDER.with(|folder| {
        let path = folder.0.join("file");
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        act(&path)
    })
}

/// A participant's graph. What is accepted is the same when written and read again.
pub fn graph(bytes: &[u8]) {
    if let Ok(graph) = decode_graph(who(), bytes) {
        assert_eq!(decode_graph(who(), &encode_graph(&graph)), Ok(graph));
    }
}

/// A participant's whole file.
pub fn participant_file(bytes: &[u8]) {
    with_file(bytes, |path| {
        // A sound checksum in front of whatever graph there is: else hardly anything gets that far.
        let _ = graph_file::read(path, who());
        if let Some(graph) = bytes.get(88..) {
            let mut sound = bytes.to_vec();
            graph_file::seal(&mut sound, who(), graph.len());
            if std::fs::write(path, &sound).is_ok() {
                let _ = graph_file::read(path, who());
            }
        }
    });
}

/// A file that is kept between runs; mapped anew in each, as whoever opens it does.
struct Kept {
    path: PathBuf,
    file: File,
    /// How much of it the last run has written.
    used: usize,
}

impl Kept {
    fn new(folder: &Folder, name: &str, length: u64) -> Self {
        let path = folder.0.join(name);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        file.set_len(length).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, file, used: 0 }
    }

    /// The bytes at its beginning, zeros behind them.
    fn fill(&mut self, bytes: &[u8]) {
        let mut all = bytes.to_vec();
        all.resize(bytes.len().max(self.used), 0);
        self.file.write_all_at(&all, 0).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        self.used = bytes.len();
    }
}

/// The headers of topic files and segments, and what a look from outside makes of them.
pub fn headers(bytes: &[u8]) {
    thread_local! {
        /// One file as long as the bytes, and one as long as a topic's file is: else hardly anything gets beyond the comparison
        /// of lengths. To cut that one, and have its pages made anew, would take most of the time.
        static FILES: RefCell<(Kept, Kept)> = FOLDER.with(|folder| {
            let length = layout::file_size(History::MIN_CAPACITY);
            RefCell::new((Kept::new(folder, "short", 0), Kept::new(folder, "long", length)))
        });
    }
    FILES.with(|files| {
        let (short, long) = &mut *files.borrow_mut();
        short.fill(bytes);
        let _ = short.file.set_len(bytes.len() as u64);
        look_at(&short.path);
        let start = &bytes[..bytes.len().min(layout::file_size(History::MIN_CAPACITY) as usize)];
        long.fill(start);
        look_at(&long.path);
        // A look may help the ring's head on.
        long.used = long.used.max(4096);
    });
}

fn look_at(path: &std::path::Path) {
    let _ = Segment::open(path, SegmentId(1));
    // Writable, as a topic is opened: who looks at a ring helps its head on.
    let file = shm_file::open(path, Access::ReadWrite);
    let mapped = file
        .and_then(|file| shm_file::map_checked(&file, path, Access::ReadWrite, layout::MAGIC, layout::VERSION, false));
    if let Some(layout) = mapped.ok().and_then(TopicLayout::new) {
        assert!(layout.names().is_none_or(|(name, _)| name.len() <= layout::MAX_NAME));
        assert!(layout.subscriptions().len() <= layout::MAX_SUBSCRIPTIONS);
        layout.publishers().iter().for_each(|record| {
            let _ = Owner::from_word(record.owner.load(Ordering::Relaxed));
        });
        assert!(layout.ring().messages().count() <= layout.capacity());
    }
}

/// Names of files in the directory.
pub fn names(bytes: &[u8]) {
    let name = OsStr::from_bytes(bytes);
    if let Some(who) = parse_participant_name(name) {
        assert!(who.word() != 0);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let (topic, type_name) = text.split_once('\n').unwrap_or((text, ""));
        let stem = TopicStem::new(topic, type_name, 1);
        assert!(stem.as_str().len() < 255 && !stem.as_str().contains('/'));
        let _ = Directory::existing(text.as_ref());
    }
}

/// Environment variables: lines of a value each.
pub fn config(bytes: &[u8]) {
    let mut values = bytes.split(|byte| *byte == b'\n').map(|value| OsStr::from_bytes(value).to_owned());
    let variables: Vec<_> = values.by_ref().take(16).collect();
    let config = Config::from_variables(|name| {
        let at = name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte)) % 16;
        variables.get(at).cloned()
    });
    if let Ok(config) = config {
        assert!(config.root.is_absolute() && config.mode & !0o777 == 0);
    }
}

/// A topic in use: strokes of (where, what) on its file and its messages, between publishing and taking.
pub fn queue(bytes: &[u8]) {
    thread_local! {
        static PARTICIPANT: (Arc<Participant>, Folder) = {
            let folder = Folder::new();
            let config = Config { root: folder.0.clone(), use_inotify: false, ..Config::default() };
            (Participant::join(&config).unwrap_or_else(|error| panic!("{error}")), folder)
        };
    }
    PARTICIPANT.with(|(participant, _)| {
        play(participant, bytes);
        // The next run starts anew, whatever this one has made of the files.
        for topic in participant.directory().topics().unwrap_or_default() {
            let _ = std::fs::remove_file(participant.directory().topic_path(&topic));
        }
    });
}

fn play(participant: &Arc<Participant>, bytes: &[u8]) {
    let key = TopicKey { name: "t".into(), type_name: "test/Type".into(), type_hash: 7 };
    let [first, second, strokes @ ..] = bytes else { return };
    let history =
        |byte: u8| if byte & 1 == 0 { History::KeepLast(1 + usize::from(byte >> 4)) } else { History::KeepAll };
    let publisher = || {
        let options = PublisherOptions {
            history: history(*first),
            transient_local: first & 2 != 0,
            max_blocking: std::time::Duration::ZERO,
            byte_budget: 1 << 20,
            ..PublisherOptions::default()
        };
        Publisher::new(participant, &key, options).ok()
    };
    let subscription = || {
        let options = SubscriptionOptions {
            history: history(*second),
            transient_local: second & 2 != 0,
            ..SubscriptionOptions::default()
        };
        Subscription::new(participant, &key, options).ok()
    };
    let (mut writer, mut reader) = (publisher(), subscription());
    exchange(writer.as_ref(), reader.as_ref());
    let Some(layout) = topic_file(participant) else { return };
    let (mut segments, mut has_looked) = (payload_files(participant), false);
    for stroke in strokes.chunks_exact(12) {
        let (Ok(at), Ok(value)) = (<[u8; 4]>::try_from(&stroke[..4]), <[u8; 8]>::try_from(&stroke[4..])) else {
            continue;
        };
        let (at, value) = (u32::from_le_bytes(at), u64::from_le_bytes(value));
        match at >> 30 {
            0 | 1 => scribble(&layout, at as usize & 0x3fff_ffff, value),
            2 => scribble_payload(&segments, at as usize & 0x3fff_ffff, value),
            _ => match at & 3 {
                0 => {
                    writer = publisher();
                    exchange(writer.as_ref(), None);
                    segments = payload_files(participant);
                }
                1 => reader = subscription(),
                2 => drop(reader.take()),
                // It copies whole files: once is as good as often.
                _ if std::mem::replace(&mut has_looked, true) => {}
                _ => drop(inspect::look_among(participant.directory(), inspect::Holders::default())),
            },
        }
        exchange(writer.as_ref(), reader.as_ref());
    }
}

/// The one topic file, mapped once more.
fn topic_file(participant: &Participant) -> Option<Mapping> {
    let topic = participant.directory().topics().ok()?.pop()?;
    let file = shm_file::open(&participant.directory().topic_path(&topic), Access::ReadWrite).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    Mapping::new(&file, 0, length, Access::ReadWrite, false).ok()
}

/// Words that are backed by memory: the header but for what is checked when the file is opened, a few records, the slots.
fn scribble(file: &Mapping, at: usize, value: u64) {
    let (slots, length) = layout::slots_range(History::MIN_CAPACITY);
    let (publishers, _) = layout::publisher_pages(0);
    let places = [(2048, 256), (4096, 2048), (publishers as usize, 2048), (slots as usize, length as usize)];
    let (start, length) = places[at % places.len()];
    let offset = start + (at / places.len() * 8) % length;
    if let Some(word) = file.record::<AtomicU64>(offset) {
        // Small numbers change a word, others replace it: both reach places that the other does not.
        let old = word.load(Ordering::Relaxed);
        word.store(
            if value >> 32 == 0 { old.wrapping_add(value).wrapping_sub(1 << 31) } else { value },
            Ordering::Relaxed,
        );
    }
}

/// The files of messages.
fn payload_files(participant: &Participant) -> Vec<File> {
    let directory = participant.directory();
    let segments = directory.payload_segments().unwrap_or_default();
    let open = |(id, owner, topic)| File::options().write(true).open(directory.payload_path(id, owner, &topic)).ok();
    segments.into_iter().filter_map(open).collect()
}

fn scribble_payload(segments: &[File], at: usize, value: u64) {
    for file in segments {
        let length = file.metadata().map_or(0, |meta| meta.len());
        let _ = file.write_all_at(&value.to_le_bytes(), (at as u64 * 8) % length.max(8).saturating_sub(7));
    }
}

fn exchange(publisher: Option<&Publisher>, subscription: Option<&Subscription>) {
    if let Some(publisher) = publisher {
        for _ in 0..2 {
            if let Ok(mut loan) = publisher.loan(256) {
                loan.fill(7);
                let _ = publisher.publish(loan, &MessageMeta::default());
            }
        }
    }
    if let Some(subscription) = subscription {
        // Three at most: a ring that was moved on by a stroke has any number.
        for _ in 0..3 {
            let Ok(Some(sample)) = subscription.take() else { break };
            std::hint::black_box(sample.iter().fold(0u8, |sum, byte| sum ^ byte));
            std::hint::black_box(sample.info());
        }
        std::hint::black_box((subscription.has_data(), subscription.unread_estimate(), subscription.take_lost()));
    }
}

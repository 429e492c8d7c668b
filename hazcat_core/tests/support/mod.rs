//! What the tests of the message queue share: roots of their own, a watchdog, children, messages that show damage.
//!
//! Children are the same test binary, started anew with its test `child` alone; `child` calls [`child_role`] and runs what
//! the parent asked for. Parent and child talk in lines: through the child's standard input, and through those lines of its
//! standard output that begin with `@@`.

#![allow(dead_code)] // Each test binary uses its part of this.

mod parent;

use hazcat_core::participant::Participant;
use hazcat_core::{
    Config, Gid, MessageMeta, Publisher, PublisherOptions, Sample, Subscription, SubscriptionOptions, TopicKey,
};
pub use parent::{end_with_parent, name_parent};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A watchdog, not a time limit: only what hangs reaches it.
pub const PATIENCE: Duration = Duration::from_secs(120);

const ROOT: &str = "HAZCAT_TEST_QUEUE_ROOT";
const ROLE: &str = "HAZCAT_TEST_QUEUE_ROLE";

static COUNTER: AtomicU64 = AtomicU64::new(1);

fn next() -> u64 {
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

/// Whether the long versions of the tests were asked for.
pub fn long() -> bool {
    std::env::var_os("HAZCAT_LONG").is_some_and(|value| value != "0")
}

/// Whether participants watch for news; `HAZCAT_NO_INOTIFY=1`: they look at intervals.
fn use_inotify() -> bool {
    std::env::var_os("HAZCAT_NO_INOTIFY").is_none_or(|value| value == "0")
}

/// A folder in /dev/shm, removed on drop.
pub struct Root(PathBuf);

impl Root {
    pub fn new() -> Self {
        let path = PathBuf::from(format!("/dev/shm/hazcat-test-{}-queue-{}", std::process::id(), next()));
        std::fs::create_dir(&path).expect("a new folder in /dev/shm");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn config(&self) -> Config {
        Config { root: self.0.clone(), use_inotify: use_inotify(), ..Config::default() }
    }

    pub fn join(&self) -> Arc<Participant> {
        Participant::join(&self.config()).expect("join")
    }

    /// Every file below the root.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => found.push(entry.path()),
                }
            }
        }
        found.sort();
        found
    }

    /// All that lies below it, folders too, for a failure's message.
    fn tree(&self) -> String {
        let found = Command::new("find").arg(&self.0).arg("-ls").output().map(|output| output.stdout);
        String::from_utf8_lossy(&found.unwrap_or_default()).into_owned()
    }

    /// The files whose path contains `part`, by their first names.
    pub fn files_in(&self, part: &str) -> Vec<PathBuf> {
        let wanted = |path: &PathBuf| {
            let rest = path.strip_prefix(&self.0).unwrap_or(path).to_string_lossy();
            rest.contains(part) && !rest.starts_with('.')
        };
        self.files().into_iter().filter(wanted).collect()
    }

    /// Waits until everything is gone: the news thread, in the middle of its work, may be the last to let go of a
    /// participant that was dropped. (`Participant::leave` waits for it.)
    pub fn assert_empty(&self) {
        let end = Instant::now() + PATIENCE / 3;
        wait_until("everything is removed", || {
            let empty = std::fs::read_dir(&self.0).expect("root").next().is_none();
            if !empty {
                std::thread::sleep(Duration::from_millis(5));
            }
            if !empty && Instant::now() >= end {
                panic!("left behind: {}", self.tree());
            }
            empty
        });
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Aborts the process unless it is dropped within [`PATIENCE`]: a hang becomes a failure with a name.
pub struct Watchdog(Option<mpsc::Sender<()>>);

impl Watchdog {
    pub fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    pub fn with_patience(patience: Duration) -> Self {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let (sender, receiver) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if receiver.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("watchdog: {name} has not ended after {patience:?}");
                std::process::abort();
            }
        });
        Self(Some(sender))
    }
}

/// Waits until `condition` holds, for what nothing announces.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_until_for(PATIENCE / 2, what, condition);
}

/// The same with a patience of its own.
pub fn wait_until_for(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}, in {:?}", std::thread::current().name());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A topic by name.
pub fn topic(name: &str) -> TopicKey {
    TopicKey { name: name.into(), type_name: "test/Type".into(), type_hash: 7 }
}

/// A gid nobody else has.
pub fn gid(participant: &Participant) -> Gid {
    Gid::new(participant.identity(), next())
}

pub fn publisher(participant: &Arc<Participant>, name: &str, options: PublisherOptions) -> Publisher {
    let options = PublisherOptions { gid: gid(participant), ..options };
    Publisher::new(participant, &topic(name), options).expect("publisher")
}

pub fn subscription(participant: &Arc<Participant>, name: &str, options: SubscriptionOptions) -> Subscription {
    let options = SubscriptionOptions { gid: gid(participant), ..options };
    Subscription::new(participant, &topic(name), options).expect("subscription")
}

/// Publishes a message of `bytes` bytes (at least 16, a multiple of 8) that shows damage.
pub fn publish(publisher: &Publisher, who: u64, number: u64, bytes: usize) {
    let mut loan = publisher.loan(bytes).expect("loan");
    fill(&mut loan, who, number);
    publisher.publish(loan, &MessageMeta::default()).expect("publish");
}

/// Takes the next message and says who published it and as what number.
pub fn take(subscription: &Subscription) -> Option<(u64, u64)> {
    subscription.take().expect("take").map(|sample| expect_whole(&sample))
}

/// Takes everything there is.
pub fn take_all(subscription: &Subscription) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| take(subscription)).collect()
}

/// The other name of a topic file or segment: in the folder of second names, beside the directory.
pub fn second_name(path: &Path) -> PathBuf {
    let (folder, file) = (path.parent().expect("a folder"), path.file_name().expect("a name"));
    let directory = folder.parent().expect("a directory");
    let kept = format!(".{}.kept", directory.file_name().expect("a name").to_string_lossy());
    directory.with_file_name(kept).join(folder.file_name().expect("a name")).join(file)
}

/// The numbers of everything there is.
pub fn take_numbers(subscription: &Subscription) -> Vec<u64> {
    take_all(subscription).into_iter().map(|(_, number)| number).collect()
}

/// Content that depends on who wrote it in every word.
pub fn fill(bytes: &mut [u8], who: u64, number: u64) {
    for (index, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&expected_word(index, who, number).to_le_bytes());
    }
}

fn expected_word(index: usize, who: u64, number: u64) -> u64 {
    match index {
        0 => who,
        1 => number,
        _ => mix(who.wrapping_mul(0x9e37_79b9) ^ number << 20 ^ index as u64),
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Who wrote this and as what number; `None` where it is not what one publication wrote.
pub fn whole(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
    let (who, number) = (words.next()?, words.next()?);
    let same = |(index, word)| word == expected_word(index + 2, who, number);
    words.enumerate().all(same).then_some((who, number))
}

pub fn expect_whole(sample: &Sample<'_>) -> (u64, u64) {
    whole(sample).unwrap_or_else(|| panic!("a damaged message: {:?}, begins {:?}", sample.info(), &sample[..16]))
}

/// A small random generator; the seed is printed by who makes one from the clock.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5bd1_e995))
    }

    /// With `HAZCAT_SEED`, or else a seed from the clock, which is printed.
    pub fn seeded(what: &str) -> Self {
        let given = std::env::var("HAZCAT_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |age| age.as_nanos() as u64)
        });
        println!("{what}: HAZCAT_SEED={seed}");
        Self::new(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }
}

/// Another process; killed on drop.
pub struct Peer {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `role arguments` on the same root.
    pub fn start(root: &Root, role: &str) -> Self {
        Self::start_through(&[], root, role)
    }

    /// The same through a program that starts what follows its own arguments, such as `unshare`.
    pub fn start_through(starter: &[&str], root: &Root, role: &str) -> Self {
        let own = std::env::current_exe().expect("own path");
        let directly = starter.is_empty();
        let mut command = match starter.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own);
                command
            }
            None => Command::new(own),
        };
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(ROOT, root.path()).env(ROLE, role);
        if directly {
            name_parent(&mut command);
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, stdin, stdout }
    }

    /// Starts it and waits for its first answer.
    pub fn started(root: &Root, role: &str) -> Self {
        let mut peer = Self::start(root, role);
        assert_eq!(peer.answer(), "ready");
        peer
    }

    pub fn send(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("open"), "{line}").expect("the child reads");
    }

    pub fn answer(&mut self) -> String {
        self.try_answer().expect("the child ended")
    }

    /// `None` where the child has ended.
    pub fn try_answer(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some((_, answer)) = line.split_once("@@") {
                return Some(answer.trim_end().to_owned());
            }
        }
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.answer()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, signal) }, 0);
    }

    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Closes its input, which ends every role, and waits.
    pub fn finish(&mut self) -> ExitStatus {
        self.stdin = None;
        self.process.wait().expect("wait")
    }

    /// Closes its input, and waits for what it has to say at the end.
    pub fn finish_with_answer(&mut self) -> String {
        self.stdin = None;
        let said = self.answer();
        assert!(self.finish().success());
        said
    }

    /// Whether it has ended, and how.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("wait")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In a child: what it is to do and where. `None` in an ordinary test run.
pub fn child_role() -> Option<(String, Config)> {
    let role = std::env::var(ROLE).ok()?;
    end_with_parent();
    let root = PathBuf::from(std::env::var_os(ROOT)?);
    Some((role, Config { root, use_inotify: use_inotify(), ..Config::default() }))
}

/// In a child: answers the parent.
pub fn answer(text: impl std::fmt::Display) {
    println!("@@{text}");
    let _ = std::io::stdout().flush();
}

/// In a child: the parent's next line; `None` when it has closed the input.
pub fn next_line() -> Option<String> {
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(count) if count > 0 => Some(line.trim_end().to_owned()),
        _ => None,
    }
}

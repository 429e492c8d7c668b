//! Roots, children and patience for the tests.

use crate::parent::{end_with_parent, name_parent};
use hazcat_core::config::Config;
use hazcat_core::graph::{EndpointKind, EndpointRecord, NodeRecord};
use hazcat_core::ids::Identity;
use hazcat_core::participant::{NewsListener, Participant};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A watchdog, not a time limit: only what hangs reaches it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the long versions of the tests were asked for.
pub fn long() -> bool {
    std::env::var_os("HAZCAT_LONG").is_some_and(|value| value != "0")
}

const ROOT: &str = "HAZCAT_TEST_CHILD_ROOT";
const NO_INOTIFY: &str = "HAZCAT_TEST_CHILD_NO_INOTIFY";

/// A folder in /dev/shm, removed on drop.
pub struct TestRoot {
    path: PathBuf,
    pub use_inotify: bool,
}

impl TestRoot {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/hazcat-test-{}-control-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a new folder in /dev/shm");
        Self { path, use_inotify: true }
    }

    pub fn polling() -> Self {
        let mut root = Self::new();
        root.use_inotify = false;
        root
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn config(&self) -> Config {
        Config { root: self.path.clone(), use_inotify: self.use_inotify, ..Config::default() }
    }

    pub fn join(&self) -> Arc<Participant> {
        Participant::join(&self.config()).expect("join")
    }

    /// Whether nothing is left of any domain.
    pub fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.path).expect("root").next().is_none()
    }
}

impl Drop for TestRoot {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Another process that has joined; killed on drop.
pub struct Peer {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub identity: Identity,
}

impl Peer {
    /// Starts one and waits until it has joined.
    pub fn start(root: &TestRoot) -> Self {
        Starting::new(root).joined()
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
    }

    pub fn send(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").expect("the child reads");
    }

    pub fn answer(&mut self) -> String {
        read_answer(&mut self.stdout)
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("kill");
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, signal) }, 0);
    }

    pub fn wait(&mut self) {
        self.process.wait().expect("wait");
    }

    /// Has it leave and end.
    pub fn leave(mut self) {
        self.send("leave");
        assert!(self.process.wait().expect("wait").success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process that is about to join.
pub struct Starting(Option<Child>);

impl Starting {
    pub fn new(root: &TestRoot) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.args(["support::child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(ROOT, root.path());
        name_parent(&mut command);
        if !root.use_inotify {
            command.env(NO_INOTIFY, "1");
        }
        Self(Some(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn")))
    }

    /// Kills it wherever it is on its way.
    pub fn kill(mut self) {
        let mut process = self.0.take().expect("once");
        process.kill().expect("kill");
        process.wait().expect("wait");
    }

    pub fn joined(mut self) -> Peer {
        let mut process = self.0.take().expect("once");
        let stdin = process.stdin.take().expect("piped");
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let answer = read_answer(&mut stdout);
        let word = answer.parse().expect("an identity");
        Peer { process, stdin, stdout, identity: Identity::from_word(word).expect("an identity") }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(process) = &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn read_answer(stdout: &mut BufReader<ChildStdout>) -> String {
    loop {
        let mut line = String::new();
        assert!(stdout.read_line(&mut line).expect("read") > 0, "the child ended");
        if let Some((_, answer)) = line.split_once("@@") {
            return answer.trim_end().to_owned();
        }
    }
}

fn answer(text: impl std::fmt::Display) {
    println!("@@{text}");
    std::io::stdout().flush().expect("the parent reads");
}

/// Not a test: what a child runs. Does nothing unless started as one.
#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    end_with_parent();
    let config =
        Config { root: PathBuf::from(root), use_inotify: std::env::var_os(NO_INOTIFY).is_none(), ..Config::default() };
    let participant = Participant::join(&config).expect("join");
    answer(participant.identity().word());
    for line in std::io::stdin().lines() {
        let line = line.expect("the parent writes");
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "node" => {
                add_node(&participant, argument);
                answer("ok");
            }
            "endpoints" => {
                let node = add_node(&participant, argument);
                for number in 0..10 {
                    add_endpoint(&participant, node, &format!("/{argument}/topic_{number}"));
                }
                answer("ok");
            }
            // Waits until so many nodes are known, and that many endpoints for ten each.
            "see" => {
                let count: usize = argument.parse().expect("a number");
                wait_for_graph(&participant, || {
                    let graph = participant.graph().snapshot();
                    graph.nodes().count() >= count && graph.endpoints().count() >= count * 10
                });
                answer(monotonic_ns());
            }
            // Announces that it watches, waits until that node is not known, tells when that was.
            "miss" => {
                answer("watching");
                wait_for_graph(&participant, || !sees(&participant, argument));
                answer(monotonic_ns());
            }
            // Announces that it knows that one, waits until it does not, tells when that was.
            "outlive" => {
                let who = Identity::from_word(argument.parse().expect("a word")).expect("an identity");
                let is_listed = || participant.graph().snapshot().participant(who).is_some();
                wait_for_graph(&participant, is_listed);
                answer("watching");
                wait_for_graph(&participant, || !is_listed());
                answer(monotonic_ns());
            }
            "name" => {
                let graph = participant.graph().snapshot();
                let own = graph.participant(participant.identity()).expect("own graph");
                answer(&own.nodes.first().expect("a node").1.name);
            }
            "cpu" => answer(cpu_ns()),
            // A forked child that lives on, as a careless application has it.
            "fork" => {
                // SAFETY: the child only sleeps, exec-free, and ends by itself.
                if unsafe { libc::fork() } == 0 {
                    std::thread::sleep(Duration::from_secs(20));
                    // SAFETY: ends the child without running the parent's clean-up.
                    unsafe { libc::_exit(0) };
                }
                answer("ok");
            }
            "leave" => break,
            other => panic!("unknown command {other}"),
        }
    }
    participant.leave();
}

pub fn add_node(participant: &Participant, name: &str) -> u32 {
    let record = NodeRecord { name: name.into(), namespace: "/".into(), enclave: "/".into() };
    participant.graph().add_node(record).expect("add node").0
}

pub fn add_endpoint(participant: &Participant, node: u32, name: &str) -> hazcat_core::graph::EndpointId {
    let record = EndpointRecord {
        kind: EndpointKind::Publisher,
        node,
        gid: [7; 16],
        name: name.into(),
        type_name: "std_msgs/msg/String".into(),
        attributes: vec![1; 60],
    };
    participant.graph().add_endpoint(record).expect("add endpoint")
}

pub fn sees(participant: &Participant, node: &str) -> bool {
    participant.graph().snapshot().nodes().any(|view| view.record.name == node)
}

/// Waits, by graph listener, until `condition` holds.
pub fn wait_for_graph(participant: &Participant, condition: impl Fn() -> bool) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let listener = participant.graph().add_listener(Box::new(move || {
        let _ = sender.lock().expect("no panic").send(());
    }));
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        let left = deadline.saturating_duration_since(Instant::now());
        receiver.recv_timeout(left).expect("the graph changes before the watchdog bites");
    }
    participant.graph().remove_listener(listener);
}

/// Waits until `condition` holds, for what no listener announces.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Processor time of this process.
fn cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live timespec to be filled in.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut now) }, 0);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Collects deaths and counts ticks.
#[derive(Default)]
pub struct Recorder {
    pub deaths: Mutex<Vec<Identity>>,
    pub ticks: AtomicU32,
}

impl Recorder {
    pub fn on(participant: &Participant) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        let listener: Arc<dyn NewsListener> = recorder.clone();
        participant.add_news_listener(Arc::downgrade(&listener));
        recorder
    }

    pub fn has(&self, dead: Identity) -> bool {
        self.deaths.lock().expect("no panic").contains(&dead)
    }
}

impl NewsListener for Recorder {
    fn on_death(&self, dead: Identity) {
        self.deaths.lock().expect("no panic").push(dead);
    }

    fn on_tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }
}

/// xorshift64*; the seed is printed, and can be given by `HAZCAT_SEED`.
pub struct Random(u64);

impl Random {
    pub fn seeded(what: &str) -> Self {
        let clock = || {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |age| age.as_nanos() as u64)
        };
        let seed = std::env::var("HAZCAT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(clock);
        println!("{what}: HAZCAT_SEED={seed}");
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

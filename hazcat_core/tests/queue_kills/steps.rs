//! One publish and one take, instruction by instruction: after each the process is left stopped there while others go on, and
//! (in another run) is killed there.
//!
//! An operation is stopped once: publishing is lock-free, not wait-free, so others who publish at its every instruction would
//! keep it from ever getting through. In CI about a hundred instructions are tried, with `HAZCAT_LONG=1` each.

use crate::endpoints::*;
use crate::support::*;
use hazcat_core::{Participant, Publisher, PublisherOptions};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Two messages of [`OTHERS_BYTES`] each: several times the budget of who publishes them.
const ROUNDS_AFTER_KILL: u32 = 200;
const OTHERS_BYTES: usize = 1024;

/// More instructions than any operation has.
const TOO_MANY: u64 = 1_000_000;

/// What the stepped process does; between two signals, the operation, again and again.
pub fn run(participant: &Arc<Participant>, operation: &str, before: u64) {
    let sub = subscription(participant, ALL, last(8));
    let to_all = publisher(participant, ALL, keep_all_publisher(Duration::MAX));
    let go = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Never the first thread of the process: who traces that one takes its end from its parent.
        scope.spawn(|| {
            let operate = || match operation {
                "publish" => publish(&to_all, 0, to_all.next_number(), 64),
                _ => assert!(take(&sub).is_some()),
            };
            if operation == "publish" {
                (0..before).for_each(|_| operate());
            }
            // SAFETY: no arguments, no memory.
            answer(format!("ready {}", unsafe { libc::gettid() }));
            while !go.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            if operation == "take" {
                (0..before).for_each(|_| operate());
            }
            loop {
                raise(libc::SIGUSR1);
                operate();
                raise(libc::SIGUSR2);
            }
        });
        assert_eq!(next_line().as_deref(), Some("go"));
        go.store(true, Ordering::Relaxed);
    });
}

fn raise(signal: i32) {
    // SAFETY: a signal to the calling thread, which a tracer takes.
    unsafe { libc::raise(signal) };
}

/// A thread of another process that this one leads by the hand.
struct Stepped {
    peer: Peer,
    thread: i32,
}

enum Stop {
    At(i32),
    Ended,
}

impl Stepped {
    /// A process that is about to do its operation.
    fn new(root: &Root, operation: &str, before: u64, others: &mut Others) -> io::Result<Self> {
        let mut peer = Peer::start(root, &format!("stepped {operation} {before}"));
        let said = peer.answer();
        let thread = said.strip_prefix("ready ").and_then(|thread| thread.parse().ok()).expect("a thread");
        let mut traced = Self { peer, thread };
        traced.ask(libc::PTRACE_SEIZE, libc::PTRACE_O_EXITKILL as usize)?;
        // Something to take.
        others.round();
        others.round();
        traced.peer.send("go");
        traced.wait_for(libc::SIGUSR1);
        Ok(traced)
    }

    /// Lets it run until it gives this signal.
    fn go_to(&self, signal: i32) {
        self.ask(libc::PTRACE_CONT, 0).expect("it is stopped");
        self.wait_for(signal);
    }

    fn wait_for(&self, signal: i32) {
        loop {
            match self.wait() {
                Stop::At(given) if given == signal => return,
                Stop::At(_) => self.ask(libc::PTRACE_CONT, 0).expect("it is stopped"),
                Stop::Ended => panic!("ended before its operation"),
            }
        }
    }

    fn ask(&self, request: libc::c_uint, data: usize) -> io::Result<()> {
        // SAFETY: these requests read and write no memory of this process; the thread is of our own child.
        match unsafe { libc::ptrace(request, self.thread, 0_usize, data) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn wait(&self) -> Stop {
        let mut status = 0;
        // SAFETY: `status` is a place for one.
        let answer = unsafe { libc::waitpid(self.thread, &mut status, libc::__WALL) };
        if answer == self.thread && libc::WIFSTOPPED(status) {
            Stop::At(libc::WSTOPSIG(status))
        } else {
            Stop::Ended
        }
    }

    /// One instruction; `false` at the end of the operation.
    fn step(&self) -> bool {
        self.ask(libc::PTRACE_SINGLESTEP, 0).expect("a step");
        match self.wait() {
            Stop::At(signal) => signal != libc::SIGUSR2,
            Stop::Ended => panic!("ended in its operation"),
        }
    }

    fn kill(mut self) {
        self.peer.signal(libc::SIGKILL);
        while !matches!(self.wait(), Stop::Ended) {}
        self.peer.kill();
    }
}

/// Those who go on.
struct Others {
    here: Arc<Participant>,
    to_all: Publisher,
    from_all: Receiver,
    published: u64,
}

impl Others {
    fn new(root: &Root) -> Self {
        let here = root.join();
        let options = PublisherOptions { byte_budget: 256 << 10, ..keep_all_publisher(Duration::MAX) };
        let to_all = publisher(&here, ALL, options);
        let from_all = Receiver::new(&here, ALL, keep_all(), true);
        Self { here, to_all, from_all, published: 0 }
    }

    /// Two messages arrive, whatever the stepped process is in the middle of. Answers how many of its own came.
    fn round(&mut self) -> u64 {
        let mut own = Vec::new();
        for _ in 0..2 {
            self.published += 1;
            publish(&self.to_all, 1, self.published, OTHERS_BYTES);
        }
        let mut of_stepped = 0;
        while let Some((who, number)) = self.from_all.take() {
            if who == 1 {
                own.push(number);
            } else {
                of_stepped += 1;
            }
        }
        assert_eq!(own, [self.published - 1, self.published]);
        of_stepped
    }

    fn leave(mut self, root: &Root) {
        self.from_all.expect_losses_told();
        let own = format!("-{:016x}-", self.here.identity().word());
        wait_until("nothing of the killed is left", || {
            let is_own = |path: &std::path::PathBuf| path.to_string_lossy().contains(&own);
            root.files_in("payload").iter().all(is_own) && root.files_in("participants").len() == 1
        });
        drop((self.to_all, self.from_all));
        self.here.leave();
        root.assert_empty();
    }
}

/// `None` where processes may not trace their children.
fn stepped(root: &Root, operation: &str, before: u64, others: &mut Others) -> Option<Stepped> {
    match Stepped::new(root, operation, before, others) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            println!("skipped: this process may not trace its children");
            None
        }
        other => Some(other.expect("a traced process")),
    }
}

#[test]
fn stopped_after_every_instruction_it_holds_nobody_up() {
    let _watchdog = Watchdog::with_patience(PATIENCE * if long() { 30 } else { 1 });
    for operation in ["publish", "take"] {
        let root = Root::new();
        let mut others = Others::new(&root);
        let Some(stepped) = stepped(&root, operation, 0, &mut others) else { return };
        let (mut at, mut stops, mut stride) = (1, 0, 1);
        loop {
            let mut steps = 0;
            while steps < at && stepped.step() {
                steps += 1;
            }
            // Past the end of the longest one, which was the first.
            let ended = steps < at;
            if !ended {
                others.round();
                others.round();
                stops += 1;
                stepped.go_to(libc::SIGUSR2);
            }
            // What it published in its operation comes now at the latest.
            others.round();
            if ended {
                break;
            }
            stepped.go_to(libc::SIGUSR1);
            if !long() {
                stride = 1 + at / 10;
            }
            at += stride;
            assert!(at < TOO_MANY, "{operation} does not end");
        }
        stepped.kill();
        println!("{operation}: stopped {stops} times, up to instruction {at}");
        others.leave(&root);
    }
}

/// The operation, and how often the process has done the same before. One test each, to run side by side.
fn killed_at_any_instruction(operation: &str, before: u64) {
    let _watchdog = Watchdog::with_patience(PATIENCE * if long() { 120 } else { 1 });
    let root = Root::new();
    let mut others = Others::new(&root);
    let Some(first) = stepped(&root, operation, before, &mut others) else { return };
    let mut steps = 0;
    while first.step() {
        steps += 1;
        assert!(steps < TOO_MANY, "{operation} does not end");
    }
    first.kill();
    others.round();
    let stride = if long() { 1 } else { (steps / 7).max(1) };
    let mut kills = 0;
    for at in (1..steps).step_by(stride as usize) {
        let Some(victim) = stepped(&root, operation, before, &mut others) else { return };
        (0..at).for_each(|_| assert!(victim.step() || at + 100 > steps));
        let mut came = others.round();
        victim.kill();
        kills += 1;
        // Several times what the others' budget has room for.
        for _ in 0..ROUNDS_AFTER_KILL {
            came += others.round();
        }
        assert!(came <= 1, "{came} messages of the killed one");
        if kills % 500 == 0 {
            println!("{operation} after {before}: {kills} kills so far");
        }
    }
    println!("{operation} after {before}: {steps} instructions, killed at {kills} of them");
    others.leave(&root);
}

#[test]
fn killed_at_any_instruction_of_a_first_publish_it_leaves_nothing_undone() {
    killed_at_any_instruction("publish", 0);
}

#[test]
fn killed_at_any_instruction_of_a_later_publish_it_leaves_nothing_undone() {
    killed_at_any_instruction("publish", 50);
}

#[test]
fn killed_at_any_instruction_of_a_first_take_it_leaves_nothing_undone() {
    killed_at_any_instruction("take", 0);
}

#[test]
fn killed_at_any_instruction_of_a_later_take_it_leaves_nothing_undone() {
    killed_at_any_instruction("take", 3);
}

//! Other processes: this binary again, with its test `child` alone, told by an environment variable what to do.

use super::scene::{wait_until, Scene, MIB};
use hazcat_core::domain::{Allocation, DomainAllocator, Readiness};
use hazcat_core::ids::SegmentId;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

const ROLE: &str = "HAZCAT_TEST_CUDA_ROLE";
const ROOT: &str = "HAZCAT_TEST_CUDA_ROOT";
/// Bytes of the messages between processes.
pub const LEN: usize = 3 * MIB + 5;

/// Another process; killed on drop.
pub struct Other {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Other {
    pub fn start(root: &Path, role: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("exe"));
        command.args(["inside::child", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(ROOT, root);
        command.envs(environment.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("spawn");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    /// The numbers of the next line that is meant for the other side.
    pub fn hear(&mut self) -> Vec<u64> {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("read") > 0, "the other process ended");
            if let Some((_, text)) = line.split_once("@@") {
                return text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
            }
        }
    }

    pub fn say(&mut self) {
        self.child.stdin.as_mut().expect("piped").write_all(b"\n").expect("write");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops all its threads; other threads than the one that is signalled stop a little later.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        wait_until("all threads are stopped", || {
            std::fs::read_dir(&tasks).expect("tasks").all(|task| {
                let stat = std::fs::read_to_string(task.expect("task").path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
            })
        });
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        // SAFETY: our own child, not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Lets it end by itself.
    pub fn end(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        let _ = self.lines.read_to_string(&mut rest);
        assert!(self.child.wait().expect("wait").success(), "{rest}");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A message of another process.
#[derive(Clone, Copy)]
pub struct Message {
    pub segment: SegmentId,
    pub offset: usize,
    pub seed: u64,
    pub readiness: Readiness,
}

impl Message {
    pub fn heard(other: &mut Other) -> Self {
        let words = other.hear();
        let [segment, offset, seed, readiness] = words[..] else { panic!("{words:?}") };
        Self { segment: SegmentId(segment), offset: offset as usize, seed, readiness: Readiness(readiness) }
    }

    fn text(&self) -> String {
        format!("{} {} {} {}", self.segment.0, self.offset, self.seed, self.readiness.0)
    }
}

fn tell(text: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "@@{text}");
    let _ = out.flush();
}

/// Until the other side says something; `false` where it is gone.
fn listen() -> bool {
    std::io::stdin().read(&mut [0]).is_ok_and(|count| count > 0)
}

pub fn role_to_map(message: &Message) -> String {
    format!("map {}", message.text())
}

type Kept = (Box<dyn DomainAllocator>, Allocation);

/// What is still there when the process ends.
static LAST: Mutex<Option<Kept>> = Mutex::new(None);

/// As a C++ object of static lifetime is destroyed: after everything that was registered later, the driver's own end included.
extern "C" fn destroy_last() {
    let Some((allocator, piece)) = LAST.lock().ok().and_then(|mut last| last.take()) else { return };
    let refused = allocator.copy_to(&piece, 0, &mut [0; 10]);
    // The threads behind it go on for a while, too.
    std::thread::sleep(Duration::from_millis(50));
    drop(allocator);
    tell(if refused.is_err_and(|error| error.to_string().contains("HAZCAT_EXITING")) { "2" } else { "3" });
}

pub fn play() {
    let (Ok(role), Some(root)) = (std::env::var(ROLE), std::env::var_os(ROOT)) else { return };
    if role == "exit" {
        // SAFETY: a function that does not unwind. First of all, so that it runs last.
        unsafe { libc::atexit(destroy_last) };
    }
    let scene = Scene::on("cuda:0", Path::new(&root), false).expect("a device");
    let words: Vec<&str> = role.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    match words[0] {
        // Fills messages on a stream that first takes its time, and tells of them at once.
        "produce" => {
            let mut allocator = scene.allocator();
            let stream = scene.stream();
            for seed in 1..=number(2) {
                let piece = allocator.allocate(LEN).expect("room");
                let at = allocator.address(&piece).expect("an address");
                scene.fill_later(&stream, Duration::from_millis(number(1)), at, LEN, seed);
                let readiness = allocator.mark_ready(&piece, stream.stream()).expect("mark");
                let segment = allocator.share(piece.segment).expect("id");
                tell(&Message { segment, offset: piece.byte_offset(), seed, readiness }.text());
            }
            while listen() {}
        }
        // Maps a message, checks its bytes, and stays.
        "map" => {
            let owner = Scene::owner().word();
            let mapped = scene.domain.remap(&scene.folder(), SegmentId(number(1)), owner).expect("remap");
            mapped.wait_ready(Readiness(number(4)), None).expect("ready");
            let at = mapped.address(number(2) as usize, LEN).expect("an address");
            let stream = scene.stream();
            tell(&scene.wrong(&stream, at, LEN, number(3)).to_string());
            while listen() {}
        }
        // Says which device has a number here.
        "number" => tell(&scene.domain.id().instance().to_string()),
        // Ends while a stream and the threads behind it are at work.
        "exit" => {
            let mut allocator = scene.allocator();
            let stream = scene.stream();
            let piece = allocator.allocate(LEN).expect("room");
            scene.kernels.spin(stream.stream(), 2_000_000_000).expect("spin");
            allocator.mark_ready(&piece, stream.stream()).expect("mark");
            *LAST.lock().expect("unpoisoned") = Some((allocator, piece));
            tell("1");
            std::process::exit(0);
        }
        // Host code that touches a device's memory.
        "touch" => {
            let mut allocator = scene.allocator();
            let piece = allocator.allocate(64).expect("room");
            let at = allocator.address(&piece).expect("an address");
            tell("1");
            // SAFETY: none: that this dies is what is tested.
            unsafe { at.write_volatile(1) };
            tell("2");
        }
        other => panic!("{other}"),
    }
}

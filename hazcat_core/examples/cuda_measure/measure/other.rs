//! Other processes: this program again, told by environment variables what to do.

use super::{Failure, Plan};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const ROLE: &str = "HAZCAT_MEASURE_ROLE";
const ROOT: &str = "HAZCAT_MEASURE_ROOT";
const DEVICE: &str = "HAZCAT_MEASURE_DEVICE";
/// Begins the lines that are meant for the other side.
const SIGN: &str = "@@";

/// What a process was started for.
pub struct Role {
    pub kind: String,
    /// Messages to take.
    pub messages: usize,
    /// Size of the largest.
    pub size: usize,
    pub root: PathBuf,
    pub device: String,
}

impl Role {
    pub fn of_this_process() -> Option<Result<Self, Failure>> {
        let role = std::env::var(ROLE).ok()?;
        let read = || {
            let mut words = role.split_whitespace();
            let kind = words.next().ok_or("no role")?.to_owned();
            let mut number = || -> Result<usize, Failure> { Ok(words.next().ok_or("a number is missing")?.parse()?) };
            let (messages, size) = (number()?, number()?);
            Ok(Self { kind, messages, size, root: std::env::var(ROOT)?.into(), device: std::env::var(DEVICE)? })
        };
        Some(read())
    }
}

/// Says numbers to the process that started this one.
pub fn tell(numbers: &[i64]) -> Result<(), Failure> {
    let words: Vec<String> = numbers.iter().map(i64::to_string).collect();
    let mut out = std::io::stdout();
    writeln!(out, "{SIGN}{}", words.join(" "))?;
    Ok(out.flush()?)
}

/// Another process; killed on drop.
pub struct Other {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Other {
    pub fn start(plan: &Plan, root: &Path, kind: &str, messages: usize, size: usize) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(&plan.arguments).env(ROLE, format!("{kind} {messages} {size}")).env(ROOT, root);
        command.env(DEVICE, &plan.device).stdin(Stdio::null()).stdout(Stdio::piped());
        // SAFETY: one system call, which may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                // It polls: it must not go on when nobody listens any more.
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(Into::into)
            })
        };
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, lines })
    }

    /// The next numbers that it says.
    pub fn hear<const COUNT: usize>(&mut self) -> Result<[i64; COUNT], Failure> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line)? == 0 {
                return Err("another process of the measurement has ended; see above".into());
            }
            if let Some((_, text)) = line.split_once(SIGN) {
                let numbers: Result<Vec<i64>, _> = text.split_whitespace().map(str::parse).collect();
                return numbers?.try_into().map_err(|numbers| format!("not what was expected: {numbers:?}").into());
            }
        }
    }

    /// Waits until it has ended by itself.
    pub fn end(mut self) -> Result<(), Failure> {
        while self.lines.read_line(&mut String::new())? > 0 {}
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("another process of the measurement ended with {status}").into())
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

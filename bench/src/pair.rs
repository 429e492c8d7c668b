//! Starts the processes of a job and collects what they measured.

use std::os::fd::RawFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use clap::ValueEnum;
use thiserror::Error;

use crate::measure;
use crate::scenario::{Job, Role};
use crate::shared_page::SharedPage;
use crate::statistics::Figures;

/// Longest time a job may take before its processes are killed.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Why a job has no figures.
#[derive(Debug, Error)]
pub enum JobError {
    /// The processes could not be started or read from.
    #[error("starting a process: {0}")]
    Start(#[from] std::io::Error),
    /// The job could not be written as JSON for the children.
    #[error("describing the job: {0}")]
    Describe(#[from] serde_json::Error),
    /// A process said why it failed.
    #[error("{0:?} process failed: {1}")]
    Failed(Role, String),
    /// The watchdog ended it.
    #[error("the processes were still at it after {WATCHDOG:?} and were killed")]
    Stuck,
}

/// Runs `job` in fresh processes: one, or two where a peer takes part.
pub fn run(job: &Job) -> Result<Figures, JobError> {
    let page = SharedPage::create(job.size)?;
    let text = serde_json::to_string(job)?;
    let mut children = vec![(Role::First, start(&text, Role::First, page.descriptor())?)];
    if job.needs_peer() {
        match start(&text, Role::Second, page.descriptor()) {
            Ok(child) => children.push((Role::Second, child)),
            Err(error) => {
                stop(&mut children);
                return Err(error.into());
            }
        }
    }
    let (finished, finishes) = mpsc::channel();
    let mut pids = Vec::new();
    for (role, child) in children {
        let finished = finished.clone();
        pids.push(child.id());
        std::thread::spawn(move || {
            // The receiver is gone only after a failure of the other process; then nobody wants this answer.
            let _ = finished.send((role, child.wait_with_output()));
        });
    }
    let mut figures = None;
    for _ in 0..pids.len() {
        let failure = match finishes.recv_timeout(WATCHDOG) {
            Err(_) => JobError::Stuck,
            Ok((_, Err(error))) => JobError::Start(error),
            Ok((role, Ok(output))) if !output.status.success() => {
                let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                JobError::Failed(role, if text.is_empty() { output.status.to_string() } else { text })
            }
            Ok((Role::First, Ok(output))) => {
                figures = serde_json::from_slice(&output.stdout)?;
                continue;
            }
            Ok((Role::Second, Ok(_))) => continue,
        };
        for pid in pids {
            // Its waiting thread has not reaped it unless it has ended by itself just now, so the number is still its own
            // (or nobody's) for all practical purposes.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL);
        }
        return Err(failure);
    }
    figures.ok_or_else(|| JobError::Failed(Role::First, "no figures".to_owned()))
}

fn stop(children: &mut [(Role, Child)]) {
    for (_, child) in children {
        // Already gone is as good.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn start(job: &str, role: Role, page: RawFd) -> std::io::Result<Child> {
    let role = role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    Command::new(std::env::current_exe()?)
        .args(["child", "--job", job, "--role", &role, "--page", &page.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// The child's whole life: does its part of `job` and prints its figures as JSON.
pub fn child(job: &str, role: Role, page: RawFd) -> Result<(), crate::transport::Failure> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    let job: Job = serde_json::from_str(job)?;
    // SAFETY: the descriptor is the one on the command line, inherited for this and used by nobody else in this process.
    let page = unsafe { SharedPage::inherit(page, job.size) }?;
    // Lives as long as the process: endpoints keep references into it.
    let page: &'static SharedPage = Box::leak(Box::new(page));
    if let Some(figures) = measure::run(&job, role, page)? {
        println!("{}", serde_json::to_string(&figures)?);
    }
    Ok(())
}

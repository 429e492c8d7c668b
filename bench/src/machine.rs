//! The machine that the figures are of: which cores, which processor, how busy.

use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::unistd::Pid;
use serde::Serialize;

/// What a reader of the figures needs to know about where they come from.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model name of the processor.
    pub processor: String,
    /// Name, release and version of the kernel.
    pub kernel: String,
    /// Cores that the two processes were pinned to.
    pub cores: [usize; 2],
    /// Clock of the measurements.
    pub clock: String,
    /// What one reading of that clock costs (subtracted from every round), in nanoseconds.
    pub clock_cost_ns: f64,
    /// Commit of the checkout, with "+changes" where the tree had any.
    pub commit: String,
    /// Load averages (1 minute) before and after the run: above 0.5 at the beginning means that others worked here too.
    pub load_before: f64,
    /// See `load_before`.
    pub load_after: f64,
}

/// Cores that this process may use.
pub fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect()
}

/// Two cores that are not hardware threads of one core, if the machine has such; the last two, since the first one serves
/// most interrupts. `None` where only one core may be used.
pub fn two_cores() -> Option<[usize; 2]> {
    let allowed = allowed_cores();
    let second = *allowed.last()?;
    let siblings = siblings(second);
    let others: Vec<usize> = allowed.into_iter().filter(|&core| core != second).collect();
    let first = others.iter().rev().find(|core| !siblings.contains(core)).or(others.last())?;
    Some([*first, second])
}

fn siblings(core: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let Ok(list) = std::fs::read_to_string(path) else { return Vec::new() };
    list.trim()
        .split(',')
        .filter_map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            Some(low.parse().ok()?..=high.parse::<usize>().ok()?)
        })
        .flatten()
        .collect()
}

/// Pins the calling thread (and threads that it starts later) to `core`.
pub fn pin(core: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Load average of the last minute; NaN where the kernel does not say.
pub fn load() -> f64 {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(f64::NAN)
}

/// Model name of the processor.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Release of the running kernel.
pub fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Commit of the checkout that this benchmark was built from, as `git` names it now; empty without git.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    let changed = git(&["status", "--porcelain", "--", "..", ":!results"]).is_some_and(|text| !text.is_empty());
    if changed {
        commit + "+changes"
    } else {
        commit
    }
}

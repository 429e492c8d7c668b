//! Which processes hold which locks, as far as `/proc` shows it.
//!
//! The kernel knows no process for a lock of an open file description, but shows the lock with each descriptor of it
//! (`/proc/<pid>/fdinfo/<fd>`). Processes of other users and of PID namespaces beside ours stay invisible: who is alive is not
//! decided here.

use super::Process;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The processes behind locks: by device and inode of the file, and first locked byte.
#[derive(Debug, Default)]
pub(crate) struct Holders(BTreeMap<(u64, u64), Vec<Process>>);

impl Holders {
    /// Looks at every process that has a file below `directory` open.
    pub(super) fn look(directory: &Path) -> Self {
        let mut found = Self::default();
        let Ok(processes) = fs::read_dir("/proc") else { return found };
        for entry in processes.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else { continue };
            for descriptor in descriptors.flatten() {
                let ours = fs::read_link(descriptor.path()).is_ok_and(|target| target.starts_with(directory));
                if !ours {
                    continue;
                }
                let info = entry.path().join("fdinfo").join(descriptor.file_name());
                let text = fs::read_to_string(info).unwrap_or_default();
                for lock in text.lines().filter_map(parse_lock) {
                    let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                    let process = Process { id, name: name.trim_end().to_owned() };
                    let processes = found.0.entry(lock).or_default();
                    if !processes.contains(&process) {
                        processes.push(process);
                    }
                }
            }
        }
        found
    }

    /// Who holds a lock that begins at that byte of that file.
    pub(super) fn of(&self, inode: u64, byte: u64) -> Vec<Process> {
        let mut processes = self.0.get(&(inode, byte)).cloned().unwrap_or_default();
        processes.sort_unstable();
        processes
    }
}

/// Inode and first byte of a line like `lock:\t1: OFDLCK  ADVISORY  WRITE -1 00:1b:3297 5 5`.
///
/// The device is left out: it may be written in other ways than `stat` has it, and the file was found by its name.
fn parse_lock(line: &str) -> Option<(u64, u64)> {
    let mut words = line.strip_prefix("lock:")?.split_whitespace();
    let kind = words.nth(1)?;
    if kind != "OFDLCK" {
        return None;
    }
    let file = words.nth(3)?;
    let inode = file.rsplit(':').next()?.parse().ok()?;
    Some((inode, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_read_and_other_lines_are_not() {
        assert_eq!(parse_lock("lock:\t1: OFDLCK  ADVISORY  WRITE -1 00:1b:3297 5 5"), Some((3297, 5)));
        assert_eq!(parse_lock("lock:\t2: OFDLCK  ADVISORY  READ -1 00:1b:12 0 EOF"), Some((12, 0)));
        for other in ["pos:\t0", "lock:\t1: FLOCK  ADVISORY  WRITE 7 00:1b:3297 0 EOF", "lock:", "lock:\t1: OFDLCK"] {
            assert_eq!(parse_lock(other), None, "{other}");
        }
    }
}

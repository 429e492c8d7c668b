//! Open-file-description locks on single bytes.
//!
//! Such a lock belongs to the open file description: the kernel releases it when the last descriptor of that description
//! is closed, however the process ends. It is probed with [`is_locked_by_another`], which takes nothing; through the
//! holder's own description a probe always answers "no".

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};
use std::fs::File;
use std::io;

/// How a byte is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Any number of holders, while nobody holds it exclusively.
    Shared,
    /// One holder.
    Exclusive,
}

fn record(kind: libc::c_int, start: u64, length: u64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: i64::try_from(start).unwrap_or(i64::MAX),
        l_len: i64::try_from(length).unwrap_or(i64::MAX),
        l_pid: 0,
    }
}

/// Takes the lock on `byte` if that is possible without waiting; converts a lock this description has already.
///
/// # Errors
/// What the system answers, other than "somebody else has it", which is `Ok(false)`.
pub fn try_lock(file: &File, byte: u64, kind: LockKind) -> io::Result<bool> {
    let kind = match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    };
    let record = record(kind, byte, 1);
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&record)) {
            Ok(_) => return Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Releases the lock on `byte`, for all descriptors of this description.
///
/// # Errors
/// What the system answers.
pub fn unlock(file: &File, byte: u64) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&record(libc::F_UNLCK, byte, 1)))?;
    Ok(())
}

/// Whether another description holds any lock on one of `length` bytes from `start`.
///
/// # Errors
/// What the system answers.
pub fn is_locked_by_another(file: &File, start: u64, length: u64) -> io::Result<bool> {
    Ok(any_locked_by_another(file, start, length)?.is_some())
}

/// Which of `length` bytes from `start` other descriptions hold locks on, in no order.
///
/// # Errors
/// What the system answers.
pub fn all_locked_by_others(file: &File, start: u64, length: u64) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut ranges = vec![(start, start + length)];
    while let Some((from, to)) = ranges.pop() {
        if let Some(byte) = any_locked_by_another(file, from, to - from)? {
            found.push(byte);
            ranges.extend([(from, byte), (byte + 1, to)]);
        }
    }
    Ok(found)
}

/// One of the bytes that another description holds a lock on. Not the first one: the kernel answers with whoever has locked any
/// of them for longest.
fn any_locked_by_another(file: &File, start: u64, length: u64) -> io::Result<Option<u64>> {
    if length == 0 {
        return Ok(None); // The system would take it for "to the end of the file".
    }
    let mut record = record(libc::F_WRLCK, start, length);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut record))?;
    let locked = libc::c_int::from(record.l_type) != libc::F_UNLCK;
    Ok(locked.then(|| u64::try_from(record.l_start).unwrap_or(start).clamp(start, start + length - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_descriptions() -> (File, File) {
        let path = std::path::PathBuf::from(format!(
            "/dev/shm/hazcat-test-lock-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let first = options.open(&path).expect("create");
        let second = options.open(&path).expect("open");
        std::fs::remove_file(&path).expect("remove");
        (first, second)
    }

    #[test]
    fn a_byte_has_one_exclusive_holder_until_it_closes() {
        let (first, second) = two_descriptions();
        assert!(try_lock(&first, 7, LockKind::Exclusive).expect("lock"));
        assert!(!try_lock(&second, 7, LockKind::Exclusive).expect("lock"));
        assert!(try_lock(&second, 8, LockKind::Exclusive).expect("lock"));
        assert!(is_locked_by_another(&second, 7, 1).expect("probe"));
        assert!(is_locked_by_another(&second, 0, 100).expect("probe"));
        assert!(!is_locked_by_another(&first, 7, 1).expect("probe"), "through the holder's description: not locked");
        drop(first);
        assert!(!is_locked_by_another(&second, 0, 100).expect("probe"));
        assert!(try_lock(&second, 7, LockKind::Exclusive).expect("lock"));
    }

    #[test]
    fn all_locked_bytes_are_found_in_whatever_order_they_were_locked() {
        let (first, second) = two_descriptions();
        let path = std::path::PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&first)));
        let holders: Vec<File> = [5, 2, 9, 3]
            .into_iter()
            .map(|byte| {
                let holder = File::options().read(true).write(true).open(&path).expect("open");
                assert!(try_lock(&holder, byte, LockKind::Exclusive).expect("lock"));
                holder
            })
            .collect();
        let mut found = all_locked_by_others(&second, 1, 9).expect("probe");
        found.sort_unstable();
        assert_eq!(found, [2, 3, 5, 9]);
        drop(holders);
        assert!(all_locked_by_others(&second, 0, 100).expect("probe").is_empty());
    }

    #[test]
    fn exclusive_becomes_shared_without_a_gap_and_shared_admits_others() {
        let (first, second) = two_descriptions();
        assert!(try_lock(&first, 0, LockKind::Exclusive).expect("lock"));
        assert!(!try_lock(&second, 0, LockKind::Shared).expect("lock"));
        assert!(try_lock(&first, 0, LockKind::Shared).expect("convert"));
        assert!(try_lock(&second, 0, LockKind::Shared).expect("lock"));
        assert!(!try_lock(&first, 0, LockKind::Exclusive).expect("convert"));
        unlock(&second, 0).expect("unlock");
        assert!(try_lock(&first, 0, LockKind::Exclusive).expect("convert"));
    }
}

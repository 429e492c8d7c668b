//! A participant's file: header, then the graph record.
//!
//! Offsets: 0 magic, 8 version, 16 identity; 64 sequence, 72 length, 80 checksum, 88 the encoded graph. The file is
//! written with `pwrite` and read with `pread`, never mapped: so it can grow, and each change is an inotify event.
//!
//! **One write per change.** The record (sequence, length, checksum, graph) goes out in a single system call, and the
//! checksum covers sequence and length too. A reader that meets a half-written record sees a wrong checksum; the
//! writer's event comes after the write is complete, so there is always another look. (A sequence that is odd while
//! writing would need three writes, thus three events for each of up to a thousand watchers, and could still be torn
//! between the two words.) A writer that dies in the middle leaves a record that nobody accepts, and is itself gone.
//!
//! **A lock.** Its writer keeps the file locked. Who has another lease file than the writer (somebody removed it, and the one has
//! not found the new one yet, or cannot go there) sees by that lock that the file is not a dead participant's.

use super::codec::{self, DecodeError};
use super::record::ParticipantGraph;
use super::GraphError;
use crate::checksum::checksum;
use crate::ids::Identity;
use crate::sys::file_id::FileId;
use crate::sys::fork::ForkGuarded;
use crate::sys::mapping::Access;
use crate::sys::ofd_lock::{self, LockKind};
use crate::sys::shm_file::{self, FileError, NewFile};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MAGIC: u64 = u64::from_le_bytes(*b"hazcatPA");
const VERSION: u64 = 1;
const RECORD: u64 = 64;
const RECORD_HEADER: usize = 24;
const CHECKSUM_SEED: u64 = 0x6772_6170_6820_0001;
/// Largest encoded graph, in bytes.
pub(super) const MAX_GRAPH_BYTES: usize = 16 << 20;
/// What one read fetches; larger graphs take a second.
const FIRST_READ: usize = 16 << 10;

/// The writing end; one per participant.
pub(super) struct GraphFile {
    file: ForkGuarded<File>,
    path: PathBuf,
    reserved: u64,
    /// The file as it was when its content was last known to be ours, if that was long enough after the last change that
    /// another change could not have had the same time.
    settled: Option<Stamp>,
}

/// What changes with every change of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    changed: (i64, i64),
    length: u64,
}

/// Coarser than any file system's clock.
const SETTLED_AFTER: Duration = Duration::from_millis(500);

impl GraphFile {
    /// Creates the file with a graph in it; it appears complete.
    ///
    /// # Errors
    /// [`FileError`].
    pub(super) fn create(path: &Path, mode: u32, graph: &ParticipantGraph, sequence: u64) -> Result<Self, FileError> {
        let fail = |error| FileError::from_io(path, 0, error);
        let record = encode_record(graph, sequence);
        let size = RECORD + record.len() as u64;
        // All of it guarded: a child that is forked meanwhile would keep the lock.
        let first = ForkGuarded::open(|| {
            let new = NewFile::create(path, mode, size, size)?;
            new.file().write_all_at(&file_header(graph.identity), 0).map_err(fail)?;
            new.file().write_all_at(&record, RECORD).map_err(fail)?;
            ofd_lock::try_lock(new.file(), 0, LockKind::Shared).map_err(fail)?;
            new.publish_over()
        })?;
        // Opened by its name: events carry the name a descriptor was opened by, and the one above had none.
        let file = ForkGuarded::open(|| shm_file::open(path, Access::ReadWrite))?;
        if let Ok(file) = file.get() {
            ofd_lock::try_lock(file, 0, LockKind::Shared).map_err(fail)?;
        }
        // Only now: the file is never seen without a lock.
        drop(first);
        Ok(Self { file, path: path.to_path_buf(), reserved: size, settled: None })
    }

    /// Replaces the graph.
    ///
    /// # Errors
    /// [`GraphError::TooMany`] bytes, [`FileError::Full`] where shared memory has no room: the file is unchanged.
    pub(super) fn write(&mut self, graph: &ParticipantGraph, sequence: u64) -> Result<(), GraphError> {
        let fail = |error| FileError::from_io(&self.path, 0, error);
        let file = self.file.get()?;
        let record = encode_record(graph, sequence);
        if record.len() - RECORD_HEADER > MAX_GRAPH_BYTES {
            return Err(GraphError::TooMany { what: "bytes of graph", limit: MAX_GRAPH_BYTES });
        }
        let needed = RECORD + record.len() as u64;
        if needed > self.reserved {
            // Some more than asked, so that not every change has to reserve.
            let target = needed.next_multiple_of(4096);
            shm_file::reserve(file, &self.path, 0, target)?;
            self.reserved = target;
        }
        self.settled = None;
        fault_point!("graph.write.unwritten");
        #[cfg(feature = "fault-points")]
        {
            // What a kill in the middle of the one system call may leave.
            let half = record.len() / 2;
            file.write_all_at(record.get(..half).unwrap_or_default(), RECORD).map_err(fail)?;
            fault_point!("graph.write.torn");
        }
        Ok(file.write_all_at(&record, RECORD).map_err(fail)?)
    }

    /// Whether the name still means this file and it still says `graph`: `false` where it has to be made anew.
    ///
    /// Two system calls where nobody has touched it.
    pub(super) fn is_intact(&mut self, graph: impl FnOnce() -> ParticipantGraph, sequence: u64) -> io::Result<bool> {
        let Ok(file) = self.file.get() else { return Ok(true) };
        let meta = file.metadata()?;
        if !FileId::of(&meta).is_named(&self.path) {
            return Ok(false);
        }
        let stamp = Stamp { changed: (meta.mtime(), meta.mtime_nsec()), length: meta.len() };
        if self.settled == Some(stamp) {
            return Ok(true);
        }
        let graph = graph();
        let mut expected = file_header(graph.identity).to_vec();
        expected.resize(RECORD as usize, 0);
        expected.extend_from_slice(&encode_record(&graph, sequence));
        let mut found = vec![0; expected.len()];
        let intact = read_up_to(file, &mut found, 0)? == expected.len() && found == expected;
        let age = meta.modified()?.elapsed().unwrap_or_default();
        self.settled = (intact && age > SETTLED_AFTER).then_some(stamp);
        Ok(intact)
    }
}

fn file_header(identity: Identity) -> [u8; 24] {
    let mut bytes = [0; 24];
    for (to, word) in bytes.chunks_exact_mut(8).zip([MAGIC, VERSION, identity.word()]) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn encode_record(graph: &ParticipantGraph, sequence: u64) -> Vec<u8> {
    let mut record = vec![0; RECORD_HEADER];
    codec::encode(graph, &mut record);
    let length = (record.len() - RECORD_HEADER) as u64;
    let check = record_checksum(sequence, record.get(RECORD_HEADER..).unwrap_or_default());
    for (to, word) in record.chunks_exact_mut(8).zip([sequence, length, check]) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    record
}

/// Makes the header and the checksum of a file's bytes right for the graph that stands in them; for fuzzing.
pub(crate) fn seal(bytes: &mut [u8], identity: Identity, length: usize) {
    let (start, record) = (RECORD as usize + RECORD_HEADER, RECORD as usize);
    let Some(graph) = bytes.get(start..start + length) else { return };
    let check = record_checksum(0, graph);
    for (at, word) in [
        (0, MAGIC),
        (8, VERSION),
        (16, identity.word()),
        (record, 0),
        (record + 8, length as u64),
        (record + 16, check),
    ] {
        if let Some(to) = bytes.get_mut(at..at + 8) {
            to.copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Covers the length as well: `checksum` begins with it.
fn record_checksum(sequence: u64, graph: &[u8]) -> u64 {
    checksum(CHECKSUM_SEED ^ sequence, graph)
}

/// Why a participant's graph could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is being written: the writer's event, or the next sweep, brings another look. If the writer is dead: never.
    #[error("being written")]
    Torn,
    /// A complete record that is not a graph.
    #[error(transparent)]
    Invalid(#[from] DecodeError),
    /// No such file, no permission, another version, not a participant's file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a participant's file says: the sequence of its latest change, and the graph.
///
/// # Errors
/// [`ReadError`].
pub(crate) fn read(path: &Path, identity: Identity) -> Result<(u64, ParticipantGraph), ReadError> {
    let fail = |error| FileError::from_io(path, 0, error);
    let file = shm_file::open(path, Access::ReadOnly)?;
    let mut bytes = vec![0; FIRST_READ];
    let got = read_up_to(&file, &mut bytes, 0).map_err(fail)?;
    bytes.truncate(got);

    let corrupt = |what| FileError::Corrupt { path: path.to_path_buf(), what };
    let word = |bytes: &[u8], at: usize| {
        bytes
            .get(at..at + 8)
            .and_then(|b| b.try_into().ok())
            .map(u64::from_le_bytes)
            .ok_or_else(|| corrupt("too short"))
    };
    if word(&bytes, 0)? != MAGIC {
        return Err(corrupt("not a participant's file").into());
    }
    let found = word(&bytes, 8)?;
    if found != VERSION {
        return Err(FileError::WrongVersion { path: path.to_path_buf(), found, expected: VERSION }.into());
    }
    if word(&bytes, 16)? != identity.word() {
        return Err(corrupt("another participant's file").into());
    }
    let record = RECORD as usize;
    let sequence = word(&bytes, record)?;
    let length = word(&bytes, record + 8)?;
    let check = word(&bytes, record + 16)?;
    let length = usize::try_from(length).ok().filter(|&length| length <= MAX_GRAPH_BYTES).ok_or(ReadError::Torn)?;

    let start = record + RECORD_HEADER;
    let end = start + length;
    if bytes.len() < end {
        // Only as much as the file really has is ever reserved for.
        let size = usize::try_from(file.metadata().map_err(fail)?.len()).unwrap_or(usize::MAX);
        if size < end {
            return Err(ReadError::Torn);
        }
        let have = bytes.len();
        bytes.resize(end, 0);
        let rest = bytes.get_mut(have..).unwrap_or_default();
        if read_up_to(&file, rest, have as u64).map_err(fail)? < end - have {
            return Err(ReadError::Torn);
        }
    }
    let graph = bytes.get(start..end).ok_or(ReadError::Torn)?;
    if record_checksum(sequence, graph) != check {
        return Err(ReadError::Torn);
    }
    Ok((sequence, codec::decode(identity, graph)?))
}

fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::record::{NodeId, NodeRecord};
    use crate::test_root::TestRoot;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;

    fn who() -> Identity {
        Identity::new(1, 2).expect("in range")
    }

    fn graph(nodes: u32, tag: &str) -> ParticipantGraph {
        let record = |_| Arc::new(NodeRecord { name: tag.repeat(40), namespace: "/".into(), enclave: tag.into() });
        ParticipantGraph {
            nodes: (0..nodes).map(|id| (NodeId(id), record(id))).collect(),
            ..ParticipantGraph::empty(who())
        }
    }

    #[test]
    fn it_grows_and_shrinks_and_reads_back() {
        let root = TestRoot::new();
        let path = root.path().join("file");
        let mut file = GraphFile::create(&path, 0o600, &graph(0, "x"), 1).expect("create");
        for (sequence, nodes) in [(2, 1), (3, 4000), (4, 0), (5, 300)] {
            file.write(&graph(nodes, "y"), sequence).expect("write");
            assert_eq!(read(&path, who()).expect("read"), (sequence, graph(nodes, "y")));
        }
        assert!(matches!(read(&path, Identity::new(1, 3).expect("in range")), Err(ReadError::File(_))));
    }

    #[test]
    fn a_damaged_record_is_never_taken_for_a_graph() {
        let root = TestRoot::new();
        let path = root.path().join("file");
        let mut file = GraphFile::create(&path, 0o600, &graph(0, "x"), 1).expect("create");
        file.write(&graph(20, "abc"), 2).expect("write");
        let whole = std::fs::read(&path).expect("read");
        for at in 0..RECORD as usize + RECORD_HEADER + 2000 {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).expect("write");
            let in_gap = (24..RECORD as usize).contains(&at);
            assert_eq!(read(&path, who()).is_ok(), in_gap, "byte {at}");
        }
        for length in 0..whole.len().min(3000) {
            std::fs::write(&path, &whole[..length]).expect("write");
            assert!(read(&path, who()).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn readers_see_one_of_the_graphs_or_torn_while_it_changes() {
        let root = TestRoot::new();
        let path = root.path().join("file");
        let mut file = GraphFile::create(&path, 0o600, &graph(0, "a"), 0).expect("create");
        let choices = [graph(100, "a"), graph(100, "b"), graph(3, "c"), graph(400, "d")];
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut last = 0;
                let (mut good, mut torn) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    match read(&path, who()) {
                        Ok((0, _)) => {}
                        Ok((sequence, found)) => {
                            assert_eq!(found, choices[sequence as usize % 4]);
                            assert!(sequence >= last);
                            last = sequence;
                            good += 1;
                        }
                        Err(ReadError::Torn) => torn += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                assert!(good > 0);
                println!("{good} good, {torn} torn");
            });
            for sequence in 1..3000 {
                file.write(&choices[sequence as usize % 4], sequence).expect("write");
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

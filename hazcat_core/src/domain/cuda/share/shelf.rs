//! The descriptors that this process has, and where it gives them away.

use super::super::memory::MemoryDescriptor;
use super::super::record::SegmentRecord;
use super::{message, segment_in, server, ANSWER, PATIENCE, QUESTION};
use crate::directory::Directory;
use crate::ids::SegmentId;
use crate::sync::atomic::Ordering;
use crate::sys::fork::{ForkGuarded, ForkMark};
use crate::sys::random::random_u64;
use crate::sys::seqpacket;
use crate::sys::shm_file::FileError;
use nix::errno::Errno;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

struct Shelved {
    descriptor: Arc<MemoryDescriptor>,
    path: PathBuf,
}

#[derive(Default)]
struct Shelf {
    segments: HashMap<SegmentId, Shelved>,
    /// The socket of each directory, and the process it was made in.
    sockets: HashMap<PathBuf, (u64, ForkMark)>,
}

fn shelf() -> MutexGuard<'static, Shelf> {
    static SHELF: OnceLock<Mutex<Shelf>> = OnceLock::new();
    SHELF.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of this process's socket in a directory; makes it where it is not there (any more).
pub(in super::super) fn prepare(directory: &Directory) -> Result<u64, FileError> {
    let mut shelf = shelf();
    if let Some((number, mark)) = shelf.sockets.get(directory.path()) {
        if mark.check().is_ok() && directory.socket_path(*number).exists() {
            return Ok(*number);
        }
    }
    let number = random_u64().max(1);
    server::start(directory, number)?;
    shelf.sockets.insert(directory.path().to_owned(), (number, ForkMark::here()));
    Ok(number)
}

/// A server has ended because its socket's file is gone: the next one who needs one makes a new one.
pub(super) fn forget_server(directory: &Directory, number: u64) {
    let mut shelf = shelf();
    if shelf.sockets.get(directory.path()).is_some_and(|(current, _)| *current == number) {
        shelf.sockets.remove(directory.path());
    }
}

/// Keeps a descriptor, and gives it to whoever asks, for as long as the segment's file has its name.
pub(in super::super) fn put(segment: SegmentId, path: &Path, descriptor: Arc<MemoryDescriptor>) {
    shelf().segments.insert(segment, Shelved { descriptor, path: path.to_owned() });
}

pub(super) fn find(segment: SegmentId) -> Option<Arc<MemoryDescriptor>> {
    shelf().segments.get(&segment).map(|shelved| Arc::clone(&shelved.descriptor))
}

/// Lets go of the memory whose segments' files are gone.
pub(in super::super) fn let_go_of_the_gone() {
    let paths: Vec<_> = shelf().segments.iter().map(|(id, shelved)| (*id, shelved.path.clone())).collect();
    let gone: Vec<_> = paths.into_iter().filter(|(_, path)| !path.exists()).map(|(id, _)| id).collect();
    let mut shelf = shelf();
    let gone: Vec<_> = gone.iter().filter_map(|id| shelf.segments.remove(id)).collect();
    drop(shelf);
    // Closing may free gigabytes: not under the lock.
    drop(gone);
}

/// The descriptor of a segment's memory: the one that is here already, or from a process that has it.
///
/// # Errors
/// [`FileError::Missing`] where nobody is left who has it, [`FileError::Io`] where somebody should but did not answer.
pub(in super::super) fn fetch(
    directory: &Directory,
    record: &SegmentRecord,
) -> Result<Arc<MemoryDescriptor>, FileError> {
    if let Some(descriptor) = find(record.id()).filter(|descriptor| descriptor.get().is_ok()) {
        return Ok(descriptor);
    }
    let mut worst = None;
    for server in record.servers().iter().map(|server| server.load(Ordering::Relaxed)).filter(|server| *server != 0) {
        match ask(&directory.socket_path(server), record.id()) {
            Ok(Some(descriptor)) => {
                let descriptor = Arc::new(descriptor);
                put(record.id(), record.path(), Arc::clone(&descriptor));
                // Serving others is a courtesy: who cannot do it reads all the same.
                if let Ok(own) = prepare(directory) {
                    record.add_server(own, |other| !directory.socket_path(other).exists());
                }
                return Ok(descriptor);
            }
            Ok(None) | Err(Errno::ENOENT | Errno::ECONNREFUSED) => {}
            Err(errno) => worst = Some(errno),
        }
    }
    let path = record.path().to_owned();
    Err(match worst {
        None => FileError::Missing { path },
        Some(errno) => FileError::Io { path, source: io::Error::from(errno) },
    })
}

fn ask(socket: &Path, segment: SegmentId) -> nix::Result<Option<MemoryDescriptor>> {
    let connection = seqpacket::connect(socket, PATIENCE)?;
    seqpacket::send(connection.as_fd(), &message(QUESTION, segment.0), None)?;
    seqpacket::wait_for_message(connection.as_fd(), PATIENCE)?;
    // Nobody can fork while a descriptor has arrived that is not guarded yet; receiving does not wait any more.
    let mut answer = [0; 16];
    let guarded = ForkGuarded::open(|| {
        let received = seqpacket::receive(connection.as_fd(), &mut answer).map_err(Err)?;
        received.ok_or(Ok(()))
    });
    let whose = segment_in(&answer, ANSWER);
    match guarded {
        Ok(descriptor) if whose == Some(segment.0) => Ok(Some(MemoryDescriptor::from_guarded(descriptor))),
        Err(Ok(())) if whose == Some(segment.0) => Ok(None),
        Err(Err(errno)) => Err(errno),
        _ => Err(Errno::EPROTO),
    }
}

//! The thread that gives descriptors to those who ask.

use super::{message, segment_in, shelf, ANSWER, QUESTION};
use crate::directory::Directory;
use crate::ids::SegmentId;
use crate::log::warn_log;
use crate::sys::seqpacket::{self, Listener};
use crate::sys::shm_file::FileError;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often it is looked whether a segment's file is gone.
const LOOK: Duration = Duration::from_secs(1);
/// One who has connected is given so long to ask.
const PATIENCE: Duration = Duration::from_millis(200);

/// Starts a thread that serves under a new name.
pub(super) fn start(directory: &Directory, number: u64) -> Result<(), FileError> {
    let path = directory.socket_path(number);
    let listener = Listener::new(&path, directory.file_mode())?;
    let run = {
        let (directory, path) = (directory.clone(), path.clone());
        move || {
            let mut looked = Instant::now();
            loop {
                match listener.accept(LOOK) {
                    Ok(Some(client)) => answer(&client),
                    Ok(None) => {}
                    Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => std::thread::sleep(PATIENCE),
                    Err(errno) => {
                        warn_log!("{}: {errno}; device memory is not shared over it any more", path.display());
                        break;
                    }
                }
                if looked.elapsed() >= LOOK {
                    looked = Instant::now();
                    shelf::let_go_of_the_gone();
                    if !path.exists() {
                        shelf::forget_server(&directory, number);
                        break;
                    }
                }
            }
        }
    };
    let thread = crate::sys::thread::spawn("hazcat-share", run);
    thread.map(drop).map_err(|error| {
        let _ = std::fs::remove_file(&path);
        FileError::from_io(&path, 0, error)
    })
}

/// Answers one question. Whatever goes wrong is the other's to notice.
fn answer(client: &OwnedFd) {
    let mut question = [0; 16];
    if seqpacket::be_patient(client.as_fd(), PATIENCE).is_err()
        || seqpacket::receive(client.as_fd(), &mut question).is_err()
    {
        return;
    }
    let Some(segment) = segment_in(&question, QUESTION) else { return };
    let descriptor = shelf::find(SegmentId(segment));
    let descriptor = descriptor.as_ref().and_then(|descriptor| descriptor.get().ok());
    let _ = seqpacket::send(client.as_fd(), &message(ANSWER, segment), descriptor);
}

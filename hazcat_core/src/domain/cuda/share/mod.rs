//! How the descriptor of a segment's memory gets from process to process.
//!
//! A descriptor's number means nothing elsewhere, so it is never written down: it travels over a socket, whose name stands in
//! the segment's file ([`super::record`]). Every process that has a descriptor gives it to whoever asks, the one that made
//! the memory as well as those that got it from somebody: when the maker dies, the others serve on, and add their sockets to
//! the file. A segment whose maker died before anybody had its descriptor is lost, with its messages.
//!
//! A process has one socket per directory, and one thread that answers there (`server.rs`). It keeps the descriptors, and by
//! that the memory, for as long as the segments' files have their names (`shelf.rs`): an endpoint that leaves takes nothing
//! away from those that have not read its messages yet. Once a second it lets go of those whose file is gone.
//!
//! Who asks is patient for [`PATIENCE`] per socket: a stopped process cannot hold up a taker for longer.

mod server;
mod shelf;

pub(super) use shelf::{fetch, let_go_of_the_gone, prepare, put};

use std::time::Duration;

/// Longest time that one socket is given to answer.
const PATIENCE: Duration = Duration::from_secs(1);

const QUESTION: u64 = u64::from_le_bytes(*b"hazcatQ1");
const ANSWER: u64 = u64::from_le_bytes(*b"hazcatA1");

/// What is sent, both ways: a magic word and a segment's id. The descriptor comes with the answer, unless there is none.
fn message(magic: u64, segment: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(8).zip([magic, segment]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Reads [`message`]; `None` where the magic word is another one.
fn segment_in(message: &[u8; 16], magic: u64) -> Option<u64> {
    let (found, segment) = message.split_at(8);
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
    word(segment).filter(|_| word(found) == Some(magic))
}

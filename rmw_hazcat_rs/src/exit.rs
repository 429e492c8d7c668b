//! Leaving in good order when the process ends.
//!
//! Programs end without finishing their contexts: Python does so routinely, with entities still alive. Their memory goes
//! with the process, but files in shared memory would stay until somebody else joins the domain. So every participant
//! leaves when the process exits. A process that is killed is cleaned up behind by the others.

use std::sync::{Arc, Mutex, Once, Weak};

use hazcat_core::Participant;

use crate::entity::lock;
use crate::logging::{log, Severity};

static PARTICIPANTS: Mutex<Vec<Weak<Participant>>> = Mutex::new(Vec::new());
static REGISTERED: Once = Once::new();

/// Has a participant leave at the end of the process, if it has not left before.
pub fn leave_at_exit(participant: &Arc<Participant>) {
    REGISTERED.call_once(|| {
        // SAFETY: the function takes no arguments and does not unwind; the C library keeps it only until it has run, or
        // until this library is unloaded.
        if unsafe { libc::atexit(leave_all) } != 0 {
            log(Severity::Debug, format_args!("no exit handler is to be had"));
        }
    });
    let mut participants = lock(&PARTICIPANTS);
    participants.retain(|other| other.strong_count() > 0);
    participants.push(Arc::downgrade(participant));
}

extern "C" fn leave_all() {
    // Nothing may unwind into the C library, and nobody is left to be told.
    let _ = std::panic::catch_unwind(|| {
        let participants = std::mem::take(&mut *lock(&PARTICIPANTS));
        for participant in participants.iter().filter_map(Weak::upgrade) {
            // A forked child owns nothing of its parent's.
            if participant.check_fork().is_ok() {
                participant.leave();
            }
        }
    });
}

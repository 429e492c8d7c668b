//! Hints that something happened to a participant's file, from inotify.

use crate::directory::{parse_participant_name, Directory};
use crate::ids::Identity;
use crate::sys::fork::ForkGuarded;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::collections::BTreeSet;

/// What a batch of events says. Each participant once, however many events it had.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Appeared or changed.
    pub(super) changed: BTreeSet<Identity>,
    /// Closed its file, or the file was removed: perhaps dead.
    pub(super) suspected: BTreeSet<Identity>,
    /// Events were lost: only a scan of everything tells.
    pub(super) lost: bool,
    /// The watch is gone: the folder was removed or unmounted.
    pub(super) unwatched: bool,
    /// Something in the directory itself was removed: the lease, a folder, or all of it.
    pub(super) directory: bool,
    /// How many events there were.
    pub(super) events: usize,
}

/// A watch on the folder of participants.
///
/// Opened before the lease. The kernel closes the descriptors of a process that ends from the last one to the first, and takes
/// milliseconds for this one (it waits for all who are delivering an event): the lock would be released that much later.
pub(crate) struct Watch {
    /// `None` only while it is dropped.
    inotify: Option<ForkGuarded<Inotify>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The kernel takes milliseconds for it, and much longer under load.
        if let Some(inotify) = self.inotify.take() {
            inotify.close_unguarded();
        }
    }
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// What the system answers: `EMFILE` where this user has no inotify instance left.
    pub(super) fn open() -> Result<Self, Errno> {
        let inotify = ForkGuarded::open(|| Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK))?;
        Ok(Self { inotify: Some(inotify) })
    }

    /// Watches the folder (again, after it was removed and made anew).
    ///
    /// # Errors
    /// What the system answers: `ENOSPC` where this user has no watch left.
    pub(super) fn add(&self, directory: &Directory) -> Result<(), Errno> {
        let mask = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW;
        let inotify = self.inotify().ok_or(Errno::EBADF)?;
        inotify.add_watch(&directory.participants_path(), mask)?;
        // The directory itself, for what is removed from it; the same folder named twice is one watch.
        let mask = AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM | AddWatchFlags::IN_MOVED_TO;
        let mask = mask | AddWatchFlags::IN_ONLYDIR | AddWatchFlags::IN_DONT_FOLLOW;
        inotify.add_watch(directory.path(), mask)?;
        Ok(())
    }

    /// What to sleep on.
    pub(super) fn inotify(&self) -> Option<&Inotify> {
        self.inotify.as_ref()?.get().ok()
    }

    /// Takes all events there are.
    pub(super) fn drain(&self, hints: &mut Hints) {
        let Some(inotify) = self.inotify() else { return };
        loop {
            match inotify.read_events() {
                Ok(events) if events.is_empty() => return,
                Ok(events) => {
                    hints.events += events.len();
                    events.iter().for_each(|event| sort(event, hints));
                }
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

fn sort(event: &InotifyEvent, hints: &mut Hints) {
    let mask = event.mask;
    if mask.intersects(AddWatchFlags::IN_Q_OVERFLOW) {
        hints.lost = true;
    }
    if mask.intersects(AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_UNMOUNT) {
        hints.unwatched = true;
    }
    if event.name.as_deref().is_some_and(Directory::is_own_name) {
        hints.directory = true;
    }
    // Other names are not ours: files without a name show up here too, as "#" and a number.
    let Some(who) = event.name.as_deref().and_then(parse_participant_name) else { return };
    if mask.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY) {
        hints.changed.insert(who);
    }
    if mask.intersects(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM) {
        hints.suspected.insert(who);
    }
}

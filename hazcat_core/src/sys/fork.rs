//! What a forked child may keep: nothing.
//!
//! Locks and event queues belong to open file descriptions, which a child inherits: its copy of the lease would keep a
//! dead parent alive, its read of the event queue would steal the parent's events. So every such descriptor is a
//! [`ForkGuarded`], closed in the child by a `pthread_atfork` handler, and every path that writes shared memory can ask
//! [`ForkMark::check`] whether this is still the process it was made in. The mark also holds for children made by a bare
//! `fork` system call, which no handler sees: the word it reads lies in memory that the kernel wipes in a child.

use nix::sys::mman::{madvise, mmap_anonymous, MapFlags, MmapAdvise, ProtFlags};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::Duration;

/// The caller is a forked child: what it inherited belongs to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process was forked from the one that joined; it must join anew before it uses shared memory")]
pub struct ForkedChild;

/// Remembers the process in which something was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkMark(u64);

impl ForkMark {
    /// The mark of this process.
    pub fn here() -> Self {
        Self(generation())
    }

    /// The mark as a word, never zero.
    pub(super) fn word(self) -> u64 {
        self.0
    }

    /// The mark that was this word.
    pub(super) fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// Succeeds in the process the mark was made in, fails in its forked children. One load, no system call.
    ///
    /// # Errors
    /// [`ForkedChild`] in a child.
    #[inline]
    pub fn check(self) -> Result<(), ForkedChild> {
        if generation() == self.0 {
            Ok(())
        } else {
            Err(ForkedChild)
        }
    }
}

/// Counts the processes along a line of forks. Ordinary memory: a child goes on from its parent's value.
static COUNTER: AtomicU64 = AtomicU64::new(0);
/// The word the kernel wipes in a child; null until first used.
static WIPED_WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
/// Used where no such memory can be had; the handler then does the wiping.
static PLAIN_WORD: AtomicU64 = AtomicU64::new(0);

#[inline]
fn generation() -> u64 {
    let word = current_word();
    // SYNC fork-word: only for the order with COUNTER in `next_generation`.
    match word.load(Ordering::Acquire) {
        0 => next_generation(word),
        generation => generation,
    }
}

#[inline]
fn current_word() -> &'static AtomicU64 {
    // SYNC fork-page: pairs with the compare-exchange in `make_word`.
    let word = WIPED_WORD.load(Ordering::Acquire);
    if word.is_null() {
        return make_word();
    }
    // SAFETY: set once, to a page that is never unmapped or to a static; the word lies at its start.
    unsafe { &*word }
}

#[cold]
fn make_word() -> &'static AtomicU64 {
    install_handlers();
    let made = wiped_page().unwrap_or((&raw const PLAIN_WORD).cast_mut());
    // SYNC fork-page. A lost race leaks one page; no lock, because a fork could happen while it is held.
    match WIPED_WORD.compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: `made` is a page that is never unmapped, or a static.
        Ok(_) => unsafe { &*made },
        // SAFETY: as above, made by the thread that was first.
        Err(first) => unsafe { &*first },
    }
}

fn wiped_page() -> Option<*mut AtomicU64> {
    let length = NonZeroUsize::new(4096)?;
    // SAFETY: a new private anonymous mapping at an address of the kernel's choice disturbs nothing.
    let page =
        unsafe { mmap_anonymous(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE) }
            .ok()?;
    // SAFETY: the page was just mapped and nobody else knows it.
    unsafe { madvise(page, length.get(), MmapAdvise::MADV_WIPEONFORK) }.ok()?;
    Some(page.as_ptr().cast())
}

#[cold]
fn next_generation(word: &AtomicU64) -> u64 {
    let candidate = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
    // SYNC fork-word
    match word.compare_exchange(0, candidate, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => candidate,
        Err(first) => first,
    }
}

/// Nobody's slot.
const FREE: i32 = -2;
/// The slot's descriptor was closed by the handler in a forked child.
const CLOSED: i32 = -1;

/// One guarded descriptor; whoever swaps the number out closes it.
struct Slot {
    descriptor: AtomicI32,
    next: OnceLock<&'static Slot>,
}

static FIRST: Slot = Slot { descriptor: AtomicI32::new(FREE), next: OnceLock::new() };

fn take_slot(descriptor: i32) -> &'static Slot {
    let mut slot = &FIRST;
    loop {
        // SYNC fork-slot
        if slot.descriptor.compare_exchange(FREE, descriptor, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return slot;
        }
        slot = slot
            .next
            .get_or_init(|| Box::leak(Box::new(Slot { descriptor: AtomicI32::new(FREE), next: OnceLock::new() })));
    }
}

/// Held while a descriptor exists that is not in the list yet, and across every fork.
static GATE: AtomicBool = AtomicBool::new(false);

/// How often who finds the gate closed gives way before it sleeps.
const YIELDS: u32 = 16;
const PAUSE: Duration = Duration::from_micros(100);

fn enter_gate() {
    let mut turns = 0;
    // SYNC fork-gate
    while GATE.swap(true, Ordering::Acquire) {
        turns += 1;
        // Who has it may wait for a thread of the kernel, which those who only give way can keep from running (seen: for 90 s).
        if turns < YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(PAUSE);
        }
    }
}

fn leave_gate() {
    // SYNC fork-gate
    GATE.store(false, Ordering::Release);
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

fn install_handlers() {
    if !INSTALLED.swap(true, Ordering::Relaxed) {
        // SAFETY: the three functions only use atomics, close(2), sched_yield(2) and nanosleep(2), which are safe around fork.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
    }
}

extern "C" fn before_fork() {
    enter_gate();
}

extern "C" fn after_fork_in_parent() {
    leave_gate();
}

extern "C" fn after_fork_in_child() {
    // SYNC fork-page
    let word = WIPED_WORD.load(Ordering::Acquire);
    if !word.is_null() {
        // SAFETY: set once, to a page that is never unmapped or to a static.
        unsafe { &*word }.store(0, Ordering::Release);
    }
    let mut next = Some(&FIRST);
    while let Some(slot) = next {
        // SYNC fork-slot
        let descriptor = slot.descriptor.load(Ordering::Acquire);
        if descriptor >= 0 && slot.descriptor.swap(CLOSED, Ordering::AcqRel) == descriptor {
            // SAFETY: the number was this slot's, nobody else closes it once it is swapped out.
            unsafe { libc::close(descriptor) };
        }
        next = slot.next.get().copied();
    }
    leave_gate();
}

/// A descriptor (or what owns one) that a forked child does not keep.
///
/// In a child [`ForkGuarded::get`] fails and dropping does nothing.
pub struct ForkGuarded<T: AsFd> {
    inner: ManuallyDrop<T>,
    slot: &'static Slot,
}

impl<T: AsFd> ForkGuarded<T> {
    /// Runs `open` and guards what it opened; no fork of this process can fall in between.
    ///
    /// # Errors
    /// What `open` answers.
    pub fn open<E>(open: impl FnOnce() -> Result<T, E>) -> Result<Self, E> {
        install_handlers();
        enter_gate();
        let result = open().map(|inner| {
            let slot = take_slot(inner.as_fd().as_raw_fd());
            Self { inner: ManuallyDrop::new(inner), slot }
        });
        leave_gate();
        result
    }

    /// The guarded thing.
    ///
    /// # Errors
    /// [`ForkedChild`] where a fork has closed it.
    #[inline]
    pub fn get(&self) -> Result<&T, ForkedChild> {
        // SYNC fork-slot
        if self.slot.descriptor.load(Ordering::Acquire) >= 0 {
            Ok(&self.inner)
        } else {
            Err(ForkedChild)
        }
    }

    /// Lets go of what takes long to close and does no harm in a child: that is then forked while it is being closed, and may
    /// keep it.
    pub fn close_unguarded(self) {
        let mut this = ManuallyDrop::new(self);
        enter_gate();
        // SYNC fork-slot
        let is_ours = this.slot.descriptor.swap(FREE, Ordering::AcqRel) >= 0;
        leave_gate();
        if is_ours {
            // SAFETY: dropped here and nowhere else: `this` is never dropped.
            unsafe { ManuallyDrop::drop(&mut this.inner) };
        }
    }
}

impl<T: AsFd> Drop for ForkGuarded<T> {
    fn drop(&mut self) {
        // The slot becomes free only after the descriptor is closed: a fork in between would close it a second time, or
        // find nothing. SYNC fork-slot
        enter_gate();
        if self.slot.descriptor.load(Ordering::Acquire) >= 0 {
            // SAFETY: dropped here and nowhere else; `self` is going away.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
        }
        self.slot.descriptor.store(FREE, Ordering::Release);
        leave_gate();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io;

    /// Runs `child` in a forked child and returns its exit status.
    fn in_child(raw: bool, child: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child only runs async-signal-safe code of this module and leaves by _exit.
        let pid = if raw { (unsafe { libc::syscall(libc::SYS_fork) }) as i32 } else { unsafe { libc::fork() } };
        assert!(pid >= 0);
        if pid == 0 {
            let code = child();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for the child just made.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        libc::WEXITSTATUS(status)
    }

    fn guarded() -> ForkGuarded<File> {
        ForkGuarded::open(|| -> io::Result<File> { File::open("/dev/null") }).expect("open /dev/null")
    }

    #[test]
    fn a_child_fails_the_mark_and_gets_one_of_its_own() {
        let mark = ForkMark::here();
        assert_eq!(mark.check(), Ok(()));
        for raw in [false, true] {
            let code = in_child(raw, || {
                let own = ForkMark::here();
                i32::from(mark.check().is_err()) | i32::from(own.check().is_ok()) << 1
            });
            assert_eq!(code, 3, "raw fork: {raw}");
        }
        assert_eq!(mark.check(), Ok(()));
    }

    #[test]
    fn a_child_has_the_descriptor_closed_and_the_parent_keeps_it() {
        let file = guarded();
        let number = file.get().expect("open").as_raw_fd();
        let code = in_child(false, || {
            // SAFETY: only asks whether the number is open.
            let open = unsafe { libc::fcntl(number, libc::F_GETFD) } != -1;
            i32::from(open) | i32::from(file.get().is_ok()) << 1
        });
        assert_eq!(code, 0);
        assert!(file.get().is_ok());
    }

    #[test]
    fn dropping_in_a_child_does_not_close_what_reused_the_number() {
        let file = guarded();
        let number = file.get().expect("open").as_raw_fd();
        let code = in_child(false, || {
            // The handler closed `number`; take it for something else, then drop the guard.
            // SAFETY: duplicates stdin onto a number that is free in the child.
            let reused = unsafe { libc::dup2(0, number) };
            drop(file);
            // SAFETY: only asks whether the number is open.
            i32::from(reused == number && unsafe { libc::fcntl(number, libc::F_GETFD) } != -1)
        });
        assert_eq!(code, 1);
    }

    #[test]
    fn slots_are_reused() {
        let before = count_slots();
        for _ in 0..100 {
            drop(guarded());
        }
        assert!(count_slots() <= before + 8, "a slot per open would leak");
    }

    fn count_slots() -> usize {
        let mut count = 0;
        let mut next = Some(&FIRST);
        while let Some(slot) = next {
            count += 1;
            next = slot.next.get().copied();
        }
        count
    }
}

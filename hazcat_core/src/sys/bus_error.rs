//! Files that are cut short under those who have them mapped: lost bytes instead of a lost process.
//!
//! A page of a mapping that lies behind the end of its file raises SIGBUS when it is touched, and tmpfs has no seal that would
//! keep others from cutting a file that has a name. So a handler looks whether the address is in one of *our* mappings
//! (`Watched`), puts zeros of this process' own in the place of everything from that page on, marks the mapping as cut, and
//! returns: the access is repeated and finds zeros. All who read shared memory take zeros for an answer, as they take whatever
//! else a hostile peer writes. What is to be done about it is for ordinary code to find out, by [`cuts`] (one load) and
//! [`Mapping::is_cut`](super::mapping::Mapping::is_cut). The idea is that of libwayland-server (`src/wayland-shm.c`).
//!
//! What is none of ours goes to the handler that was there before, or does what it did without a handler: the process dies of
//! it at the same instruction. A handler that is installed later comes first, and reaches ours if it passes on what it does not
//! know. A thread that blocks SIGBUS dies of one all the same: the kernel gives no choice.
//!
//! The handler reads a list that only grows, calls `mmap`, `madvise` and `sigaction`, and touches nothing else.

use super::fork::ForkMark;
use nix::errno::Errno;
use std::sync::atomic::{fence, AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Once, OnceLock};

/// One mapping's entry. What is read is what was written together: `version` is odd while it changes.
struct Slot {
    taken: AtomicBool,
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    /// The process whose mapping it is, if a forked child has it not; zero: a child has it too. Writable if not zero.
    writer: AtomicU64,
    cut: AtomicBool,
    next: OnceLock<&'static Slot>,
}

impl Slot {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            writer: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            next: OnceLock::new(),
        }
    }

    /// Only by the one who has taken it.
    fn set(&self, start: usize, end: usize, writer: u64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // SYNC bus-slot: who sees a new field sees the odd version as well.
        fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.writer.store(writer, Ordering::Relaxed);
        // SYNC bus-slot
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Start, end and writer; `None` while they change. The slot of a mapping that somebody touches does not change.
    fn get(&self) -> Option<(usize, usize, u64)> {
        // SYNC bus-slot
        let before = self.version.load(Ordering::Acquire);
        let found =
            (self.start.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed), self.writer.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        (before & 1 == 0 && self.version.load(Ordering::Relaxed) == before).then_some(found)
    }
}

static FIRST: Slot = Slot::new();
/// How often something was put in the place of lost pages.
static CUTS: AtomicU64 = AtomicU64::new(0);

/// Changes whenever a mapping of this process turns out to be cut. One load of a word that hardly ever changes.
#[inline]
pub fn cuts() -> u64 {
    CUTS.load(Ordering::Relaxed)
}

/// Has everybody look who goes by [`cuts`]: somebody has found a file to be cut before anything of it was missed.
pub fn note_cut() {
    CUTS.fetch_add(1, Ordering::Release);
}

/// A range of addresses that the handler knows as ours; to be dropped before it is unmapped.
pub(super) struct Watched(&'static Slot);

impl Watched {
    /// Makes a mapped range known. A writable one is not there in forked children.
    pub(super) fn new(start: usize, len: usize, writable: bool) -> Self {
        let mut slot = &FIRST;
        // SYNC bus-taken
        while slot.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            slot = slot.next.get_or_init(|| Box::leak(Box::new(Slot::new())));
        }
        slot.cut.store(false, Ordering::Relaxed);
        slot.set(start, start.saturating_add(len), if writable { ForkMark::here().word() } else { 0 });
        Self(slot)
    }

    /// Whether some of it has been lost.
    #[inline]
    pub(super) fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed)
    }

    /// Says whether some of it is lost from now on; what was said before.
    pub(super) fn set_cut(&self, cut: bool) -> bool {
        self.0.cut.swap(cut, Ordering::AcqRel)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.set(0, 0, 0);
        // SYNC bus-taken
        self.0.taken.store(false, Ordering::Release);
    }
}

/// What SIGBUS did before us.
static EARLIER: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static EARLIER_FLAGS: AtomicI32 = AtomicI32::new(0);
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// Installs the handler; once per process, whoever asks how often.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
        PAGE.store(page.and_then(|page| usize::try_from(page).ok()).unwrap_or(4096), Ordering::Relaxed);
        // SAFETY: zeros are a valid `sigaction`; the call only fills it in.
        let mut earlier: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: asks what there is, into a live variable.
        if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut earlier) } != 0 {
            return;
        }
        // Before the first signal can arrive at ours.
        EARLIER_FLAGS.store(earlier.sa_flags, Ordering::Relaxed);
        // SYNC bus-earlier
        EARLIER.store(earlier.sa_sigaction, Ordering::Release);
        let mut ours = earlier;
        ours.sa_sigaction = on_bus_error as *const () as usize;
        // What the earlier one wants to have blocked, and not to have blocked, holds for it behind ours too.
        let kept = earlier.sa_flags & (libc::SA_NODEFER | libc::SA_RESTART);
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | kept;
        // SAFETY: installs a handler that only does what a signal handler may, see there.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut()) };
    });
}

extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid `siginfo_t` to a handler installed with SA_SIGINFO.
    let about = unsafe { &*info };
    if about.si_code == libc::BUS_ADRERR {
        // SAFETY: for this code the address is there.
        let address = unsafe { about.si_addr() } as usize;
        let errno = Errno::last_raw();
        let mended = mend(address);
        Errno::set_raw(errno);
        if mended {
            return;
        }
    }
    pass_on(signal, about.si_code, info, context);
}

/// Puts zeros in the place of what is lost, if it is ours. Async-signal-safe.
fn mend(address: usize) -> bool {
    let mut next = Some(&FIRST);
    while let Some(slot) = next {
        next = slot.next.get().copied();
        let Some((start, end, writer)) = slot.get() else { continue };
        if !(start..end).contains(&address) {
            continue;
        }
        // A forked child does not have a writable mapping: what lies there now is something else.
        if writer != 0 && ForkMark::of_word(writer).check().is_err() {
            continue;
        }
        let page = PAGE.load(Ordering::Relaxed);
        let from = address & !(page - 1);
        let len = end.next_multiple_of(page) - from;
        let protection = if writer != 0 { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let at = from as *mut libc::c_void;
        // SAFETY: whole pages of a mapping of ours, which is mapped for as long as somebody touches it (who waits for this
        // handler to return), get other content and keep their rights; what is read there may have any content at any time.
        // What follows the first page that is behind the end of the file is behind it too.
        if unsafe { libc::mmap(at, len, protection, flags, -1, 0) } == libc::MAP_FAILED {
            return false;
        }
        if writer != 0 {
            // SAFETY: the range that was just mapped; it only says that a forked child does not get it.
            unsafe { libc::madvise(at, len, libc::MADV_DONTFORK) };
        }
        slot.cut.store(true, Ordering::Release);
        CUTS.fetch_add(1, Ordering::Release);
        return true;
    }
    false
}

/// Does with a SIGBUS that is none of ours what would have been done without us.
fn pass_on(signal: libc::c_int, code: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SYNC bus-earlier
    let (earlier, flags) = (EARLIER.load(Ordering::Acquire), EARLIER_FLAGS.load(Ordering::Relaxed));
    // Sent by somebody: returning would not bring it back.
    let was_sent = code <= 0;
    match earlier {
        libc::SIG_IGN if was_sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: zeros are a valid `sigaction`: the default action, no flags.
            let default: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: back to the default; the access is repeated after the return, and dies where it happened.
            unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
            if was_sent {
                // SAFETY: arrives when this handler returns.
                unsafe { libc::raise(signal) };
            }
        }
        _ => {
            if flags & libc::SA_RESETHAND != 0 {
                EARLIER.store(libc::SIG_DFL, Ordering::Release);
            }
            if flags & libc::SA_SIGINFO != 0 {
                // SAFETY: the address of a handler that was installed as one of this type.
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    unsafe { std::mem::transmute(earlier) };
                handler(signal, info, context);
            } else {
                // SAFETY: the address of a handler that was installed as one of this type.
                let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(earlier) };
                handler(signal);
            }
        }
    }
}

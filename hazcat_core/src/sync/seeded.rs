//! Bugs to order: each model of a protocol has twins in which one of these is planted, and the model must find it; so must
//! tests of the real queue (built with the feature `fault-points`).
//!
//! Outside of model checks and such builds nothing can be planted and the hooks compile to nothing.

/// One bug inside the pure modules. (Bugs in what surrounds them are planted in the models themselves.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// `RingView::append` swaps over any lap instead of exactly the previous one.
    SwapOverAnyLap,
    /// `RingView::append_over` believes what was seen ahead whatever position it was seen for.
    AheadOfAnyPosition,
    /// `held::announce` leaves its fence out.
    NoReaderFence,
    /// `held::clear` is not Release.
    RelaxedClear,
    /// `HeldScan::start` leaves its fence out.
    NoOwnerFence,
    /// `HeldScan::finish` leaves its fence out.
    NoAcquireAfterScan,
    /// `doorbell::arm` reads the bell without changing it.
    ArmWithoutChange,
    /// `doorbell::ring` remembers its ring as finished before it has woken anybody.
    RememberedBeforeWake,
    /// `held::is_free` is not Acquire.
    RelaxedIsFree,
    /// `PlacesView::look` calls a place vacant that belongs to a later position.
    ClaimOverNewerLap,
    /// `PlacesView::publish` does not look whether the claim still stands.
    PublishWithoutClaim,
    /// `PlacesView::publish` is not Release.
    RelaxedPublish,
    /// `RingView::still_holds` answers yes without looking: the reader's second look is skipped.
    NoSecondLook,
    /// A publisher frees what it has removed without looking who holds it.
    FreeHeld,
    /// `RingView` never moves `head` on for a publisher that was stopped before it could.
    NoHelp,
}

#[cfg(feature = "fault-points")]
impl Fault {
    /// Those that tests of the real queue plant, by name.
    pub(crate) const IN_THE_QUEUE: [(&'static str, Self); 5] = [
        ("NoReaderFence", Self::NoReaderFence),
        ("NoOwnerFence", Self::NoOwnerFence),
        ("NoSecondLook", Self::NoSecondLook),
        ("FreeHeld", Self::FreeHeld),
        ("NoHelp", Self::NoHelp),
    ];
}

/// Whether a bug is planted.
#[cfg(not(any(loom, feature = "fault-points")))]
#[inline(always)]
pub(crate) const fn planted(_fault: Fault) -> bool {
    false
}

#[cfg(all(feature = "fault-points", not(loom)))]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(u8::MAX);

/// Whether a bug is planted in this process.
#[cfg(all(feature = "fault-points", not(loom)))]
#[inline]
pub(crate) fn planted(fault: Fault) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == fault as u8
}

/// Plants a bug into this process (or none).
#[cfg(all(feature = "fault-points", not(loom)))]
pub(crate) fn plant(fault: Option<Fault>) {
    PLANTED.store(fault.map_or(u8::MAX, |fault| fault as u8), std::sync::atomic::Ordering::Relaxed);
}

#[cfg(loom)]
std::thread_local! {
    // All threads of a model run on the operating system's thread that checks it, so this belongs to one model.
    static PLANTED: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Whether a bug is planted in the model that this thread checks.
#[cfg(loom)]
pub fn planted(fault: Fault) -> bool {
    PLANTED.with(|planted| planted.get() == Some(fault))
}

/// Plants a bug into the models that this thread checks (or none).
#[cfg(loom)]
pub fn plant(fault: Option<Fault>) {
    PLANTED.with(|planted| planted.set(fault));
}

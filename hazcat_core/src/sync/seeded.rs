//! Bugs to order: each model of a protocol has twins in which one of these is planted, and the model must find it.
//!
//! Outside of model checks nothing can be planted and the hooks compile to nothing.

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
}

/// Whether a bug is planted.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) const fn planted(_fault: Fault) -> bool {
    false
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

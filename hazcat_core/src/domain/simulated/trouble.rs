//! Slowness and failures on order.

use super::super::{CopyError, DeviceError, DomainId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is wrong with a simulated device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trouble {
    /// Every copy takes so much longer.
    pub copy_delay: Duration,
    /// So many copies fail, from now on.
    pub failing_copies: u64,
}

#[derive(Default)]
pub(super) struct TroubleCells {
    delay_us: AtomicU64,
    failing: AtomicU64,
}

impl TroubleCells {
    /// As the environment has it; what is no number there counts as zero.
    pub(super) fn from_env() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            delay_us: AtomicU64::new(number("HAZCAT_SIM_COPY_DELAY_US")),
            failing: AtomicU64::new(number("HAZCAT_SIM_FAIL_COPIES")),
        }
    }

    pub(super) fn set(&self, trouble: Trouble) {
        let delay = u64::try_from(trouble.copy_delay.as_micros()).unwrap_or(u64::MAX);
        self.delay_us.store(delay, Ordering::Relaxed);
        self.failing.store(trouble.failing_copies, Ordering::Relaxed);
    }

    /// Called by every copy before it does anything.
    pub(super) fn befall(&self, domain: DomainId, what: &'static str) -> Result<(), CopyError> {
        let delay = self.delay_us.load(Ordering::Relaxed);
        if delay > 0 {
            std::thread::sleep(Duration::from_micros(delay));
        }
        let failing = self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if failing.is_ok() {
            let name = "SIM_ERROR_ORDERED".to_owned();
            return Err(DeviceError { domain, what, name, out_of_memory: false }.into());
        }
        Ok(())
    }
}

//! The clock of the measurements: as cheap as the machine offers, since a round trip takes half a microsecond.
//!
//! On x86-64 with an invariant time stamp counter that is the counter itself, calibrated against CLOCK_MONOTONIC; elsewhere
//! CLOCK_MONOTONIC. What one reading costs is measured too, and the measurements subtract it.

use std::time::{Duration, Instant};

/// Readings of the clock, in ticks of its own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    nanoseconds_per_tick: f64,
    origin: Instant,
    counter: bool,
}

impl Clock {
    const CALIBRATION: Duration = Duration::from_millis(20);

    /// Finds out which clock there is and calibrates it (takes 20 ms where it is the counter).
    pub fn new() -> Self {
        let mut clock = Self { nanoseconds_per_tick: 1.0, origin: Instant::now(), counter: counter_is_invariant() };
        if clock.counter {
            let start = Instant::now();
            let first = clock.ticks();
            std::thread::sleep(Self::CALIBRATION);
            let elapsed = start.elapsed();
            let ticks = clock.ticks().saturating_sub(first).max(1);
            clock.nanoseconds_per_tick = elapsed.as_nanos() as f64 / ticks as f64;
        }
        clock
    }

    /// Name of the clock for the record.
    pub fn name(&self) -> &'static str {
        if self.counter {
            "time stamp counter"
        } else {
            "CLOCK_MONOTONIC"
        }
    }

    /// The time now, in ticks.
    #[inline(always)]
    pub fn ticks(&self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        if self.counter {
            // SAFETY: reads a register, touches no memory; every x86-64 processor has the instruction.
            return unsafe { core::arch::x86_64::_rdtsc() };
        }
        self.origin.elapsed().as_nanos() as u64
    }

    /// Ticks as nanoseconds.
    #[inline]
    pub fn nanoseconds(&self, ticks: u64) -> f64 {
        ticks as f64 * self.nanoseconds_per_tick
    }

    /// What one reading costs, in nanoseconds: the median over batches of back-to-back readings.
    pub fn cost(&self) -> f64 {
        const BATCHES: usize = 101;
        const READINGS: u64 = 1000;
        let mut batches: Vec<f64> = (0..BATCHES)
            .map(|_| {
                let start = self.ticks();
                for _ in 0..READINGS - 1 {
                    std::hint::black_box(self.ticks());
                }
                self.nanoseconds(self.ticks().saturating_sub(start)) / READINGS as f64
            })
            .collect();
        batches.sort_by(f64::total_cmp);
        batches[BATCHES / 2]
    }
}

/// Whether the kernel itself trusts the counter as a clock (constant rate, the same on all cores).
fn counter_is_invariant() -> bool {
    cfg!(target_arch = "x86_64")
        && std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
            .is_ok_and(|name| matches!(name.trim(), "tsc" | "kvm-clock"))
}

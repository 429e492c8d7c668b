//! The record of a run and the three forms it is shown in: a table, JSON, a picture.

mod plot;
mod table;
mod targets;

use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::measure::Bandwidth;
use crate::plan::Effort;
use crate::scenario::{System, Task};
use crate::statistics::Figures;

pub use plot::PlotError;
pub use targets::Target;

/// What one system measured at one kind of work and one size.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Whose work.
    pub system: System,
    /// Which work.
    pub task: Task,
    /// Payload in bytes.
    pub size: usize,
    /// Medians over the repetitions; `None` where all failed.
    pub figures: Option<Figures>,
    /// Each repetition.
    pub repetitions: Vec<Figures>,
    /// Why repetitions failed.
    pub failures: Vec<String>,
}

/// Everything that a run found out. Written as JSON as it is.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Version of this format.
    pub format: u32,
    /// Where the figures are from.
    pub machine: Option<Machine>,
    /// Version of iceoryx2.
    pub iceoryx2: String,
    /// Rounds of a polling measurement.
    pub rounds: usize,
    /// Repetitions of every measurement.
    pub repetitions: usize,
    /// `memcpy` per size.
    pub memory: Vec<Bandwidth>,
    /// The measurements.
    pub cells: Vec<Cell>,
    /// The targets and whether they were met.
    pub targets: Vec<Target>,
}

impl Record {
    /// A record of `cells`; machine and memory are filled in by the caller.
    pub fn new(cells: Vec<Cell>, effort: Effort) -> Self {
        let mut record = Self {
            format: 1,
            machine: None,
            iceoryx2: crate::transport::iceoryx::version(),
            rounds: effort.rounds,
            repetitions: effort.repetitions,
            memory: Vec::new(),
            cells,
            targets: Vec::new(),
        };
        record.targets = targets::judge(&record);
        record
    }

    /// Figures of one measurement.
    pub fn figures(&self, system: System, task: Task, size: usize) -> Option<Figures> {
        self.cells.iter().find(|c| c.system == system && c.task == task && c.size == size)?.figures
    }

    /// Whether a measurement failed in any repetition.
    pub fn has_failures(&self) -> bool {
        self.cells.iter().any(|cell| !cell.failures.is_empty())
    }

    /// Whether every target was measured and met.
    pub fn meets_targets(&self) -> bool {
        self.targets.iter().all(|target| target.met == Some(true))
    }

    /// The table, for people.
    pub fn table(&self) -> String {
        table::render(self)
    }

    /// Writes the picture.
    pub fn plot(&self, path: &Path) -> Result<(), PlotError> {
        plot::draw(self, path)
    }
}

/// A size with its unit.
pub fn size_name(size: usize) -> String {
    match size {
        _ if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        _ if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}

/// A time with three digits and its unit.
pub fn time_name(nanoseconds: f64) -> String {
    match nanoseconds {
        t if t < 1e3 => format!("{t:.1} ns"),
        t if t < 1e4 => format!("{:.2} us", t / 1e3),
        t if t < 1e5 => format!("{:.1} us", t / 1e3),
        t if t < 1e6 => format!("{:.0} us", t / 1e3),
        t => format!("{:.2} ms", t / 1e6),
    }
}

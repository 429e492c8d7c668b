//! Which jobs a run consists of, in which order, with how many rounds.

use std::time::Instant;

use crate::options::{Group, Run};
use crate::pair;
use crate::report::{Cell, Record};
use crate::scenario::{Job, Payload, System, Task, Waiting};
use crate::statistics::Figures;

/// Subscriptions of the fan-out measurements.
pub const FAN_OUTS: [usize; 3] = [1, 8, 64];
/// Payload of the fan-out measurements, in bytes.
pub const FAN_OUT_SIZE: usize = 8 << 10;

/// The same work for several systems.
struct Row {
    task: Task,
    size: usize,
    systems: Vec<System>,
}

/// How much work a run is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of a polling measurement.
    pub rounds: usize,
    /// Repetitions.
    pub repetitions: usize,
    /// Bytes that a copying measurement sends in one direction at most (unless that were too few rounds).
    copied_bytes: usize,
}

impl Effort {
    /// As the options say.
    pub fn of(run: &Run) -> Self {
        let (rounds, repetitions, copied_bytes) =
            if run.quick { (20_000, 3, 256 << 20) } else { (100_000, 5, 1 << 30) };
        Self {
            rounds: run.rounds.unwrap_or(rounds).max(1),
            repetitions: run.repetitions.unwrap_or(repetitions).max(1),
            copied_bytes,
        }
    }

    fn rounds(&self, task: Task, size: usize) -> usize {
        let by_waiting = match task {
            Task::PingPong { waiting: Waiting::Blocking, .. } => self.rounds / 20,
            Task::FanOut { .. } => self.rounds / 4,
            Task::PingPong { .. } | Task::PublishAlone => self.rounds,
        };
        let by_bytes = match task {
            Task::PingPong { payload: Payload::Copied, .. } => (self.copied_bytes / size).max(50),
            _ => usize::MAX,
        };
        by_waiting.min(by_bytes).max(1)
    }
}

/// Runs everything that `run` asks for and says on stderr how far it is.
///
/// All systems of a row run one after the other before the next row, in another order in every repetition, and all rows run
/// before the next repetition: what disturbs the machine for a while disturbs all systems alike.
pub fn carry_out(run: &Run, cores: [usize; 2]) -> Record {
    let effort = Effort::of(run);
    let rows = rows(run);
    let mut cells: Vec<Cell> = rows
        .iter()
        .flat_map(|row| {
            row.systems.iter().map(|&system| Cell {
                system,
                task: row.task,
                size: row.size,
                figures: None,
                repetitions: Vec::new(),
                failures: Vec::new(),
            })
        })
        .collect();
    let start = Instant::now();
    for repetition in 0..effort.repetitions {
        eprintln!("repetition {} of {} ({:.0?})", repetition + 1, effort.repetitions, start.elapsed());
        for row in &rows {
            for turn in 0..row.systems.len() {
                let system = row.systems[(turn + repetition) % row.systems.len()];
                let rounds = effort.rounds(row.task, row.size);
                let job = Job {
                    system,
                    task: row.task,
                    size: row.size,
                    rounds,
                    warm_up: (rounds / 10).clamp(20, 2000),
                    cores,
                };
                let outcome = pair::run(&job);
                let cell = cells.iter_mut().find(|c| c.system == system && c.task == row.task && c.size == row.size);
                match (cell, outcome) {
                    (Some(cell), Ok(figures)) => cell.repetitions.push(figures),
                    (Some(cell), Err(error)) => {
                        eprintln!("{} {:?} {} B: {error}", system.name(), row.task, row.size);
                        cell.failures.push(error.to_string());
                    }
                    (None, _) => {}
                }
            }
        }
    }
    for cell in &mut cells {
        cell.figures = Figures::median_of(&cell.repetitions);
    }
    Record::new(cells, effort)
}

fn rows(run: &Run) -> Vec<Row> {
    let all: Vec<System> = run.systems.iter().map(|shown| shown.0).collect();
    let real: Vec<System> = all.iter().copied().filter(|&system| system != System::Floor).collect();
    let mut rows = Vec::new();
    let work =
        [(Group::PingPong, Payload::Untouched), (Group::PingPong, Payload::Counter), (Group::Copied, Payload::Copied)];
    for (group, payload) in work {
        if !run.only.contains(&group) {
            continue;
        }
        for waiting in [Waiting::Polling, Waiting::Blocking] {
            if payload == Payload::Untouched && waiting == Waiting::Blocking {
                continue;
            }
            for &size in &run.sizes {
                rows.push(Row { task: Task::PingPong { waiting, payload }, size, systems: all.clone() });
            }
        }
    }
    if run.only.contains(&Group::FanOut) {
        for subscriptions in FAN_OUTS {
            rows.push(Row { task: Task::FanOut { subscriptions }, size: FAN_OUT_SIZE, systems: real.clone() });
        }
    }
    if run.only.contains(&Group::Publish) {
        for &size in &run.sizes {
            rows.push(Row { task: Task::PublishAlone, size, systems: real.clone() });
        }
    }
    rows
}

//! What can be measured: the vocabulary that driver, children, table and JSON share.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Whose work is measured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// The machine's floor: bare atomics, a bare futex, a bare shared buffer.
    Floor,
    /// This project's core.
    Hazcat,
    /// iceoryx2 from crates.io.
    Iceoryx2,
}

impl System {
    /// Name in tables and plots.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Hazcat => "hazcat_core",
            Self::Iceoryx2 => "iceoryx2",
        }
    }
}

/// How a process waits for the next message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Looks again and again without a pause.
    Polling,
    /// Sleeps in the kernel at once when there is nothing.
    Blocking,
}

impl Waiting {
    /// Name in tables and plots.
    pub fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Blocking => "blocking",
        }
    }
}

/// What is done with the payload besides passing it on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Nobody looks at the payload: loan, publish, take and return are all there is. (Each side counts for itself.)
    Untouched,
    /// The sender writes an 8-byte counter at the payload's beginning, the receiver reads it. Nothing else is touched.
    Counter,
    /// The sender copies the whole payload in from private memory (which begins with the counter), the receiver copies it
    /// whole out to private memory and reads the counter there.
    Copied,
}

/// One kind of measurement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Task {
    /// Round trips between two processes; a figure is half a round trip.
    PingPong {
        /// How both sides wait.
        waiting: Waiting,
        /// What both sides do with the payload.
        payload: Payload,
    },
    /// Time of one loan + publish while one other process drains this many polling subscriptions.
    FanOut {
        /// Subscriptions on the topic, all in the other process.
        subscriptions: usize,
    },
    /// Time of one loan + publish with no subscription anywhere.
    PublishAlone,
}

/// One measurement of one system, done by fresh processes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Whose work.
    pub system: System,
    /// Which work.
    pub task: Task,
    /// Payload in bytes, at least [`Job::MIN_SIZE`].
    pub size: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds before those, done alike and not counted.
    pub warm_up: usize,
    /// Core of the first and of the second process.
    pub cores: [usize; 2],
}

impl Job {
    /// The counter must fit.
    pub const MIN_SIZE: usize = 8;

    /// What both sides do with the payload.
    pub fn payload(&self) -> Payload {
        match self.task {
            Task::PingPong { payload, .. } => payload,
            Task::FanOut { .. } | Task::PublishAlone => Payload::Counter,
        }
    }

    /// How both sides wait.
    pub fn waiting(&self) -> Waiting {
        match self.task {
            Task::PingPong { waiting, .. } => waiting,
            Task::FanOut { .. } | Task::PublishAlone => Waiting::Polling,
        }
    }

    /// Largest number of subscriptions that a topic of this job has.
    pub fn subscriptions(&self) -> usize {
        match self.task {
            Task::FanOut { subscriptions } => subscriptions,
            Task::PingPong { .. } | Task::PublishAlone => 1,
        }
    }

    /// Whether a second process takes part.
    pub fn needs_peer(&self) -> bool {
        !matches!(self.task, Task::PublishAlone)
    }
}

/// Which of the two processes of a job this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Role {
    /// Starts every round and measures.
    First,
    /// Answers or drains.
    Second,
}

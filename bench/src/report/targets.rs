//! What the project has promised itself, and whether a run shows it.

use serde::Serialize;

use super::{size_name, Record};
use crate::plan::FAN_OUT_SIZE;
use crate::scenario::{Payload, System, Task, Waiting};

/// Size at which the latency targets are set, in bytes.
const TARGET_SIZE: usize = 8 << 10;

/// A ratio that must not exceed a limit.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// What is compared with what.
    pub what: String,
    /// The measured ratio; `None` where something was not measured.
    pub ratio: Option<f64>,
    /// The largest ratio allowed.
    pub limit: f64,
    /// Whether it is met; `None` where something was not measured.
    pub met: Option<bool>,
}

impl Target {
    fn new(what: String, ratio: Option<f64>, limit: f64) -> Self {
        Self { what, ratio, limit, met: ratio.map(|ratio| ratio <= limit) }
    }

    /// Mark for the table.
    pub fn mark(&self) -> &'static str {
        match self.met {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "----",
        }
    }
}

/// Judges `record` (its `targets` are not read).
pub fn judge(record: &Record) -> Vec<Target> {
    let polling = Task::PingPong { waiting: Waiting::Polling, payload: Payload::Untouched };
    let latency = |system| record.figures(system, polling, TARGET_SIZE).map(|f| f.median_ns);
    let publish =
        |n| record.figures(System::Hazcat, Task::FanOut { subscriptions: n }, FAN_OUT_SIZE).map(|f| f.batch_ns);
    let size = size_name(TARGET_SIZE);
    vec![
        Target::new(
            format!("polling, {size}: hazcat_core / iceoryx2"),
            ratio(latency(System::Hazcat), latency(System::Iceoryx2)),
            0.5,
        ),
        Target::new(
            format!("polling, {size}: hazcat_core / bare two-line atomic ping-pong"),
            ratio(latency(System::Hazcat), latency(System::Floor)),
            2.2,
        ),
        Target::new(
            "publish to 64 / publish to 1 polling subscription".to_owned(),
            ratio(publish(64), publish(1)),
            1.3,
        ),
    ]
}

/// `a / b`, where both are known.
pub fn ratio(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? / b?)
}

//! What loan + publish costs when nobody listens.

use crate::clock::Clock;
use crate::scenario::Job;
use crate::shared_page::Direction;
use crate::transport::{Failure, Sender, Transport};

/// Publishes that are timed together, since one alone is not much longer than a reading of the clock.
const GROUP: usize = 100;

/// Publishes and measures. Nanoseconds per loan + publish, each the mean of a group of [`GROUP`].
pub fn run<T: Transport>(transport: &T, job: &Job, clock: &Clock) -> Result<Vec<f64>, Failure> {
    let mut sender = transport.sender(Direction::Ping)?;
    let mut rounds = vec![0.0; job.rounds.div_ceil(GROUP)];
    let cost = clock.cost();
    let mut counter = 0;
    for _ in 0..job.warm_up {
        counter += 1;
        sender.send(counter)?;
    }
    for round in &mut rounds {
        let start = clock.ticks();
        for _ in 0..GROUP {
            counter += 1;
            sender.send(counter)?;
        }
        let end = clock.ticks();
        *round = (clock.nanoseconds(end.saturating_sub(start)) - cost).max(0.0) / GROUP as f64;
    }
    Ok(rounds)
}

//! Fan-out: what one publish costs its publisher while another process drains many polling subscriptions.
//!
//! The drainer looks at every subscription in turn without a pause and acknowledges a message when all have taken it; only
//! then comes the next. So each publish meets subscriptions that are all looking, none of which is behind.

use std::sync::atomic::Ordering;

use crate::clock::Clock;
use crate::scenario::Job;
use crate::shared_page::{Direction, Gate, SharedPage};
use crate::transport::{Failure, Receiver, Sender, Transport};

/// Publishes and measures. Nanoseconds per loan + publish, less the clock's cost.
pub fn first<T: Transport>(transport: &T, job: &Job, page: &SharedPage, clock: &Clock) -> Result<Vec<f64>, Failure> {
    let mut sender = transport.sender(Direction::Ping)?;
    let mut rounds = vec![0.0; job.rounds];
    let cost = clock.cost();
    page.meet(Gate::Start)?;
    let mut counter = 0;
    for _ in 0..job.warm_up {
        counter += 1;
        sender.send(counter)?;
        wait_for(page, counter);
    }
    for round in &mut rounds {
        counter += 1;
        let start = clock.ticks();
        sender.send(counter)?;
        let end = clock.ticks();
        *round = (clock.nanoseconds(end.saturating_sub(start)) - cost).max(0.0);
        wait_for(page, counter);
    }
    page.meet(Gate::End)?;
    Ok(rounds)
}

/// Spins until every subscription has taken `counter`. The watchdog in the driver ends a run in which that never happens.
#[inline(always)]
fn wait_for(page: &SharedPage, counter: u64) {
    // SYNC acknowledged
    while page.acknowledged().load(Ordering::Acquire) != counter {}
}

/// Drains `subscriptions` subscriptions.
pub fn second<T: Transport>(transport: &T, job: &Job, subscriptions: usize, page: &SharedPage) -> Result<(), Failure> {
    let mut receivers =
        (0..subscriptions).map(|_| transport.receiver(Direction::Ping)).collect::<Result<Vec<_>, _>>()?;
    let mut latest = vec![0_u64; subscriptions];
    page.meet(Gate::Start)?;
    for expected in 1..=(job.warm_up + job.rounds) as u64 {
        let mut missing = subscriptions;
        while missing > 0 {
            for (receiver, latest) in receivers.iter_mut().zip(&mut latest) {
                if *latest == expected {
                    continue;
                }
                if let Some(counter) = receiver.try_receive()? {
                    if counter != expected {
                        return Err(format!("expected {expected}, received {counter}").into());
                    }
                    *latest = counter;
                    missing -= 1;
                }
            }
        }
        // SYNC acknowledged: Release, although the counter is all that travels.
        page.acknowledged().store(expected, Ordering::Release);
    }
    page.meet(Gate::End)?;
    Ok(())
}

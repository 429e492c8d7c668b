//! Round trips: the first process sends a counter, the second sends the same counter back.

use crate::clock::Clock;
use crate::scenario::{Job, Waiting};
use crate::shared_page::{Direction, Gate, SharedPage};
use crate::transport::{Failure, Receiver, Sender, Transport};

/// Sends, waits for the answer, measures. Nanoseconds one way (half of each round trip, less the clock's cost).
pub fn first<T: Transport>(
    transport: &T,
    job: &Job,
    waiting: Waiting,
    page: &SharedPage,
    clock: &Clock,
) -> Result<Vec<f64>, Failure> {
    let mut sender = transport.sender(Direction::Ping)?;
    let mut receiver = transport.receiver(Direction::Pong)?;
    let mut stamps = vec![0_u64; job.rounds + 1];
    let cost = clock.cost();
    page.meet(Gate::Start)?;
    let mut counter = 0;
    for _ in 0..job.warm_up {
        counter += 1;
        round(&mut sender, &mut receiver, waiting, counter)?;
    }
    stamps[0] = clock.ticks();
    for stamp in &mut stamps[1..] {
        counter += 1;
        round(&mut sender, &mut receiver, waiting, counter)?;
        *stamp = clock.ticks();
    }
    page.meet(Gate::End)?;
    Ok(stamps
        .windows(2)
        .map(|pair| (clock.nanoseconds(pair[1].saturating_sub(pair[0])) - cost).max(0.0) / 2.0)
        .collect())
}

#[inline(always)]
fn round(
    sender: &mut impl Sender,
    receiver: &mut impl Receiver,
    waiting: Waiting,
    counter: u64,
) -> Result<(), Failure> {
    sender.send(counter)?;
    let answer = receive(receiver, waiting)?;
    if answer != counter {
        return Err(format!("sent {counter}, was answered {answer}").into());
    }
    Ok(())
}

/// Answers every message with its counter.
pub fn second<T: Transport>(transport: &T, job: &Job, waiting: Waiting, page: &SharedPage) -> Result<(), Failure> {
    let mut sender = transport.sender(Direction::Pong)?;
    let mut receiver = transport.receiver(Direction::Ping)?;
    page.meet(Gate::Start)?;
    for expected in 1..=(job.warm_up + job.rounds) as u64 {
        let counter = receive(&mut receiver, waiting)?;
        if counter != expected {
            return Err(format!("expected {expected}, received {counter}").into());
        }
        sender.send(counter)?;
    }
    page.meet(Gate::End)?;
    Ok(())
}

#[inline(always)]
fn receive(receiver: &mut impl Receiver, waiting: Waiting) -> Result<u64, Failure> {
    loop {
        if waiting == Waiting::Blocking {
            receiver.sleep()?;
        }
        if let Some(counter) = receiver.try_receive()? {
            return Ok(counter);
        }
    }
}

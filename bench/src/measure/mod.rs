//! What a child process does: one job, in one role, over one system.

mod fan_out;
mod memory;
mod ping_pong;
mod publish_alone;

pub use memory::{memory_bandwidth, Bandwidth};

use crate::clock::Clock;
use crate::machine;
use crate::scenario::{Job, Role, System, Task};
use crate::shared_page::SharedPage;
use crate::statistics::Figures;
use crate::transport::{floor::Floor, hazcat::Hazcat, iceoryx::Iceoryx, Failure, Transport};

/// Does the job; the first process has figures to report.
pub fn run(job: &Job, role: Role, page: &'static SharedPage) -> Result<Option<Figures>, Failure> {
    match job.system {
        System::Floor => run_over::<Floor>(job, role, page),
        System::Hazcat => run_over::<Hazcat>(job, role, page),
        System::Iceoryx2 => run_over::<Iceoryx>(job, role, page),
    }
}

fn run_over<T: Transport>(job: &Job, role: Role, page: &'static SharedPage) -> Result<Option<Figures>, Failure> {
    machine::pin(job.cores[role as usize])?;
    let clock = Clock::new();
    let transport = T::open(job, role, page)?;
    let rounds = match (job.task, role) {
        (Task::PingPong { waiting, .. }, Role::First) => {
            Some(ping_pong::first(&transport, job, waiting, page, &clock)?)
        }
        (Task::PingPong { waiting, .. }, Role::Second) => {
            ping_pong::second(&transport, job, waiting, page)?;
            None
        }
        (Task::FanOut { .. }, Role::First) => Some(fan_out::first(&transport, job, page, &clock)?),
        (Task::FanOut { subscriptions }, Role::Second) => {
            fan_out::second(&transport, job, subscriptions, page)?;
            None
        }
        (Task::PublishAlone, _) => Some(publish_alone::run(&transport, job, &clock)?),
    };
    Ok(rounds.as_deref().and_then(Figures::of))
}

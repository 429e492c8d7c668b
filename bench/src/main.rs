//! Latency and fan-out of hazcat_core beside iceoryx2 and beside the machine's floor, on the same work in the same run.
//!
//! Every measurement is done by fresh processes pinned to two cores, the systems in turn, several times over; figures are
//! medians over these repetitions. [`transport`] says exactly what one message does; [`measure`] has the loops; [`plan`] the
//! order; [`report`] the table, the JSON and the picture.
//!
//! Reading order for a newcomer: `scenario.rs` (the words), `transport/mod.rs` (the work), `measure/ping_pong.rs`.

mod clock;
mod machine;
mod measure;
mod options;
mod pair;
mod plan;
mod report;
mod scenario;
mod shared_page;
mod statistics;
mod traces;
mod transport;

use std::process::ExitCode;

use clap::Parser;

use options::{Internal, Options, Run};
use transport::Failure;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.internal {
        Some(Internal::Child { job, role, page }) => pair::child(&job, role, page).map(|()| true),
        None => run(&options.run),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A whole run. Whether it may end with success.
fn run(run: &Run) -> Result<bool, Failure> {
    let cores = match run.cores.as_deref() {
        Some(&[first, second]) => [first, second],
        _ => machine::two_cores().ok_or("two cores are needed, and this process may use only one")?,
    };
    let _alone = traces::Alone::claim()?;
    let load_before = machine::load();
    let clock = clock::Clock::new();
    let clock_cost_ns = clock.cost();
    let memory = run.sizes.iter().map(|&size| measure::memory_bandwidth(size, &clock)).collect();
    let mut record = plan::carry_out(run, cores);
    record.memory = memory;
    record.machine = Some(machine::Machine {
        processor: machine::processor(),
        kernel: machine::kernel(),
        cores,
        clock: clock.name().to_owned(),
        clock_cost_ns,
        commit: machine::commit(),
        load_before,
        load_after: machine::load(),
    });
    std::fs::create_dir_all(&run.out)?;
    let json = run.out.join("results.json");
    std::fs::write(&json, serde_json::to_string_pretty(&record)?)?;
    let svg = run.out.join("results.svg");
    record.plot(&svg)?;
    println!("{}", record.table());
    println!("{} and {}", json.display(), svg.display());
    Ok(!record.has_failures() && (!run.check || record.meets_targets()))
}

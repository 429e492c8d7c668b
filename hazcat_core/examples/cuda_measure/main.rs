//! Measures messages in the memory of a CUDA device, between processes, and checks every byte of them there.
//!
//! ```text
//! cargo run --release -p hazcat_core --example cuda_measure -- [--device cuda:0] [--quick] [--root /dev/shm/somewhere]
//! ```
//!
//! Prints a table for `docs/memory-domains.md`, and the goals with what became of them. Exit code 0: all were met; 1: not all;
//! 2: it could not be measured. `--quick` has small messages and few of them, and says nothing about speed.

mod measure;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(ended) = measure::played_a_role() {
        return ended.map_or_else(|error| failed(&*error), |()| ExitCode::SUCCESS);
    }
    let plan = match plan() {
        Ok(plan) => plan,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match measure::run(&plan) {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(!report.is_met()))
        }
        Err(error) => failed(&*error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("not measured: {error}");
    ExitCode::from(2)
}

fn plan() -> Result<measure::Plan, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut plan =
        if arguments.iter().any(|word| word == "--quick") { measure::Plan::quick() } else { measure::Plan::full() };
    let mut words = arguments.into_iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--quick" => {}
            "--device" => plan.device = value()?,
            "--root" => plan.root = value()?.into(),
            _ => return Err("usage: cuda_measure [--device cuda:0] [--quick] [--root /dev/shm/somewhere]".into()),
        }
    }
    Ok(plan)
}

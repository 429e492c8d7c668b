//! `hazcat`: what lies in shared memory, who holds it, since when; what was counted; and removing what nobody holds.
//!
//! It needs no ROS 2 and joins nothing: what it looks at does not notice. What it removes is what the next start, or a
//! survivor's next sweep, would remove.

mod arguments;
mod clean;
mod json;
mod output;
mod places;
mod stats;
mod text;

use arguments::{Arguments, Command, Parsed};
use hazcat_core::inspect::{self, Report};
use places::Places;
use serde_json::json;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(Parsed::Run(arguments)) => arguments,
        Ok(Parsed::Say(text)) => {
            output::say(text.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("hazcat: {error} (see hazcat --help)");
            return ExitCode::from(2);
        }
    };
    let (places, mut problems) = Places::find(&arguments);
    match arguments.command {
        Command::List => list(&arguments, &places, &mut problems),
        Command::Stats => stats::stats(&arguments, &look(&places, &mut problems), &problems),
        Command::Clean => clean::clean(&arguments, &places, &mut problems),
    }
    if problems.is_empty() {
        return ExitCode::SUCCESS;
    }
    problems.iter().for_each(|problem| eprintln!("hazcat: {}", output::printable(problem)));
    ExitCode::FAILURE
}

fn list(arguments: &Arguments, places: &Places, problems: &mut Vec<String>) {
    let reports = look(places, problems);
    if arguments.json {
        let directories: Vec<_> = reports.iter().map(json::report).collect();
        let isolated: Vec<_> = places.isolated.iter().map(json::isolated).collect();
        output::json(&json!({ "format": 1, "directories": directories, "isolated": isolated, "problems": problems }));
    } else {
        text::reports(&reports, &places.isolated, &arguments.root);
    }
}

/// One that vanishes while it is looked at has no report: it is not there any more.
fn look(places: &Places, problems: &mut Vec<String>) -> Vec<Report> {
    let mut reports = Vec::new();
    for directory in &places.directories {
        match inspect::look(directory) {
            Ok(report) => reports.push(report),
            Err(hazcat_core::sys::shm_file::FileError::Missing { .. }) => {}
            Err(error) => problems.push(error.to_string()),
        }
    }
    reports
}

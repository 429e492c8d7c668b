//! The command line.

use std::os::fd::RawFd;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::scenario::{Job, Role, System};

/// Measures hazcat_core beside iceoryx2 and beside the machine's floor, between two processes pinned to two cores. Prints a
/// table, writes results.json and results.svg.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Options {
    /// What only the benchmark itself calls.
    #[command(subcommand)]
    pub internal: Option<Internal>,
    /// What a run measures.
    #[command(flatten)]
    pub run: Run,
}

/// Called by the benchmark itself.
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// One process of one job.
    #[command(hide = true)]
    Child {
        /// The job as JSON.
        #[arg(long)]
        job: String,
        /// Which of the two processes.
        #[arg(long)]
        role: Role,
        /// Inherited descriptor of the shared page.
        #[arg(long)]
        page: RawFd,
    },
}

/// Options of a run.
#[derive(Debug, Args)]
pub struct Run {
    /// Fewer rounds and repetitions: well under a minute, and figures that wobble.
    #[arg(long)]
    pub quick: bool,
    /// Payload sizes in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 1 << 10, 8 << 10, 64 << 10, 1 << 20, 8 << 20],
          value_parser = parse_size)]
    pub sizes: Vec<usize>,
    /// Rounds of a polling measurement (others take a fixed part of it).
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Repetitions, each in fresh processes, the systems in turn; the figures are medians over them.
    #[arg(long)]
    pub repetitions: Option<usize>,
    /// Systems to measure.
    #[arg(long, value_delimiter = ',', default_values_t = [System::Floor, System::Hazcat, System::Iceoryx2].map(Shown))]
    pub systems: Vec<Shown>,
    /// Groups of measurements to do.
    #[arg(long, value_delimiter = ',', value_enum,
          default_values_t = [Group::PingPong, Group::Copied, Group::FanOut, Group::Publish])]
    pub only: Vec<Group>,
    /// The two cores, as in `--cores 2,3`; chosen by itself otherwise.
    #[arg(long, value_delimiter = ',', num_args = 2)]
    pub cores: Option<Vec<usize>>,
    /// Folder for results.json and results.svg.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    pub out: PathBuf,
    /// Ends with an error if a target was missed.
    #[arg(long)]
    pub check: bool,
}

/// Groups of measurements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Group {
    /// Round trips with an untouched payload, polling and blocking.
    PingPong,
    /// Round trips with the payload copied in and out, polling and blocking.
    Copied,
    /// Publishing to 1, 8 and 64 subscriptions.
    FanOut,
    /// Publishing to nobody.
    Publish,
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// A system as the command line writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown(pub System);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

impl std::str::FromStr for Shown {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        System::from_str(text, true).map(Self)
    }
}

fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.trim_end_matches("iB").chars().last() {
        Some('K' | 'k') => (text.trim_end_matches("iB"), 1 << 10),
        Some('M' | 'm') => (text.trim_end_matches("iB"), 1 << 20),
        _ => (text, 1),
    };
    let number: usize = digits.trim_end_matches(['K', 'k', 'M', 'm']).parse().map_err(|error| format!("{error}"))?;
    let size = number.checked_mul(unit).ok_or("too large")?;
    if (Job::MIN_SIZE..=1 << 30).contains(&size) {
        Ok(size)
    } else {
        Err(format!("between {} B and 1 GiB, please", Job::MIN_SIZE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn sizes_have_units_and_limits() {
        assert_eq!(parse_size("64"), Ok(64));
        assert_eq!(parse_size("8K"), Ok(8192));
        assert_eq!(parse_size("8MiB"), Ok(8 << 20));
        assert!(parse_size("7").is_err());
        assert!(parse_size("x").is_err());
        assert!(parse_size("99999999M").is_err());
    }
}

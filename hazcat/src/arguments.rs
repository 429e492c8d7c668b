//! The command line.

use lexopt::prelude::*;
use std::path::PathBuf;

const HELP: &str = "\
hazcat: what rmw_hazcat_rs has in shared memory

  hazcat list     what is there, per user and domain: participants alive and dead with their nodes, topics with
                  their endpoints, segments with their sizes; who holds it, since when
  hazcat stats    what publishers and subscriptions have counted, per topic: messages, losses, in which memory they lie, how
                  often and how they were copied
  hazcat clean    removes what nobody holds; never what a living process does

  --json          for programs
  --root FOLDER   where to look (default: $HAZCAT_ROOT, else /dev/shm)
  --domain ID     this ROS domain only
  --dry-run       (clean) only say what would go

Run as root it shows every user's, and cleans with the rights of each owner. Processes are named where /proc shows them: one's
own, in one's own container. Exit code: 0, or 1 where something could not be read or removed.
";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    List,
    Stats,
    Clean,
}

/// The command line, understood.
#[derive(Debug)]
pub struct Arguments {
    pub command: Command,
    pub json: bool,
    pub root: PathBuf,
    pub domain: Option<u32>,
    pub dry_run: bool,
}

pub enum Parsed {
    Run(Arguments),
    /// Help or version, to be printed.
    Say(String),
}

pub fn parse() -> Result<Parsed, lexopt::Error> {
    let root = std::env::var_os("HAZCAT_ROOT").filter(|root| !root.is_empty()).unwrap_or_else(|| "/dev/shm".into());
    let (mut command, mut json, mut dry_run, mut domain, mut root) = (None, false, false, None, PathBuf::from(root));
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(word) if command.is_none() && word == "list" => command = Some(Command::List),
            Value(word) if command.is_none() && word == "stats" => command = Some(Command::Stats),
            Value(word) if command.is_none() && word == "clean" => command = Some(Command::Clean),
            Long("json") => json = true,
            Long("dry-run") => dry_run = true,
            Long("root") => root = parser.value()?.into(),
            Long("domain") => domain = Some(parser.value()?.parse()?),
            Long("help") | Short('h') => return Ok(Parsed::Say(HELP.to_owned())),
            Long("version") | Short('V') => {
                return Ok(Parsed::Say(format!("hazcat {}\n", env!("CARGO_PKG_VERSION"))));
            }
            other => return Err(other.unexpected()),
        }
    }
    match command {
        Some(Command::List | Command::Stats) if dry_run => Err("--dry-run is for clean".into()),
        Some(command) => Ok(Parsed::Run(Arguments { command, json, root, domain, dry_run })),
        None => Err("list, stats or clean?".into()),
    }
}

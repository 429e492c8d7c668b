//! Where to look: the directories of a root, and the folders of isolated contexts, each of which is a root of its own.

use crate::arguments::Arguments;
use hazcat_core::directory::Directory;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

const ISOLATED: &str = "hazcat-isolated-";

/// All that is to be looked at.
pub struct Places {
    pub directories: Vec<Directory>,
    pub isolated: Vec<Isolated>,
}

/// The folder of a context that sees nobody else (discovery range OFF).
pub struct Isolated {
    pub path: PathBuf,
    /// User id of its owner.
    pub owner: u32,
    /// Whether its process lives.
    pub alive: bool,
    pub since: Option<SystemTime>,
}

impl Isolated {
    /// The lock that its process holds for as long as it lives; `None` while it does.
    pub fn lock(&self) -> Option<Flock<File>> {
        Flock::lock(File::open(&self.path).ok()?, FlockArg::LockExclusiveNonblock).ok()
    }
}

impl Places {
    /// What there is, and what could not be looked at.
    pub fn find(arguments: &Arguments) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let isolated = find_isolated(arguments);
        let roots = std::iter::once(&arguments.root).chain(isolated.iter().map(|folder| &folder.path));
        let mut directories = Vec::new();
        for root in roots {
            match Directory::all_in(root) {
                Ok(found) => directories.extend(found),
                Err(error) => problems.push(error.to_string()),
            }
        }
        directories.retain(|directory| arguments.domain.is_none_or(|wanted| directory.domain_id() == Some(wanted)));
        (Self { directories, isolated }, problems)
    }
}

fn find_isolated(arguments: &Arguments) -> Vec<Isolated> {
    let entries = fs::read_dir(&arguments.root).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(ISOLATED)));
    let mut found: Vec<Isolated> = ours
        .filter_map(|entry| {
            // Of the entry itself: symbolic links are not followed.
            let meta = entry.metadata().ok().filter(fs::Metadata::is_dir)?;
            let mut folder = Isolated {
                path: entry.path(),
                owner: meta.uid(),
                alive: true,
                since: meta.created().or(meta.modified()).ok(),
            };
            folder.alive = folder.lock().is_none();
            Some(folder)
        })
        .collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

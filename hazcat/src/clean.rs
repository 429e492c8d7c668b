//! `hazcat clean`.

use crate::arguments::Arguments;
use crate::output::{self, line};
use crate::places::{Isolated, Places};
use crate::text;
use hazcat_core::directory::Directory;
use hazcat_core::inspect::{self, Cleaned, Verdict};
use nix::unistd::{getegid, geteuid, setegid, seteuid, setgroups, Gid, Uid};
use serde_json::{json, Value};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What became of one directory or folder.
struct Outcome {
    path: PathBuf,
    word: &'static str,
    removed: Vec<(PathBuf, u64)>,
}

pub fn clean(arguments: &Arguments, places: &Places, problems: &mut Vec<String>) {
    let mut outcomes = Vec::new();
    for directory in &places.directories {
        let outcome = if arguments.dry_run { Ok(foresee(directory)) } else { clean_directory(directory) };
        match outcome {
            Ok(outcome) => outcomes.push(outcome),
            Err(problem) => problems.push(problem),
        }
    }
    for folder in places.isolated.iter().filter(|folder| !folder.alive) {
        match clean_isolated(folder, arguments.dry_run) {
            Ok(outcome) => outcomes.push(outcome),
            Err(problem) => problems.push(problem),
        }
    }
    if arguments.json {
        let outcomes: Vec<Value> = outcomes.iter().map(Outcome::json).collect();
        output::json(&json!({ "format": 1, "dry_run": arguments.dry_run, "cleaned": outcomes, "problems": problems }));
        return;
    }
    for outcome in &outcomes {
        outcome.print();
    }
    let all = outcomes.iter().flat_map(|outcome| &outcome.removed);
    let (files, bytes) = all.fold((0, 0), |(files, bytes), (_, more)| (files + 1, bytes + more));
    let what = if arguments.dry_run { "nobody holds" } else { "removed" };
    line!("{what}: {files} files, {}", text::bytes(bytes));
}

impl Outcome {
    fn json(&self) -> Value {
        let removed: Vec<Value> =
            self.removed.iter().map(|(path, bytes)| json!({ "path": output::path(path), "bytes": bytes })).collect();
        json!({ "path": output::path(&self.path), "result": self.word, "removed": removed })
    }

    fn print(&self) {
        line!("{}: {}", self.path.display(), self.word);
        for (path, bytes) in &self.removed {
            let short = path.strip_prefix(&self.path).unwrap_or(path);
            line!("    {} ({})", short.display(), text::bytes(*bytes));
        }
    }
}

fn clean_directory(directory: &Directory) -> Result<Outcome, String> {
    let path = directory.path();
    let meta = match directory.metadata() {
        Ok(meta) => meta,
        // Its last participant has just left.
        Err(_) => return Ok(Outcome { path: path.to_path_buf(), word: "removed", removed: Vec::new() }),
    };
    let group = directory.group().unwrap_or(meta.gid());
    let cleaned = as_owner(path, meta.uid(), group, || inspect::clean(directory))?;
    let Cleaned { verdict, removed } = cleaned.map_err(|error| error.to_string())?;
    let word = match verdict {
        Verdict::Removed => "removed",
        Verdict::Emptied => "emptied; it stays, for what is in it that is not ours, or for want of rights",
        Verdict::Swept => "in use",
        Verdict::Busy => "busy, nothing done",
    };
    Ok(Outcome { path: path.to_path_buf(), word, removed })
}

/// What cleaning would do, as far as looking tells.
fn foresee(directory: &Directory) -> Outcome {
    let path = directory.path().to_path_buf();
    let Ok(report) = inspect::look(directory) else { return Outcome { path, word: "unreadable", removed: Vec::new() } };
    if report.is_inhabited() || report.topics.iter().any(|topic| topic.open) {
        let removed = report.leftovers().into_iter().map(|file| (file.path.clone(), file.bytes)).collect();
        return Outcome { path, word: "in use", removed };
    }
    let topics = report.topics.iter().map(|topic| &topic.file);
    let foreign = report.foreign.iter().filter(|file| directory.is_in_folder(&file.path));
    let all = topics.chain(report.segments.iter().map(|segment| &segment.file)).chain(foreign);
    let removed = all.map(|file| (file.path.clone(), file.bytes)).collect();
    Outcome { path, word: "nobody alive", removed }
}

fn clean_isolated(folder: &Isolated, dry_run: bool) -> Result<Outcome, String> {
    let path = folder.path.clone();
    if dry_run {
        return Ok(Outcome { path, word: "nobody alive", removed: Vec::new() });
    }
    as_owner(&path, folder.owner, getegid().as_raw(), || {
        // Held while it is removed; who makes a new one takes another name.
        let Some(_lock) = folder.lock() else {
            return Ok(Outcome { path: path.clone(), word: "in use", removed: Vec::new() });
        };
        match fs::remove_dir_all(&path) {
            Ok(()) => Ok(Outcome { path: path.clone(), word: "removed", removed: Vec::new() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Outcome { path: path.clone(), word: "removed", removed: Vec::new() })
            }
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    })?
}

/// Acts with the rights of an owner: root must not follow where another user may have led it.
fn as_owner<T>(path: &Path, user: u32, group: u32, act: impl FnOnce() -> T) -> Result<T, String> {
    let (us, our_group) = (geteuid(), getegid());
    if us.as_raw() == user || !us.is_root() {
        return Ok(act());
    }
    let fail = |errno| format!("{}: cannot act as its owner, uid {user}: {errno}", path.display());
    setgroups(&[]).map_err(fail)?;
    setegid(Gid::from_raw(group)).map_err(fail)?;
    let done = seteuid(Uid::from_raw(user)).map(|()| act());
    // Back, in the other order.
    seteuid(us).and_then(|()| setegid(our_group)).map_err(fail)?;
    done.map_err(fail)
}

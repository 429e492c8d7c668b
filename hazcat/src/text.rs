//! Reports for people.

use crate::output::line;
use crate::places::Isolated;
use hazcat_core::graph::ParticipantGraph;
use hazcat_core::inspect::{EndpointReport, ParticipantReport, Process, Report, SegmentState, TopicReport};
use hazcat_core::Identity;
use nix::unistd::{Gid, Group, Uid, User};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

pub fn reports(reports: &[Report], isolated: &[Isolated], root: &Path) {
    if reports.is_empty() && isolated.is_empty() {
        line!("{}: nothing of rmw_hazcat_rs", root.display());
    }
    for report in reports {
        directory(report);
    }
    for folder in isolated {
        let state = if folder.alive { "in use" } else { "nobody holds it" };
        line!(
            "{}: an isolated context of {}, {state}{}",
            folder.path.display(),
            user(folder.owner),
            since(folder.since)
        );
    }
}

fn directory(report: &Report) {
    let whose = report.group.map_or_else(|| user(report.owner), group);
    let domain = report.domain_id.map_or_else(|| "?".to_owned(), |id| id.to_string());
    line!("{}: {whose}, domain {domain}, {}{}", report.path.display(), bytes(report.bytes), since(report.since));
    if let Some(problem) = &report.lease_problem {
        line!("  nobody can be seen to be alive: {problem}");
    }
    report.participants.iter().for_each(participant);
    report.topics.iter().for_each(topic);
    let mut segments: BTreeMap<(&str, &str), (u32, u64)> = BTreeMap::new();
    for segment in &report.segments {
        let state = match segment.state {
            SegmentState::InUse => "in use",
            SegmentState::Unread => "of a publisher that is gone, unread messages",
            SegmentState::Leftover => "nobody needs it",
        };
        let sum = segments.entry((&segment.topic, state)).or_default();
        *sum = (sum.0 + 1, sum.1 + segment.file.bytes);
    }
    for ((topic, state), (count, sum)) in segments {
        line!("  {} of messages, {}, of {topic}: {state}", bytes(sum), many(count.into(), "segment"));
    }
    for file in &report.foreign {
        line!("  {}: not a file of ours", file.path.display());
    }
    if !report.is_inhabited() && !report.topics.iter().any(|topic| topic.open) {
        line!("  nobody is alive here: hazcat clean removes it");
    } else if !report.leftovers().is_empty() || report.participants.iter().any(|one| one.alive == Some(false)) {
        line!("  some of it nobody holds: hazcat clean removes that");
    }
}

fn participant(of: &ParticipantReport) {
    let state = match of.alive {
        Some(true) => "alive",
        Some(false) => "dead",
        None => "?",
    };
    let nodes = of.graph.as_ref().map(node_names).unwrap_or_default();
    let endpoints = of.graph.as_ref().map_or(0, |graph| graph.endpoints.len());
    line!(
        "  participant {}: {state}{}{}, {}{}",
        identity(of.identity),
        held_by(&of.processes),
        since(of.since),
        if nodes.is_empty() { "no nodes".to_owned() } else { format!("nodes {}", nodes.join(" ")) },
        if endpoints == 0 { String::new() } else { format!(", {}", many(endpoints as u64, "endpoint")) },
    );
    if let Some(problem) = of.problem.as_ref().filter(|_| of.alive != Some(false)) {
        line!("    {problem}");
    }
}

fn topic(of: &TopicReport) {
    if let Some(problem) = &of.problem {
        line!("  topic file: {problem}");
        return;
    }
    let state = if of.open { held_by(&of.processes) } else { ", nobody has it open".to_owned() };
    line!(
        "  topic {} [{}]: {} published, {}, {}, {}{state}{}",
        of.name,
        of.type_name,
        of.published,
        many(of.publishers.len() as u64, "publisher"),
        many(of.subscriptions.len() as u64, "subscription"),
        bytes(of.file.bytes),
        since(of.file.since),
    );
    for (kind, endpoints) in
        [("publisher", &of.publishers), ("subscription", &of.subscriptions), ("copies", &of.copiers)]
    {
        for endpoint in endpoints {
            line!("    {kind} of {}", end(endpoint, kind));
        }
    }
}

fn end(of: &EndpointReport, kind: &str) -> String {
    let owner = owner(of);
    let domain = format!(", in {}", memory(of));
    if kind == "copies" {
        format!("{owner}{domain}")
    } else if kind == "publisher" {
        let dropped = if of.dropped_or_held == 0 { String::new() } else { format!(", {} dropped", of.dropped_or_held) };
        format!("{owner}: {} published{dropped}{domain}", of.messages)
    } else {
        format!("{owner}: {} unread, {} held{domain}", of.messages, of.dropped_or_held)
    }
}

/// Whose an endpoint is.
pub fn owner(of: &EndpointReport) -> String {
    match (of.owner, of.alive) {
        (None, _) => "one that has left".to_owned(),
        (Some(owner), Some(false)) => format!("participant {} (dead)", identity(owner)),
        (Some(owner), _) => format!("participant {}", identity(owner)),
    }
}

/// The memory domain that an endpoint was given.
pub fn memory(of: &EndpointReport) -> String {
    of.memory.map_or_else(|| format!("memory domain {}", of.domain), |memory| memory.to_string())
}

/// The names of a participant's nodes, with their namespaces.
pub fn node_names(graph: &ParticipantGraph) -> Vec<String> {
    graph.nodes.iter().map(|(_, node)| format!("{}/{}", node.namespace.trim_end_matches('/'), node.name)).collect()
}

/// As the participant's files are named.
pub fn identity(who: Identity) -> String {
    format!("{:04}.{:012x}", who.index(), who.generation())
}

fn held_by(processes: &[Process]) -> String {
    if processes.is_empty() {
        return String::new();
    }
    let names: Vec<String> = processes.iter().map(|process| format!("{} ({})", process.id, process.name)).collect();
    format!(", held by {}", names.join(", "))
}

pub fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn since(time: Option<SystemTime>) -> String {
    let Some(age) = time.and_then(|time| SystemTime::now().duration_since(time).ok()) else { return String::new() };
    let (seconds, minutes) = (age.as_secs(), age.as_secs() / 60);
    match minutes {
        0 => format!(", for {seconds} s"),
        1..=119 => format!(", for {minutes} min"),
        120..=2879 => format!(", for {} h", minutes / 60),
        _ => format!(", for {} days", minutes / 1440),
    }
}

/// In units that people read.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = "bytes";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "bytes" {
        format!("{count} bytes")
    } else {
        format!("{value:.1} {unit}")
    }
}

pub fn user(id: u32) -> String {
    match User::from_uid(Uid::from_raw(id)) {
        Ok(Some(user)) => format!("user {} ({id})", user.name),
        _ => format!("user {id}"),
    }
}

pub fn group(id: u32) -> String {
    match Group::from_gid(Gid::from_raw(id)) {
        Ok(Some(group)) => format!("group {} ({id})", group.name),
        _ => format!("group {id}"),
    }
}

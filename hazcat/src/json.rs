//! Reports as JSON. Fields are added, never renamed, while `format` is 1.

use crate::output;
use crate::places::Isolated;
use hazcat_core::inspect::{
    DomainReport, EndpointCounters, EndpointReport, FileReport, ParticipantReport, Process, Report, SegmentReport,
    SegmentState, TopicReport,
};
use serde_json::{json, Value};
use std::time::{SystemTime, UNIX_EPOCH};

pub fn report(report: &Report) -> Value {
    json!({
        "path": output::path(&report.path),
        "domain": report.domain_id,
        "owner": report.owner,
        "group": report.group,
        "mode": format!("{:04o}", report.mode),
        "since": seconds(report.since),
        "lease_problem": report.lease_problem,
        "bytes": report.bytes,
        "participants": report.participants.iter().map(participant).collect::<Vec<_>>(),
        "topics": report.topics.iter().map(topic).collect::<Vec<_>>(),
        "segments": report.segments.iter().map(segment).collect::<Vec<_>>(),
        "foreign": report.foreign.iter().map(file).collect::<Vec<_>>(),
    })
}

pub fn isolated(folder: &Isolated) -> Value {
    json!({ "path": output::path(&folder.path), "owner": folder.owner, "alive": folder.alive, "since": seconds(folder.since) })
}

fn participant(of: &ParticipantReport) -> Value {
    let graph = of.graph.as_ref();
    let nodes: Vec<String> = graph.map(crate::text::node_names).unwrap_or_default();
    json!({
        "id": crate::text::identity(of.identity),
        "alive": of.alive,
        "processes": processes(&of.processes),
        "since": seconds(of.since),
        "user": of.user,
        "nodes": nodes,
        "endpoints": graph.map_or(0, |graph| graph.endpoints.len()),
        "problem": of.problem,
        "bytes": of.bytes,
    })
}

/// Topics and what was counted on them.
pub fn stats(report: &Report) -> Value {
    let topics: Vec<Value> = report.topics.iter().filter(|topic| topic.problem.is_none()).map(topic).collect();
    json!({ "path": output::path(&report.path), "domain": report.domain_id, "topics": topics })
}

fn topic(of: &TopicReport) -> Value {
    json!({
        "file": file(&of.file),
        "open": of.open,
        "processes": processes(&of.processes),
        "problem": of.problem,
        "name": of.name,
        "type": of.type_name,
        "capacity": of.capacity,
        "published": of.published,
        "memory": of.domains.iter().map(memory).collect::<Vec<_>>(),
        "publishers": of.publishers.iter().map(|endpoint| end(endpoint, "published", "dropped")).collect::<Vec<_>>(),
        "subscriptions": of.subscriptions.iter().map(|endpoint| end(endpoint, "unread", "held")).collect::<Vec<_>>(),
        "copiers": of.copiers.iter().map(|endpoint| end(endpoint, "published", "dropped")).collect::<Vec<_>>(),
    })
}

fn end(of: &EndpointReport, messages: &str, dropped_or_held: &str) -> Value {
    json!({
        "participant": of.owner.map(crate::text::identity),
        "alive": of.alive,
        "gid": format!("{:?}", of.gid),
        "domain": of.domain,
        "memory": of.memory.map(|memory| memory.to_string()),
        "counters": counters(&of.counters),
        messages: of.messages,
        dropped_or_held: of.dropped_or_held,
    })
}

fn memory(of: &DomainReport) -> Value {
    json!({ "memory": of.domain.to_string(), "copies": of.copies, "bytes": of.bytes })
}

fn counters(of: &EndpointCounters) -> Value {
    match of {
        EndpointCounters::Publisher(of) => json!({
            "messages": of.messages,
            "bytes": of.bytes,
            "dropped": of.dropped,
            "on_device": of.on_device,
            "in_place": of.in_place(),
            "copied_in": of.copied_in,
            "serialized": of.serialized,
            "copied_to_device": of.copied_to_device,
            "bytes_copied": of.bytes_copied,
        }),
        EndpointCounters::Copier => Value::Null,
        EndpointCounters::Subscription(of) => json!({
            "messages": of.messages,
            "lost": of.lost,
            "without_copy": of.without_copy(),
            "as_they_lay": of.as_they_lay,
            "shared_copies": of.shared_copies,
            "copies_to_host": of.to_host,
            "copies_to_device": of.to_device,
            "copies_between_devices": of.between_devices,
            "private_copies": of.private_copies,
            "bytes_copied": of.bytes_copied,
            "in_place": of.in_place(),
            "copied_out": of.copied_out,
            "deserialized": of.deserialized,
            "bytes_out": of.bytes_out,
        }),
    }
}

fn segment(of: &SegmentReport) -> Value {
    let state = match of.state {
        SegmentState::InUse => "in use",
        SegmentState::Unread => "unread",
        SegmentState::Leftover => "leftover",
    };
    json!({
        "file": file(&of.file),
        "id": format!("{:016x}", of.id.0),
        "topic_file": of.topic,
        "participant": of.owner.map(crate::text::identity),
        "state": state,
    })
}

fn file(of: &FileReport) -> Value {
    json!({ "path": output::path(&of.path), "bytes": of.bytes, "user": of.user, "since": seconds(of.since) })
}

fn processes(of: &[Process]) -> Vec<Value> {
    of.iter().map(|process| json!({ "pid": process.id, "name": process.name })).collect()
}

/// Seconds since 1970.
fn seconds(time: Option<SystemTime>) -> Option<u64> {
    Some(time?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

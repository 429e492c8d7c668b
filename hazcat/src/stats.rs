//! `hazcat stats`: what was counted, for people.

use crate::arguments::Arguments;
use crate::output::{self, line};
use crate::{json, text};
use hazcat_core::inspect::{EndpointCounters, EndpointReport, Report, TopicReport};
use hazcat_core::queue::{PublisherCounters, SubscriptionCounters};
use serde_json::Value;

pub fn stats(arguments: &Arguments, reports: &[Report], problems: &[String]) {
    if arguments.json {
        let directories: Vec<Value> = reports.iter().map(json::stats).collect();
        output::json(&json!({ "format": 1, "directories": directories, "problems": problems }));
        return;
    }
    if reports.iter().all(|report| report.topics.is_empty()) {
        line!("{}: no topics", arguments.root.display());
    }
    for report in reports.iter().filter(|report| !report.topics.is_empty()) {
        line!("{}:", report.path.display());
        report.topics.iter().filter(|topic| topic.problem.is_none()).for_each(topic);
    }
}

fn topic(of: &TopicReport) {
    line!("  topic {} [{}]: {} published", of.name, of.type_name, of.published);
    for memory in of.domains.iter().filter(|memory| memory.copies > 0) {
        let copies = if memory.copies == 1 { "1 copy".to_owned() } else { format!("{} copies", memory.copies) };
        line!("    {copies} into {}, {}", memory.domain, text::bytes(memory.bytes));
    }
    for end in &of.publishers {
        if let EndpointCounters::Publisher(counters) = &end.counters {
            line!("    publisher in {} of {}: {}", text::memory(end), text::owner(end), published(counters));
        }
    }
    for end in &of.subscriptions {
        if let EndpointCounters::Subscription(counters) = &end.counters {
            line!("    subscription in {} of {}: {}", text::memory(end), text::owner(end), taken(counters, end));
        }
    }
}

/// Figures with what they are, those that are zero left out.
fn parts(first: String, others: &[(u64, &str)]) -> String {
    let others = others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    std::iter::once(first).chain(others).collect::<Vec<_>>().join(", ")
}

fn published(of: &PublisherCounters) -> String {
    let ways = [
        (of.in_place(), "made in place"),
        (of.copied_in, "copied in"),
        (of.serialized, "serialized"),
        (of.copied_to_device, "copied to the device"),
        (of.dropped, "dropped unread"),
    ];
    let text = parts(format!("{}, {}", text::many(of.messages, "message"), text::bytes(of.bytes)), &ways);
    with_bytes(text, of.bytes_copied, "copied")
}

fn taken(of: &SubscriptionCounters, end: &EndpointReport) -> String {
    let ways = [
        (of.without_copy(), "as published"),
        (of.shared_copies, "from others' copies"),
        (of.to_host, "copied to the host"),
        (of.to_device, "copied to the device"),
        (of.between_devices, "copied between devices"),
        (of.private_copies, "of these copies not shared"),
        (of.copied_out, "copied out"),
        (of.deserialized, "deserialized"),
        (of.lost, "lost"),
        (end.messages, "unread"),
        (end.dropped_or_held, "held"),
    ];
    let text = parts(text::many(of.messages, "message"), &ways);
    with_bytes(with_bytes(text, of.bytes_copied, "copied across"), of.bytes_out, "copied out")
}

fn with_bytes(text: String, bytes: u64, what: &str) -> String {
    if bytes == 0 {
        return text;
    }
    format!("{text}; {} {what}", text::bytes(bytes))
}

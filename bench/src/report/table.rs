//! The table that a run prints.

use std::fmt::Write;

use super::targets::ratio;
use super::{size_name, time_name, Record};
use crate::plan::{FAN_OUTS, FAN_OUT_SIZE};
use crate::scenario::{Payload, System, Task, Waiting};
use crate::statistics::Figures;

/// The whole table.
pub fn render(record: &Record) -> String {
    let mut text = String::new();
    if let Some(machine) = &record.machine {
        let _ = writeln!(
            text,
            "{}, Linux {}, cores {} and {}, {} ({:.1} ns a reading, subtracted), load {:.2} before, {:.2} after\n\
             commit {}, iceoryx2 {}; median (p99) over rounds, medians over {} repetitions",
            machine.processor,
            machine.kernel,
            machine.cores[0],
            machine.cores[1],
            machine.clock,
            machine.clock_cost_ns,
            machine.load_before,
            machine.load_after,
            machine.commit,
            record.iceoryx2,
            record.repetitions,
        );
        if machine.load_before > 0.5 {
            let _ = writeln!(text, "NOTE: the machine was busy with other work when this began.");
        }
    }
    for payload in [Payload::Untouched, Payload::Counter, Payload::Copied] {
        for waiting in [Waiting::Polling, Waiting::Blocking] {
            ping_pong(&mut text, record, waiting, payload);
        }
    }
    fan_out(&mut text, record);
    publish_alone(&mut text, record);
    memory(&mut text, record);
    if !record.targets.is_empty() {
        let _ = writeln!(text, "\nTargets");
        for target in &record.targets {
            let value = target.ratio.map_or("not measured".to_owned(), |r| format!("{r:.2}"));
            let _ = writeln!(text, "  [{}] {:<62} {value} (limit {:.2})", target.mark(), target.what, target.limit);
        }
    }
    text
}

fn line(text: &mut String, columns: &[String]) {
    for (index, column) in columns.iter().enumerate() {
        let _ = if index == 0 { write!(text, "  {column:<16}") } else { write!(text, "{column:>24}") };
    }
    text.push('\n');
}

fn heading(text: &mut String, title: &str, columns: &[&str]) {
    let _ = writeln!(text, "\n{title}");
    line(text, &columns.iter().map(|&c| c.to_owned()).collect::<Vec<_>>());
}

fn shown(figures: Option<Figures>) -> String {
    figures.map_or("-".to_owned(), |f| format!("{} ({})", time_name(f.median_ns), time_name(f.p99_ns)))
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |r| format!("{r:.2} x"))
}

fn sizes(record: &Record, task: Task) -> Vec<usize> {
    let mut sizes: Vec<usize> = record.cells.iter().filter(|c| c.task == task).map(|c| c.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn ping_pong(text: &mut String, record: &Record, waiting: Waiting, payload: Payload) {
    let task = Task::PingPong { waiting, payload };
    let sizes = sizes(record, task);
    if sizes.is_empty() {
        return;
    }
    let what = match payload {
        Payload::Untouched => "payload not looked at",
        Payload::Counter => "8-byte counter written and read",
        Payload::Copied => "payload copied in and out",
    };
    let title = format!("One way between two processes, {}, {what}", waiting.name());
    heading(text, &title, &["payload", "floor", "hazcat_core", "iceoryx2", "hazcat / iceoryx2", "hazcat / floor"]);
    for size in sizes {
        let of = |system| record.figures(system, task, size);
        let median = |system| of(system).map(|f: Figures| f.median_ns);
        let columns = [
            size_name(size),
            shown(of(System::Floor)),
            shown(of(System::Hazcat)),
            shown(of(System::Iceoryx2)),
            times(ratio(median(System::Hazcat), median(System::Iceoryx2))),
            times(ratio(median(System::Hazcat), median(System::Floor))),
        ];
        line(text, &columns);
    }
}

fn fan_out(text: &mut String, record: &Record) {
    if !record.cells.iter().any(|cell| matches!(cell.task, Task::FanOut { .. })) {
        return;
    }
    let title =
        format!("Time of one loan + publish to n polling subscriptions, {} (batch mean)", size_name(FAN_OUT_SIZE));
    heading(
        text,
        &title,
        &["subscriptions", "hazcat_core", "iceoryx2", "hazcat / hazcat to 1", "iceoryx2 / iceoryx2 to 1"],
    );
    let of = |system, subscriptions| record.figures(system, Task::FanOut { subscriptions }, FAN_OUT_SIZE);
    let batch = |system, n| of(system, n).map(|f: Figures| f.batch_ns);
    for n in FAN_OUTS {
        let shown = |system| batch(system, n).map_or("-".to_owned(), time_name);
        let columns = [
            n.to_string(),
            shown(System::Hazcat),
            shown(System::Iceoryx2),
            times(ratio(batch(System::Hazcat, n), batch(System::Hazcat, 1))),
            times(ratio(batch(System::Iceoryx2, n), batch(System::Iceoryx2, 1))),
        ];
        line(text, &columns);
    }
}

fn publish_alone(text: &mut String, record: &Record) {
    let sizes = sizes(record, Task::PublishAlone);
    if sizes.is_empty() {
        return;
    }
    heading(text, "Loan + publish without a subscription", &["payload", "hazcat_core", "iceoryx2"]);
    for size in sizes {
        let of = |system| {
            record.figures(system, Task::PublishAlone, size).map_or("-".to_owned(), |f| time_name(f.median_ns))
        };
        line(text, &[size_name(size), of(System::Hazcat), of(System::Iceoryx2)]);
    }
}

fn memory(text: &mut String, record: &Record) {
    if record.memory.is_empty() {
        return;
    }
    heading(text, "memcpy on one core", &["size", "time", "GiB/s"]);
    for bandwidth in &record.memory {
        line(
            text,
            &[size_name(bandwidth.size), time_name(bandwidth.copy_ns), format!("{:.1}", bandwidth.gib_per_second)],
        );
    }
}

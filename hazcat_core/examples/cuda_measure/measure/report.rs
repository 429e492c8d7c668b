//! What came out, as tables.

use hazcat_core::domain::cuda::Device;
use std::fmt;

/// Longest that publishing may take, in nanoseconds.
const PUBLISH_GOAL: i64 = 20_000;
/// How much of a bare copy's bandwidth is wanted, for messages of at least so many bytes.
const BANDWIDTH_GOAL: (f64, usize) = (0.9, 16 << 20);
/// How much longer the slowest size may take than the fastest to be called flat.
const FLAT_GOAL: f64 = 1.5;

/// Times of many, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub count: usize,
    pub median: i64,
    pub high: i64,
    pub most: i64,
}

impl Figures {
    pub fn of(mut times: Vec<i64>) -> Self {
        times.sort_unstable();
        let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
        let at = |share| at(share).copied().unwrap_or(0);
        Self { count: times.len(), median: at(0.5), high: at(0.99), most: at(1.0) }
    }
}

/// Microseconds.
fn us(nanoseconds: i64) -> String {
    format!("{:.1}", nanoseconds as f64 / 1e3)
}

/// Bandwidth in GB/s.
fn bandwidth(size: usize, nanoseconds: i64) -> f64 {
    size as f64 / nanoseconds.max(1) as f64
}

fn bytes(size: usize) -> String {
    match size {
        _ if size >= 1 << 30 && size % (1 << 30) == 0 => format!("{} GiB", size >> 30),
        _ if size >= 1 << 20 && size % (1 << 20) == 0 => format!("{} MiB", size >> 20),
        _ if size >= 1 << 10 && size % (1 << 10) == 0 => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}

/// Messages of one size to a subscription of the same device.
pub struct OneToOne {
    pub size: usize,
    pub settled: Figures,
    pub ordered: Figures,
}

/// Messages of one size to host subscriptions.
pub struct FanOut {
    pub size: usize,
    pub subscriptions: usize,
    pub messages: u64,
    pub copies: u64,
    /// Copies beyond the one per message.
    pub private: u64,
    pub copy: Figures,
    pub bare: Figures,
}

impl FanOut {
    fn share(&self) -> f64 {
        self.bare.median as f64 / self.copy.median.max(1) as f64
    }
}

/// All of it.
pub struct Report {
    machine: String,
    pub one_to_one: Vec<OneToOne>,
    pub publish: Figures,
    /// Messages whose kernel was over when publishing returned.
    pub idle_behind_publish: usize,
    pub fan_out: Vec<FanOut>,
    checked: u64,
    checked_bytes: u64,
    wrong: i64,
}

fn first_line_with(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.rsplit(':').next().unwrap_or_default().trim().to_owned()
}

impl Report {
    pub fn of_machine(device: &Device) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let machine = format!(
            "{} ({}), {}; {}, {cores} cores; Linux {}",
            device.name(),
            device.uuid(),
            device.abilities(),
            first_line_with("/proc/cpuinfo", "model name"),
            first_line_with("/proc/sys/kernel/osrelease", ""),
        );
        Self {
            machine,
            one_to_one: Vec::new(),
            publish: Figures::default(),
            idle_behind_publish: 0,
            fan_out: Vec::new(),
            checked: 0,
            checked_bytes: 0,
            wrong: 0,
        }
    }

    /// Messages of this size were checked, on the device or on the host.
    pub fn check(&mut self, messages: u64, size: usize, wrong: i64) {
        self.checked += messages;
        self.checked_bytes += messages * size as u64;
        self.wrong += wrong;
    }

    /// Messages whose bytes were checked, bytes that were wrong.
    pub fn checked(&self) -> (u64, i64) {
        (self.checked, self.wrong)
    }

    /// Goal, what became of it, whether it was met.
    fn goals(&self) -> Vec<(String, String, bool)> {
        let mut goals = Vec::new();
        let medians = |of: fn(&OneToOne) -> i64| {
            let times = self.one_to_one.iter().map(of);
            let (least, most) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
            let ratio = most as f64 / least.max(1) as f64;
            (format!("{} to {} us, {ratio:.2} times", us(least), us(most)), ratio <= FLAT_GOAL)
        };
        for (what, (found, met)) in [
            ("device to device, bytes there", medians(|row| row.settled.median)),
            ("device to device, behind a kernel", medians(|row| row.ordered.median)),
        ] {
            goals.push((format!("{what}: flat over all sizes (at most {FLAT_GOAL} times)"), found, met));
        }
        for row in &self.fan_out {
            let exactly = row.copies == row.messages;
            let found = format!("{} copies of {} messages", row.copies, row.messages);
            goals.push((
                format!("{} host subscriptions, {}: one copy each", row.subscriptions, bytes(row.size)),
                found,
                exactly,
            ));
            let (goal, from) = BANDWIDTH_GOAL;
            if row.size >= from {
                let found = format!("{:.0} %", 100.0 * row.share());
                let text = format!("{}: at least {:.0} % of a bare copy's bandwidth", bytes(row.size), 100.0 * goal);
                goals.push((text, found, row.share() >= goal));
            }
        }
        let while_running = self.publish.count - self.idle_behind_publish.min(self.publish.count);
        let found = format!("{} us (99 %), {while_running} of {} times", us(self.publish.high), self.publish.count);
        let met = self.publish.high < PUBLISH_GOAL && self.idle_behind_publish == 0;
        goals.push((format!("publish below {} us while the kernel runs", PUBLISH_GOAL / 1000), found, met));
        let (checked, wrong) = self.checked();
        let found = format!("{wrong} wrong bytes in {checked} messages ({} bytes)", self.checked_bytes);
        goals.push(("every byte checked on the other side".into(), found, wrong == 0 && checked > 0));
        goals
    }

    /// Whether all goals were met.
    pub fn is_met(&self) -> bool {
        self.goals().iter().all(|(.., met)| *met)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        writeln!(f, "| one publisher, one subscription, same device | bytes there: median us | 99 % | behind a kernel: median us | 99 % |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for row in &self.one_to_one {
            let (settled, ordered) = (&row.settled, &row.ordered);
            let figures = [settled.median, settled.high, ordered.median, ordered.high].map(us).join(" | ");
            writeln!(f, "| {} | {figures} |", bytes(row.size))?;
        }
        writeln!(f, "\n| publish while the kernel runs | median us | 99 % | most |")?;
        writeln!(f, "|---|---|---|---|")?;
        let publish = [self.publish.median, self.publish.high, self.publish.most].map(us).join(" | ");
        writeln!(f, "| {} messages | {publish} |", self.publish.count)?;
        writeln!(f, "\n| to host subscriptions | copies per message | copy GB/s | bare copy GB/s | share |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for row in &self.fan_out {
            let per_message = row.copies as f64 / row.messages.max(1) as f64;
            let (ours, bare) = (bandwidth(row.size, row.copy.median), bandwidth(row.size, row.bare.median));
            let share = 100.0 * row.share();
            let what = format!("{} x {}, {} beyond one", row.subscriptions, bytes(row.size), row.private);
            writeln!(f, "| {what} | {per_message:.3} | {ours:.1} | {bare:.1} | {share:.0} % |")?;
        }
        writeln!(f, "\n| goal | found | met |\n|---|---|---|")?;
        for (goal, found, met) in self.goals() {
            writeln!(f, "| {goal} | {found} | {} |", if met { "yes" } else { "NO" })?;
        }
        Ok(())
    }
}

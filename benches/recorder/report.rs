//! The figures, as they come and as a page.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The page under construction. What is added is printed at once.
pub struct Report {
    text: String,
    began: Instant,
}

impl Report {
    /// A page with a head.
    pub fn new() -> Self {
        let mut report = Self { text: String::new(), began: Instant::now() };
        report.line(HEAD);
        report.line(&machine());
        report
    }

    /// A heading with a few words, and the head of a table.
    pub fn section(&mut self, heading: &str, words: &str) {
        self.line(&format!(
            "\n## {heading}\n\n{words}\n\n| | pact-operator | floor | ratio | goal |\n|---|---|---|---|---|"
        ));
    }

    /// A row of the table.
    pub fn row(&mut self, what: &str, measured: &str, floor: &str, ratio: &str, goal: &str) {
        self.line(&format!("| {what} | {measured} | {floor} | {ratio} | {goal} |"));
    }

    /// A row without floor.
    pub fn fact(&mut self, what: &str, measured: &str, goal: &str) {
        self.row(what, measured, "", "", goal);
    }

    /// The whole page.
    pub fn text(&self) -> String {
        format!("{}\nThe whole run took {:.0} s.\n", self.text, self.began.elapsed().as_secs_f64())
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        writeln!(self.text, "{line}").unwrap();
    }
}

const HEAD: &str = "# The recorder, measured

Written by `make bench` (`benches/recorder/`); do not edit. A real control plane (etcd, API server, controller manager, \
scheduler) with fake nodes, a stand-in broker and the operator with its default settings run on one machine, and so do \
the floors, in the same run. The machine is shared and noisy: the ratios say more than the times, and nothing is asserted \
on either. The bench profile is the release profile without link-time optimisation and with 16 codegen units, to keep \
the build short.

A nearest recorder in the field (Go, for another service), measured on such a machine, for comparison: posts 28 ms \
*before* completion in 50 of 50, records rollouts that never become ready, needs 398 s to start with 1,000 Deployments \
and 70 s for the last of 200 rollouts, loses deletions in an outage with restart, 59 MiB.
";

fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo").lines().find_map(|line| Some(line.strip_prefix("model name")?.to_owned()));
    let model = model.as_deref().and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
    let load = read("/proc/loadavg").split_whitespace().next().unwrap_or("?").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("Machine: {cores} cores ({model}); load average when the run began: {load}.")
}

/// Milliseconds with as many digits as they deserve.
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// Mebibytes.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// How many times the floor.
pub fn times(measured: Duration, floor: Duration) -> String {
    format!("{:.2} ×", measured.as_secs_f64() / floor.as_secs_f64())
}

/// Smallest, median, 95th percentile and largest.
pub struct Spread {
    sorted: Vec<f64>,
}

impl Spread {
    /// Of seconds, which may be negative.
    pub fn of(mut seconds: Vec<f64>) -> Self {
        assert!(!seconds.is_empty(), "there is nothing to take a median of");
        seconds.sort_by(f64::total_cmp);
        Self { sorted: seconds }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// How many are negative.
    pub fn negative(&self) -> usize {
        self.sorted.iter().filter(|seconds| **seconds < 0.0).count()
    }

    /// The median.
    pub fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        if self.sorted.len() % 2 == 1 {
            self.sorted[middle]
        } else {
            f64::midpoint(self.sorted[middle - 1], self.sorted[middle])
        }
    }

    /// `min / median / p95 / max` in milliseconds.
    pub fn shown(&self) -> String {
        let last = self.sorted.len() - 1;
        let p95 = self.sorted[(last * 95).div_ceil(100)];
        let all =
            [self.sorted[0], self.median(), p95, self.sorted[last]].map(|seconds| format!("{:.1}", seconds * 1e3));
        format!("{} ms", all.join(" / "))
    }
}

/// Seconds from one moment to another, negative when the other was earlier.
pub fn seconds_between(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(after) => after.as_secs_f64(),
        None => -(from - to).as_secs_f64(),
    }
}

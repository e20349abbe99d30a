//! The figures, as they come and as one part of `benches/RESULTS.md`. Shared by the benches of this folder.
#![allow(dead_code, reason = "each of the benches that include this module uses a part of it")]

pub mod asked;
mod goal;
mod page;
pub mod plot;
pub mod ratios;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

pub use goal::Goal;
use plot::Plot;

/// Where the figures of all benches are kept.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
/// Where the pictures of that page are kept, as the page names the folder, and where it is.
const PICTURES: &str = "plots";
const PICTURES_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/plots");
/// Where the pictures of a run go whose figures are not kept.
const OTHER_PICTURES: &str = env!("CARGO_TARGET_TMPDIR");

/// One part of the page, under construction. What is added is printed at once.
pub struct Report {
    title: &'static str,
    text: String,
    /// The heading of the section that is under construction.
    heading: String,
    /// The rows that have a goal.
    goals: Vec<String>,
    /// Whether the page is to have it, or else it is only printed.
    kept: bool,
    began: Instant,
}

impl Report {
    /// A part with a title, which distinguishes it from the parts of other benches, and a short text below it. It is only
    /// printed unless it is to be kept.
    pub fn new(title: &'static str, text: &str, kept: bool) -> Self {
        let mut report =
            Self { title, text: String::new(), heading: String::new(), goals: Vec::new(), kept, began: Instant::now() };
        report.line(&format!("# {title}\n\n{text}\n"));
        report.line(&machine());
        report
    }

    /// A heading with a short text, and the head of a table.
    pub fn section(&mut self, heading: &str, text: &str) {
        self.table(heading, text, &["pact-operator", "floor", "ratio", "goal"]);
    }

    /// The same with other columns after the first.
    pub fn table(&mut self, heading: &str, text: &str, columns: &[&str]) {
        heading.clone_into(&mut self.heading);
        let rule = "|---".repeat(columns.len() + 1);
        self.line(&format!("\n## {heading}\n\n{text}\n\n| | {} |\n{rule}|", columns.join(" | ")));
    }

    /// A row of the table.
    pub fn cells(&mut self, cells: &[&str]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// A row of a section's table.
    pub fn row(&mut self, what: &str, measured: &str, floor: &str, ratio: &str, remark: &str) {
        self.cells(&[what, measured, floor, ratio, remark]);
    }

    /// A row without floor.
    pub fn fact(&mut self, what: &str, measured: &str) {
        self.row(what, measured, "", "", "");
    }

    /// A row that has a goal.
    pub fn judged(&mut self, what: &str, [measured, floor, ratio]: [&str; 3], goal: &Goal) {
        let (shown, verdict) = (goal.shown(), goal.verdict());
        self.row(what, measured, floor, ratio, &format!("{shown}: {verdict}"));
        self.keep([measured, floor, ratio], what, &shown, &verdict);
    }

    /// A goal of what the section shows, in a paragraph below its table.
    pub fn judged_below(&mut self, what: &str, measured: &str, goal: &Goal) {
        let (shown, verdict) = (goal.shown(), goal.verdict());
        self.below(&format!("{what}: {measured} (goal {shown}: {verdict})."));
        self.keep([measured, "", ""], what, &shown, &verdict);
    }

    /// A paragraph below the table.
    pub fn below(&mut self, text: &str) {
        self.line(&format!("\n{text}"));
    }

    /// A picture of what the section shows, below its table.
    pub fn plot(&mut self, name: &str, plot: &Plot<'_>) {
        let folder = if self.kept { PICTURES_FOLDER } else { OTHER_PICTURES };
        std::fs::create_dir_all(folder).unwrap();
        plot.draw(&Path::new(folder).join(format!("{name}.svg")));
        self.below(&format!("![{}]({PICTURES}/{name}.svg)", plot.title()));
    }

    fn keep(&mut self, [measured, floor, ratio]: [&str; 3], what: &str, goal: &str, verdict: &str) {
        let heading = &self.heading;
        self.goals.push(format!("| {heading}: {what} | {measured} | {floor} | {ratio} | {goal} | {verdict} |"));
    }

    /// Puts this part into the page, if it is to be kept, in the place of what it was before; the other parts stay.
    pub fn write(&self) {
        if !self.kept {
            return;
        }
        let goals = page::goals(&self.goals);
        let part = format!("{}{goals}\nThe whole run took {:.0} s.\n", self.text, self.began.elapsed().as_secs_f64());
        let page = std::fs::read_to_string(PAGE).unwrap_or_default();
        std::fs::write(PAGE, page::with_part(&page, self.title, &part)).unwrap();
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        writeln!(self.text, "{line}").unwrap();
    }
}

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
pub fn ratio(measured: f64, floor: f64) -> String {
    format!("{:.2} ×", measured / floor)
}

/// How many times as long as the floor.
pub fn times(measured: Duration, floor: Duration) -> String {
    ratio(measured.as_secs_f64(), floor.as_secs_f64())
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

    /// The smallest that is no smaller than this part of all: 0.99 for the 99th percentile.
    pub fn quantile(&self, part: f64) -> f64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
        let rank = (self.sorted.len() as f64 * part).ceil() as usize;
        self.sorted[rank.clamp(1, self.sorted.len()) - 1]
    }

    /// The largest.
    pub fn largest(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
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

//! How start, memory and the cost of a change grow with the size of something.

use std::time::Duration;

use crate::measured::{Measured, Start, at_rest};
use crate::report::plot::{Line, Plot};
use crate::report::{Goal, Report, mib, ms, times};
use crate::setup::Setup;
use crate::slope::slope;
use crate::started::start_timed;

/// What grows with the size may grow so much faster than it.
const IN_PROPORTION: f64 = 1.05;
/// What does not depend on the size.
const NOT_AT_ALL: f64 = 0.1;

/// See the module.
pub struct Growth {
    what: &'static str,
    heading: String,
    /// What is resident of an operator without Deployments, in bytes.
    empty: u64,
    points: Vec<(usize, Measured)>,
}

impl Growth {
    /// Nothing measured yet; with what is resident of an operator without Deployments, in bytes.
    pub fn new(what: &'static str, heading: String, empty: u64) -> Self {
        Self { what, heading, empty, points: Vec::new() }
    }

    /// One size.
    pub fn add(&mut self, size: usize, measured: Measured) {
        self.points.push((size, measured));
    }

    /// As a section of the report.
    pub fn rows(&self, report: &mut Report) {
        let words = format!(
            "After a restart, with everything annotated recorded before. Memory is what is resident at rest, less what is of \
             an operator in the same cluster before there were Deployments ({}). A change is a new image of one Deployment \
             and its finished status: what the operator needs on a CPU from the patch until 3 s after the row at the broker, \
             less what it needs in 3 s of rest, and its requests at the broker for the key; medians.",
            mib(self.empty)
        );
        let columns = ["memory", "start to Ready", "LIST", "CPU of a change", "broker requests of a change"];
        report.table(&self.heading, &words, &columns);
        for (size, one) in &self.points {
            report.cells(&[
                &size.to_string(),
                &mib(self.memory(one)),
                &ms(one.start.ready),
                &ms(one.start.list),
                &ms(Duration::from_secs_f64(one.change.cpu)),
                &one.change.requests.to_string(),
            ]);
        }
        for (what, goal, of) in [
            ("memory", IN_PROPORTION, &(|one: &Measured| self.memory(one) as f64) as &dyn Fn(&Measured) -> f64),
            ("start to Ready", IN_PROPORTION, &|one| one.start.ready.as_secs_f64()),
            ("CPU of a change", NOT_AT_ALL, &|one| one.change.cpu),
            ("broker requests of a change", NOT_AT_ALL, &|one| one.change.requests),
        ] {
            let what = format!("log-log slope of {what}");
            match slope(&self.line(of)) {
                Some(slope) => report.judged_below(&what, &format!("{slope:.2}"), &Goal::at_most(goal, "", slope)),
                None => report.below(&format!("{what}: too few figures above 0.")),
            }
        }
    }

    fn memory(&self, one: &Measured) -> u64 {
        one.start.memory.rest.saturating_sub(self.empty)
    }

    fn line(&self, of: impl Fn(&Measured) -> f64) -> Vec<(f64, f64)> {
        self.points.iter().map(|(size, one)| (*size as f64, of(one))).collect()
    }
}

/// What is resident of an operator in a cluster in which there is nothing yet.
pub async fn empty(setup: &Setup) -> u64 {
    let started = start_timed(&setup.cluster).await;
    let memory = at_rest(&started.operator).await;
    started.stop().await;
    memory.rest
}

/// The start of a large cluster beside a LIST.
pub fn start(size: usize, start: &Start, report: &mut Report) {
    report.section(
        &format!("Start with {size} annotated Deployments that are all recorded"),
        "From the start of the process, median of several starts. The floor is a plain LIST of the same Deployments.",
    );
    let (ready, list) = (start.ready, start.list);
    report.judged(
        "start to ready (`/readyz` says 200); the goal is what is more than the LIST",
        [&ms(ready), &ms(list), &times(ready, list)],
        &Goal::at_most(1_000.0, "ms", (ready.as_secs_f64() - list.as_secs_f64()) * 1e3),
    );
}

/// Plots of all that grew.
pub fn pictures(all: &[Growth], report: &mut Report) {
    if all.is_empty() {
        return;
    }
    let lines = |of: &dyn Fn(&Growth, &Measured) -> f64| -> Vec<Line> {
        all.iter().map(|growth| Line::new(growth.what, growth.line(|one| of(growth, one)))).collect()
    };
    let size = "number of Deployments, pacticipants or environments";
    let memory = lines(&|growth, one| growth.memory(one) as f64 / f64::from(1 << 20));
    report.plot("memory", &Plot::growth("Memory above an empty operator's", size, "resident memory (MiB)", memory));
    let start = lines(&|_, one| one.start.ready.as_secs_f64());
    report.plot("start", &Plot::growth("Start to Ready", size, "time (s)", start));
    let change = lines(&|_, one| one.change.cpu * 1e3);
    report.plot("change", &Plot::level("Cost of one rollout", size, "CPU time (ms)", change));
}

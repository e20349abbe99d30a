//! How much memory the controller needs in a large cluster, beside a watch that keeps nothing.

use crate::cost::Memory;
use crate::empty_watch::without_keeping;
use crate::report::{Goal, Report, mib, ratio};
use crate::setup::Setup;

/// The peak may be so many times what is resident at rest.
const PEAK: f64 = 1.3;

/// What was measured so far.
#[derive(Default)]
pub struct Memories(Vec<One>);

struct One {
    what: String,
    ours: Memory,
    floor: Memory,
    goal: f64,
}

impl Memories {
    /// An operator's in a cluster of so many Deployments, of which so many are annotated; the goal in MiB.
    pub async fn add(&mut self, setup: &Setup, (deployments, annotated): (usize, usize), goal: f64, ours: Memory) {
        let floor = without_keeping(&setup.cluster.control_plane).await;
        self.0.push(One { what: format!("{deployments} Deployments, {annotated} annotated"), ours, floor, goal });
    }

    /// As a section of the report; none if nothing was measured.
    pub fn rows(&self, report: &mut Report) {
        if self.0.is_empty() {
            return;
        }
        report.section(
            "Memory of the controller",
            "Of a process that has just started, with everything annotated recorded before, when it has come to rest; and the \
             most that was resident until then. The floor is a process that watches the same Deployments with the same \
             partial type and keeps nothing.",
        );
        for one in &self.0 {
            let (ours, floor) = (one.ours, one.floor);
            let times = ratio(ours.rest as f64, floor.rest as f64);
            report.judged(
                &format!("{}: at rest", one.what),
                [&mib(ours.rest), &mib(floor.rest), &times],
                &Goal::at_most_mib(one.goal, ours.rest),
            );
            let peak = ours.most as f64 / ours.rest as f64;
            report.judged(
                &format!("{}: peak, and how many times what is resident at rest", one.what),
                [&mib(ours.most), &mib(floor.most), &format!("{peak:.2} ×")],
                &Goal::at_most(PEAK, "×", peak),
            );
        }
    }
}

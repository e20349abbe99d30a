//! How fast, how cheap and how small the recorder is, each figure beside a floor measured in the same run.
//!
//! `make bench` runs it on a real control plane with fake nodes, a stand-in broker and the built operator with its
//! default settings, and writes its part of `benches/RESULTS.md`. Nothing is asserted on time: machines are shared and
//! noisy. `BENCH_QUICK=1` takes small numbers and only prints; `BENCH_ONLY=singles,at_once,start` names the parts to
//! run and only prints, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on says so; its figures are for reading"
)]

mod at_once;
mod bare_requests;
mod bare_watch;
mod bare_writes;
mod completions;
#[path = "../gate/cost.rs"]
mod cost;
mod empty_watch;
mod ratios;
#[path = "../report/mod.rs"]
mod report;
mod requests;
mod setup;
mod singles;
mod sizes;
mod start;
mod started;

use report::asked::{Asked, only_lists, ratios_only};
use sizes::Sizes;

const TITLE: &str = "The recorder, measured";

const WORDS: &str = "Written by `make bench` (`benches/recorder/`); do not edit. A real control plane (etcd, API server, controller manager, \
scheduler) with fake nodes, a stand-in broker and the operator with its default settings run on one machine, and so do \
the floors, in the same run. The machine is shared and noisy: the ratios say more than the times, and nothing is asserted \
on either. What is measured is built as it is shipped, but for its symbols.

A nearest recorder in the field (Go, for another service), measured on such a machine, for comparison: posts 28 ms \
*before* completion in 50 of 50, records rollouts that never become ready, needs 398 s to start with 1,000 Deployments \
and 70 s for the last of 200 rollouts, loses deletions in an outage with restart, 59 MiB.";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    if arguments.get(1).is_some_and(|argument| argument == empty_watch::ARGUMENT) {
        runtime.block_on(empty_watch::keep_nothing());
        return;
    }
    if only_lists() {
        return;
    }
    if let Some(update) = ratios_only() {
        if let Err(reason) = runtime.block_on(ratios::measure(update)) {
            eprintln!("{reason}");
            std::process::exit(1);
        }
        return;
    }
    runtime.block_on(measure());
}

async fn measure() {
    let asked = Asked::here();
    let sizes = if asked.quick { Sizes::quick() } else { Sizes::full() };
    let wanted = |part: &str| asked.wants(part);

    let mut report = asked.report(TITLE, WORDS);
    // It is written after each part, so that one that fails does not take the others' figures with it.
    if wanted("singles") {
        singles::measure(&sizes, &mut report).await;
        report.write();
    }
    if wanted("at_once") {
        at_once::measure(&sizes, &mut report).await;
        report.write();
    }
    if wanted("start") {
        start::measure(&sizes, &mut report).await;
        report.write();
    }
}

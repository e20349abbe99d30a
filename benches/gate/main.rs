//! How fast, how cheap and how small the gate is, each figure beside a floor measured in the same run.
//!
//! `make bench` runs it on a real control plane with the built webhook and a stand-in broker, and writes its part of
//! `benches/RESULTS.md`. Nothing is asserted on time: machines are shared and noisy. `BENCH_QUICK=1` takes small numbers
//! and only prints; `BENCH_ONLY=direct,through,uncached,busy,black_hole,at_rest` names the parts to run and only prints, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on says so; its figures are for reading"
)]

mod always_yes;
mod at_rest;
mod black_hole;
mod cost;
mod direct;
mod load;
mod ratios;
mod realistic;
#[path = "../report/mod.rs"]
mod report;
mod reviewed;
mod setup;
mod sizes;
mod through;
mod uncached;

use report::asked::{Asked, only_lists, ratios_only};
use setup::Setup;
use sizes::Sizes;

const TITLE: &str = "The gate, measured";

const WORDS: &str = "Written by `make bench` (`benches/gate/`); do not edit. A real control plane, a stand-in broker, the webhook with its \
default settings, its floors and whatever sends the requests run on one machine, in the same run, and take turns. The \
machine is shared and noisy: the ratios say more than the times, and nothing is asserted on either. What is \
measured is built as it is shipped, but for its symbols.";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    match arguments.get(1).map(String::as_str) {
        Some(always_yes::ARGUMENT) => return runtime.block_on(always_yes::serve(&arguments[2..])),
        Some(at_rest::ARGUMENT) => return runtime.block_on(at_rest::keep_nothing()),
        _ => {}
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
    if !["direct", "through", "uncached", "busy", "black_hole", "at_rest"].iter().any(|part| wanted(part)) {
        return;
    }
    let mut report = asked.report(TITLE, WORDS);
    // It is written after each part, so that one that fails does not take the others' figures with it.
    if ["direct", "through", "black_hole"].iter().any(|part| wanted(part)) {
        let setup = Setup::new().await;
        if wanted("direct") {
            direct::measure(&setup, &sizes, &mut report).await;
            report.write();
        }
        if wanted("through") {
            through::measure(&setup, &sizes, &mut report).await;
            report.write();
        }
        if wanted("black_hole") {
            black_hole::measure(&setup, &sizes, &mut report).await;
            report.write();
        }
    }
    // What was admitted above is on its way, and would be asked about, too.
    if wanted("busy") || wanted("uncached") {
        let setup = Setup::new().await;
        if wanted("busy") {
            uncached::measure_busy(&setup, &sizes, &mut report).await;
            report.write();
        }
        if wanted("uncached") {
            uncached::measure(&setup, &sizes, &mut report).await;
            report.write();
        }
    }
    if wanted("at_rest") {
        at_rest::measure(&sizes, &mut report).await;
        report.write();
    }
}

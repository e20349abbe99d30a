//! Half an hour of work as in a busy cluster, in which nothing may be lost and nothing may grow.
//!
//! `make soak` runs two controllers and two webhooks with the chart's settings on a real control plane with a stand-in
//! broker, changes images all the time, kills the leading controller each minute and lets the certificate rotate each two
//! minutes. At the end it judges its promises (`promises.rs`), prints a table, and exits with 1 when one is broken. A run of
//! full length is written into `benches/SOAK.md`. `SOAK_MINUTES=3` is a short run, in which the memory is not judged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a run that cannot go on says so; its figures are for reading"
)]

mod certificates;
mod changes;
mod clock;
mod controllers;
mod finished;
mod growth;
mod kills;
mod memory;
mod page;
mod plot;
mod promises;
#[path = "../report/mod.rs"]
mod report;
mod run;
mod table;
mod world;

use std::process::ExitCode;

use clock::{Clock, FULL_MINUTES};
use run::Run;
use world::World;

fn main() -> ExitCode {
    if report::asked::only_lists() {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let broken = runtime.block_on(soak(minutes()));
    for promise in &broken {
        eprintln!("broken: {promise}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gives what was broken, a line for each promise.
async fn soak(minutes: u32) -> Vec<String> {
    let (world, mut controllers) = World::start().await;
    let run = Run::of(&world, &mut controllers, Clock::start(minutes)).await;
    let broken = promises::broken(&world, &controllers, &run).await;
    page::print(&run, &broken);
    if run.clock.is_full() {
        page::write(&run, &broken);
    } else {
        println!("Not written and memory not judged: that takes {FULL_MINUTES} minutes.");
    }
    broken
}

/// `SOAK_MINUTES`, or the full length.
fn minutes() -> u32 {
    match std::env::var("SOAK_MINUTES") {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|error| panic!("SOAK_MINUTES={text}: {error}")),
        _ => FULL_MINUTES,
    }
}

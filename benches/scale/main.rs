//! What the controller costs in large clusters, and how that grows with them.
//!
//! `make bench` runs it on a real control plane with a stand-in broker and the built operator with its default settings,
//! and writes its part of `benches/RESULTS.md` and its plots. Nothing is asserted: machines are shared and noisy.
//! `BENCH_QUICK=1` takes small numbers and only prints (its plots go to cargo's folder for temporary files);
//! `BENCH_ONLY=shipped,deployments,environments,pacticipants,annotated` names the parts to run and only prints, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on says so; its figures are for reading"
)]

mod change;
#[path = "../gate/cost.rs"]
mod cost;
mod deployment;
#[path = "../recorder/empty_watch.rs"]
mod empty_watch;
mod growth;
mod measured;
mod memory;
#[path = "../gate/realistic.rs"]
mod realistic;
#[path = "../report/mod.rs"]
mod report;
#[path = "../recorder/requests.rs"]
mod requests;
mod setup;
mod shipped;
mod sizes;
mod slope;
#[path = "../recorder/started.rs"]
mod started;
mod world;

use growth::Growth;
use measured::{Measured, Start};
use memory::Memories;
use report::Report;
use report::asked::{Asked, only_lists};
use setup::Setup;
use sizes::Sizes;
use world::World;

const TITLE: &str = "Large clusters, measured";

const WORDS: &str = "Written by `make bench` (`benches/scale/`); do not edit. A real control plane (etcd, API server), a stand-in broker and the \
controller with its default settings run on one machine, in the same run. The Deployments have about 7 kB each, of three \
replicas; there is no controller manager: the bench writes the statuses, so that there are no ReplicaSets and no pods. \
What is measured is built as it is shipped, but for its symbols.";

const PARTS: [&str; 5] = ["shipped", "deployments", "environments", "pacticipants", "annotated"];

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
    runtime.block_on(measure());
}

async fn measure() {
    let asked = Asked::here();
    let sizes = if asked.quick { Sizes::quick() } else { Sizes::full() };
    let wanted = |part: &str| asked.wants(part);
    if !PARTS.iter().any(|part| wanted(part)) {
        return;
    }
    // It is written after each part, so that one that fails does not take the others' figures with it.
    let mut report = asked.report(TITLE, WORDS);
    let (mut memories, mut grown) = (Memories::default(), Vec::new());
    if wanted("shipped") {
        shipped::measure(&mut report);
    }
    if wanted("deployments") {
        let growth = deployments(&sizes, &mut memories).await;
        growth.rows(&mut report);
        report.write();
        grown.push(growth);
    }
    if PARTS[2..].iter().any(|part| wanted(part)) {
        let mut setup = Setup::new(sizes.namespaces).await;
        let empty = growth::empty(&setup).await;
        let growth =
            |part, title| Growth::new(part, format!("{title}, with {} Deployments, all annotated", sizes.fixed), empty);
        if wanted("environments") {
            let world = |size| World::all_annotated(sizes.fixed).environments(size);
            let growth = growth("environments", "Environments");
            grown.push(grow((&mut setup, &mut report), growth, sizes.environments, world, sizes.changes).await);
        }
        if wanted("pacticipants") {
            let world = |size| World::sharing(sizes.fixed, size);
            let growth = growth("pacticipants", "Pacticipants");
            grown.push(grow((&mut setup, &mut report), growth, sizes.pacticipants, world, sizes.changes).await);
        }
        if wanted("annotated") {
            setup.become_(&World::all_annotated(sizes.large)).await;
            let (start, started) = Start::of(&setup, sizes.starts).await;
            started.stop().await;
            memories.add(&setup, (sizes.large, sizes.large), 90.0, start.memory).await;
            growth::start(sizes.large, &start, &mut report);
        }
    }
    memories.rows(&mut report);
    growth::pictures(&grown, &mut report);
    report.write();
}

/// The cluster grows to its largest; one in ten Deployments is annotated.
async fn deployments(sizes: &Sizes, memories: &mut Memories) -> Growth {
    let mut setup = Setup::new(sizes.namespaces).await;
    let empty = growth::empty(&setup).await;
    let mut growth = Growth::new("Deployments", "Deployments, one in ten of them annotated".to_owned(), empty);
    for size in sizes.deployments.iter().copied() {
        if size > sizes.large {
            setup.become_(&World::one_in_ten(size, sizes.large)).await;
            let (start, started) = Start::of(&setup, 1).await;
            started.stop().await;
            memories.add(&setup, (size, sizes.large / 10), 150.0, start.memory).await;
        }
        setup.become_(&World::one_in_ten(size, size)).await;
        let measured = Measured::of(&mut setup, sizes.changes).await;
        if size == sizes.large {
            memories.add(&setup, (size, size / 10), 50.0, measured.start.memory).await;
        }
        growth.add(size, measured);
    }
    growth
}

/// Something else grows, and is reported.
async fn grow(
    (setup, report): (&mut Setup, &mut Report),
    mut growth: Growth,
    sizes: &[usize],
    world: impl Fn(usize) -> World,
    changes: usize,
) -> Growth {
    for size in sizes.iter().copied() {
        setup.become_(&world(size)).await;
        growth.add(size, Measured::of(setup, changes).await);
    }
    growth.rows(report);
    report.write();
    growth
}

//! The API server is restarted again and again while rollouts go on: the operators stay up, and everything is recorded.
#![allow(clippy::print_stdout, reason = "what was done and measured is read by people")]

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use serde_json::json;

use super::endurance::{World, dice, times};
use testbed::test_cluster::{SOON, quick};

const APPS: usize = 12;
/// How many roll out at once.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn endurance_api_server_restarts_under_load_lose_nothing_and_end_no_operator() {
    let restarts = times("ENDURANCE_API_RESTARTS", 2);
    let (mut dice, began) = (dice(), Instant::now());
    let world = World::new(quick()).await;
    let mut operators = [world.start(), world.start()];
    for operator in &mut operators {
        operator.wait_ready().await;
    }
    let pids = operators.each_ref().map(|operator| operator.pid());
    let apps = world.team(APPS, json!({})).await;
    world.wait_right(SOON).await;
    let prepared = world.truth.rollouts();

    let pauses: Vec<_> = (0..restarts).map(|_| Duration::from_millis(dice.below(3000) as u64)).collect();
    let (restarted, longest) = (Cell::new(false), Cell::new(Duration::ZERO));
    let restarting = async {
        for pause in &pauses {
            // A random moment of the rollouts.
            tokio::time::sleep(*pause).await;
            let since = Instant::now();
            world.cluster.control_plane.restart_apiserver().await;
            longest.set(longest.get().max(since.elapsed()));
        }
        restarted.set(true);
    };
    let rolling = async {
        let mut wave = 0;
        while !restarted.get() {
            wave += 1;
            let mut some = apps.clone();
            let some: Vec<_> = (0..AT_ONCE).map(|_| some.swap_remove(dice.below(some.len()))).collect();
            join_all(some.iter().map(async |app| world.roll_out(app, &format!("{wave}.0.0")).await)).await;
        }
    };
    join(restarting, rolling).await;
    let right = world.wait_right(SOON).await;
    let writes = world.assert_sound();
    assert_eq!(operators.each_ref().map(|operator| operator.pid()), pids, "an operator ended");
    println!(
        "{restarts} restarts of the API server (each {:.1?} at most) in {} rollouts of {APPS} Deployments, {writes} writes; all right \
         {right:.1?} after the last rollout; {:.0?} in all",
        longest.get(),
        world.truth.rollouts() - prepared,
        began.elapsed(),
    );
}

//! The API server is restarted again and again, at random moments of rollouts: the operators stay up, and in the end the
//! broker has what runs.
#![allow(clippy::print_stdout, reason = "what was done and measured is read by people")]

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use serde_json::json;

use super::endurance::{World, dice, times};
use testbed::components::Component;
use testbed::control_plane::ControlPlane;
use testbed::test_cluster::{SOON, quick};

const APPS: usize = 12;
/// How many roll out while the API server is restarted, and how often.
const AT_ONCE: usize = 4;
const IN_A_ROW: usize = 3;

/// Gives how long the API server was away. The programs that carry rollouts out are restarted, too: they would wait longer
/// each time that they do not reach it, and the rollouts would wait for them. Only the operators have to bear it.
async fn restart(control_plane: &ControlPlane) -> Duration {
    let since = Instant::now();
    control_plane.restart_apiserver().await;
    let away = since.elapsed();
    for component in [Component::ControllerManager, Component::Scheduler, Component::Kwok] {
        control_plane.stop(component);
        control_plane.resume(component).await;
    }
    away
}

#[tokio::test]
async fn restarts_of_the_api_server_under_load_lose_nothing_and_end_no_operator() {
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

    let mut longest = Duration::ZERO;
    for number in 1..=restarts {
        let moment = Duration::from_millis(dice.below(3000) as u64);
        let restarting = async {
            tokio::time::sleep(moment).await;
            restart(&world.cluster.control_plane).await
        };
        let mut some = apps.clone();
        let some: Vec<_> = (0..AT_ONCE).map(|_| some.swap_remove(dice.below(some.len()))).collect();
        let rolling = join_all(some.iter().map(async |app| {
            for step in 1..=IN_A_ROW {
                world.roll_out(app, &format!("{number}.{step}.0")).await;
            }
        }));
        let (away, _) = join(restarting, rolling).await;
        longest = longest.max(away);
    }
    let right = world.wait_right(SOON).await;
    let writes = world.assert_sound();
    assert_eq!(operators.each_ref().map(|operator| operator.pid()), pids, "an operator ended");
    println!(
        "{restarts} restarts of the API server (each {longest:.1?} at most) in {} rollouts of {APPS} Deployments, {writes} writes; all \
         right {right:.1?} after the last rollout; {:.0?} in all",
        restarts * AT_ONCE * IN_A_ROW,
        began.elapsed(),
    );
}

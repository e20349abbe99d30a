//! The broker is away while the cluster changes a lot and the operator is restarted: soon after its return everything is
//! right, rows of workloads that are gone included (cases 50 and 65).
#![allow(clippy::print_stdout, reason = "what was done and measured is read by people")]

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use super::endurance::{App, Dice, World, dice, times};
use testbed::namespace;
use testbed::operator::Operator;
use testbed::standin::{Fault, WriteKind};
use testbed::test_cluster::{SOON, quick};

/// Deployments that only roll out. So many roll out at once.
const APPS: usize = 14;
/// So many records may vanish from an environment at once without being held (case 101).
const FEW: usize = 5;
/// Deployments in a namespace that is deleted.
const IN_NAMESPACE: usize = 3;
/// Seconds.
const GRACE: u64 = 5;
/// How soon after the broker's return all must be right.
const RETURN: Duration = Duration::from_mins(1);

fn environment() -> Value {
    json!({"record": {"undeployGraceSeconds": GRACE}})
}

/// The broker is away in the one way or in the other.
async fn away(world: &World, dice: &mut Dice) {
    let broker = &world.cluster.broker;
    if dice.percent(50) {
        broker.stop().await;
    } else {
        broker.faults().clear();
        broker.faults().add(Fault::status(503));
        broker.restart().await;
    }
}

/// What still has to be done of something, so that it is spread evenly over the waves.
fn due(all: usize, wave: usize, waves: usize) -> usize {
    all * (wave + 1) / waves - all * wave / waves
}

#[tokio::test]
async fn case_65_an_outage_ends_with_every_row_right_within_a_minute() {
    let rollouts = times("ENDURANCE_ROLLOUTS", 50);
    let [deletes, namespaces, restarts] = [10, 100, 50].map(|part| (rollouts / part).max(1));
    let (mut dice, began) = (dice(), Instant::now());
    let world = World::new(quick().value("controller.leaseSeconds", 3)).await;
    let mut operator = world.start();
    let mut alive = world.team(APPS, environment()).await;
    let (mut doomed, mut gone): (Vec<App>, Vec<Vec<App>>) = (Vec::new(), Vec::new());
    for first in (0..deletes).step_by(FEW) {
        doomed.extend(world.team(FEW.min(deletes - first), environment()).await);
    }
    for _ in 0..namespaces {
        gone.push(world.team(IN_NAMESPACE, environment()).await);
    }
    alive.extend(doomed.iter().chain(gone.iter().flatten()).cloned());
    world.wait_right(SOON).await;
    let (before, prepared) = (world.cluster.broker.writes().len(), world.truth.rollouts());

    let (waves, went) = (rollouts.div_ceil(APPS), Instant::now());
    for wave in 0..waves {
        away(&world, &mut dice).await;
        for _ in 0..due(deletes, wave, waves) {
            let app = doomed.swap_remove(dice.below(doomed.len()));
            world.delete(&app).await;
            alive.retain(|one| one.key != app.key);
        }
        for _ in 0..due(namespaces, wave, waves) {
            let apps = gone.swap_remove(dice.below(gone.len()));
            for app in &apps {
                world.truth.begins(&app.key, None);
            }
            namespace::delete(&world.client, &apps[0].namespace).await;
            alive.retain(|one| one.namespace != apps[0].namespace);
        }
        for _ in 0..due(restarts, wave, waves) {
            restart(&world, &mut operator, &mut dice).await;
        }
        let mut some = alive.clone();
        let rolling: Vec<_> =
            (0..due(rollouts, wave, waves)).map(|_| some.swap_remove(dice.below(some.len()))).collect();
        join_all(rolling.iter().map(async |app| world.roll_out(app, &format!("{}.0.0", wave + 1)).await)).await;
    }
    assert_eq!(world.cluster.broker.writes().len(), before, "the broker was away");
    assert_eq!(world.truth.rollouts() - prepared, rollouts);

    let (went, returned) = (went.elapsed(), Instant::now());
    world.cluster.broker.faults().clear();
    world.cluster.broker.restart().await;
    let right = world.wait_right(RETURN).await;
    world.assert_sound();
    let writes = world.cluster.broker.writes().split_off(before);
    let last = |kind| {
        let of_kind: Vec<_> = writes.iter().filter(|write| write.kind == kind).collect();
        let last = of_kind.last().map(|write| write.at - returned).unwrap_or_default();
        format!("{} {kind:?}, the last {last:.1?} after the return", of_kind.len())
    };
    println!(
        "the broker was away for {went:.0?}, with {rollouts} rollouts, {deletes} deletes, {namespaces} deletes of namespaces and \
         {restarts} restarts; {}; {}; all right {right:.1?} after the return (grace {GRACE} s); {:.0?} in all",
        last(WriteKind::Deployed),
        last(WriteKind::Undeployed),
        began.elapsed(),
    );
}

/// Another operator in place of this one, which is killed, or ends when it is asked to.
async fn restart(world: &World, operator: &mut Operator, dice: &mut Dice) {
    if dice.percent(50) {
        operator.kill9();
    } else {
        assert_eq!(operator.terminate().await, 0);
    }
    *operator = world.start();
}

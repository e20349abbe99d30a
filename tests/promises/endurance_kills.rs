//! The leader or its standby is killed again and again, at random moments of rollouts, while the broker fails at random:
//! every version that finished is recorded, and no older one after a newer one (case 28).
#![allow(clippy::print_stdout, reason = "what was done and measured is read by people")]

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use serde_json::json;

use super::endurance::{App, Dice, World, dice, times};
use testbed::eventually::eventually;
use testbed::operator::Operator;
use testbed::standin::{Effect, Fault};
use testbed::test_cluster::{SOON, quick};

const APPS: usize = 12;

/// So many kills, and so many rollouts, are a round: after it the broker works again, and what was rolled out must be
/// recorded.
const ROUND: (usize, usize) = (10, 4);

/// What goes wrong at the broker. A write that is delayed is not carried out once its sender is dead.
fn fault(dice: &mut Dice) -> Fault {
    let delay = Duration::from_millis(dice.below(1500) as u64);
    match dice.below(8) {
        0 => Fault::delay(delay),
        1 => Fault::delay(delay).method("POST"),
        2 => Fault::delay(delay).method("POST").after_acting(),
        3 => Fault::status(503),
        4 => Fault::status(503).method("POST").times(1 + dice.below(3)),
        5 => Fault::new(Effect::CutBody).times(1 + dice.below(5)),
        6 => Fault::new(Effect::CutBody).method("POST"),
        _ => Fault::status(502).method("POST").after_acting(),
    }
}

#[derive(Debug, Default)]
struct Killed {
    leaders: usize,
    standbys: usize,
    ran_out: usize,
}

/// Kills one of the two operators, at a random moment after one of them began to lead, and starts another.
async fn kill(world: &World, operators: &mut [Operator], dice: &mut Dice, killed: &mut Killed) {
    let leader = world.wait_leader(operators).await;
    if dice.percent(60) {
        world.cluster.broker.faults().clear();
        if dice.percent(70) {
            world.cluster.broker.faults().add(fault(dice));
        }
    }
    let longest = if dice.percent(50) { 200 } else { 1500 };
    tokio::time::sleep(Duration::from_millis(dice.below(longest) as u64)).await;
    let victim = if dice.percent(85) { leader } else { 1 - leader };
    operators[victim].kill9();
    let before = std::mem::replace(&mut operators[victim], world.start());
    match (victim == leader, dice.percent(90)) {
        (false, _) => killed.standbys += 1,
        (true, true) => {
            killed.leaders += 1;
            world.give_back(before.name()).await;
        }
        (true, false) => {
            killed.leaders += 1;
            killed.ran_out += 1;
        }
    }
}

/// A rollout: which app, to which version, and after how many kills of the round it begins.
type Plan = (App, String, usize);

/// A new version, or sometimes one that the app had before.
fn plan(world: &World, apps: &[App], number: usize, kills: usize, dice: &mut Dice) -> Plan {
    let app = dice.of(apps);
    let before = world.truth.versions(&app.key);
    let version = if dice.percent(15) { dice.of(&before) } else { format!("{number}.0.0") };
    (app, version, dice.below(kills))
}

#[tokio::test]
async fn case_28_kills_at_random_moments_lose_nothing_and_move_nothing_back() {
    let kills = times("ENDURANCE_KILLS", 25);
    let rollouts = kills * ROUND.1 / ROUND.0;
    let (mut dice, began) = (dice(), Instant::now());
    let world = World::new(quick().value("controller.leaseSeconds", 3)).await;
    let mut operators = vec![world.start(), world.start()];
    let apps = world.team(APPS, json!({})).await;
    world.wait_right(SOON).await;

    let (mut killed, mut planned, mut slowest) = (Killed::default(), 0, Duration::ZERO);
    for first in (0..kills).step_by(ROUND.0) {
        let now = ROUND.0.min(kills - first);
        let due = (first + now) * rollouts / kills;
        let plans: Vec<_> = (planned..due).map(|number| plan(&world, &apps, number + 1, now, &mut dice)).collect();
        planned = due;
        // Those of one app one after the other: the second one sometimes overtakes the record of the first.
        let done = Cell::new(0);
        let rolling = join_all(apps.iter().map(async |app| {
            for (_, version, after) in plans.iter().filter(|(one, _, _)| one.key == app.key) {
                eventually("so many kills", SOON, async || {
                    if done.get() >= *after { Ok(()) } else { Err(format!("{}", done.get())) }
                })
                .await;
                world.roll_out(app, version).await;
            }
        }));
        let killing = async {
            for _ in 0..now {
                kill(&world, &mut operators, &mut dice, &mut killed).await;
                done.set(done.get() + 1);
            }
        };
        join(killing, rolling).await;
        world.cluster.broker.faults().clear();
        let rolled: Vec<_> = plans.into_iter().map(|(app, _, _)| app).collect();
        let since = Instant::now();
        world.wait_recorded(&rolled).await;
        slowest = slowest.max(since.elapsed());
    }
    let last = world.wait_right(SOON).await;
    let writes = world.assert_sound();
    println!(
        "{kills} kills ({} of the leader, after {} of which its Lease had to run out; {} of the standby) in {rollouts} rollouts of {APPS} \
         Deployments, {writes} writes, {:.0?}; recorded {slowest:.1?} after a round at the latest, all right after {last:.1?}",
        killed.leaders,
        killed.ran_out,
        killed.standbys,
        began.elapsed(),
    );
}

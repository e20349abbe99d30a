//! A leader hangs (SIGSTOP) until its Lease has run out and the standby has recorded newer versions, then it goes on: it
//! never moves the broker back, at whatever moment it hung (case 29).
#![allow(clippy::print_stdout, reason = "what was done and measured is read by people")]

use std::time::{Duration, Instant};

use futures::future::join_all;
use pact_operator::api::PactBroker;
use serde_json::json;

use super::endurance::{App, Dice, World, dice, times};
use testbed::eventually::eventually;
use testbed::standin::{Fault, LoggedRequest};
use testbed::test_cluster::{BROKER, SOON, quick};

/// More than the requests that the broker gets at once, so that writes wait for their turn when the leader hangs.
const APPS: usize = 6;

/// When the leader is stopped. No write is late at the broker: a Lease cannot stop one that was sent.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// While it waits for an answer about a row.
    Reading,
    /// After a write was carried out, before its answer.
    Written,
    /// Some milliseconds after the rollouts began, while each answer takes a while, so that requests wait for their turn.
    Waiting,
    /// Some milliseconds after the rollouts finished.
    Any,
}

const MOMENTS: [Moment; 4] = [Moment::Reading, Moment::Written, Moment::Waiting, Moment::Any];

async fn wait_under_way(world: &World, is: impl Fn(&LoggedRequest) -> bool) {
    eventually("a request to be under way", SOON, async || {
        let found = world.cluster.broker.count_requests(|request| is(request) && request.status.is_none());
        if found > 0 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
}

/// Rolls a version of each out, and returns at the moment.
async fn until(world: &World, apps: &[App], version: &str, moment: Moment, dice: &mut Dice) {
    let faults = world.cluster.broker.faults();
    let delay = Fault::delay(Duration::from_millis(200 + dice.below(300) as u64)).after_acting();
    match moment {
        Moment::Reading => faults.add(delay.method("GET").path(r"/currently-deployed\?pacticipant=")),
        Moment::Written => faults.add(delay.method("POST")),
        Moment::Waiting => faults.add(delay),
        Moment::Any => {}
    }
    world.cluster.broker.clear_requests();
    let lives = join_all(apps.iter().map(async |app| world.begin(app, version).await)).await;
    let jitter = |below| Duration::from_millis(below as u64);
    match moment {
        Moment::Reading => {
            wait_under_way(world, |request| request.path_and_query.contains("currently-deployed?pacticipant=")).await;
        }
        Moment::Written => wait_under_way(world, |request| request.method == "POST").await,
        Moment::Waiting => {
            wait_under_way(world, |request| request.method == "POST").await;
            tokio::time::sleep(jitter(dice.below(600))).await;
        }
        Moment::Any => {
            join_all(lives.iter().map(async |live| live.wait_complete().await)).await;
            tokio::time::sleep(jitter(dice.below(150))).await;
        }
    }
}

#[tokio::test]
async fn case_29_stopped_leaders_never_move_the_broker_back() {
    let stops = times("ENDURANCE_STOPS", 4);
    let (mut dice, began) = (dice(), Instant::now());
    let world = World::new(quick().value("controller.leaseSeconds", 3)).await;
    // A request may take longer than a leader hangs, so that only the Lease stops what it had begun.
    let patient = json!({"url": world.cluster.broker.url(), "requestTimeoutSeconds": 120, "concurrency": 2});
    world.cluster.apply::<PactBroker>("PactBroker", BROKER, patient).await;
    let operators = [world.start(), world.start()];
    let apps = world.team(APPS, json!({})).await;
    world.wait_right(SOON).await;

    let (mut unwritten, mut longest) = (0, Duration::ZERO);
    for stop in 1..=stops {
        let moment = MOMENTS[stop % MOMENTS.len()];
        let leader = world.wait_leader(&operators).await;
        let (older, newer) = (format!("{stop}.1.0"), format!("{stop}.2.0"));
        until(&world, &apps, &older, moment, &mut dice).await;
        operators[leader].signal("STOP");
        let since = Instant::now();
        world.cluster.broker.faults().clear();
        let written =
            |app: &App| world.cluster.writes(&app.key.0, app.name()).ends_with(&[format!("Deployed {older}")]);
        unwritten += apps.iter().filter(|app| !written(app)).count();
        world.wait_leader(std::slice::from_ref(&operators[1 - leader])).await;
        join_all(apps.iter().map(async |app| world.roll_out(app, &newer).await)).await;
        world.wait_recorded(&apps).await;
        longest = longest.max(since.elapsed());
        operators[leader].signal("CONT");
        eventually(format!("stop {stop}, {moment:?}: the old leader to be awake"), SOON, async || {
            operators[leader].probe("/livez").await.map(drop)
        })
        .await;
        world.truth.assert_never_back(&world.cluster.broker.writes());
    }
    let right = world.wait_right(SOON).await;
    let writes = world.assert_sound();
    println!(
        "{stops} stops of the leader (each {longest:.1?} at most), {APPS} Deployments each; {unwritten} of {} versions were not written when \
         it hung; {writes} writes; all right after {right:.1?}; {:.0?} in all",
        stops * APPS,
        began.elapsed(),
    );
}

//! One rollout after the other: how long after its completion is it recorded, and what does a record cost?

use std::sync::Arc;

use crate::bare_watch::BareRecorder;
use crate::report::{Goal, Report, Spread, ratio, seconds_between};
use crate::requests;
use crate::setup::{PATIENCE, Setup, publish, rest, rows};
use crate::sizes::Sizes;
use testbed::eventually::eventually;
use testbed::standin::StandIn;
use testbed::test_cluster::{annotated, image};

const NAME: &str = "single";
/// The environment at the second stand-in.
const BARE: &str = "bare";
const FIRST: &str = "0.0.1";

pub async fn measure(sizes: &Sizes, report: &mut Report) {
    let setup = Setup::new().await;
    let (broker, bare) = (&setup.cluster.broker, Arc::new(StandIn::start().await));
    bare.store().add_environment(BARE, false);
    let name = format!("{NAME}-0");
    let versions: Vec<String> = (0..sizes.singles).map(|number| format!("1.0.{number}")).collect();
    let mut known: Vec<&str> = versions.iter().map(String::as_str).collect();
    known.push(FIRST);
    setup.publish(NAME, 1, &known);
    publish(&bare, NAME, 1, &known);

    let _operator = setup.start_operator().await;
    let bare_recorder = BareRecorder::start(&setup.cluster, &setup.namespace, &bare, BARE);
    let live = annotated(&name, &name, FIRST).apply(&setup.cluster.client(), &setup.namespace).await;
    setup.wait_recorded_in_cluster(FIRST, 1).await;
    setup.wait_settled(1).await;
    // The writes that are delayed by two seconds after the first record must not count with the next ones.
    rest().await;

    broker.clear_requests();
    let asked_before = setup.api_requests().len();
    for version in &versions {
        live.set_image(&image(version)).await;
        setup.wait_recorded_in_cluster(version, 1).await;
        eventually("the bare watch to record it, too", PATIENCE, async || {
            if rows(&bare, BARE, version).is_empty() { Err("no row".to_owned()) } else { Ok(()) }
        })
        .await;
    }
    rest().await;

    let delays = |broker: &StandIn, environment: &str| {
        let delay = |version: &String| {
            let (_, row) = rows(broker, environment, version).into_iter().next().expect("it was waited for");
            seconds_between(
                bare_recorder.completions.of(&name, version).expect("it is recorded, so it was complete"),
                row,
            )
        };
        Spread::of(versions.iter().map(delay).collect())
    };
    let (ours, floor) = (delays(broker, &setup.environment), delays(&bare, BARE));
    report.section(
        &format!("Single rollouts, n={}", ours.len()),
        "One Deployment of one pod rolls out from version to version. From the moment when the bench's own watch delivers \
         the first object whose status says complete, to the row at the stand-in broker. The floor is a bare watch of the \
         same partial type on the same rollouts that sends one request, without looking before or after, to a second \
         stand-in; its watch is the one that the time is taken from. Negative would be a record before that \
         moment; on a busy machine that watch may itself be late by as much as the floor shows. min / median / p95 / max.",
    );
    report.row("completion to row", &ours.shown(), &floor.shown(), &ratio(ours.median(), floor.median()), "");
    for (what, goal, quantile) in [("p50", 10.0, 0.5), ("p99", 40.0, 0.99)] {
        let (ours, floor) = (ours.quantile(quantile) * 1e3, floor.quantile(quantile) * 1e3);
        report.judged(
            &format!("completion to row, {what}; the goal is what is more than the floor"),
            [&format!("{ours:.1} ms"), &format!("{floor:.1} ms"), &format!("{:+.1} ms", ours - floor)],
            &Goal::at_most(goal, "ms", ours - floor),
        );
    }
    let negative = |spread: &Spread| format!("{} of {}", spread.negative(), spread.len());
    report.judged(
        "recorded before complete",
        [&negative(&ours), &negative(&floor), ""],
        &Goal::none("rollouts", ours.negative()),
    );
    costs(&setup, &setup.api_requests()[asked_before..], versions.len(), report);
}

fn costs(setup: &Setup, asked: &[testbed::audit::Request], count: usize, report: &mut Report) {
    let at_broker = setup.cluster.broker.requests();
    let for_keys = at_broker.iter().filter(|request| requests::is_for_a_key(request)).count();
    let to_record =
        at_broker.iter().filter(|request| matches!(requests::purpose(request), "row read" | "record")).count();
    let writes = asked.iter().filter(|request| requests::is_write(request)).count();
    let each = |number: usize| format!("{:.2}", number as f64 / count as f64);
    report.section(
        &format!("What a recorded rollout costs, n={count}"),
        "Of the same rollouts: a new version of a key that has been recorded before. From the stand-in's log and the API \
         server's audit log. Probes, the read of the whole environment and Lease renewals go by the clock, not by rollout.",
    );
    let per = |number: usize| number as f64 / count as f64;
    report.judged(
        "broker requests for the record, per rollout",
        [&each(to_record), "1.00", ""],
        &Goal::at_most(3.0, "requests", per(to_record)),
    );
    report.fact("broker requests for the check of its verdict, per rollout", &each(for_keys - to_record));
    report.fact("all broker requests", &requests::by_purpose(&at_broker));
    report.judged(
        "API writes per rollout, those of the check included",
        [&each(writes), "0.00", ""],
        &Goal::at_most(3.0, "writes", per(writes)),
    );
    report.fact("all API writes", &requests::writes(asked));
    report.fact("all API requests", &requests::all(asked));
}

//! The recorder's ratios of `make bench-quick`.

use crate::empty_watch::without_keeping;
use crate::report::asked::judge_ratios;
use crate::report::ratios::Ratios;
use crate::requests;
use crate::setup::{PATIENCE, Setup, rest};
use crate::start::list;
use testbed::eventually::eventually;
use testbed::rollout::Live;
use testbed::test_cluster::{annotated, image};

const PARTS: [&str; 2] = ["records", "thousand"];
/// Recorded Deployments, besides the one that is rolled out.
const KNOWN: usize = 999;
const NAME: &str = "app";
const ROLLED_OUT: &str = "single-0";
const VERSION: &str = "1.0.0";
/// How many rollouts there are in a run, and how many starts.
const ROLLOUTS: usize = 5;
const STARTS: usize = 3;

/// Compares them with those that are checked in, or writes them anew.
///
/// # Errors
/// What became much worse.
pub async fn measure(update: bool) -> Result<(), String> {
    let setup = Setup::new().await;
    let started = setup.start_timed().await;
    rest().await;
    let empty = started.operator.rss_bytes();
    started.stop().await;
    let live = remembered(&setup).await;
    let mut rollouts = 0;
    let part = async |part: &str| {
        if part == "thousand" {
            return thousand(&setup, empty).await;
        }
        rollouts += ROLLOUTS;
        records(&setup, &live, rollouts).await
    };
    judge_ratios(update, &PARTS, part).await
}

/// Makes the Deployments, and lets the operator remember what the broker knows of them.
async fn remembered(setup: &Setup) -> Live {
    let store = setup.cluster.broker.store();
    for number in 0..KNOWN {
        store.record_deployment(&format!("{NAME}-{number}"), VERSION, &setup.environment, None);
    }
    store.record_deployment(ROLLED_OUT, VERSION, &setup.environment, None);
    let live = annotated(ROLLED_OUT, ROLLED_OUT, VERSION).apply(&setup.cluster.client(), &setup.namespace).await;
    setup.create(NAME, 0..KNOWN, VERSION, 0).await;
    setup.wait_observed(KNOWN + 1).await;
    let started = setup.start_timed().await;
    setup.wait_settled(KNOWN + 1).await;
    let broker = &setup.cluster.broker;
    eventually("the verdicts of all to be checked", PATIENCE, async || {
        broker.clear_requests();
        rest().await;
        let asked = broker.count_requests(requests::is_for_a_key);
        if asked == 0 { Ok(()) } else { Err(format!("{asked} requests in the last seconds")) }
    })
    .await;
    started.stop().await;
    live
}

/// Rollouts to as many versions, the last of which has this number: what each costs.
async fn records(setup: &Setup, live: &Live, last: usize) -> Ratios {
    let broker = &setup.cluster.broker;
    let started = setup.start_timed().await;
    rest().await;
    broker.clear_requests();
    let before = setup.api_requests().len();
    for number in last - ROLLOUTS..last {
        let version = format!("2.0.{number}");
        broker.store().publish_version(ROLLED_OUT, &version);
        live.set_image(&image(&version)).await;
        setup.wait_recorded_in_cluster(&version, 1).await;
    }
    rest().await;
    let asked = broker.count_requests(requests::is_for_a_key);
    let writes = setup.api_requests()[before..].iter().filter(|request| requests::is_write(request)).count();
    started.stop().await;
    let each = |count: usize| count as f64 / ROLLOUTS as f64;
    Ratios::from([
        ("recorder: broker requests of a record".to_owned(), each(asked)),
        ("recorder: API writes of a record".to_owned(), each(writes)),
    ])
}

/// The start and the memory with a thousand recorded keys, beside a LIST and a watch that keeps nothing.
async fn thousand(setup: &Setup, empty: u64) -> Ratios {
    let list = list(setup).await;
    let mut starts = Vec::new();
    for _ in 1..STARTS {
        let started = setup.start_timed().await;
        starts.push(started.ready.as_secs_f64());
        started.stop().await;
    }
    let started = setup.start_timed().await;
    starts.push(started.ready.as_secs_f64());
    rest().await;
    let keys = started.operator.rss_bytes().saturating_sub(empty);
    started.stop().await;
    // The one that others on the machine disturbed least.
    let fastest = starts.into_iter().fold(f64::INFINITY, f64::min);
    let floor = without_keeping(&setup.cluster.control_plane).await.rest;
    Ratios::from([
        ("recorder: start beside a LIST".to_owned(), fastest / list.as_secs_f64()),
        ("recorder: memory of 1,000 keys beside a bare watch".to_owned(), keys as f64 / floor as f64),
    ])
}

//! Starting with many Deployments, known and unknown to the broker; memory and traffic at rest.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use pact_operator::workload::DeploymentView;

use crate::bare_requests::{AT_ONCE, read_record_read};
use crate::bare_writes::BareRecords;
use crate::empty_watch::without_keeping;
use crate::report::{Goal, Report, Spread, mib, ms, ratio, times};
use crate::requests;
use crate::setup::{Setup, rest, rows};
use crate::sizes::Sizes;
use crate::started::Started;
use testbed::operator::Operator;
use testbed::standin::{EACH, THREADS};

const NAME: &str = "app";
const VERSION: &str = "1.0.0";
const FLOOR: &str = "floor";

pub async fn measure(sizes: &Sizes, report: &mut Report) {
    let mut setup = Setup::new().await;
    let count = sizes.known;
    setup.publish(NAME, count, &[VERSION]);
    setup.create(NAME, 0..count, VERSION, 0).await;
    setup.wait_observed(count).await;

    setup.cluster.broker.faults().busy();
    let floor = bare(&setup, count).await;
    let (first, started) = First::start(&setup, count).await;
    report.section(
        &format!("Start with {count} annotated Deployments that the broker does not know"),
        &format!(
            "Of zero replicas each, their versions published, nothing recorded. From the start of the process. The broker \
             answers as a real one does: {THREADS} requests at once, each takes {} ms. The floor is a plain client that \
             sends {count} × (GET current, POST, GET current) to the same stand-in, {AT_ONCE} at a time, while nothing else \
             goes on.",
            EACH.as_millis()
        ),
    );
    let times_floor = first.ends.as_secs_f64() / floor.as_secs_f64();
    report.judged(
        "start to last row",
        [&ms(first.ends), &ms(floor), &times(first.ends, floor)],
        &Goal::at_most(1.3, "×", times_floor),
    );
    first.rows(floor, report);
    started.stop().await;

    setup.cluster.broker.faults().clear();
    setup.forget().await;
    let floor = bare(&setup, count).await;
    let records = BareRecords::new(&setup, FLOOR, (NAME, count));
    let writing = records.first(VERSION).await;
    records.delete().await;
    let (first, started) = First::start(&setup, count).await;
    report.section(
        &format!("The same {count}, at a broker that answers at once"),
        "What the API server takes is most of what is seen. The second floor also writes into the API server what the operator \
         writes for each record: a new `PactDeployment`, its status, and an Event.",
    );
    report.row("start to last row", &ms(first.ends), &ms(floor), &times(first.ends, floor), "");
    report.row(
        "start to last row, beside the second floor",
        &ms(first.ends),
        &ms(writing),
        &times(first.ends, writing),
        "",
    );
    first.rows(floor, report);

    let mut memory = vec![resident(&setup, &started.operator, count, "after recording all").await];
    started.stop().await;
    let started = known(&setup, count, report).await;
    memory.push(resident(&setup, &started.operator, count, "after a restart").await);
    at_rest(&setup, sizes, report).await;
    started.stop().await;

    report.section(
        "Resident memory",
        "At rest, all recorded. The floor is a process that watches the same Deployments with the same partial type and \
         keeps nothing. The Deployments are small ones, without environment or probes.",
    );
    for (what, ours, floor) in memory {
        report.row(&what, &mib(ours), &mib(floor), &ratio(ours as f64, floor as f64), "");
    }
}

/// What a plain client needs for the same requests.
async fn bare(setup: &Setup, count: usize) -> Duration {
    let broker = &setup.cluster.broker;
    broker.store().remove_environment(FLOOR);
    broker.store().add_environment(FLOOR, false);
    read_record_read(broker, FLOOR, (NAME, count), VERSION).await
}

/// A first start: nothing is recorded yet.
struct First {
    /// From the start of the process to the first row.
    begins: Duration,
    /// From the start of the process to the last row.
    ends: Duration,
    asked: String,
    writes: String,
}

impl First {
    async fn start(setup: &Setup, count: usize) -> (Self, Started) {
        let broker = &setup.cluster.broker;
        broker.clear_requests();
        let before = setup.api_requests().len();
        let started = setup.start_timed().await;
        setup.wait_rows(VERSION, count).await;
        let moments: Vec<Instant> = rows(broker, &setup.environment, VERSION).into_iter().map(|(_, at)| at).collect();
        setup.wait_settled(count).await;
        let first = Self {
            begins: *moments.iter().min().unwrap() - started.at,
            ends: *moments.iter().max().unwrap() - started.at,
            asked: requests::by_purpose(&broker.requests()),
            writes: requests::writes(&setup.api_requests()[before..]),
        };
        (first, started)
    }

    fn rows(&self, floor: Duration, report: &mut Report) {
        let between = self.ends.saturating_sub(self.begins);
        report.row("first row to last row", &ms(between), &ms(floor), &times(between, floor), "");
        report.fact("broker requests", &self.asked);
        report.fact("API writes", &self.writes);
    }
}

/// A start with everything recorded.
async fn known(setup: &Setup, count: usize, report: &mut Report) -> Started {
    let broker = &setup.cluster.broker;
    let list = list(setup).await;
    broker.clear_requests();
    broker.clear_writes();
    let before = setup.api_requests().len();
    let started = setup.start_timed().await;
    // Longer than any delay before a write.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let since = setup.api_requests().split_off(before);
    report.section(
        &format!("Start with {count} annotated Deployments that are all recorded"),
        "After a stop by SIGTERM. From the start of the process; the requests of its first ten seconds. The floor is a plain \
         LIST of the same Deployments (median of 5).",
    );
    report.judged(
        "start to ready (`/readyz` says 200); the goal is what is more than the LIST",
        [&ms(started.ready), &ms(list), &times(started.ready, list)],
        &Goal::at_most(1_000.0, "ms", (started.ready.as_secs_f64() - list.as_secs_f64()) * 1e3),
    );
    none("broker writes", broker.writes().len(), "writes", report);
    none("API writes (Lease apart)", since.iter().filter(|one| requests::is_write(one)).count(), "writes", report);
    report.fact("broker requests", &requests::by_purpose(&broker.requests()));
    report.fact("all API requests", &requests::all(&since));
    started
}

async fn at_rest(setup: &Setup, sizes: &Sizes, report: &mut Report) {
    let broker = &setup.cluster.broker;
    broker.clear_requests();
    let before = setup.api_requests().len();
    tokio::time::sleep(sizes.rest).await;
    let since = setup.api_requests().split_off(before);
    let asked = broker.requests();
    let for_keys = asked.iter().filter(|request| requests::is_for_a_key(request)).count();
    report.section(
        &format!("At rest for {} s with {} recorded Deployments", sizes.rest.as_secs(), sizes.known),
        "With the default settings: a probe every 30 s, the whole environment read every 10 min, the Lease of 15 s renewed \
         every 5 s.",
    );
    none("broker requests (probes and the read of the environment apart)", for_keys, "requests", report);
    report.fact("all broker requests", &requests::by_purpose(&asked));
    none("API writes (Lease apart)", since.iter().filter(|one| requests::is_write(one)).count(), "writes", report);
    report.fact("all API requests", &requests::all(&since));
}

/// There are to be none.
fn none(what: &str, count: usize, unit: &'static str, report: &mut Report) {
    report.judged(what, [&count.to_string(), "", ""], &Goal::none(unit, count));
}

async fn resident(setup: &Setup, operator: &Operator, count: usize, when: &str) -> (String, u64, u64) {
    rest().await;
    let ours = operator.rss_bytes();
    let floor = without_keeping(&setup.cluster.control_plane).await.rest;
    (format!("{count} Deployments, {when}"), ours, floor)
}

/// The median time of a plain LIST.
pub async fn list(setup: &Setup) -> Duration {
    let api: Api<DeploymentView> = Api::all(setup.cluster.client());
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        drop(api.list(&ListParams::default()).await.unwrap());
        seconds.push(began.elapsed().as_secs_f64());
    }
    Duration::from_secs_f64(Spread::of(seconds).median())
}

//! Starting with many Deployments, known and unknown to the broker; memory and traffic at rest.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use pact_operator::workload::DeploymentView;

use crate::bare_requests::read_record_read;
use crate::bare_watch::resident_without_keeping;
use crate::report::{Report, Spread, mib, ms, times};
use crate::requests;
use crate::sizes::Sizes;
use crate::stage::{Stage, Started, rest, rows};
use testbed::components::Component;
use testbed::operator::Operator;

const NAME: &str = "app";
const VERSION: &str = "1.0.0";
const FLOOR: &str = "floor";

pub async fn measure(sizes: &Sizes, report: &mut Report) {
    let stage = Stage::new().await;
    stage.publish(NAME, sizes.largest, &[VERSION]);
    stage.create(NAME, 0..sizes.known, VERSION, 0).await;
    stage.wait_observed(sizes.known).await;

    let mut memory = Vec::new();
    let started = unknown(&stage, sizes.known, report).await;
    memory.push(resident(&stage, &started.operator, sizes.known, "after recording all").await);
    stop(started.operator).await;

    let started = known(&stage, sizes.known, report).await;
    memory.push(resident(&stage, &started.operator, sizes.known, "after a restart").await);
    at_rest(&stage, sizes, report).await;
    stop(started.operator).await;

    grow(&stage, sizes).await;
    let started = stage.start_timed().await;
    stage.wait_settled(sizes.largest).await;
    memory.push(resident(&stage, &started.operator, sizes.largest, "after remembering all").await);
    stop(started.operator).await;
    let started = known(&stage, sizes.largest, report).await;
    memory.push(resident(&stage, &started.operator, sizes.largest, "after a restart").await);

    report.section(
        "Resident memory",
        "At rest, all recorded. The floor is a process that watches the same Deployments with the same partial type and \
         keeps nothing. The Deployments are small ones, without environment or probes.",
    );
    for (what, ours, floor) in memory {
        report.row(&what, &mib(ours), &mib(floor), &format!("{:.2} ×", ours as f64 / floor as f64), "");
    }
}

/// A first start: nothing is recorded yet.
async fn unknown(stage: &Stage, count: usize, report: &mut Report) -> Started {
    let broker = &stage.cluster.broker;
    broker.clear_requests();
    let started = stage.start_timed().await;
    stage.wait_rows(VERSION, count).await;
    let moments: Vec<Instant> = rows(broker, &stage.environment, VERSION).into_iter().map(|(_, at)| at).collect();
    let (first, last) = (*moments.iter().min().unwrap(), *moments.iter().max().unwrap());
    stage.wait_settled(count).await;
    let asked = broker.requests();
    let writes = requests::writes(&stage.api_requests());

    broker.store().add_environment(FLOOR, false);
    let bare = read_record_read(broker, FLOOR, (NAME, count), VERSION).await;
    report.section(
        &format!("Start with {count} annotated Deployments that the broker does not know"),
        &format!(
            "Of zero replicas each, their versions published, nothing recorded. From the start of the process. The floor is \
             a plain client that sends {count} × (GET current, POST, GET current) to the same stand-in, 4 at a time, while \
             nothing else goes on."
        ),
    );
    let (first, last) = (first - started.at, last - started.at);
    report.row("start to last row", &ms(last), &ms(bare), &times(last, bare), "the broker's own rate");
    report.row(
        "first row to last row",
        &ms(last.saturating_sub(first)),
        &ms(bare),
        &times(last.saturating_sub(first), bare),
        "",
    );
    report.fact("broker requests", &requests::by_purpose(&asked), "");
    report.fact("API writes", &writes, "");
    started
}

/// A start at which all is as it should be.
async fn known(stage: &Stage, count: usize, report: &mut Report) -> Started {
    let broker = &stage.cluster.broker;
    let list = list(stage).await;
    broker.clear_requests();
    broker.clear_writes();
    let before = stage.api_requests().len();
    let started = stage.start_timed().await;
    // Longer than anything that gathers before it is written.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let since = stage.api_requests().split_off(before);
    report.section(
        &format!("Start with {count} annotated Deployments that are all recorded"),
        "After a stop by SIGTERM. From the start of the process; the requests of its first ten seconds. The floor is a plain \
         LIST of the same Deployments (median of 5).",
    );
    let goal = format!("≤ LIST + 2 s = {}", ms(list + Duration::from_secs(2)));
    report.row(
        "start to ready (`/readyz` says 200)",
        &ms(started.ready),
        &ms(list),
        &times(started.ready, list),
        &goal,
    );
    report.fact("broker writes", &broker.writes().len().to_string(), "0");
    report.fact("API writes (Lease apart)", &requests::writes(&since), "none");
    report.fact("broker requests", &requests::by_purpose(&broker.requests()), "");
    report.fact("all API requests", &requests::all(&since), "");
    started
}

async fn at_rest(stage: &Stage, sizes: &Sizes, report: &mut Report) {
    let broker = &stage.cluster.broker;
    broker.clear_requests();
    let before = stage.api_requests().len();
    tokio::time::sleep(sizes.rest).await;
    let since = stage.api_requests().split_off(before);
    let asked = broker.requests();
    let for_keys = asked.iter().filter(|request| requests::is_for_a_key(request)).count();
    report.section(
        &format!("At rest for {} s with {} recorded Deployments", sizes.rest.as_secs(), sizes.known),
        "With the default settings: a probe every 30 s, the whole environment read every 10 min, the Lease of 15 s renewed \
         every 5 s.",
    );
    report.fact("broker requests (probes and the read of the environment apart)", &for_keys.to_string(), "0");
    report.fact("all broker requests", &requests::by_purpose(&asked), "");
    report.fact("API writes (Lease apart)", &requests::writes(&since), "none");
    report.fact("all API requests", &requests::all(&since), "");
}

/// Adds Deployments that the broker knows as deployed, without a controller: the bench writes what one would.
async fn grow(stage: &Stage, sizes: &Sizes) {
    stage.cluster.control_plane.stop(Component::ControllerManager);
    let more = sizes.known..sizes.largest;
    for number in more.clone() {
        stage.cluster.broker.store().record_deployment(&format!("{NAME}-{number}"), VERSION, &stage.environment, None);
    }
    stage.create(NAME, more.clone(), VERSION, 0).await;
    stage.set_observed(NAME, more, 1).await;
}

async fn resident(stage: &Stage, operator: &Operator, count: usize, when: &str) -> (String, u64, u64) {
    rest().await;
    let ours = operator.rss_bytes();
    let floor = resident_without_keeping(&stage.cluster.control_plane).await;
    (format!("{count} Deployments, {when}"), ours, floor)
}

async fn stop(mut operator: Operator) {
    assert_eq!(operator.terminate().await, 0, "{}", operator.logs());
}

/// The median time of a plain LIST.
async fn list(stage: &Stage) -> Duration {
    let api: Api<DeploymentView> = Api::all(stage.cluster.client());
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        drop(api.list(&ListParams::default()).await.unwrap());
        seconds.push(began.elapsed().as_secs_f64());
    }
    Duration::from_secs_f64(Spread::of(seconds).median())
}

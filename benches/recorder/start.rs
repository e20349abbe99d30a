//! Starting with many Deployments, known and unknown to the broker; memory and traffic at rest.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use pact_operator::workload::DeploymentView;

use crate::bare_requests::read_record_read;
use crate::bare_watch::resident_without_keeping;
use crate::report::{Report, Spread, mib, ms, times};
use crate::requests;
use crate::setup::{Setup, Started, rest, rows};
use crate::sizes::Sizes;
use testbed::components::Component;
use testbed::operator::Operator;

const NAME: &str = "app";
const VERSION: &str = "1.0.0";
const FLOOR: &str = "floor";

pub async fn measure(sizes: &Sizes, report: &mut Report) {
    let setup = Setup::new().await;
    setup.publish(NAME, sizes.largest, &[VERSION]);
    setup.create(NAME, 0..sizes.known, VERSION, 0).await;
    setup.wait_observed(sizes.known).await;

    let mut memory = Vec::new();
    let started = unknown(&setup, sizes.known, report).await;
    memory.push(resident(&setup, &started.operator, sizes.known, "after recording all").await);
    stop(started.operator).await;

    let started = known(&setup, sizes.known, report).await;
    memory.push(resident(&setup, &started.operator, sizes.known, "after a restart").await);
    at_rest(&setup, sizes, report).await;
    stop(started.operator).await;

    grow(&setup, sizes).await;
    let started = setup.start_timed().await;
    setup.wait_settled(sizes.largest).await;
    memory.push(resident(&setup, &started.operator, sizes.largest, "after remembering all").await);
    stop(started.operator).await;
    let started = known(&setup, sizes.largest, report).await;
    memory.push(resident(&setup, &started.operator, sizes.largest, "after a restart").await);

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
async fn unknown(setup: &Setup, count: usize, report: &mut Report) -> Started {
    let broker = &setup.cluster.broker;
    broker.clear_requests();
    let started = setup.start_timed().await;
    setup.wait_rows(VERSION, count).await;
    let moments: Vec<Instant> = rows(broker, &setup.environment, VERSION).into_iter().map(|(_, at)| at).collect();
    let (first, last) = (*moments.iter().min().unwrap(), *moments.iter().max().unwrap());
    setup.wait_settled(count).await;
    let asked = broker.requests();
    let writes = requests::writes(&setup.api_requests());

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
    report.fact("broker requests (probes and the read of the environment apart)", &for_keys.to_string(), "0");
    report.fact("all broker requests", &requests::by_purpose(&asked), "");
    report.fact("API writes (Lease apart)", &requests::writes(&since), "none");
    report.fact("all API requests", &requests::all(&since), "");
}

/// Adds Deployments that the broker knows as deployed, without a controller: the bench writes their statuses.
async fn grow(setup: &Setup, sizes: &Sizes) {
    setup.cluster.control_plane.stop(Component::ControllerManager);
    let more = sizes.known..sizes.largest;
    for number in more.clone() {
        setup.cluster.broker.store().record_deployment(&format!("{NAME}-{number}"), VERSION, &setup.environment, None);
    }
    setup.create(NAME, more.clone(), VERSION, 0).await;
    setup.set_observed(NAME, more, 1).await;
}

async fn resident(setup: &Setup, operator: &Operator, count: usize, when: &str) -> (String, u64, u64) {
    rest().await;
    let ours = operator.rss_bytes();
    let floor = resident_without_keeping(&setup.cluster.control_plane).await;
    (format!("{count} Deployments, {when}"), ours, floor)
}

async fn stop(mut operator: Operator) {
    assert_eq!(operator.terminate().await, 0, "{}", operator.logs());
}

/// The median time of a plain LIST.
async fn list(setup: &Setup) -> Duration {
    let api: Api<DeploymentView> = Api::all(setup.cluster.client());
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        drop(api.list(&ListParams::default()).await.unwrap());
        seconds.push(began.elapsed().as_secs_f64());
    }
    Duration::from_secs_f64(Spread::of(seconds).median())
}

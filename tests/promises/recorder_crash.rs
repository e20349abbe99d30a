//! The controller is killed at any moment between a rollout and its record, and the broker still has the right row.

use crate::objects::Objects as _;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;

use serde_json::json;
use testbed::eventually::eventually;
use testbed::operator::{Operator, SERVICE_ACCOUNT};
use testbed::rollout::Live;
use testbed::standin::{Fault, LoggedRequest, WriteKind};
use testbed::test_cluster::{OPERATOR_NAMESPACE, SOON, TestCluster, annotated, quick};

const ROUNDS: usize = 50;

/// How many of the rounds use a Lease, the last ones: after a kill the Lease has to run out first.
const WITH_LEASE: usize = 7;

/// Long enough to notice that a request is under way, and to kill the controller that waits for its answer.
const UNDER_WAY: Duration = Duration::from_secs(20);

/// Matches the path of a read of one row.
const ROW: &str = r"/currently-deployed\?pacticipant=";

/// When the controller is killed.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// While the rollout is under way; it finishes while no controller runs.
    BeforeCompletion,
    /// Some milliseconds after the rollout has finished.
    AfterCompletion,
    /// While it reads what the broker has.
    Reading,
    /// While its write is on the way: the broker never carries it out.
    Writing,
    /// After the broker has carried it out, before the answer.
    Written,
    /// While it reads back what it wrote.
    ReadingBack,
    /// Some milliseconds after the broker has carried it out: around the write of the record's status.
    UpdatingRecord,
}

const POINTS: [Point; 7] = [
    Point::BeforeCompletion,
    Point::AfterCompletion,
    Point::Reading,
    Point::Writing,
    Point::Written,
    Point::ReadingBack,
    Point::UpdatingRecord,
];

/// What starts need, made once.
struct Starts {
    kubeconfig: PathBuf,
    alone: Deployment,
    with_lease: Deployment,
}

impl Starts {
    async fn of(cluster: &TestCluster) -> Self {
        let control_plane = &cluster.control_plane;
        Self {
            kubeconfig: control_plane.user_kubeconfig(OPERATOR_NAMESPACE, SERVICE_ACCOUNT).await,
            alone: quick().arg("--no-leader-election").deployment(control_plane).await,
            with_lease: quick().value("controller.leaseSeconds", 3).deployment(control_plane).await,
        }
    }

    fn start(&self, cluster: &mut TestCluster, with_lease: bool) {
        let deployment = if with_lease { &self.with_lease } else { &self.alone };
        cluster.operators.clear();
        cluster.operators.push(Operator::start_as(&cluster.control_plane, deployment, &self.kubeconfig));
    }
}

fn is_read_of_a_row(request: &LoggedRequest) -> bool {
    request.method == "GET" && request.path_and_query.contains("currently-deployed?pacticipant=")
}

fn is_write(request: &LoggedRequest) -> bool {
    request.method == "POST"
}

/// Waits for a request of this kind that has no answer yet.
async fn wait_under_way(cluster: &TestCluster, what: &str, is: impl Fn(&LoggedRequest) -> bool) {
    eventually(format!("{what} to be under way"), SOON, async || {
        let found = cluster.broker.count_requests(|request| is(request) && request.status.is_none());
        if found > 0 { Ok(()) } else { Err("no such request".to_owned()) }
    })
    .await;
}

async fn wait_written(cluster: &TestCluster, version: &str) {
    eventually(format!("{version} to be written"), SOON, async || {
        let written = cluster.broker.writes().iter().any(|write| write.version == version);
        if written { Ok(()) } else { Err(format!("{:?}", cluster.broker.writes().last())) }
    })
    .await;
}

/// Rolls a version out and kills the controller at the point.
async fn roll_out_and_kill(
    cluster: &mut TestCluster,
    namespace: &str,
    version: &str,
    point: Point,
    jitter: Duration,
) -> Live {
    let (client, faults) = (cluster.client(), cluster.broker.faults());
    match point {
        Point::Reading => faults.add(Fault::delay(UNDER_WAY).method("GET").path(ROW)),
        Point::Writing => faults.add(Fault::delay(UNDER_WAY).method("POST")),
        Point::Written => faults.add(Fault::delay(UNDER_WAY).method("POST").after_acting()),
        Point::ReadingBack => faults.add(Fault::delay(Duration::from_millis(300)).method("POST").after_acting()),
        _ => {}
    }
    cluster.broker.clear_requests();
    let rollout = annotated("orders", "orders", version);
    let rollout = if matches!(point, Point::BeforeCompletion) { rollout.held() } else { rollout };
    let live = rollout.apply(&client, namespace).await;
    match point {
        Point::BeforeCompletion => drop(live.wait_updated().await),
        Point::AfterCompletion => {
            live.wait_complete().await;
            tokio::time::sleep(jitter).await;
        }
        Point::Reading => wait_under_way(cluster, "a read before the write", is_read_of_a_row).await,
        Point::Writing => wait_under_way(cluster, "a write", is_write).await,
        Point::Written => {
            wait_written(cluster, version).await;
            wait_under_way(cluster, "a write that was carried out", is_write).await;
        }
        Point::ReadingBack => {
            // The read before the write has passed; the one after it, once the late answer is there, must not.
            wait_written(cluster, version).await;
            cluster.broker.faults().add(Fault::delay(UNDER_WAY).method("GET").path(ROW));
            wait_under_way(cluster, "a read after the write", is_read_of_a_row).await;
        }
        Point::UpdatingRecord => {
            wait_written(cluster, version).await;
            tokio::time::sleep(jitter).await;
        }
    }
    cluster.operators[0].kill9();
    cluster.broker.faults().clear();
    if matches!(point, Point::BeforeCompletion) {
        live.release().await;
    }
    live
}

#[tokio::test]
async fn case_28_a_controller_killed_50_times_between_completion_and_record_leaves_one_right_row_each_time() {
    let mut cluster = TestCluster::without_operator().await;
    let starts = Starts::of(&cluster).await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    cluster.broker.store().publish_version("orders", "0.0.0");
    starts.start(&mut cluster, false);
    annotated("orders", "orders", "0.0.0").apply(&cluster.client(), &namespace).await;
    cluster.wait_recorded(&environment, "orders", "0.0.0").await;

    let mut expected = vec!["Deployed 0.0.0".to_owned()];
    for round in 1..=ROUNDS {
        let point = POINTS[round % POINTS.len()];
        let version = format!("{round}.0.0");
        cluster.broker.store().publish_version("orders", &version);
        // A different moment in every round, so that the loop hits many.
        let jitter = Duration::from_millis((round as u64 * 13) % 60);
        let live = roll_out_and_kill(&mut cluster, &namespace, &version, point, jitter).await;
        starts.start(&mut cluster, round > ROUNDS - WITH_LEASE);
        live.wait_complete().await;

        cluster.wait_recorded(&environment, "orders", &version).await;
        eventually(format!("round {round}, {point:?}: {version} to be in the record"), SOON, async || {
            let record = cluster.record(&environment, "orders").await.ok_or("no PactDeployment")?;
            let status = record.status.unwrap_or_default();
            let recorded = status.recorded.map(|recorded| recorded.version);
            let ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
            if recorded.as_ref() == Some(&version) && ready { Ok(()) } else { Err(format!("{recorded:?}, {ready}")) }
        })
        .await;
        expected.push(format!("Deployed {version}"));
        assert_eq!(cluster.writes(&environment, "orders"), expected, "round {round}, killed {point:?}");
        let current = cluster.broker.store().current(&environment, "orders");
        assert_eq!(current.len(), 1, "round {round}, killed {point:?}: {current:?}");
    }
    let undeployed = cluster.broker.writes().into_iter().filter(|write| write.kind == WriteKind::Undeployed).count();
    assert_eq!(undeployed, 0);
    assert!(!cluster.logs().contains("panicked"), "{}", cluster.logs());
}

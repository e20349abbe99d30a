//! The controller is killed at any moment between a rollout and its record, and the broker is right all the same.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;

use crate::testbed::eventually::eventually;
use crate::testbed::operator::{Operator, SERVICE_ACCOUNT};
use crate::testbed::rollout::Live;
use crate::testbed::scene::{OPERATOR_NAMESPACE, SOON, Scene, annotated, quick};
use crate::testbed::standin::{Fault, LoggedRequest, WriteKind};
use serde_json::json;

const ROUNDS: usize = 50;

/// How many of the rounds are played with a Lease, the last ones: after a kill it has to run out first.
const WITH_LEASE: usize = 7;

/// Long enough for us to notice that a request is under way, and to kill who waits for its answer.
const UNDER_WAY: Duration = Duration::from_secs(20);

/// Found in the path of a read of one row.
const ROW: &str = r"/currently-deployed\?pacticipant=";

/// When the controller is killed.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// While the rollout is under way; it finishes with nobody looking.
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
    /// Some milliseconds after the broker has carried it out: around the write of its own memory.
    Remembering,
}

const POINTS: [Point; 7] = [
    Point::BeforeCompletion,
    Point::AfterCompletion,
    Point::Reading,
    Point::Writing,
    Point::Written,
    Point::ReadingBack,
    Point::Remembering,
];

/// What a start needs, made once.
struct Ways {
    kubeconfig: PathBuf,
    alone: Deployment,
    with_lease: Deployment,
}

impl Ways {
    async fn of(scene: &Scene) -> Self {
        let control_plane = &scene.control_plane;
        Self {
            kubeconfig: control_plane.user_kubeconfig(OPERATOR_NAMESPACE, SERVICE_ACCOUNT).await,
            alone: quick().arg("--no-leader-election").deployment(control_plane).await,
            with_lease: quick().value("controller.leaseSeconds", 3).deployment(control_plane).await,
        }
    }

    fn start(&self, scene: &mut Scene, with_lease: bool) {
        let deployment = if with_lease { &self.with_lease } else { &self.alone };
        scene.operators.clear();
        scene.operators.push(Operator::start_as(&scene.control_plane, deployment, &self.kubeconfig));
    }
}

fn is_read_of_a_row(request: &LoggedRequest) -> bool {
    request.method == "GET" && request.path_and_query.contains("currently-deployed?pacticipant=")
}

fn is_write(request: &LoggedRequest) -> bool {
    request.method == "POST"
}

/// Waits for a request of this kind that has no answer yet.
async fn wait_under_way(scene: &Scene, what: &str, is: impl Fn(&LoggedRequest) -> bool) {
    eventually(format!("{what} to be under way"), SOON, async || {
        let found = scene.broker.count_requests(|request| is(request) && request.status.is_none());
        if found > 0 { Ok(()) } else { Err("no such request".to_owned()) }
    })
    .await;
}

async fn wait_written(scene: &Scene, version: &str) {
    eventually(format!("{version} to be written"), SOON, async || {
        let written = scene.broker.writes().iter().any(|write| write.version == version);
        if written { Ok(()) } else { Err(format!("{:?}", scene.broker.writes().last())) }
    })
    .await;
}

/// Rolls a version out and kills the controller at the point.
async fn roll_out_and_kill(scene: &mut Scene, namespace: &str, version: &str, point: Point, jitter: Duration) -> Live {
    let (client, faults) = (scene.client(), scene.broker.faults());
    match point {
        Point::Reading => faults.add(Fault::delay(UNDER_WAY).method("GET").path(ROW)),
        Point::Writing => faults.add(Fault::delay(UNDER_WAY).method("POST")),
        Point::Written => faults.add(Fault::delay(UNDER_WAY).method("POST").after_acting()),
        Point::ReadingBack => faults.add(Fault::delay(Duration::from_millis(300)).method("POST").after_acting()),
        _ => {}
    }
    scene.broker.clear_requests();
    let rollout = annotated("orders", "orders", version);
    let rollout = if matches!(point, Point::BeforeCompletion) { rollout.held() } else { rollout };
    let live = rollout.apply(&client, namespace).await;
    match point {
        Point::BeforeCompletion => drop(live.wait_updated().await),
        Point::AfterCompletion => {
            live.wait_complete().await;
            tokio::time::sleep(jitter).await;
        }
        Point::Reading => wait_under_way(scene, "a read before the write", is_read_of_a_row).await,
        Point::Writing => wait_under_way(scene, "a write", is_write).await,
        Point::Written => {
            wait_written(scene, version).await;
            wait_under_way(scene, "a write that was carried out", is_write).await;
        }
        Point::ReadingBack => {
            // The read before the write has passed; the one after it, once the late answer is there, must not.
            wait_written(scene, version).await;
            scene.broker.faults().add(Fault::delay(UNDER_WAY).method("GET").path(ROW));
            wait_under_way(scene, "a read after the write", is_read_of_a_row).await;
        }
        Point::Remembering => {
            wait_written(scene, version).await;
            tokio::time::sleep(jitter).await;
        }
    }
    scene.operators[0].kill9();
    scene.broker.faults().clear();
    if matches!(point, Point::BeforeCompletion) {
        live.release().await;
    }
    live
}

#[tokio::test]
async fn case_28_a_controller_killed_50_times_between_completion_and_record_leaves_one_right_row_each_time() {
    let mut scene = Scene::without_operator().await;
    let ways = Ways::of(&scene).await;
    let namespace = scene.namespace().await;
    let environment = scene.environment(&[&namespace], json!({})).await;
    scene.broker.store().publish_version("orders", "0.0.0");
    ways.start(&mut scene, false);
    annotated("orders", "orders", "0.0.0").apply(&scene.client(), &namespace).await;
    scene.wait_recorded(&environment, "orders", "0.0.0").await;

    let mut expected = vec!["Deployed 0.0.0".to_owned()];
    for round in 1..=ROUNDS {
        let point = POINTS[round % POINTS.len()];
        let version = format!("{round}.0.0");
        scene.broker.store().publish_version("orders", &version);
        // A different moment in every round: the point of the loop is to hit many.
        let jitter = Duration::from_millis((round as u64 * 13) % 60);
        let live = roll_out_and_kill(&mut scene, &namespace, &version, point, jitter).await;
        ways.start(&mut scene, round > ROUNDS - WITH_LEASE);
        live.wait_complete().await;

        scene.wait_recorded(&environment, "orders", &version).await;
        eventually(format!("round {round}, {point:?}: {version} to be remembered"), SOON, async || {
            let memory = scene.memory(&environment, "orders").await.ok_or("no PactDeployment")?;
            let status = memory.status.unwrap_or_default();
            let recorded = status.recorded.map(|recorded| recorded.version);
            let ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
            if recorded.as_ref() == Some(&version) && ready { Ok(()) } else { Err(format!("{recorded:?}, {ready}")) }
        })
        .await;
        expected.push(format!("Deployed {version}"));
        assert_eq!(scene.writes(&environment, "orders"), expected, "round {round}, killed {point:?}");
        let current = scene.broker.store().current(&environment, "orders");
        assert_eq!(current.len(), 1, "round {round}, killed {point:?}: {current:?}");
    }
    let undeployed = scene.broker.writes().into_iter().filter(|write| write.kind == WriteKind::Undeployed).count();
    assert_eq!(undeployed, 0);
    assert!(!scene.logs().contains("panicked"), "{}", scene.logs());
}

//! `pact-operator retire`: what is taken back at the broker, and what is not.

use std::path::Path;

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use pact_operator::api::PactEnvironment;
use serde_json::json;

use super::{
    gate_setup::GateSetup,
    people_verbs::{said, shows},
    recorder_removal::deployed,
};
use testbed::{
    eventually::eventually,
    process::free_port,
    standin::{Auth, Fault, StandIn},
    test_cluster::{SOON, TestCluster},
};

/// An environment with two records: `NAME-gone`, whose workload is deleted, and `NAME-runs`.
async fn two_records(cluster: &TestCluster, name: &str) -> (String, String) {
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let gone = deployed(cluster, &namespace, &environment, &format!("{name}-gone")).await;
    deployed(cluster, &namespace, &environment, &format!("{name}-runs")).await;
    gone.delete().await;
    // Its pods have gone, too.
    cluster.wait_condition_of_orphan(&environment, &format!("{name}-gone")).await;
    (namespace, environment)
}

trait Orphans {
    async fn wait_condition_of_orphan(&self, environment: &str, pacticipant: &str);
}

impl Orphans for TestCluster {
    async fn wait_condition_of_orphan(&self, environment: &str, pacticipant: &str) {
        let admin = self.control_plane.kubeconfig();
        eventually(format!("{pacticipant} to be an orphan without pods"), SOON, async || {
            let listed =
                said(admin, &["retire", "--environment", environment, "-a", pacticipant, "--dry-run"], "").await;
            if listed.out.contains("undeploy") { Ok(()) } else { Err(listed.out + &listed.err) }
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_gone_is_taken_back_and_what_runs_is_refused() {
    let cluster = TestCluster::shared().await;
    let admin = cluster.control_plane.kubeconfig();
    let (namespace, environment) = two_records(&cluster, "retired").await;
    let (gone, runs) = ("retired-gone", "retired-runs");
    let retire = async |more: &[&str]| said(admin, &[&["retire", "--namespace", &namespace], more].concat(), "").await;

    shows(&retire(&["--dry-run"]).await, 1, &["a dry run: nothing was done", "REFUSED", "undeploy"]);
    let unasked = retire(&[]).await;
    shows(&unasked, 64, &[]);
    assert!(unasked.err.contains("give --yes") && unasked.err.lines().count() == 1, "{}", unasked.err);
    for name in [gone, runs] {
        assert_eq!(cluster.recorded(&environment, name).as_deref(), Some("1.0.0"), "nothing was done yet");
    }

    let uuid = cluster.broker.store().current(&environment, gone)[0].uuid.clone();
    let path = format!("^/deployed-versions/{uuid}");
    cluster.broker.faults().add(Fault::status(503).method("PATCH").path(&path).times(1));
    shows(&retire(&["--yes", "-a", gone]).await, 1, &["FAILED", "look whether the broker answers"]);
    assert_eq!(cluster.recorded(&environment, gone).as_deref(), Some("1.0.0"));

    // What was done counts, and not whether its answer came.
    cluster.broker.faults().add(Fault::status(503).method("PATCH").path(&path).times(1).after_acting());
    let done = retire(&["--yes"]).await;
    let still = format!("{runs} in {environment} still runs (deployment {namespace}/{runs})");
    shows(&done, 1, &[&still, &format!("undeployed {gone} 1.0.0 in {environment}"), "kubectl delete pactdeployment"]);
    assert_eq!(cluster.recorded(&environment, gone), None);
    assert_eq!(cluster.recorded(&environment, runs).as_deref(), Some("1.0.0"));
    assert_eq!(cluster.writes(&environment, gone), ["Deployed 1.0.0", "Undeployed 1.0.0"]);
    shows(&retire(&["--yes", "-a", gone]).await, 0, &["there is nothing to take back"]);

    // What runs is taken back where that is said, and recorded again, as it says.
    let forced = retire(&["--yes", "--even-if-running", "-a", runs]).await;
    shows(&forced, 0, &["careful", "undeployed", "A controller that runs records it again"]);
    eventually("it to be recorded again", SOON, async || {
        let writes = cluster.writes(&environment, runs);
        let wanted = ["Deployed 1.0.0", "Undeployed 1.0.0", "Deployed 1.0.0"];
        if writes == wanted { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
    assert_eq!(cluster.recorded(&environment, gone), None, "nothing records what is gone");
}

#[tokio::test]
async fn what_somebody_else_recorded_is_kept() {
    let cluster = TestCluster::shared().await;
    let admin = cluster.control_plane.kubeconfig();
    let (_, environment) = two_records(&cluster, "foreign").await;
    let store = cluster.broker.store();
    store.publish_version("foreign-gone", "9.0.0");
    store.record_deployment("foreign-gone", "9.0.0", &environment, None);
    let retire = ["retire", "--environment", &environment, "-a", "foreign-gone", "--yes"];
    shows(&said(admin, &retire, "").await, 0, &["kept", "9.0.0 was recorded by somebody else"]);
    assert_eq!(cluster.recorded(&environment, "foreign-gone").as_deref(), Some("9.0.0"));
}

#[tokio::test]
async fn a_cluster_that_is_drained_takes_nothing_from_the_one_that_takes_over() {
    let cluster = TestCluster::shared().await;
    let admin = cluster.control_plane.kubeconfig();
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    deployed(&cluster, &namespace, &environment, "to-be-drained").await;
    let api: Api<PactEnvironment> = Api::all(cluster.client());
    let never = json!({"spec": {"record": {"undeploy": "Never"}}});
    api.patch(&environment, &PatchParams::default(), &Patch::Merge(&never)).await.unwrap();
    let retire = async |more: &[&str]| {
        said(admin, &[&["retire", "--environment", &environment, "--yes"], more].concat(), "").await
    };
    // What nothing runs any more the operator has forgotten by itself: this is what is left.
    for more in [&[][..], &["--even-if-running"]] {
        shows(&retire(more).await, 0, &["kept", "record.undeploy: Never", "there is nothing to take back"]);
    }
    // Nobody says any more whether it may be taken back.
    api.delete(&environment, &DeleteParams::default()).await.unwrap();
    shows(&retire(&[]).await, 1, &["REFUSED", "nothing was done"]);
    let unsaid = ["unknown", "no PactEnvironment that can be followed", "nothing was done"];
    shows(&retire(&["--even-if-running"]).await, 2, &unsaid);
    assert_eq!(cluster.recorded(&environment, "to-be-drained").as_deref(), Some("1.0.0"));
}

#[tokio::test]
async fn a_slip_is_no_success_and_a_broker_that_fails_for_a_moment_is_asked_again() {
    let cluster = TestCluster::shared().await;
    let admin = cluster.control_plane.kubeconfig();
    let (_, environment) = two_records(&cluster, "slipped").await;
    let retire = async |more: &[&str]| said(admin, &[&["retire", "--dry-run"], more].concat(), "").await;
    let slip = retire(&["--environment", "no-such-environment"]).await;
    shows(&slip, 2, &["no-such-environment occurs in no record", &environment]);
    shows(&retire(&["-a", "slipped-gnoe"]).await, 2, &["slipped-gnoe occurs in no record"]);
    // Of this environment alone, for the broker is shared; and more than once, for the operator reads it, too.
    let uuid = cluster.broker.store().environment_uuid(&environment).unwrap();
    let path = format!("/{uuid}/deployed-versions/currently-deployed$");
    cluster.broker.faults().add(Fault::status(503).method("GET").path(&path).times(3));
    let listed = retire(&["--environment", &environment, "-a", "slipped-gone"]).await;
    shows(&listed, 0, &["undeploy"]);
    assert!(listed.err.contains("asked again in"), "{}", listed.err);
}

#[tokio::test]
async fn what_cannot_be_told_is_one_sentence_with_a_remedy_and_nothing_is_done() {
    let setup = GateSetup::shared().await;
    let cluster = &setup.cluster;
    let admin = cluster.control_plane.kubeconfig();
    let (_, environment) = two_records(cluster, "untold").await;
    let which = ["retire", "--environment", &environment, "-a", "untold-gone", "--yes", "--retries", "0"];
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let dead = said(admin, &[which.as_slice(), &["-b", &nobody]].concat(), "").await;
    let address = format!("the broker at {nobody} is asked, and not at the address of a PactBroker");
    shows(&dead, 2, &[&address, "unknown", "look whether the broker answers", "nothing was done"]);
    let closed = StandIn::start().await;
    closed.set_auth(Some(Auth::Bearer("planted-token".into())));
    let url = closed.url();
    let refused = said(admin, &[which.as_slice(), &["-b", &url, "-k", "planted-other"]].concat(), "").await;
    shows(&refused, 2, &["unknown", "give credentials that the broker takes"]);
    assert!(!refused.out.contains("planted") && !refused.err.contains("planted"), "{}{}", refused.out, refused.err);
    assert_eq!(cluster.recorded(&environment, "untold-gone").as_deref(), Some("1.0.0"));

    let unentitled = said(setup.developer.kubeconfig(), &which, "").await;
    assert!(unentitled.code == Some(2) && unentitled.err.contains("cannot list"), "{}", unentitled.err);
    let nowhere = said(Path::new("/no/such/kubeconfig"), &which, "").await;
    assert!(nowhere.code == Some(2) && nowhere.err.contains("KUBECONFIG"), "{}", nowhere.err);
    for said in [&unentitled, &nowhere] {
        assert_eq!((said.err.lines().count(), said.out.as_str()), (1, ""), "{}", said.err);
    }
    let nothing = said(admin, &["retire", "--namespace", "no-such-namespace", "--yes"], "").await;
    shows(&nothing, 0, &["nothing that the operator recorded is meant"]);
    for arguments in [&["retire"][..], &["retire", "--yes"], &["retire", "--cluster", "--namespace", "x"]] {
        let usage = said(admin, arguments, "").await;
        assert_eq!(usage.code, Some(64), "{arguments:?}: {}{}", usage.out, usage.err);
    }
}

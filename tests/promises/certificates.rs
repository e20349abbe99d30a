//! The webhook's certificate against a real API server that calls it: made, trusted and replaced without a failed call.

mod accidents;
mod mounted;
mod rights;
mod rotation;
mod stage;

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;

use stage::{GENEROUS, Replica, SECRET, Stage, with_stage};
use testbed::control_plane::ControlPlane;
use testbed::eventually::{always, eventually};

#[tokio::test]
async fn from_nothing_to_a_certificate_that_the_api_server_trusts() {
    let cp = ControlPlane::shared().await;
    with_stage(cp, async |stage: Stage| {
        let replica = stage.replica(stage.own());
        stage.serve(&[&replica]);
        replica.wait_ready().await;
        stage.call().await.unwrap();
        let left = replica.serving.not_after().unwrap() - stage::now();
        assert!((6 * 86_400..=7 * 86_400 + 1).contains(&left), "a leaf of {left} s");
        // Nothing but the bundle was written, and nothing more is written once all is well.
        let before = stage.configuration().await;
        let hook = &before.webhooks.as_ref().unwrap()[0];
        assert_eq!(hook.timeout_seconds, Some(10));
        assert_eq!(hook.failure_policy.as_deref(), Some("Fail"));
        always("it stays as it is", Duration::from_millis(500), async || {
            let same = stage.configuration().await.metadata.resource_version == before.metadata.resource_version;
            same.then_some(()).ok_or_else(|| "written again".to_owned())
        })
        .await;
        replica.end().await;
    })
    .await;
}

#[tokio::test]
async fn two_replicas_that_start_at_once_agree_on_one_authority() {
    let cp = ControlPlane::shared().await;
    with_stage(cp, async |stage: Stage| {
        let replicas = [stage.replica(stage.own()), stage.replica(stage.own())];
        stage.serve(&[&replicas[0], &replicas[1]]);
        for replica in &replicas {
            replica.wait_ready().await;
        }
        assert_eq!(stage.trusted().await.len(), 1);
        assert_ne!(replicas[0].serving.end_entity(), replicas[1].serving.end_entity(), "each has a leaf of its own");
        for _ in 0..4 {
            stage.call().await.unwrap();
        }
        for replica in replicas {
            replica.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_restarted_replica_goes_on_with_the_authority_that_is_there() {
    let cp = ControlPlane::shared().await;
    with_stage(cp, async |stage: Stage| {
        let first = stage.replica(stage.own());
        stage.serve(&[&first]);
        first.wait_ready().await;
        let before = stage.trusted().await;
        first.end().await;
        let second = stage.replica(stage.own());
        stage.serve(&[&second]);
        second.wait_ready().await;
        assert_eq!(stage.trusted().await, before);
        stage.call().await.unwrap();
        second.end().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_said_until_it_is_there() {
    let cp = ControlPlane::shared().await;
    with_stage(cp, async |stage: Stage| {
        stage.delete_configuration().await;
        let mut settings = stage.own();
        stage::own_source(&mut settings).names = vec!["webhook.ns.svc".to_owned()];
        let replica = stage.replica(settings);
        replica.wait_unready("does not exist, so nobody calls us").await;
        stage.create_configuration().await;
        replica.wait_unready("by the name 127.0.0.1, for which our certificate was not issued. Add that name").await;
        stage.serve(&[&replica]);
        let refused = stage.call().await.unwrap_err();
        assert!(refused.contains("127.0.0.1"), "{refused}");
        replica.end().await;

        let replica = stage.replica(stage.own());
        stage.serve(&[&replica]);
        replica.wait_ready().await;
        // A name is added to the configuration that the certificate does not have, then taken away again.
        stage.set_url(&stage.url().replace("127.0.0.1", "localhost")).await;
        replica.wait_unready("by the name localhost").await;
        stage.set_url(&stage.url()).await;
        replica.wait_ready().await;
        replica.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_year_that_passes_in_an_instant_costs_a_new_authority_and_no_person() {
    let cp = ControlPlane::shared().await;
    with_stage(cp, async |stage: Stage| {
        let replicas = [stage.replica(stage.own()), stage.replica(stage.own())];
        stage.serve(&[&replicas[0], &replicas[1]]);
        for replica in &replicas {
            replica.wait_ready().await;
        }
        let (before, leaf) = (stage.trusted().await, replicas[0].serving.end_entity());
        stage.advance(Duration::from_hours(370 * 24));
        eventually("new certificates", GENEROUS, async || {
            let trusted = stage.trusted().await;
            let ready = replicas.iter().all(Replica::is_ready);
            let new = trusted.len() == 1 && trusted != before && replicas[0].serving.end_entity() != leaf;
            (ready && new).then_some(()).ok_or_else(|| format!("ready: {ready}, trusted: {}", trusted.len()))
        })
        .await;
        let left = replicas[0].serving.not_after().unwrap() - stage::now();
        assert!(left > 370 * 86_400, "{left}");

        // And back: what was made by a clock that was a year ahead is of no use.
        stage.advance_back(Duration::from_hours(370 * 24));
        eventually("certificates of this year", GENEROUS, async || stage.call().await).await;
        for replica in replicas {
            replica.wait_ready().await;
            replica.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_machine_asleep_for_a_week_renews_its_leaf_at_the_next_check() {
    let cp = ControlPlane::shared().await;
    with_stage(cp, async |stage: Stage| {
        let replica = stage.replica(stage.own());
        replica.wait_ready().await;
        let (before, trusted) = (replica.serving.not_after().unwrap(), stage.trusted().await);
        stage.advance(Duration::from_hours(8 * 24));
        eventually("a new leaf", GENEROUS, async || {
            let new = replica.serving.not_after().unwrap() >= before + 8 * 86_400;
            (new && replica.is_ready()).then_some(()).ok_or_else(|| "the old one".to_owned())
        })
        .await;
        assert_eq!(stage.trusted().await, trusted);
        replica.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_secret_makes_a_new_authority_and_the_old_one_stays_trusted() {
    let cp = ControlPlane::shared().await;
    with_stage(cp, async |stage: Stage| {
        let replica = stage.replica(stage.own());
        stage.serve(&[&replica]);
        replica.wait_ready().await;
        let (before, leaf) = (stage.trusted().await, replica.serving.end_entity());
        let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.namespace);
        secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
        eventually("a leaf of a new authority", GENEROUS, async || {
            stage.call().await?;
            (replica.serving.end_entity() != leaf).then_some(()).ok_or_else(|| "the old leaf".to_owned())
        })
        .await;
        let after = stage.trusted().await;
        assert!(after.len() == 2 && before.is_subset(&after), "{}", after.len());
        stage.call().await.unwrap();
        assert!(replica.is_ready());
        replica.end().await;
    })
    .await;
}

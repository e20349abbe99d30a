//! The webhook's certificate against a real API server that calls it: made, trusted and replaced without a failed call.

mod accidents;
mod mounted;
mod rights;
mod rotation;
mod setup;

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;

use setup::{GENEROUS, Replica, SECRET, Setup, with_setup};
use testbed::control_plane::ControlPlane;
use testbed::eventually::{always, eventually};

#[tokio::test]
async fn from_nothing_to_a_certificate_that_the_api_server_trusts() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let replica = setup.replica(setup.own());
        setup.serve(&[&replica]);
        replica.wait_ready().await;
        setup.call().await.unwrap();
        let left = replica.serving.not_after().unwrap() - setup::now();
        assert!((6 * 86_400..=7 * 86_400 + 1).contains(&left), "a leaf of {left} s");
        // Only the bundle was written, and nothing more is written once everything is ready.
        let before = setup.configuration().await;
        let hook = &before.webhooks.as_ref().unwrap()[0];
        assert_eq!(hook.timeout_seconds, Some(10));
        assert_eq!(hook.failure_policy.as_deref(), Some("Fail"));
        always("the configuration stays unchanged", Duration::from_millis(500), async || {
            let same = setup.configuration().await.metadata.resource_version == before.metadata.resource_version;
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
    with_setup(&cp, async |setup: Setup| {
        let replicas = [setup.replica(setup.own()), setup.replica(setup.own())];
        setup.serve(&[&replicas[0], &replicas[1]]);
        for replica in &replicas {
            replica.wait_ready().await;
        }
        assert_eq!(setup.trusted().await.len(), 1);
        assert_ne!(replicas[0].serving.end_entity(), replicas[1].serving.end_entity(), "each has a leaf of its own");
        for _ in 0..4 {
            setup.call().await.unwrap();
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
    with_setup(&cp, async |setup: Setup| {
        let first = setup.replica(setup.own());
        setup.serve(&[&first]);
        first.wait_ready().await;
        let before = setup.trusted().await;
        first.end().await;
        let second = setup.replica(setup.own());
        setup.serve(&[&second]);
        second.wait_ready().await;
        assert_eq!(setup.trusted().await, before);
        setup.call().await.unwrap();
        second.end().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_reported_until_it_is_corrected() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        setup.delete_configuration().await;
        let mut settings = setup.own();
        setup::own_source(&mut settings).names = vec!["webhook.ns.svc".to_owned()];
        let replica = setup.replica(settings);
        replica.wait_unready("does not exist, so nobody calls us").await;
        setup.create_configuration().await;
        replica.wait_unready("by the name 127.0.0.1, for which our certificate was not issued. Add that name").await;
        setup.serve(&[&replica]);
        let refused = setup.call().await.unwrap_err();
        assert!(refused.contains("127.0.0.1"), "{refused}");
        replica.end().await;

        let replica = setup.replica(setup.own());
        setup.serve(&[&replica]);
        replica.wait_ready().await;
        // The configuration gets a name that the certificate lacks, then the old name again.
        setup.set_url(&setup.url().replace("127.0.0.1", "localhost")).await;
        replica.wait_unready("by the name localhost").await;
        setup.set_url(&setup.url()).await;
        replica.wait_ready().await;
        replica.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_jumps_a_year_ahead_makes_a_new_authority_without_intervention() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let replicas = [setup.replica(setup.own()), setup.replica(setup.own())];
        setup.serve(&[&replicas[0], &replicas[1]]);
        for replica in &replicas {
            replica.wait_ready().await;
        }
        let (before, leaf) = (setup.trusted().await, replicas[0].serving.end_entity());
        setup.advance(Duration::from_hours(370 * 24));
        eventually("new certificates", GENEROUS, async || {
            let trusted = setup.trusted().await;
            let ready = replicas.iter().all(Replica::is_ready);
            let new = trusted.len() == 1 && trusted != before && replicas[0].serving.end_entity() != leaf;
            (ready && new).then_some(()).ok_or_else(|| format!("ready: {ready}, trusted: {}", trusted.len()))
        })
        .await;
        let left = replicas[0].serving.not_after().unwrap() - setup::now();
        assert!(left > 370 * 86_400, "{left}");

        // The clock goes back: certificates from a year ahead are of no use.
        setup.advance_back(Duration::from_hours(370 * 24));
        eventually("certificates of this year", GENEROUS, async || setup.call().await).await;
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
    with_setup(&cp, async |setup: Setup| {
        let replica = setup.replica(setup.own());
        replica.wait_ready().await;
        let (before, trusted) = (replica.serving.not_after().unwrap(), setup.trusted().await);
        setup.advance(Duration::from_hours(8 * 24));
        eventually("a new leaf", GENEROUS, async || {
            let new = replica.serving.not_after().unwrap() >= before + 8 * 86_400;
            (new && replica.is_ready()).then_some(()).ok_or_else(|| "the old one".to_owned())
        })
        .await;
        assert_eq!(setup.trusted().await, trusted);
        replica.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_secret_makes_a_new_authority_and_the_old_one_stays_trusted() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let replica = setup.replica(setup.own());
        setup.serve(&[&replica]);
        replica.wait_ready().await;
        let (before, leaf) = (setup.trusted().await, replica.serving.end_entity());
        let secrets: Api<Secret> = Api::namespaced(setup.client.clone(), &setup.namespace);
        secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
        eventually("a leaf of a new authority", GENEROUS, async || {
            setup.call().await?;
            (replica.serving.end_entity() != leaf).then_some(()).ok_or_else(|| "the old leaf".to_owned())
        })
        .await;
        let after = setup.trusted().await;
        assert!(after.len() == 2 && before.is_subset(&after), "{}", after.len());
        setup.call().await.unwrap();
        assert!(replica.is_ready());
        replica.end().await;
    })
    .await;
}

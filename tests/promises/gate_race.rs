//! Two rollouts at once that break each other, through two replicas of the gate: never both without a word.
#![allow(clippy::print_stdout, reason = "people read what was counted")]

use std::time::Duration;

use crate::objects::Objects as _;
use futures::{
    StreamExt,
    future::{join, join_all},
    stream,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, api::PostParams};
use serde_json::json;

use testbed::balancer::Balancer;
use testbed::eventually::eventually;
use testbed::process::free_port;
use testbed::test_cluster::{TestCluster, annotated};
use testbed::webhook::{self, Person, Webhook, WebhookOptions};

/// How many pairs, unless `GATE_PAIRS` says otherwise.
const PAIRS: usize = 40;
/// How many pairs are under way at once.
const AT_ONCE: usize = 20;

/// Creates a Deployment of an application at 2; answers whether it was admitted.
async fn rolled_out(client: &Client, namespace: &str, app: &str) -> bool {
    let api = Api::<Deployment>::namespaced(client.clone(), namespace);
    let object = serde_json::from_value(annotated(app, app, "2").manifest().clone()).unwrap();
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            assert!(status.message.contains("failed to verify"), "{}", status.message);
            false
        }
        Err(error) => panic!("{app}: {error}"),
    }
}

#[tokio::test]
async fn case_94_of_many_pairs_at_once_none_is_admitted_without_a_word() {
    let pairs_asked = std::env::var("GATE_PAIRS").ok().map(|pairs| pairs.parse().unwrap());
    let count = pairs_asked.unwrap_or(PAIRS);
    let cluster = TestCluster::with_many_connections().await;
    let namespace = &cluster.namespace().await;
    let environment = &cluster.environment(&[namespace], json!({"gate": {"mode": "Enforce"}})).await;
    let store = cluster.broker.store();
    for number in 0..count {
        let (web, api) = (format!("web-{number}"), format!("api-{number}"));
        for version in ["1", "2"] {
            store.publish_pact(&web, version, &api, &format!("what {version} expects"));
        }
        for (consumer, provider) in [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")] {
            assert!(store.verify(&web, consumer, &api, provider, (consumer, provider) != ("2", "2")));
        }
        // Each runs at 1 where the operator does not see it, so that the other's 2 is a yes.
        for app in [web, api] {
            store.record_deployment(&app, "1", environment, None);
        }
    }
    cluster.wait_environment(environment, ("MembersListed", "True", "Listed")).await;
    let balancer = Balancer::start(Vec::new()).await;
    let options = WebhookOptions::default();
    webhook::install(&cluster.control_plane, &options, &format!("https://{}/gate", balancer.address())).await;
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let mut replica = Webhook::start_at(&cluster.control_plane, options.clone(), free_port()).await;
        replica.wait_ready().await;
        replicas.push(replica);
    }
    balancer.set_backends(replicas.iter().map(Webhook::backend).collect());
    let client = Person::developer(&cluster.control_plane).await.client();
    eventually("each replica to be asked", Duration::from_secs(30), async || {
        let object = annotated("asked", "nobody-knows", "2").manifest().clone();
        let object: Deployment = serde_json::from_value(object).unwrap();
        let api = Api::<Deployment>::namespaced(client.clone(), namespace);
        let tried = PostParams { dry_run: true, ..PostParams::default() };
        for created in join_all((0..8).map(|_| api.create(&tried, &object))).await {
            created.map_err(|error| error.to_string())?;
        }
        let reviews = [replicas[0].reviews().await, replicas[1].reviews().await];
        if reviews.iter().all(|reviews| *reviews > 0) { Ok(()) } else { Err(format!("{reviews:?}")) }
    })
    .await;

    let began = std::time::Instant::now();
    // The two of a pair at the same moment. All pairs at once would be four hundred TLS handshakes at once, which says
    // more about the machine than about the gate.
    let pairs = (0..count).map(|number| {
        let (client, web, api) = (&client, format!("web-{number}"), format!("api-{number}"));
        async move { join(rolled_out(client, namespace, &web), rolled_out(client, namespace, &api)).await }
    });
    let outcomes: Vec<_> = stream::iter(pairs).buffered(AT_ONCE).collect().await;
    let took = began.elapsed();
    let both: Vec<_> = (0..count).filter(|number| outcomes[*number] == (true, true)).collect();
    let none = outcomes.iter().filter(|outcome| **outcome == (false, false)).count();
    let shares = [replicas[0].reviews().await, replicas[1].reviews().await];
    println!(
        "of {count} pairs in {took:.1?}: {} with one denied, {none} with both denied, {} admitted within the watch's \
         latency; {shares:?} reviews",
        count - both.len() - none,
        both.len()
    );
    for number in both {
        let (web, api) = (format!("web-{number}"), format!("api-{number}"));
        eventually(format!("the controller to report {web} and {api}"), Duration::from_mins(1), async || {
            let mut checks = Vec::new();
            for app in [&web, &api] {
                let status = cluster.record(environment, app).await.and_then(|record| record.status);
                checks.extend(status.unwrap_or_default().checks);
            }
            let told = checks.iter().any(|check| check.would_deny && check.message.contains("failed to verify"));
            if told { Ok(()) } else { Err(format!("{checks:?}")) }
        })
        .await;
    }
}

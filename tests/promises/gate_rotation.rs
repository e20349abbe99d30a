//! The gate's certificates and their authorities rotate in real processes under load, with a policy that fails closed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};

use crate::gate_replicas_setup::ReplicasSetup;
use testbed::eventually::eventually;
use testbed::test_cluster::SOON;
use testbed::webhook::{Webhook, WebhookOptions, sum};

/// Admission reviews a second.
const RATE: u32 = 100;
/// How many new certificates are awaited, of both replicas together.
const CERTIFICATES: usize = 20;
/// How many new authorities are awaited without intervention.
const AUTHORITIES: usize = 3;
/// The test fails after this time.
const LIMIT: Duration = Duration::from_mins(4);
/// The Secret with the authorities.
const SECRET: &str = "pact-operator-webhook-authority";

fn options() -> WebhookOptions {
    let lives = [
        // A third of it is left at the renewal, in case a busy machine is late.
        ("--certificate-seconds", "18"),
        ("--authority-seconds", "45"),
        ("--overlap-seconds", "2"),
        // The API server keeps its connections; so it meets each new certificate within seconds.
        ("--connection-seconds", "3"),
    ];
    // The values in days and hours must be unset where arguments give seconds.
    let usual = ["authorityDays", "certificateHours"].map(|life| format!("certificates.{life}"));
    let options = usual.iter().fold(WebhookOptions::default().log("info"), |options, life| options.value(life, ()));
    lives.iter().fold(options, |options, (name, value)| options.arg(format!("{name}={value}")))
}

/// The end of the certificate that a replica serves, which differs for each certificate.
async fn not_after(replica: &Webhook) -> u64 {
    sum(&replica.metrics().await, "pact_operator_gate_certificate_not_after_timestamp_seconds")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_authorities_rotate_under_load_without_a_failed_call() {
    let setup = ReplicasSetup::start(options()).await;
    let mut replicas = setup.two_replicas().await;
    let (load, started) = (setup.load(RATE), Instant::now());
    let connections = setup.balancer.accepted();
    let secrets: Api<Secret> = Api::namespaced(setup.cluster.client(), "pact-operator");
    let (mut certificates, mut authorities) = ([BTreeSet::new(), BTreeSet::new()], BTreeSet::new());
    let replaced =
        |certificates: &[BTreeSet<u64>; 2]| certificates.iter().map(|of_one| of_one.len() - 1).sum::<usize>();
    let mut look = async || {
        for (replica, certificates) in replicas.iter().zip(&mut certificates) {
            certificates.insert(not_after(replica).await);
        }
        if let Ok(Some(secret)) = secrets.get_opt(SECRET).await {
            authorities.extend(secret.data.and_then(|mut data| data.remove("current.crt")).map(|current| current.0));
        }
        (replaced(&certificates), authorities.len().saturating_sub(1))
    };
    let undisturbed = eventually("certificates and authorities to rotate", LIMIT, async || {
        let (certificates, authorities) = look().await;
        let enough = certificates >= CERTIFICATES && authorities >= AUTHORITIES;
        if enough { Ok((certificates, authorities)) } else { Err(format!("{certificates} and {authorities}")) }
    })
    .await;
    // Then the Secret is deleted by hand: each replica goes on with an authority in its memory, until a person follows the
    // remedy that the log names.
    for _ in 0..2 {
        let (certificates, _) = look().await;
        secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
        eventually("certificates without the Secret", SOON, async || {
            let (now, _) = look().await;
            if now >= certificates + 2 { Ok(()) } else { Err(format!("{now}")) }
        })
        .await;
        let (certificates, authorities) = look().await;
        let empty = Secret {
            metadata: ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() },
            ..Secret::default()
        };
        secrets.create(&PostParams::default(), &empty).await.unwrap();
        eventually("a new authority and certificates of it", SOON, async || {
            let now = look().await;
            let new = now.1 > authorities && now.0 >= certificates + 2;
            if new { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    }
    let all = look().await;
    let elapsed = started.elapsed();
    let tally = load.end().await;
    println!("rotated: {}", tally.shown());
    println!(
        "{} certificates and {} authorities, {undisturbed:?} of them by themselves, in {elapsed:.0?}; {} connections",
        all.0,
        all.1,
        setup.balancer.accepted() - connections
    );
    for replica in &mut replicas {
        assert!(replica.reviews().await > 0, "both were called");
        let remedy = format!("kubectl --namespace pact-operator create secret generic {SECRET}");
        assert!(replica.logs().contains(&remedy), "{}", replica.logs());
        assert_eq!(replica.terminate().await, 0);
    }
    assert_eq!(tally.failures.len(), 0, "failed calls: {}", tally.shown());
    tally.assert_paced(RATE);
}

//! Under a steady load of admission calls that fail closed, 200 rotations fail not one call.
#![allow(clippy::print_stdout, reason = "people read the numbers")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use operator_kit::certificates::{CertificateSettings, ServingCertificate};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::setup::{GENEROUS, Replica, SECRET, Setup, own_source, with_setup};
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;

/// How many rotations are awaited, of authorities and leaves together.
const ROTATIONS: u64 = 200;
/// How long rotations happen by themselves, before the test begins to delete and overwrite the Secret.
const UNDISTURBED: Duration = Duration::from_secs(40);
/// The test ends after this time; on an idle machine it needs about two minutes.
const LIMIT: Duration = Duration::from_mins(10);

#[derive(Clone, Default)]
struct Counts {
    calls: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    leaves: Arc<AtomicU64>,
    authorities: Arc<AtomicU64>,
    /// For how long this process did not run, in milliseconds: to distinguish a busy machine from a fault.
    longest_pause: Arc<AtomicU64>,
}

impl Counts {
    fn rotations(&self) -> u64 {
        self.leaves.load(Ordering::Relaxed) + self.authorities.load(Ordering::Relaxed)
    }
}

fn short_lived(setup: &Setup, leaf: u64, authority: u64) -> CertificateSettings {
    let mut settings = setup.own();
    let own = own_source(&mut settings);
    own.leaf_life = Duration::from_secs(leaf);
    own.authority_life = Duration::from_secs(authority);
    settings.margin = Duration::ZERO;
    settings.overlap = Duration::from_millis(500);
    settings.check_every = Duration::from_millis(100);
    settings
}

/// 100 calls a second until `end`; returns the errors of the failed calls with their counts.
async fn load(setup: Setup, counts: Counts, end: CancellationToken) -> BTreeMap<String, u32> {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (permits, mut calls, mut errors) = (Arc::new(Semaphore::new(64)), JoinSet::new(), BTreeMap::new());
    let mut note = |outcome: Result<Result<(), String>, tokio::task::JoinError>| {
        if let Err(error) = outcome.unwrap() {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            let error = error.replace(|letter: char| letter.is_ascii_digit(), "#");
            *errors.entry(error).or_insert(0) += 1;
        }
    };
    while !end.is_cancelled() {
        tick.tick().await;
        let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
        let (setup, counts) = (setup.clone(), counts.clone());
        calls.spawn(async move {
            let outcome = setup.call().await;
            counts.calls.fetch_add(1, Ordering::Relaxed);
            drop(permit);
            outcome
        });
        while let Some(outcome) = calls.try_join_next() {
            note(outcome);
        }
    }
    while let Some(outcome) = calls.join_next().await {
        note(outcome);
    }
    errors
}

async fn count_leaves(serving: ServingCertificate, counts: Counts) {
    let (mut last, mut before) = (serving.end_entity(), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let pause = u64::try_from(before.elapsed().as_millis()).unwrap();
        counts.longest_pause.fetch_max(pause, Ordering::Relaxed);
        before = Instant::now();
        let leaf = serving.end_entity();
        if leaf != last {
            counts.leaves.fetch_add(1, Ordering::Relaxed);
            last = leaf;
        }
    }
}

async fn count_authorities(setup: Setup, counts: Counts) {
    let secrets: Api<Secret> = Api::namespaced(setup.client.clone(), &setup.namespace);
    let mut last = None;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(Some(secret)) = secrets.get_opt(SECRET).await else { continue };
        let current = secret.data.and_then(|mut data| data.remove("current.crt"));
        // What the test wrote over it is no authority.
        let Some(current) = current.filter(|current| current.0.starts_with(b"-----BEGIN")) else { continue };
        if last.replace(current.clone()).is_some_and(|last| last != current) {
            counts.authorities.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Deletes the Secret, or fills it with nonsense, and waits until both replicas serve with leaves of a new authority.
async fn force(setup: &Setup, replicas: &[Replica; 2], overwrite: bool) {
    let secrets: Api<Secret> = Api::namespaced(setup.client.clone(), &setup.namespace);
    let before = secrets.get(SECRET).await.ok().and_then(|secret| secret.uid());
    let leaves = replicas.each_ref().map(|replica| replica.serving.end_entity());
    if overwrite {
        let nonsense = json!({"data": {"current.crt": ByteString(b"nonsense".to_vec())}});
        drop(secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(nonsense)).await);
    } else {
        drop(secrets.delete(SECRET, &DeleteParams::default()).await);
    }
    eventually("both replicas have new leaves", GENEROUS, async || {
        let new = replicas.iter().zip(&leaves).all(|(replica, leaf)| replica.serving.end_entity() != *leaf);
        new.then_some(()).ok_or_else(|| format!("not yet; the Secret was {before:?}"))
    })
    .await;
}

/// Two replicas, served once both are ready, their leaves counted.
async fn rollout(
    setup: &Setup,
    settings: &CertificateSettings,
    counts: &Counts,
    watchers: &mut JoinSet<()>,
) -> [Replica; 2] {
    let replicas = [setup.replica(settings.clone()), setup.replica(settings.clone())];
    for replica in &replicas {
        replica.wait_ready().await;
        watchers.spawn(count_leaves(replica.serving.clone(), counts.clone()));
    }
    setup.serve(&[&replicas[0], &replicas[1]]);
    replicas
}

/// First lives so short that everything rotates by itself; then replicas whose leaves live longer than it takes a busy
/// machine to put a new authority in place, since a replica with an expired leaf cannot renew anything.
async fn rotate_under_load(setup: &Setup) -> Counts {
    let (counts, end, mut watchers) = (Counts::default(), CancellationToken::new(), JoinSet::new());
    let first = rollout(setup, &short_lived(setup, 12, 30), &counts, &mut watchers).await;
    // The API server learns of the first caBundle a moment after it was written.
    eventually("the first call", GENEROUS, async || setup.call().await).await;

    let served_before = setup.served.load(Ordering::Relaxed);
    let started = Instant::now();
    watchers.spawn(count_authorities(setup.clone(), counts.clone()));
    let load = tokio::spawn(load(setup.clone(), counts.clone(), end.clone()));

    tokio::time::sleep(UNDISTURBED).await;
    let by_itself = (counts.leaves.load(Ordering::Relaxed), counts.authorities.load(Ordering::Relaxed));
    let second = rollout(setup, &short_lived(setup, 60, 180), &counts, &mut watchers).await;
    for replica in first {
        replica.end().await;
    }
    let mut forced = 0;
    while counts.rotations() < ROTATIONS && started.elapsed() < LIMIT {
        force(setup, &second, forced % 3 == 2).await;
        forced += 1;
    }
    end.cancel();
    let errors = load.await.unwrap();
    let elapsed = started.elapsed();
    watchers.abort_all();
    let (calls, failed) = (counts.calls.load(Ordering::Relaxed), counts.failed.load(Ordering::Relaxed));
    let rate = f64::from(u32::try_from(calls).unwrap()) / elapsed.as_secs_f64();
    println!(
        "{calls} calls ({rate:.0} a second), {failed} failed, in {:.0} s; leaves {}, authorities {} ({by_itself:?} of \
         them undisturbed), {forced} forced; longest pause of this process {} ms",
        elapsed.as_secs_f64(),
        counts.leaves.load(Ordering::Relaxed),
        counts.authorities.load(Ordering::Relaxed),
        counts.longest_pause.load(Ordering::Relaxed),
    );
    for (error, times) in &errors {
        println!("{times} × {error}");
    }
    assert!(setup.served.load(Ordering::Relaxed) - served_before + failed >= calls, "each call reached the server");
    for replica in second {
        replica.end().await;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rotations_under_load_fail_no_call() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let counts = rotate_under_load(&setup).await;
        assert_eq!(counts.failed.load(Ordering::Relaxed), 0, "failed calls");
        assert!(
            counts.rotations() >= ROTATIONS,
            "only {} rotations: the machine is too busy for a result",
            counts.rotations()
        );
    })
    .await;
}

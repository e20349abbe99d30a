//! The world of the endurance proofs: some Deployments that roll out again and again, operators that are started at any
//! time, and the truth to compare the broker with. In CI each proof is short; variables of the environment make it long
//! (`make endurance`), and `ENDURANCE_SEED` repeats the random choices.
#![allow(clippy::print_stdout, reason = "the seed is read by people")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use pact_operator::api::PactDeployment;
use pact_operator::api::condition::is_true;
use pact_operator::api::deployment::HISTORY_LIMIT;
use serde_json::Value;

pub(crate) use super::dice::Dice;
use super::endurance_truth::{Key, Truth};
use testbed::eventually::eventually;
use testbed::operator::{Operator, OperatorOptions, SERVICE_ACCOUNT};
use testbed::rollout::Live;
use testbed::test_cluster::{OPERATOR_NAMESPACE, SOON, TestCluster, annotated};

/// The operator's Lease.
const LEASE: &str = "pact-operator-controller";

/// How often something happens: what the variable says, or a few times.
pub(crate) fn times(variable: &str, few: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
        Err(_) => few,
    }
}

/// Chance, with the seed that `ENDURANCE_SEED` gives or the clock; it is printed.
pub(crate) fn dice() -> Dice {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let seed = times("ENDURANCE_SEED", usize::try_from(now % 1_000_000).unwrap());
    println!("ENDURANCE_SEED={seed}");
    Dice(seed as u64)
}

/// A Deployment that is rolled out again and again; its name is that of its pacticipant, too.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) namespace: String,
    pub(crate) key: Key,
}

impl App {
    pub(crate) fn name(&self) -> &str {
        &self.key.1
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) cluster: TestCluster,
    pub(crate) client: Client,
    pub(crate) truth: Truth,
    kubeconfig: PathBuf,
    deployment: Deployment,
    apps: Cell<usize>,
}

impl World {
    /// A world without operator; [`Self::start`] starts one with these options.
    pub(crate) async fn new(options: OperatorOptions) -> Self {
        let cluster = TestCluster::without_operator().await;
        let kubeconfig = cluster.control_plane.user_kubeconfig(OPERATOR_NAMESPACE, SERVICE_ACCOUNT).await;
        let deployment = options.deployment(&cluster.control_plane).await;
        let client = cluster.client();
        Self { cluster, client, truth: Truth::default(), kubeconfig, deployment, apps: Cell::new(0) }
    }

    /// Starts an operator. Does not wait.
    pub(crate) fn start(&self) -> Operator {
        Operator::start_as(&self.cluster.control_plane, &self.deployment, &self.kubeconfig)
    }

    /// So many apps in a namespace and an environment of their own, at version 0.
    pub(crate) async fn team(&self, number: usize, environment: Value) -> Vec<App> {
        let namespace = self.cluster.namespace().await;
        let environment = self.cluster.environment(&[&namespace], environment).await;
        let apps = (0..number).map(|_| {
            let name = format!("app-{}", self.apps.replace(self.apps.get() + 1));
            App { namespace: namespace.clone(), key: (environment.clone(), name) }
        });
        let apps: Vec<_> = apps.collect();
        join_all(apps.iter().map(async |app| self.roll_out(app, "0.0.0").await)).await;
        apps
    }

    /// Rolls a version out, whether or not the API server answers at once, and waits until the rollout is complete.
    pub(crate) async fn roll_out(&self, app: &App, version: &str) {
        self.begin(app, version).await.wait_complete().await;
    }

    /// Begins to roll a version out.
    pub(crate) async fn begin(&self, app: &App, version: &str) -> Live {
        self.cluster.broker.store().publish_version(app.name(), version);
        self.truth.begins(&app.key, Some(version));
        let rollout = annotated(app.name(), app.name(), version);
        eventually(format!("{} {version} to be applied", app.name()), SOON, async || {
            rollout.try_apply(&self.client, &app.namespace).await.map_err(|error| error.to_string())
        })
        .await
    }

    /// Deletes an app's Deployment.
    pub(crate) async fn delete(&self, app: &App) {
        self.truth.begins(&app.key, None);
        Live::new(&self.client, &app.namespace, app.name()).delete().await;
    }

    /// Waits until the broker has what each of these apps was last rolled out to.
    pub(crate) async fn wait_recorded(&self, apps: &[App]) {
        let last = self.truth.last();
        for app in apps {
            let version = last[&app.key].as_deref().unwrap();
            self.cluster.wait_recorded(&app.key.0, app.name(), version).await;
        }
    }

    /// Waits until broker and records have what every app ended with. Gives how long that took.
    pub(crate) async fn wait_right(&self, within: Duration) -> Duration {
        let began = Instant::now();
        eventually("every row and every record to be right", within, async || {
            let mut wrong = self.wrong_rows();
            if wrong.is_empty() {
                wrong = self.wrong_records().await?;
            }
            let some: Vec<_> = wrong.iter().take(5).cloned().collect();
            if wrong.is_empty() { Ok(()) } else { Err(format!("{} wrong: {}", wrong.len(), some.join("; "))) }
        })
        .await;
        began.elapsed()
    }

    fn wrong_rows(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for ((environment, name), version) in self.truth.last() {
            let rows = self.cluster.broker.store().current(&environment, &name);
            let rows: Vec<_> = rows.into_iter().map(|row| row.version).collect();
            if rows != version.iter().cloned().collect::<Vec<_>>() {
                wrong.push(format!("{name} in {environment}: the broker has {rows:?}, not {version:?}"));
            }
        }
        wrong
    }

    async fn records(&self) -> Result<BTreeMap<Key, PactDeployment>, String> {
        let api = Api::<PactDeployment>::all(self.client.clone());
        let all = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        Ok(all.into_iter().map(|one| ((one.spec.environment.clone(), one.spec.pacticipant.clone()), one)).collect())
    }

    /// The records that do not say that this version, or nothing, is recorded; and those that do not count every version
    /// at the broker, or the latest where there are many, as recorded before.
    async fn wrong_records(&self) -> Result<Vec<String>, String> {
        let (records, mut wrong) = (self.records().await?, Vec::new());
        for (key, version) in self.truth.last() {
            let status = records.get(&key).and_then(|record| record.status.clone()).unwrap_or_default();
            let recorded = status.recorded.as_ref().map(|recorded| recorded.version.clone());
            let ready = is_true(&status.conditions, "Ready");
            if !ready || recorded != version {
                wrong.push(format!("the record of {key:?}: ready {ready}, {recorded:?}, not {version:?}"));
                continue;
            }
            let before = status.history.iter().map(|before| before.version.clone());
            let counted: BTreeSet<_> = before.chain(recorded).collect();
            let mut seen = BTreeSet::new();
            let rows = self.cluster.broker.store().history(&key.0, &key.1);
            let newest_first = rows.into_iter().rev().map(|row| row.version);
            let distinct = newest_first.filter(|version| seen.insert(version.clone()));
            for version in distinct.take(HISTORY_LIMIT).filter(|version| !counted.contains(version)) {
                wrong.push(format!("{} {version} was recorded and does not count: {counted:?}", key.1));
            }
        }
        Ok(wrong)
    }

    /// Asserts that no write at the broker moved a key back, and that no operator panicked; gives the number of writes.
    pub(crate) fn assert_sound(&self) -> usize {
        let writes = self.cluster.broker.writes();
        self.truth.assert_never_back(&writes);
        for file in std::fs::read_dir(self.cluster.control_plane.folder()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(LEASE) && path.extension().is_some_and(|extension| extension == "log") {
                let log = std::fs::read_to_string(&path).unwrap();
                assert!(!log.contains("panicked"), "{name}: {log}");
            }
        }
        writes.len()
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE)
    }

    /// Waits until one of these operators holds the Lease; gives its index.
    pub(crate) async fn wait_leader(&self, operators: &[Operator]) -> usize {
        eventually("one of the operators to lead", SOON, async || {
            let lease = self.leases().get(LEASE).await.map_err(|error| error.to_string())?;
            let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
            let leader = operators.iter().position(|operator| is_of(&holder, operator.name()));
            leader.ok_or(format!("the holder is {holder:?}"))
        })
        .await
    }

    /// Gives the Lease of a process that was killed back in its name, so that the standby need not wait until it runs out.
    pub(crate) async fn give_back(&self, name: &str) {
        let mut lease = self.leases().get(LEASE).await.unwrap();
        let spec = lease.spec.as_mut().unwrap();
        if spec.holder_identity.as_deref().is_some_and(|holder| is_of(holder, name)) {
            spec.holder_identity = Some(String::new());
            // Another one took it meanwhile: then the resourceVersion is an old one.
            drop(self.leases().replace(LEASE, &PostParams::default(), &lease).await);
        }
    }
}

/// Whether the holder of the Lease is the operator of this name.
fn is_of(holder: &str, name: &str) -> bool {
    holder.rsplit_once('_').is_some_and(|(holder, _)| holder == name)
}

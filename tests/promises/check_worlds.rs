//! In random worlds of policies, owners, ignores, records and versions that are rolling out, `check` of a manifest does
//! what the gate does when the same manifest is created: with the cluster always, and from files where all that runs is
//! recorded at the broker.
//!
//! Each world is made from a number; `CHECK_WORLDS=1000` makes more of them.

use std::{collections::BTreeMap, fs};

use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use pact_operator::{
    api::{PactDeployment, PactEnvironment},
    workload::RecordKey,
};
use serde_json::{Value, json};

use super::{dice::Dice, gate_setup::GateSetup, people_verbs::said, recorder_quiet::setting};
use testbed::{
    test_cluster::{TestCluster, annotated},
    webhook::{Person, Webhook, WebhookOptions},
};

/// How many worlds are judged by one command.
const TOGETHER: u64 = 40;
/// How many reviews are under way at once.
const AT_ONCE: usize = 6;

/// One world: a provider, which is deployed, one that consumes from it, and one that it consumes from.
#[derive(Debug)]
struct World {
    number: u64,
    gate: Value,
    owners: Value,
    listed: bool,
    /// The status of the `PactDeployment` of each application.
    records: BTreeMap<String, Value>,
    /// What the provider has with its consumer.
    consumer: Pact,
    /// The same with what it consumes from, and whether that is in the environment.
    provider: Option<(Option<bool>, bool)>,
    published: bool,
    recorded: bool,
}

/// A pact, and the result of its verification.
#[derive(Clone, Copy, Debug)]
enum Pact {
    None,
    Published(Option<bool>),
}

impl World {
    fn new(number: u64) -> Self {
        let mut dice = Dice(number);
        let results = [Some(true), Some(true), Some(false), None];
        let consumer = if dice.percent(80) { Pact::Published(dice.of(&results)) } else { Pact::None };
        let provider = dice.percent(50).then(|| (dice.of(&results), dice.percent(80)));
        let mut gate = json!({"mode": dice.of(&["Off", "Audit", "Warn", "Enforce", "Enforce", "Enforce"]),
                              "rollback": dice.of(&["Skip", "Warn", "Enforce"]),
                              "inFlight": dice.of(&["Count", "Count", "Warn", "Ignore"])});
        let verdicts = ["unknown", "failed", "yesVacuous", "versionMissing", "pacticipantUnknown", "unidentified"];
        for verdict in verdicts {
            if dice.percent(30) {
                gate["actions"][verdict] = json!(dice.of(&["Allow", "Warn", "Deny"]));
            }
        }
        let name = |role: &str| format!("{role}-{number}");
        if dice.percent(40) {
            let mut ignore = json!({"pacticipant": name(dice.of(&["web", "stock"])), "reason": "a test"});
            match dice.below(4) {
                0 => ignore["version"] = json!(dice.of(&["7", "8"])),
                1 => ignore["for"] = json!([name(dice.of(&["orders", "other"]))]),
                2 => ignore["until"] = json!(dice.of(&["2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"])),
                _ => {}
            }
            gate["ignore"] = json!([ignore]);
        }
        let owners = match dice.below(5) {
            0 => json!([{"pacticipants": [name("orders")], "namespaces": [name("world")]}]),
            1 => json!([{"pacticipants": [format!("orders-{number}*")], "namespaces": ["somebody-else"]}]),
            _ => json!([]),
        };
        let (published, recorded) = (dice.percent(85), dice.percent(15));
        let mut world = Self {
            number,
            gate,
            owners,
            listed: dice.percent(90),
            records: BTreeMap::new(),
            consumer,
            provider,
            published,
            recorded,
        };
        world.run(&mut dice);
        world
    }

    fn name(&self, role: &str) -> String {
        format!("{role}-{}", self.number)
    }

    /// Whether the broker has as deployed what the cluster runs, and nothing else is known.
    fn is_plain(&self) -> bool {
        self.listed && self.records.len() == usize::from(self.recorded)
    }

    /// What the `PactDeployments` say of records and of what runs.
    fn run(&mut self, dice: &mut Dice) {
        let at = "2026-11-01T00:00:00Z";
        if self.recorded {
            let status = json!({"recorded": {"version": "2.0.0", "at": at}});
            self.records.insert(self.name("orders"), status);
        } else if dice.percent(15) {
            let former = json!({"version": "2.0.0", "at": at, "wouldDeny": dice.of(&[true, false])});
            let status = json!({"recorded": {"version": "1.0.0", "at": at}, "history": [former]});
            self.records.insert(self.name("orders"), status);
        }
        if self.provider.is_some() && dice.percent(30) {
            let rollout = dice.of(&["Progressing", "Complete"]);
            let member = json!({"kind": "Deployment", "namespace": self.name("world"), "name": "stock",
                                "version": "9", "rollout": rollout});
            self.records.insert(self.name("stock"), json!({"members": [member]}));
        }
    }

    /// Puts what the broker knows of it into the broker.
    fn publish(&self, cluster: &TestCluster) {
        let (environment, orders) = (self.name("env"), self.name("orders"));
        let store = cluster.broker.store();
        store.add_environment(&environment, false);
        store.publish_version(&orders, "1.0.0");
        if self.published {
            store.publish_version(&orders, "2.0.0");
        }
        if let Pact::Published(result) = self.consumer {
            let web = self.name("web");
            store.publish_pact(&web, "7", &orders, "what it expects");
            store.record_deployment(&web, "7", &environment, None);
            result.filter(|_| self.published).map(|success| store.verify(&web, "7", &orders, "2.0.0", success));
        }
        if let Some((result, there)) = self.provider {
            let stock = self.name("stock");
            store.publish_version(&stock, "8");
            store.publish_version(&stock, "9");
            if self.published {
                store.publish_pact(&orders, "2.0.0", &stock, "what it expects");
                result.map(|success| store.verify(&orders, "2.0.0", &stock, "8", success));
                // The one that is on its way has mostly verified it.
                if !self.number.is_multiple_of(3) {
                    store.verify(&orders, "2.0.0", &stock, "9", true);
                }
            }
            if there {
                store.record_deployment(&stock, "8", &environment, None);
            }
        }
        if self.recorded {
            store.record_deployment(&orders, "2.0.0", &environment, None);
        }
    }

    fn environment(&self) -> Value {
        json!({"brokerRef": {"name": "main"}, "environment": self.name("env"), "gate": self.gate,
               "owners": self.owners, "namespaces": {"names": [self.name("world")]}})
    }

    /// Puts what the cluster knows of it into the cluster.
    async fn apply(&self, cluster: &TestCluster) {
        let client = cluster.client();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name("world")}});
        let namespace: Namespace = serde_json::from_value(namespace).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let environment: PactEnvironment =
            cluster.apply("PactEnvironment", &self.name("env"), self.environment()).await;
        let listed = json!({"type": "MembersListed", "status": if self.listed { "True" } else { "False" },
                            "reason": "Listed", "message": "a test", "lastTransitionTime": "2026-11-01T00:00:00Z"});
        let status = json!({"status": {"conditions": [listed]}});
        let params = PatchParams::default();
        let environments: Api<PactEnvironment> = Api::all(client.clone());
        let name = environment.metadata.name.unwrap();
        environments.patch_status(&name, &params, &Patch::Merge(&status)).await.unwrap();
        for (pacticipant, status) in &self.records {
            let spec = json!({"broker": "main", "environment": self.name("env"), "pacticipant": pacticipant});
            let record: PactDeployment = serde_json::from_value(json!({
                "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactDeployment", "metadata": {}, "spec": spec}))
            .unwrap();
            let name = RecordKey::of(&record).unwrap().object_name();
            cluster.apply::<PactDeployment>("PactDeployment", &name, spec).await;
            let records: Api<PactDeployment> = Api::all(client.clone());
            let status = json!({"status": status});
            records.patch_status(&name, &params, &Patch::Merge(&status)).await.unwrap();
        }
    }

    fn manifest(&self) -> Value {
        let mut manifest = annotated("orders", &self.name("orders"), "2.0.0").manifest().clone();
        manifest["metadata"]["namespace"] = json!(self.name("world"));
        manifest
    }
}

/// What is done about a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Done {
    Admitted,
    Warned,
    Denied,
}

/// What the gate does.
async fn gate(setup: &GateSetup, world: &World) -> Done {
    let create = ["create", "--dry-run=server", "-f", "-"];
    let output = setup.kubectl_reading(&world.name("world"), &create, &world.manifest().to_string()).await;
    match (output.denial(), output.warnings().as_slice()) {
        (Some(_), _) => Done::Denied,
        (None, []) => Done::Admitted,
        (None, _) => Done::Warned,
    }
}

/// What `check` says that the gate does, by namespace.
fn checked(out: &str) -> BTreeMap<String, Done> {
    let document: Value = serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let mut done = BTreeMap::new();
    for check in document["checks"].as_array().unwrap() {
        let namespace = check["workload"]["namespace"].as_str().unwrap().to_owned();
        let action = match check["gate"]["action"].as_str() {
            Some("Deny") => Done::Denied,
            Some("Warn") => Done::Warned,
            Some("Allow") if check["cautions"].as_array().is_some_and(|it| !it.is_empty()) => Done::Warned,
            Some("Allow") | None => Done::Admitted,
            Some(other) => panic!("{other}"),
        };
        let worst = done.entry(namespace).or_insert(action);
        *worst = action.max(*worst);
    }
    done
}

#[tokio::test]
async fn check_does_what_the_gate_does_in_every_world() {
    let cluster = TestCluster::without_operator().await;
    let webhook = Webhook::start(&cluster.control_plane, WebhookOptions::default()).await;
    let developer = Person::developer(&cluster.control_plane).await;
    let setup = GateSetup { cluster, webhook, developer };
    let admin = setup.cluster.control_plane.kubeconfig();
    let folder = tempfile::tempdir().unwrap();
    let (worlds, mut seen, mut plain) = (setting("CHECK_WORLDS", 160), BTreeMap::new(), 0);
    for begin in (0..worlds).step_by(usize::try_from(TOGETHER).unwrap()) {
        let worlds: Vec<_> = (begin..worlds.min(begin + TOGETHER)).map(World::new).collect();
        for world in &worlds {
            world.publish(&setup.cluster);
        }
        stream::iter(&worlds).for_each_concurrent(AT_ONCE, |world| world.apply(&setup.cluster)).await;
        setup.known(&worlds.last().unwrap().name("env")).await;
        let gate: Vec<_> = stream::iter(&worlds).map(|world| gate(&setup, world)).buffered(AT_ONCE).collect().await;

        let manifests: Vec<_> = worlds.iter().map(World::manifest).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
        let by_cluster = said(admin, &["check", "-f", "-", "-o", "json"], &list).await;
        let by_cluster = checked(&by_cluster.out);

        let file = folder.path().join("policy.json");
        let environments = worlds.iter().map(|world| {
            json!({"apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment",
                   "metadata": {"name": world.name("env")}, "spec": world.environment()})
        });
        let broker = json!({"apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactBroker",
                            "metadata": {"name": "main"}, "spec": {"url": setup.cluster.broker.url()}});
        let items: Vec<_> = environments.chain([broker]).collect();
        fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()).unwrap();
        let by_files =
            said(admin, &["check", "-f", "-", "-o", "json", "--policy", file.to_str().unwrap()], &list).await;
        let by_files = checked(&by_files.out);

        for (world, gate) in worlds.iter().zip(gate) {
            *seen.entry(gate as u8).or_insert(0) += 1;
            let namespace = world.name("world");
            assert_eq!(by_cluster.get(&namespace), Some(&gate), "by the cluster: {world:#?}");
            if world.is_plain() {
                plain += 1;
                assert_eq!(by_files.get(&namespace), Some(&gate), "by files: {world:#?}");
            }
        }
    }
    println!("{worlds} worlds, {plain} of them also from files: {seen:?} admitted, warned, denied");
    assert!(seen.len() == 3 && seen.values().all(|&count| count * 20 >= worlds), "{seen:?}");
    assert!(plain * 3 >= worlds, "{plain}");
}

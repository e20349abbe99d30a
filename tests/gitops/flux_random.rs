//! Ten Kustomizations and ten `HelmRelease`s to which anything happens: commits that are let through and commits that are
//! denied, verifications, reverts, suspensions, and the death of Flux's controllers and of the operator.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::shared::{InUse, Shared};
use tokio::sync::Mutex;

use crate::built::apply;
use crate::dice::Dice;
use crate::flux::Flux;
use crate::flux_helm::{Strategy, printed_release, publish_chart};
use crate::gate_setup::{GateSetup, MappedEnvironment};
use crate::random_commits::{Commits, FromGit};
use crate::random_run::{Pace, RandomRun, Tool, Versions};
use crate::team::api;

struct World<'a> {
    flux: InUse<Flux>,
    environment: &'a MappedEnvironment,
    commits: Commits<'a>,
    /// What the repository has in the folder of each Kustomization.
    folders: Mutex<BTreeMap<String, Vec<Value>>>,
}

fn is_release(name: &str) -> bool {
    name.ends_with(['1', '3', '5', '7', '9'])
}

impl FromGit for World<'_> {
    async fn commit(&self, name: &str, version: &str) {
        let namespace = &self.environment.namespace;
        if is_release(name) {
            let mut release = printed_release(version, Strategy::OfTheGuide);
            release["metadata"]["name"] = json!(name);
            apply(&self.flux.setup.cluster.control_plane, namespace, &[release]).await;
            return;
        }
        // One after the other: the last one to be served has all of them.
        let mut folders = self.folders.lock().await;
        folders.insert(name.to_owned(), vec![Commits::deployment(name, version)]);
        let all: Vec<_> = folders.iter().map(|(name, objects)| (name.as_str(), objects.as_slice())).collect();
        self.flux.commit_folders(namespace, &all).await;
    }

    async fn pause(&self, name: &str, paused: bool) {
        let (group, version, kind) = if is_release(name) {
            ("helm.toolkit.fluxcd.io", "v2", "HelmRelease")
        } else {
            ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization")
        };
        let api = api(&self.flux.setup, group, version, kind, &self.environment.namespace);
        let patch = Patch::Merge(json!({"spec": {"suspend": paused}}));
        api.patch(name, &PatchParams::default(), &patch).await.expect("what Flux applies");
    }
}

impl Tool for World<'_> {
    async fn create(&self, name: &str) {
        self.commits.first(self, name).await;
        if !is_release(name) {
            let more = json!({"targetNamespace": self.environment.namespace, "dependsOn": null, "path": name});
            self.flux.kustomization_as(&self.environment.namespace, name, more).await;
        }
    }

    async fn act(&self, name: &str, versions: &mut Versions<'_>, dice: &mut Dice) -> String {
        self.commits.act(self, name, versions, dice).await
    }

    async fn restart(&self, dice: &mut Dice) {
        self.flux.restart(dice.of(&["kustomize-controller", "helm-controller"])).await;
    }

    async fn settle(&self, name: &str) -> Result<(), String> {
        self.commits.settle(self, name).await.map_err(|why| format!("{why}\n{}", self.flux.log()))
    }

    fn may_serve(&self, name: &str, version: &str) -> bool {
        self.commits.is_verified(name, version)
    }

    fn log(&self) -> String {
        self.flux.log()
    }
}

#[tokio::test]
async fn twenty_workloads_of_flux_to_which_anything_happens_are_recorded_as_they_serve() {
    static OWN: Shared<GateSetup> = Shared::new();
    static FLUX: Shared<Flux> = Shared::new();
    let setup = OWN.get(GateSetup::start).await;
    let flux = FLUX.get(async || Flux::start(setup.clone()).await).await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    let mut deployment = Commits::deployment("NAME", "{{ .Values.version }}");
    deployment = serde_json::from_str(&deployment.to_string().replace("NAME", "{{ .Release.Name }}")).unwrap();
    publish_chart(&flux, &environment.namespace, "any", &deployment).await;
    let commits = Commits::new(&setup, &environment);
    let world = World { flux, environment: &environment, commits, folders: Mutex::default() };
    let run = RandomRun::new(&setup, &environment, "any-flux");
    run.with(&world, &Pace { actions: 8, pause: 500..5_000, killed: 3_000..9_000 }).await;
}

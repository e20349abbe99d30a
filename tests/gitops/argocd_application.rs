//! An Application of Argo CD in the cluster, with the repository that it comes from.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::shared::InUse;
use testbed::test_cluster::SOON;

use crate::argocd::{ArgoCd, NAMESPACE};
use crate::built::apply;
use crate::gate_setup::CommandOutput;
use crate::guide;
use crate::team::api;

/// An Application, and the repository of the same name.
pub struct Application {
    argo: InUse<ArgoCd>,
    api: Api<DynamicObject>,
    name: String,
}

impl Application {
    /// A new one of what the repository of this name holds, as the guide has it but for shorter pauses between retries;
    /// with these sync options.
    pub async fn new(argo: &InUse<ArgoCd>, name: &str, namespace: &str, options: &[&str]) -> Self {
        Self::with(argo, name, spec(argo, name, namespace, options)).await
    }

    /// A new one with this spec.
    pub async fn with(argo: &InUse<ArgoCd>, name: &str, spec: Value) -> Self {
        let mut application = guide::GITOPS.yaml("Application", "shop");
        application["metadata"]["name"] = json!(name);
        application["spec"] = spec;
        apply(&argo.setup.cluster.control_plane, NAMESPACE, &[application]).await;
        Self::existing(argo, name)
    }

    /// One that is there.
    pub fn existing(argo: &InUse<ArgoCd>, name: &str) -> Self {
        let api = api(&argo.setup, "argoproj.io", "v1alpha1", "Application", NAMESPACE);
        Self { argo: argo.clone(), api, name: name.to_owned() }
    }

    /// It, as it is now.
    pub async fn get(&self) -> Value {
        serde_json::to_value(self.api.get(&self.name).await.expect("an Application")).unwrap()
    }

    /// Whether it is there.
    pub async fn exists(&self) -> bool {
        self.api.get_opt(&self.name).await.expect("the API server answers").is_some()
    }

    /// Merges this into its spec.
    pub async fn change(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api.patch(&self.name, &PatchParams::default(), &patch).await.expect("an Application");
    }

    /// Commits these objects, as [`ArgoCd::commit`] does, and has Argo CD look.
    pub async fn commit(&self, objects: &[Value]) -> String {
        let commit = self.argo.commit(&self.name, objects);
        self.refresh().await;
        commit
    }

    /// `git revert` of the last commit, and has Argo CD look.
    pub async fn revert(&self) -> String {
        let commit = self.argo.revert(&self.name);
        self.refresh().await;
        commit
    }

    /// Has Argo CD compare now, as a webhook of the git server does.
    pub async fn refresh(&self) {
        self.annotate("argocd.argoproj.io/refresh", "normal").await;
    }

    /// Waits until this is so of it.
    pub async fn wait(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually(format!("the Application {}: {what}", self.name), SOON, async || {
            let object = self.get().await;
            if condition(&object) { Ok(object) } else { Err(self.seen(&object)) }
        })
        .await
    }

    /// Whether this becomes so of it within this time, for a test that has something to put back.
    pub async fn try_wait(&self, what: &str, time: Duration, condition: impl Fn(&Value) -> bool) -> Result<(), String> {
        let waited = AssertUnwindSafe(eventually(what, time, async || {
            let object = self.get().await;
            if condition(&object) { Ok(()) } else { Err(self.seen(&object)) }
        }));
        waited.catch_unwind().await.map_err(|_| format!("the Application {}: waited for it {what}", self.name))
    }

    /// What there is to see of it, for a failure.
    pub fn seen(&self, object: &Value) -> String {
        let status = &object["status"];
        format!(
            "{} {}; conditions {}; operation {}\n{}\n{}",
            status["sync"]["status"],
            status["health"],
            status["conditions"],
            status["operationState"],
            self.argo.log("argocd-application-controller"),
            self.argo.log("argocd-repo-server"),
        )
    }

    /// Waits until it is in sync with this commit, healthy, and nothing is under way.
    pub async fn synced(&self, commit: &str) -> Value {
        self.wait(&format!("to be Synced at {commit} and Healthy"), |object| {
            let status = &object["status"];
            status["sync"]["status"] == "Synced"
                && status["sync"]["revision"] == commit
                && status["health"]["status"] == "Healthy"
                && status["operationState"]["phase"] == "Succeeded"
        })
        .await
    }

    /// Whether its operation's message, which its users read, has this text.
    pub async fn told(&self, text: &str) -> Result<(), String> {
        let object = self.get().await;
        let message = object["status"]["operationState"]["message"].as_str().unwrap_or_default();
        if message.contains(text) { Ok(()) } else { Err(self.seen(&object)) }
    }

    /// Waits until Argo CD has compared it some more times; at each poll, `check` looks at it.
    pub async fn compared_again(&self, times: usize, check: impl Fn(&Value)) {
        let mut seen = BTreeSet::new();
        eventually(format!("{} to be compared {times} times more", self.name), SOON, async || {
            let object = self.get().await;
            check(&object);
            seen.insert(object["status"]["reconciledAt"].as_str().unwrap_or_default().to_owned());
            if seen.len() > times { Ok(()) } else { Err(format!("compared at {seen:?}")) }
        })
        .await;
    }

    /// Waits until its operation was retried this many times.
    pub async fn retried(&self, times: u64) {
        let retries = |object: &Value| object["status"]["operationState"]["retryCount"].as_u64().unwrap_or_default();
        self.wait(&format!("{times} retries"), |object| retries(object) >= times).await;
    }

    /// `argocd app …` of it.
    pub async fn argocd_app(&self, verb: &str, more: &[&str]) -> CommandOutput {
        self.argo.argocd(&[&["app", verb, &self.name], more].concat()).await
    }

    /// Sets an annotation of it.
    pub async fn annotate(&self, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("an Application");
    }

    /// Deletes it, and nothing that it applied.
    pub async fn delete(&self) {
        drop(self.api.delete(&self.name, &DeleteParams::default()).await);
    }
}

/// The spec that the guide has, but for shorter pauses between retries, of the repository of this name.
pub fn spec(argo: &ArgoCd, repository: &str, namespace: &str, options: &[&str]) -> Value {
    let mut spec = guide::GITOPS.yaml("Application", "shop")["spec"].take();
    spec["source"] = json!({"repoURL": argo.repository(repository), "path": ".", "targetRevision": "main"});
    spec["destination"]["namespace"] = json!(namespace);
    spec["syncPolicy"]["syncOptions"] = json!(options);
    let backoff = &mut spec["syncPolicy"]["retry"]["backoff"];
    assert!(backoff["duration"].is_string() && backoff["maxDuration"].is_string(), "{backoff}");
    backoff["duration"] = json!("1s");
    backoff["maxDuration"] = json!("4s");
    spec
}

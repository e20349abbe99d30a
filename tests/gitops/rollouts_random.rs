//! Twenty Argo Rollouts to which anything happens: new versions, promotions, aborts, retries, undos, pauses, and the death
//! of their controller and of the operator.

use std::collections::BTreeMap;

use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use testbed::shared::Shared;

use crate::built::apply;
use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::gate_setup::MappedEnvironment;
use crate::random_run::{Pace, RandomRun, Tool, Versions, version, version_of};
use crate::rollouts::{ArgoRollouts, Rollout, manifest};

struct World {
    argo: ArgoRollouts,
    environment: MappedEnvironment,
}

impl World {
    fn rollout(&self, name: &str) -> Rollout<'_> {
        self.argo.existing(&self.environment.namespace, name)
    }
}

/// Whether its status is about its spec.
fn observed(rollout: &Value) -> bool {
    let generation = rollout["metadata"]["generation"].as_u64().unwrap_or_default().to_string();
    rollout["status"]["observedGeneration"] == generation.as_str()
}

/// All pods, those of the revision that the spec names, and the available ones.
fn numbers(rollout: &Value) -> [u64; 3] {
    ["replicas", "updatedReplicas", "availableReplicas"].map(|key| rollout["status"][key].as_u64().unwrap_or(0))
}

/// The version with which a Rollout is promoted as a whole, if it is, by nothing but its own status.
fn promoted(rollout: &Value) -> Option<String> {
    let status = &rollout["status"];
    let promoted = status["phase"] == "Healthy" && status["stableRS"] == status["currentPodHash"];
    let is_whole = observed(rollout) && promoted && numbers(rollout) == [rollout["spec"]["replicas"].as_u64()?; 3];
    is_whole.then(|| version_of(rollout))
}

/// Whether it was aborted, and only pods of the revision that served before are left.
fn back_on_stable(rollout: &Value) -> bool {
    let wanted = rollout["spec"]["replicas"].as_u64().unwrap_or(1);
    observed(rollout) && rollout["status"]["abort"] == true && numbers(rollout) == [wanted, 0, wanted]
}

/// A Rollout whose pods take a moment to be ready, and the Service that blue-green needs: every other one is of that kind,
/// and keeps its old pods for some seconds.
fn of_some_kind(name: &str) -> (Value, Value) {
    let strategy = if name.ends_with(['1', '3', '5', '7', '9']) {
        json!({"blueGreen": {
            "activeService": name, "autoPromotionEnabled": false,
            "scaleDownDelaySeconds": 3, "abortScaleDownDelaySeconds": 1,
        }})
    } else {
        json!({"canary": {"steps": [{"setWeight": 50}, {"pause": {}}, {"setWeight": 75}, {"pause": {"duration": "1s"}}]}})
    };
    let mut manifest = manifest(name, &version(1), &strategy);
    let metadata = &mut manifest["spec"]["template"]["metadata"];
    metadata["labels"]["testbed/ready"] = json!("slow");
    metadata["annotations"] = json!({"testbed/ready-after": "700ms"});
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    });
    (manifest, service)
}

impl Tool for World {
    fn kind(&self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout"))
    }

    fn whole(&self) -> impl FnMut(&Value) -> Option<String> + Send + 'static {
        // The version of each revision, by the hash of its pod template: of an aborted Rollout the spec names another one.
        let mut versions = BTreeMap::new();
        move |rollout| {
            let (name, status) = (rollout["metadata"]["name"].to_string(), &rollout["status"]);
            let revision = |key: &str| Some((name.clone(), status[key].as_str()?.to_owned()));
            if let (true, Some(current)) = (observed(rollout), revision("currentPodHash")) {
                versions.insert(current, version_of(rollout));
            }
            let aborted = || back_on_stable(rollout).then(|| versions.get(&revision("stableRS")?).cloned()).flatten();
            promoted(rollout).or_else(aborted)
        }
    }

    async fn create(&self, name: &str) {
        let (manifest, service) = of_some_kind(name);
        let namespace = &self.environment.namespace;
        apply(&self.argo.endpoint.setup.cluster.control_plane, namespace, &[service]).await;
        self.argo.create(namespace, manifest).await;
    }

    async fn act(&self, name: &str, versions: &mut Versions<'_>, dice: &mut Dice) -> String {
        let rollout = self.rollout(name);
        match dice.below(10) {
            0..=3 => {
                let next = versions.next();
                rollout.set_version(&next).await;
                format!("set {next}")
            }
            4 | 5 => {
                rollout.promote().await;
                "promote".to_owned()
            }
            6 => {
                rollout.set_status(json!({"promoteFull": true})).await;
                "promote fully".to_owned()
            }
            7 => {
                rollout.set_status(json!({"abort": true})).await;
                "abort".to_owned()
            }
            8 => {
                rollout.set_status(json!({"abort": false})).await;
                "retry".to_owned()
            }
            _ => {
                let back = version(1 + dice.below(versions.newest));
                rollout.set_version(&back).await;
                format!("undo to {back}")
            }
        }
    }

    async fn restart(&self, _: &mut Dice) {
        self.argo.restart().await;
    }

    /// Promotes what waits until it is whole, or it was aborted and the old pods are all that is left.
    async fn settle(&self, name: &str) -> Result<(), String> {
        let rollout = self.rollout(name);
        let object = rollout.get().await;
        let status = &object["status"];
        let waits = status["pauseConditions"].as_array().is_some_and(|all| !all.is_empty());
        if observed(&object) && waits {
            rollout.promote().await;
        }
        let rests = promoted(&object).is_some() || back_on_stable(&object);
        if rests { Ok(()) } else { Err(status.to_string()) }
    }

    fn log(&self) -> String {
        self.argo.log()
    }
}

#[tokio::test]
async fn twenty_rollouts_to_which_anything_happens_are_recorded_as_they_serve() {
    static OWN: Shared<Endpoint> = Shared::new();
    let argo = ArgoRollouts::start_with(OWN.get(Endpoint::start).await).await;
    let environment = argo.endpoint.setup.gated(json!({"mode": "Enforce"})).await;
    let world = World { argo, environment };
    let run = RandomRun::new(&world.argo.endpoint.setup, &world.environment, "random");
    run.with(&world, &Pace { actions: 8, pause: 0..1_500, killed: 1_000..4_000 }).await;
}

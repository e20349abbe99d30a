//! The operator's CRDs, as checked in.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;

use crate::control_plane::ControlPlane;
use crate::eventually::eventually;
use crate::kubectl;

/// Applies `crds/*.yaml` and waits until the API server serves them (Established).
///
/// # Panics
/// When the folder holds none, or the API server refuses one.
pub async fn install_crds(control_plane: &ControlPlane) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("crds");
    let files = std::fs::read_dir(&folder);
    let files =
        files.unwrap_or_else(|error| panic!("cannot read {} (`make crds` writes it): {error}", folder.display()));
    let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    assert!(!paths.is_empty(), "there is no CRD in {}: `make crds` writes them", folder.display());
    let manifests: Vec<String> = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    apply_crds(control_plane, &manifests.join("\n---\n")).await;
}

/// Applies CRDs given as YAML and waits until the API server serves them.
pub async fn apply_crds(control_plane: &ControlPlane, manifests: &str) {
    let applied = kubectl::apply(control_plane.kubeconfig(), "default", manifests).await;
    let api: Api<CustomResourceDefinition> = Api::all(control_plane.client());
    for line in applied.lines() {
        // "customresourcedefinition.apiextensions.k8s.io/pactbrokers.pact-operator.dev serverside-applied"
        let Some(name) = line.split(' ').next().and_then(|id| id.split_once('/')).map(|(_, name)| name) else {
            continue;
        };
        eventually(format!("the CRD {name} to be Established"), Duration::from_secs(30), || async {
            let crd = api.get(name).await.map_err(|error| error.to_string())?;
            let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
            let established = conditions.iter().any(|one| one.type_ == "Established" && one.status == "True");
            if established { Ok(()) } else { Err(format!("{conditions:?}")) }
        })
        .await;
    }
}

//! `pact-operator controller` as processes beside the cluster, with the rights and the arguments of the chart.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::Value;

use crate::chart::RELEASE;
use crate::control_plane::ControlPlane;
use crate::rendered::{RIGHTS, Rendered};
use crate::replica::{self, Replica};
use crate::values::Values;

/// The chart's `ServiceAccount` of the controller.
pub const SERVICE_ACCOUNT: &str = "pact-operator-controller";

/// How to start it.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// The operator's own namespace (Lease, Secrets); made when missing.
    pub namespace: String,
    values: Values,
    replaced: Vec<(String, String)>,
}

impl Default for OperatorOptions {
    fn default() -> Self {
        Self { namespace: RELEASE.to_owned(), values: Values::default(), replaced: Vec::new() }
    }
}

impl OperatorOptions {
    /// In this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// With this value of the chart: `controller.leaseSeconds`.
    #[must_use]
    pub fn value(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.set(name, value);
        self
    }

    /// With one more argument, for which the chart has no value.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.values.push("controller.extraArgs", argument);
        self
    }

    /// With another value of an argument that the chart gives: the path of a file that the chart would mount.
    #[must_use]
    pub fn replacing(mut self, argument: &str, value: &str) -> Self {
        self.replaced.push((argument.to_owned(), value.to_owned()));
        self
    }

    /// The Deployment that describes it.
    pub async fn deployment(&self, control_plane: &ControlPlane) -> Deployment {
        let rendered = Rendered::with(control_plane, &self.namespace, &self.values).await;
        let mut deployment = rendered.deployment("controller");
        let pod = deployment.spec.as_mut().and_then(|spec| spec.template.spec.as_mut());
        let container = pod.and_then(|pod| pod.containers.first_mut());
        for argument in container.and_then(|container| container.args.as_mut()).into_iter().flatten() {
            let flag = argument.split('=').next().unwrap_or_default();
            if let Some((flag, value)) = self.replaced.iter().find(|(replaced, _)| replaced == flag) {
                *argument = format!("{flag}={value}");
            }
        }
        deployment
    }
}

/// A running `pact-operator controller`. Dropping it kills it.
#[derive(Debug)]
pub struct Operator(Replica);

impl Operator {
    /// Starts it: makes namespace, `ServiceAccount` and rights when missing, gets a token of the `ServiceAccount`, runs
    /// the binary. Does not wait: see [`Replica::wait_ready`]. Several at once are a leader and its standbys.
    pub async fn start(control_plane: &ControlPlane, options: OperatorOptions) -> Self {
        // Some values grant more rights.
        Rendered::with(control_plane, &options.namespace, &options.values).await.apply(control_plane, &RIGHTS).await;
        Self(Replica::start(control_plane, &options.deployment(control_plane).await, None).await)
    }

    /// Starts it with a kubeconfig of the caller's choice, e.g. one that was made before; the rights must be there.
    pub fn start_as(control_plane: &ControlPlane, deployment: &Deployment, kubeconfig: &Path) -> Self {
        Self(Replica::start_as(control_plane, deployment, None, kubeconfig))
    }

    /// Starts what helm has installed.
    pub async fn start_installed(control_plane: &ControlPlane) -> Self {
        let deployment = replica::installed(control_plane, "controller").await;
        Self(Replica::start(control_plane, &deployment, None).await)
    }
}

impl Deref for Operator {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.0
    }
}

impl DerefMut for Operator {
    fn deref_mut(&mut self) -> &mut Replica {
        &mut self.0
    }
}

/// Makes the operator's namespace, its `ServiceAccount`s and their rights, as the chart has them.
pub async fn install_rights(control_plane: &ControlPlane, operator_namespace: &str) {
    let rendered = Rendered::with(control_plane, operator_namespace, &Values::default()).await;
    rendered.apply(control_plane, &RIGHTS).await;
}

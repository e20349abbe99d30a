//! The two controllers: one leads, and the other one stands by.

use std::path::PathBuf;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};

use testbed::control_plane::ControlPlane;
use testbed::operator::{Operator, OperatorOptions, SERVICE_ACCOUNT};
use testbed::test_cluster::OPERATOR_NAMESPACE;

/// The operator's Lease.
const LEASE: &str = "pact-operator-controller";

/// See the module. Dropping it kills them.
pub struct Controllers {
    /// Those that run now.
    pub running: [Operator; 2],
    description: Deployment,
    kubeconfig: PathBuf,
    leases: Api<Lease>,
}

impl Controllers {
    /// Starts two with the chart's settings and waits until they are ready.
    pub async fn start(control_plane: &ControlPlane, client: Client) -> Self {
        let kubeconfig = control_plane.user_kubeconfig(OPERATOR_NAMESPACE, SERVICE_ACCOUNT).await;
        let description = OperatorOptions::default().deployment(control_plane).await;
        let start = || Operator::start_as(control_plane, &description, &kubeconfig);
        let mut running = [start(), start()];
        for controller in &mut running {
            controller.wait_ready().await;
        }
        Self { running, description, kubeconfig, leases: Api::namespaced(client, OPERATOR_NAMESPACE) }
    }

    /// Starts another one in the place of one of them, which is returned and still runs. Does not wait.
    pub fn replace(&mut self, index: usize, control_plane: &ControlPlane) -> Operator {
        let fresh = Operator::start_as(control_plane, &self.description, &self.kubeconfig);
        std::mem::replace(&mut self.running[index], fresh)
    }

    /// The index of the one that holds the Lease.
    ///
    /// # Errors
    /// With who holds it instead.
    pub async fn leader(&self) -> Result<usize, String> {
        let lease = self.leases.get(LEASE).await.map_err(|error| error.to_string())?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        let holds = |controller: &Operator| holder.rsplit_once('_').is_some_and(|(name, _)| name == controller.name());
        let found = self.running.iter().position(holds);
        found.ok_or_else(|| format!("the Lease is held by {holder:?}, none of those that run"))
    }
}

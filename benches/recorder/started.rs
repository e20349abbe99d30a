//! An operator that is started while the clock runs. Shared by the benches of this folder.

use std::time::{Duration, Instant};

use crate::setup::PATIENCE;
use testbed::http;
use testbed::operator::{Operator, OperatorOptions, SERVICE_ACCOUNT};
use testbed::test_cluster::{OPERATOR_NAMESPACE, TestCluster};

/// See the module.
pub struct Started {
    /// The operator.
    pub operator: Operator,
    /// When its process was started.
    #[allow(dead_code, reason = "not each bench that includes this module counts from then")]
    pub at: Instant,
    /// How long after that `/readyz` answered 200.
    pub ready: Duration,
}

impl Started {
    /// Ends it by SIGTERM.
    pub async fn stop(mut self) {
        assert_eq!(self.operator.terminate().await, 0, "{}", self.operator.logs());
    }
}

/// Starts the operator with its default settings and waits until it is ready.
pub async fn start_timed(cluster: &TestCluster) -> Started {
    // Made before the clock runs.
    let kubeconfig = cluster.control_plane.user_kubeconfig(OPERATOR_NAMESPACE, SERVICE_ACCOUNT).await;
    let deployment = OperatorOptions::default().deployment(&cluster.control_plane).await;
    let at = Instant::now();
    let operator = Operator::start_as(&cluster.control_plane, &deployment, &kubeconfig);
    loop {
        if let Ok((200, _)) = http::get(operator.probe_address(), "/readyz").await {
            break;
        }
        assert!(at.elapsed() < PATIENCE, "the operator is not ready; its log:\n{}", operator.logs());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Started { operator, at, ready: at.elapsed() }
}

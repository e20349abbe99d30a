//! The reconciler of a `PactBroker`: its Secrets, its client, whether it answers, its status.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt};
use operator_kit::{backoff::Backoff, refusal};
use tracing::{info, warn};

use super::{
    Settings,
    queue::{Next, Tries},
    schedule::Schedule,
};
use crate::{
    api::{
        PactBroker, PactBrokerStatus,
        condition::{Finding, Truth, conditions},
    },
    broker::BrokerError,
    cluster::{Cluster, as_field_manager, client_factory::ClientFactory},
    decide::{Explanation, Reason},
};

/// See the module.
pub(super) struct BrokerReconciler {
    pub(super) cluster: Arc<Cluster>,
    pub(super) schedule: Schedule,
    pub(super) client_factory: ClientFactory,
    pub(super) settings: Arc<Settings>,
}

impl BrokerReconciler {
    /// Reads a broker's Secrets, makes its client anew if needed, probes it and writes its status.
    pub(super) async fn reconcile(&self, name: &str, mut tries: Tries) -> Next {
        let Some(object) = self.cluster.brokers.object(name) else { return Next::wait() };
        let before = self.cluster.brokers.failed(name);
        let renewed = self.cluster.brokers.renew(name, &self.client_factory).await;
        let (findings, version, trouble) = match self.cluster.brokers.client(name) {
            None => return Next::wait(),
            Some(Err(why)) => (unusable(&why), None, Some(why)),
            Some(Ok(broker)) => match broker.probe().await {
                Ok(probe) => (answered(object.spec.auth.is_some()), probe.broker_version, None),
                Err(error) => (refused(&error), None, Some(Explanation::new(error.reason(), error.to_string()))),
            },
        };
        let failed = trouble.is_some();
        if let Some(why) = &trouble
            && before != Some(true)
        {
            warn!(broker = name, reason = %why.reason, "the broker cannot be used: {}", why.message);
        } else if !failed && before != Some(false) {
            info!(broker = name, version, "the broker answers");
        }
        self.cluster.brokers.set_probed(name, trouble);
        self.write_status(&object, &findings, version).await;

        let first = before.is_none();
        let back = !failed && before == Some(true);
        if renewed || first || back {
            self.schedule.broker_changed(name);
        }
        if failed {
            let backoff = Backoff { min: self.settings.retry_min, max: self.settings.probe_period };
            Next::retry(tries.delay(backoff, "probe"), tries)
        } else {
            Next::after(self.settings.probe_period)
        }
    }

    async fn write_status(&self, object: &PactBroker, findings: &[Finding], version: Option<String>) {
        let before = object.status.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        let status = PactBrokerStatus {
            observed_generation: generation,
            broker_version: version.or_else(|| before.broker_version.clone()),
            conditions: conditions(&before.conditions, findings, generation, Timestamp::now()),
        };
        if status == before {
            return;
        }
        let mut object = object.clone();
        let name = object.name_any();
        object.status = Some(status);
        let api = Api::<PactBroker>::all(self.cluster.client.clone());
        match api.replace_status(&name, &as_field_manager(), &object).await {
            Ok(written) => self.cluster.brokers.written(&name, written),
            // The watch brings the newer object, and the next probe writes its status.
            Err(kube::Error::Api(answer)) if answer.is_conflict() || answer.is_not_found() => {}
            Err(error) => {
                let error = refusal::explain(&error);
                warn!(broker = name, error, "the status of the PactBroker cannot be written");
            }
        }
    }
}

fn answered(with_credentials: bool) -> Vec<Finding> {
    let authorized = if with_credentials {
        "the broker takes the credentials for reading"
    } else {
        "the broker asks for no credentials"
    };
    vec![
        Finding::new("Ready", true, Reason::Answering, "the broker answers, and may be read"),
        Finding::new("Reachable", true, Reason::Answering, "the broker answers"),
        Finding::new("Authorized", true, Reason::Answering, authorized),
    ]
}

fn unusable(why: &Explanation) -> Vec<Finding> {
    ["Ready", "Reachable", "Authorized"]
        .map(|type_| {
            let truth = if type_ == "Ready" { Truth::False } else { Truth::Unknown };
            Finding::new(type_, truth, why.reason, why.message.clone())
        })
        .to_vec()
}

fn refused(error: &BrokerError) -> Vec<Finding> {
    let (reachable, authorized) = match error {
        BrokerError::Unauthorized { .. } | BrokerError::Forbidden { .. } => (Truth::True, Truth::False),
        BrokerError::RateLimited { .. } | BrokerError::Server { .. } => (Truth::True, Truth::Unknown),
        _ => (Truth::False, Truth::Unknown),
    };
    [("Ready", Truth::False), ("Reachable", reachable), ("Authorized", authorized)]
        .map(|(type_, truth)| match truth {
            Truth::True => Finding::new(type_, truth, Reason::Answering, "the broker answers"),
            _ => Finding::new(type_, truth, error.reason(), error.to_string()),
        })
        .to_vec()
}

//! The requests to a broker, by name: for errors and for metrics.

use std::fmt;

/// One kind of request to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `GET /`
    Probe,
    /// `GET /environments`
    ReadEnvironments,
    /// `POST /environments`
    CreateEnvironment,
    /// `GET /pacticipants`
    ReadPacticipants,
    /// `GET /pacticipants/{p}`
    ReadPacticipant,
    /// `GET /pacticipants/{p}/versions`
    ReadVersions,
    /// `GET /pacticipants/{p}/versions/{v}`
    ReadVersion,
    /// `GET /matrix`
    ReadMatrix,
    /// `GET /environments/{uuid}/deployed-versions/currently-deployed`
    ReadDeployed,
    /// `POST /pacticipants/{p}/versions/{v}/deployed-versions/environment/{uuid}`
    RecordDeployment,
    /// `PATCH /deployed-versions/{uuid}`
    Undeploy,
    /// `GET /environments/{uuid}/released-versions/currently-supported`
    ReadSupported,
    /// `POST /pacticipants/{p}/versions/{v}/released-versions/environment/{uuid}`
    RecordRelease,
    /// `PATCH /released-versions/{uuid}`
    EndSupport,
    /// `GET /pacts/provider/{p}/consumer/{c}/version/{v}`
    ReadPact,
    /// `GET /webhooks`
    ReadWebhooks,
    /// `GET /webhooks/{uuid}`
    ReadWebhook,
}

impl Operation {
    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::ReadEnvironments => "read_environments",
            Self::CreateEnvironment => "create_environment",
            Self::ReadPacticipants => "read_pacticipants",
            Self::ReadPacticipant => "read_pacticipant",
            Self::ReadVersions => "read_versions",
            Self::ReadVersion => "read_version",
            Self::ReadMatrix => "read_matrix",
            Self::ReadDeployed => "read_deployed",
            Self::RecordDeployment => "record_deployment",
            Self::Undeploy => "undeploy",
            Self::ReadSupported => "read_supported",
            Self::RecordRelease => "record_release",
            Self::EndSupport => "end_support",
            Self::ReadPact => "read_pact",
            Self::ReadWebhooks => "read_webhooks",
            Self::ReadWebhook => "read_webhook",
        }
    }
}

impl fmt::Display for Operation {
    /// A phrase to follow "to": `read the environments`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "read the index",
            Self::ReadEnvironments => "read the environments",
            Self::CreateEnvironment => "create an environment",
            Self::ReadPacticipants => "read the pacticipants",
            Self::ReadPacticipant => "read a pacticipant",
            Self::ReadVersions => "read the versions of a pacticipant",
            Self::ReadVersion => "read a version",
            Self::ReadMatrix => "read the matrix",
            Self::ReadDeployed => "read what is deployed",
            Self::RecordDeployment => "record a deployment",
            Self::Undeploy => "record an undeployment",
            Self::ReadSupported => "read what is supported",
            Self::RecordRelease => "record a release",
            Self::EndSupport => "end a release's support",
            Self::ReadPact => "read a pact",
            Self::ReadWebhooks => "read the webhooks",
            Self::ReadWebhook => "read a webhook",
        })
    }
}

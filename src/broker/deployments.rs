//! Deployed versions: at most one current row per pacticipant, environment and application instance.

use serde::Deserialize;
use serde_json::json;

use super::Broker;
use super::error::BrokerError;
use super::ids::{DeploymentId, EnvironmentId};
use super::operation::Operation;
use super::rows::{Embedded, Row, Rows, exact};
use super::transport::Request;
use crate::api::names::{ApplicationInstance, Pacticipant, Version};

/// A version that is recorded as deployed in an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedVersion {
    /// The record's uuid; unchanged while the same version stays recorded.
    pub id: DeploymentId,
    /// The application.
    pub pacticipant: Pacticipant,
    /// Its version.
    pub version: Version,
    /// Which permanent copy of the application; `None` is a copy of its own.
    pub application_instance: Option<ApplicationInstance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentRow {
    uuid: String,
    application_instance: Option<String>,
    /// The application instance as brokers before 2.89.0 name it.
    target: Option<String>,
    #[serde(rename = "_embedded")]
    embedded: Embedded,
}

impl DeploymentRow {
    fn read(self) -> Option<DeployedVersion> {
        let (pacticipant, version) = self.embedded.read()?;
        let application_instance = match self.application_instance.or(self.target) {
            Some(text) => Some(exact(&text, ApplicationInstance::parse, ApplicationInstance::as_str)?),
            None => None,
        };
        let id = DeploymentId::parse(&self.uuid).ok()?;
        Some(DeployedVersion { id, pacticipant, version, application_instance })
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "_embedded")]
    embedded: ListEmbedded,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListEmbedded {
    deployed_versions: Vec<Row<DeploymentRow>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Undeployed {
    currently_deployed: bool,
}

impl Broker {
    /// The versions deployed in an environment, of all applications or of one; unreadable rows are left out (see
    /// [`Rows`]).
    ///
    /// # Errors
    /// [`BrokerError::EnvironmentMissing`] and any other.
    pub async fn currently_deployed(
        &self,
        environment: &EnvironmentId,
        pacticipant: Option<&Pacticipant>,
    ) -> Result<Vec<DeployedVersion>, BrokerError> {
        self.currently_deployed_rows(environment, pacticipant).await.map(|rows| rows.rows)
    }

    /// The versions deployed in an environment, with the number of unreadable rows.
    ///
    /// # Errors
    /// [`BrokerError::EnvironmentMissing`] and any other.
    pub async fn currently_deployed_rows(
        &self,
        environment: &EnvironmentId,
        pacticipant: Option<&Pacticipant>,
    ) -> Result<Rows<DeployedVersion>, BrokerError> {
        let segments = ["environments", environment.as_str(), "deployed-versions", "currently-deployed"];
        let query: Vec<_> = pacticipant.iter().map(|pacticipant| ("pacticipant", pacticipant.as_str())).collect();
        let request = Request::get(Operation::ReadDeployed, &segments).with(&query);
        let Some(document) = self.ask(request).await? else {
            return Err(BrokerError::EnvironmentMissing { environment: environment.clone() });
        };
        let list: List = document.read()?;
        Ok(Rows::read("deployed versions", list.embedded.deployed_versions, DeploymentRow::read))
    }

    /// Records that a version is deployed. This ends the current row of the same pacticipant, environment and instance;
    /// recording a version that is recorded changes nothing. The last writer wins: ordering is the caller's task.
    ///
    /// # Errors
    /// [`BrokerError::PacticipantMissing`], [`BrokerError::VersionMissing`] or [`BrokerError::EnvironmentMissing`]
    /// (determined with one or two more requests), and any other.
    pub async fn record_deployment(
        &self,
        pacticipant: &Pacticipant,
        version: &Version,
        environment: &EnvironmentId,
        instance: Option<&ApplicationInstance>,
    ) -> Result<DeployedVersion, BrokerError> {
        let (p, v, e) = (pacticipant.as_str(), version.as_str(), environment.as_str());
        let segments = ["pacticipants", p, "versions", v, "deployed-versions", "environment", e];
        // Brokers before 2.89.0 know only `target`. Without an instance both are left out: an empty one replaces the
        // row without an instance.
        let body = instance.map_or_else(
            || json!({}),
            |instance| json!({ "applicationInstance": instance.as_str(), "target": instance.as_str() }),
        );
        let Some(document) = self.ask(Request::post(Operation::RecordDeployment, &segments, body)).await? else {
            return Err(self.what_is_missing(pacticipant, version, environment).await);
        };
        let row: DeploymentRow = document.read()?;
        row.read().ok_or_else(|| document.other_shape("a deployed version without readable uuid and names"))
    }

    /// Ends one recorded deployment. For one that has ended, or is unknown (404), this is a success: there is nothing
    /// to end. A row that was replaced meanwhile is not changed, and neither is its successor.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn undeploy(&self, deployment: &DeploymentId) -> Result<(), BrokerError> {
        let segments = ["deployed-versions", deployment.as_str()];
        let request = Request::patch(Operation::Undeploy, &segments, json!({ "currentlyDeployed": false }));
        let Some(document) = self.ask(request).await? else { return Ok(()) };
        // A broker answers 200 even to a body that it does not understand.
        if document.read::<Undeployed>()?.currently_deployed {
            return Err(document.other_shape("still currentlyDeployed"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "deployments_tests.rs"]
mod tests;

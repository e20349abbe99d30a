//! Released and supported versions: many versions of one application at once, without instances.

use serde::Deserialize;
use serde_json::json;

use super::Broker;
use super::error::BrokerError;
use super::ids::{EnvironmentId, ReleaseId};
use super::operation::Operation;
use super::rows::{Embedded, Row, Rows};
use super::transport::Request;
use crate::api::names::{Pacticipant, Version};

/// A version that is recorded as released in an environment, and supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedVersion {
    /// The record's uuid; unchanged even after its support has ended and begun again.
    pub id: ReleaseId,
    /// The application.
    pub pacticipant: Pacticipant,
    /// Its version.
    pub version: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseRow {
    uuid: String,
    #[serde(rename = "_embedded")]
    embedded: Embedded,
}

impl ReleaseRow {
    fn read(self) -> Option<ReleasedVersion> {
        let (pacticipant, version) = self.embedded.read()?;
        let id = ReleaseId::parse(&self.uuid).ok()?;
        Some(ReleasedVersion { id, pacticipant, version })
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
    released_versions: Vec<Row<ReleaseRow>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    currently_supported: bool,
}

impl Broker {
    /// The versions supported in an environment, of all applications or of one; unreadable rows are left out (see
    /// [`Rows`]).
    ///
    /// # Errors
    /// [`BrokerError::EnvironmentMissing`] and any other.
    pub async fn currently_supported(
        &self,
        environment: &EnvironmentId,
        pacticipant: Option<&Pacticipant>,
    ) -> Result<Vec<ReleasedVersion>, BrokerError> {
        self.currently_supported_rows(environment, pacticipant).await.map(|rows| rows.rows)
    }

    /// The versions supported in an environment, with the number of unreadable rows.
    ///
    /// # Errors
    /// [`BrokerError::EnvironmentMissing`] and any other.
    pub async fn currently_supported_rows(
        &self,
        environment: &EnvironmentId,
        pacticipant: Option<&Pacticipant>,
    ) -> Result<Rows<ReleasedVersion>, BrokerError> {
        let segments = ["environments", environment.as_str(), "released-versions", "currently-supported"];
        let query: Vec<_> = pacticipant.iter().map(|pacticipant| ("pacticipant", pacticipant.as_str())).collect();
        let request = Request::get(Operation::ReadSupported, &segments).with(&query);
        let Some(document) = self.ask(request).await? else {
            return Err(BrokerError::EnvironmentMissing { environment: environment.clone() });
        };
        let list: List = document.read()?;
        Ok(Rows::read("released versions", list.embedded.released_versions, ReleaseRow::read))
    }

    /// Records that a version is released and supported. Other versions stay supported. Recording a version again
    /// changes nothing, or supports it again when its support had ended.
    ///
    /// # Errors
    /// [`BrokerError::PacticipantMissing`], [`BrokerError::VersionMissing`] or [`BrokerError::EnvironmentMissing`]
    /// (determined with one or two more requests), and any other.
    pub async fn record_release(
        &self,
        pacticipant: &Pacticipant,
        version: &Version,
        environment: &EnvironmentId,
    ) -> Result<ReleasedVersion, BrokerError> {
        let (p, v, e) = (pacticipant.as_str(), version.as_str(), environment.as_str());
        let segments = ["pacticipants", p, "versions", v, "released-versions", "environment", e];
        let Some(document) = self.ask(Request::post(Operation::RecordRelease, &segments, json!({}))).await? else {
            return Err(self.what_is_missing(pacticipant, version, environment).await);
        };
        let row: ReleaseRow = document.read()?;
        row.read().ok_or_else(|| document.other_shape("a released version without readable uuid and names"))
    }

    /// Ends the support of one recorded release. For one that has ended, or is unknown (404), this is a success.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn end_support(&self, release: &ReleaseId) -> Result<(), BrokerError> {
        let segments = ["released-versions", release.as_str()];
        let request = Request::patch(Operation::EndSupport, &segments, json!({ "currentlySupported": false }));
        let Some(document) = self.ask(request).await? else { return Ok(()) };
        if document.read::<Ended>()?.currently_supported {
            return Err(document.other_shape("still currentlySupported"));
        }
        Ok(())
    }
}

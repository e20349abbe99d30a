//! Pacticipants and their versions: `/pacticipants/{p}` and `/pacticipants/{p}/versions/{v}`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Broker;
use super::error::BrokerError;
use super::ids::EnvironmentId;
use super::operation::Operation;
use super::transport::Request;
use crate::api::names::{Pacticipant, Version};

#[derive(Deserialize)]
struct PacticipantBody {
    #[serde(rename = "name")]
    _name: String,
}

#[derive(Deserialize)]
struct VersionBody {
    #[serde(rename = "number")]
    _number: String,
    #[serde(rename = "_links")]
    _links: IgnoredAny,
}

impl Broker {
    /// Whether the broker knows this pacticipant.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn pacticipant_exists(&self, pacticipant: &Pacticipant) -> Result<bool, BrokerError> {
        let segments = ["pacticipants", pacticipant.as_str()];
        match self.ask(Request::get(Operation::ReadPacticipant, &segments)).await? {
            Some(document) => document.read::<PacticipantBody>().map(|_| true),
            None => Ok(false),
        }
    }

    /// Whether the broker knows this version of this pacticipant. A missing pacticipant has no versions.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn version_exists(&self, pacticipant: &Pacticipant, version: &Version) -> Result<bool, BrokerError> {
        let segments = ["pacticipants", pacticipant.as_str(), "versions", version.as_str()];
        match self.ask(Request::get(Operation::ReadVersion, &segments)).await? {
            Some(document) => document.read::<VersionBody>().map(|_| true),
            None => Ok(false),
        }
    }

    /// Determines the cause of a 404 on a record: the broker's answer is the same whichever of the three is missing.
    /// One or two requests; when one of them fails, its error is returned.
    pub(super) async fn what_is_missing(
        &self,
        pacticipant: &Pacticipant,
        version: &Version,
        environment: &EnvironmentId,
    ) -> BrokerError {
        match self.version_exists(pacticipant, version).await {
            Ok(true) => return BrokerError::EnvironmentMissing { environment: environment.clone() },
            Ok(false) => {}
            Err(error) => return error,
        }
        match self.pacticipant_exists(pacticipant).await {
            Ok(true) => BrokerError::VersionMissing { pacticipant: pacticipant.clone(), version: version.clone() },
            Ok(false) => BrokerError::PacticipantMissing { pacticipant: pacticipant.clone() },
            Err(error) => error,
        }
    }
}

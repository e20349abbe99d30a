//! Pacticipants and their versions: `/pacticipants`, `/pacticipants/{p}`, `/pacticipants/{p}/versions` and
//! `/pacticipants/{p}/versions/{v}`.

use std::collections::{BTreeSet, HashMap};

use futures::future::join_all;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Broker;
use super::error::BrokerError;
use super::ids::EnvironmentId;
use super::operation::Operation;
use super::rows::{Row, exact};
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

#[derive(Deserialize)]
struct BranchedVersion {
    #[serde(rename = "number")]
    _number: String,
    #[serde(rename = "_embedded")]
    embedded: Option<Branched>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Branched {
    #[serde(default)]
    branch_versions: Vec<Row<Branch>>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "_embedded")]
    embedded: Listed,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    pacticipants: Vec<Row<ListedPacticipant>>,
}

#[derive(Deserialize)]
struct ListedPacticipant {
    name: String,
    #[serde(rename = "_embedded")]
    embedded: Option<Latest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Latest {
    latest_version: Option<LatestVersion>,
}

#[derive(Deserialize)]
struct LatestVersion {
    number: String,
}

#[derive(Deserialize)]
struct VersionList {
    #[serde(rename = "_embedded")]
    embedded: ListedVersions,
}

#[derive(Deserialize)]
struct ListedVersions {
    #[serde(default)]
    versions: Vec<Row<LatestVersion>>,
}

impl Broker {
    /// The version of each pacticipant that the broker has as its latest; an empty text where it has none. `None` when the
    /// broker has no such list. It is a hint when to look, never a reason to act: brokers may order versions by number
    /// (docs/contributing/broker-api.md#what-was-published-last).
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn latest_versions(&self) -> Result<Option<HashMap<String, String>>, BrokerError> {
        let Some(document) = self.ask(Request::get(Operation::ReadPacticipants, &["pacticipants"])).await? else {
            return Ok(None);
        };
        let List { embedded: Listed { pacticipants } } = document.read()?;
        let latest = pacticipants.into_iter().filter_map(|row| match row {
            Row::Shaped(ListedPacticipant { name, embedded }) => {
                let latest = embedded.and_then(|embedded| embedded.latest_version);
                Some((name, latest.map_or_else(String::new, |latest| latest.number)))
            }
            Row::Other => None,
        });
        Ok(Some(latest.collect()))
    }

    /// The versions of a pacticipant that the broker has as its newest, the newest first, so many at most; none of one that it
    /// does not know. It is a hint what to look at, never a reason to act (docs/contributing/broker-api.md#the-newest-versions).
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn newest_versions(&self, pacticipant: &Pacticipant, count: usize) -> Result<Vec<Version>, BrokerError> {
        let segments = ["pacticipants", pacticipant.as_str(), "versions"];
        let page_size = count.to_string();
        let query = [("pageNumber", "1"), ("pageSize", page_size.as_str())];
        let request = Request::get(Operation::ReadVersions, &segments).with(&query);
        let Some(document) = self.ask(request).await? else { return Ok(Vec::new()) };
        let VersionList { embedded: ListedVersions { versions } } = document.read()?;
        let numbers = versions.into_iter().filter_map(|row| match row {
            Row::Shaped(LatestVersion { number }) => exact(&number, Version::parse, Version::as_str),
            Row::Other => None,
        });
        // A broker that knows no pages answers with all of them.
        Ok(numbers.take(count).collect())
    }

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

    /// The branch of a version; `None` when the version is missing, or is on no branch or on several.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn branch_of(&self, pacticipant: &Pacticipant, version: &Version) -> Result<Option<String>, BrokerError> {
        let segments = ["pacticipants", pacticipant.as_str(), "versions", version.as_str()];
        let Some(document) = self.ask(Request::get(Operation::ReadVersion, &segments)).await? else { return Ok(None) };
        let branches = document.read::<BranchedVersion>()?.embedded.map(|it| it.branch_versions).unwrap_or_default();
        match <[Row<Branch>; 1]>::try_from(branches) {
            Ok([Row::Shaped(Branch { name })]) => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    /// Those of some pacticipants that the broker does not know: one request for each. It refuses a whole question when it
    /// does not know one of the names in it.
    pub(super) async fn unknown_among(
        &self,
        names: BTreeSet<&Pacticipant>,
    ) -> Result<BTreeSet<Pacticipant>, BrokerError> {
        let known = join_all(names.iter().map(|name| self.pacticipant_exists(name))).await;
        let mut unknown = BTreeSet::new();
        for (name, exists) in names.into_iter().zip(known) {
            if !exists? {
                unknown.insert(name.clone());
            }
        }
        Ok(unknown)
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

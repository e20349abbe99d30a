//! Environments: `/environments`.

use serde::Deserialize;
use serde_json::json;

use super::Broker;
use super::answer::Document;
use super::error::BrokerError;
use super::ids::EnvironmentId;
use super::operation::Operation;
use super::rows::{Row, Rows, exact};
use super::transport::Request;
use crate::api::names::EnvironmentName;

/// An environment at a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its uuid, which the paths of deployments and releases need.
    pub id: EnvironmentId,
    /// Its name, unique at the broker.
    pub name: EnvironmentName,
    /// The display name; the broker derives it from the name when none is given.
    pub display_name: String,
    /// A label only: the broker does not use it for decisions.
    pub production: bool,
}

/// An environment to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// The display name; the broker derives it from the name when there is none.
    pub display_name: Option<String>,
    /// Whether it is a production environment.
    pub production: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvironmentRow {
    uuid: String,
    name: String,
    display_name: Option<String>,
    production: Option<bool>,
}

impl EnvironmentRow {
    fn read(self) -> Option<Environment> {
        let name = exact(&self.name, EnvironmentName::parse, EnvironmentName::as_str)?;
        Some(Environment {
            id: EnvironmentId::parse(&self.uuid).ok()?,
            display_name: self.display_name.unwrap_or_else(|| name.as_str().to_owned()),
            name,
            production: self.production.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "_embedded")]
    embedded: Embedded,
}

#[derive(Deserialize)]
struct Embedded {
    environments: Vec<Row<EnvironmentRow>>,
}

impl Broker {
    /// The environment with this name, or `None`.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn environment(&self, name: &EnvironmentName) -> Result<Option<Environment>, BrokerError> {
        let query = [("name", name.as_str())];
        let found = self.read_environments(&query).await?;
        // The broker filters; if it did not, the wrong environment must not be taken.
        Ok(found.into_iter().find(|environment| environment.name == *name))
    }

    /// All environments except those with unreadable names.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn environments(&self) -> Result<Vec<Environment>, BrokerError> {
        self.read_environments(&[]).await
    }

    async fn read_environments(&self, query: &[(&str, &str)]) -> Result<Vec<Environment>, BrokerError> {
        let operation = Operation::ReadEnvironments;
        let Some(document) = self.ask(Request::get(operation, &["environments"]).with(query)).await? else {
            return Err(too_old(operation));
        };
        let list: List = document.read()?;
        Ok(Rows::read("environments", list.embedded.environments, EnvironmentRow::read).rows)
    }

    /// Creates an environment; if one of that name exists, returns it unchanged. Two requests then.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn create_environment(&self, new: &NewEnvironment) -> Result<Environment, BrokerError> {
        let operation = Operation::CreateEnvironment;
        let mut body = json!({ "name": new.name.as_str(), "production": new.production });
        if let Some(display_name) = &new.display_name {
            body["displayName"] = json!(display_name);
        }
        match self.ask(Request::post(operation, &["environments"], body)).await {
            Ok(Some(document)) => read_created(&document),
            Ok(None) => Err(too_old(operation)),
            // A broker answers 400 when the name is taken, and 500 when two requests take it at once.
            Err(error @ (BrokerError::Rejected { status: 400, .. } | BrokerError::Server { status: 500, .. })) => {
                self.environment(&new.name).await?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }
}

fn read_created(document: &Document) -> Result<Environment, BrokerError> {
    let row: EnvironmentRow = document.read()?;
    row.read().ok_or_else(|| document.other_shape("an environment without a readable uuid and name"))
}

fn too_old(operation: Operation) -> BrokerError {
    let message = "it knows no environments, it must be 2.80.0 or later".to_owned();
    BrokerError::Rejected { operation, status: 404, message }
}

//! The matrix: which versions have verified whose pacts. `GET /matrix`.

use serde::Deserialize;

use super::{
    Broker,
    error::BrokerError,
    operation::Operation,
    rows::{Row, Rows, exact},
    transport::Request,
};
use crate::{
    api::names::{EnvironmentName, Pacticipant, Version},
    decide::{LATEST_BY, Matrix, MatrixRow, Question, Selection, UnrecordedVersion},
};

/// More rows than any environment has: without a limit a broker reads the newest 100 only, and answers yes although row
/// 101 failed (docs/contributing/broker-api.md#the-limit-of-100-rows).
const LIMIT: &str = "100000";

#[derive(Deserialize)]
struct Body {
    summary: Summary,
    matrix: Vec<Row<RowBody>>,
}

#[derive(Deserialize)]
struct Summary {
    deployable: Option<bool>,
    #[serde(default)]
    success: u64,
    #[serde(default)]
    failed: u64,
    #[serde(default)]
    unknown: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowBody {
    consumer: Side,
    provider: Side,
    verification_result: Option<VerificationResult>,
    #[serde(default)]
    ignored: bool,
}

#[derive(Deserialize)]
struct Side {
    name: String,
    version: Option<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    number: String,
}

#[derive(Deserialize)]
struct VerificationResult {
    success: bool,
}

impl RowBody {
    fn read(self) -> Option<MatrixRow> {
        let pacticipant = |side: &Side| exact(&side.name, Pacticipant::parse, Pacticipant::as_str);
        let version = |numbered: &Numbered| exact(&numbered.number, Version::parse, Version::as_str);
        let provider_version = match &self.provider.version {
            Some(numbered) => Some(version(numbered)?),
            None => None,
        };
        Some(MatrixRow {
            consumer: pacticipant(&self.consumer)?,
            consumer_version: version(self.consumer.version.as_ref()?)?,
            provider: pacticipant(&self.provider)?,
            provider_version,
            success: self.verification_result.map(|result| result.success),
            ignored: self.ignored,
        })
    }
}

impl Body {
    fn read(self) -> Matrix {
        let rows = Rows::read("the matrix", self.matrix, RowBody::read);
        let Summary { deployable, success, failed, unknown } = self.summary;
        Matrix { deployable, success, failed, unknown, rows: rows.rows, unreadable: rows.unreadable }
    }
}

impl Broker {
    /// The matrix of a question: every pact and result that counts for it, whatever the broker concludes from them.
    ///
    /// # Errors
    /// [`BrokerError::Rejected`] with status 400 when the pacticipant or the environment does not exist, and any other.
    pub async fn matrix(&self, question: &Question) -> Result<Matrix, BrokerError> {
        self.read_matrix(question.matrix_query()).await
    }

    /// The matrix of a version with each of some others, wherever those are: also of those to each other.
    ///
    /// # Errors
    /// [`BrokerError::Rejected`] with status 400 when one of the pacticipants does not exist, and any other.
    pub async fn pairs(&self, question: &Question, others: &[&UnrecordedVersion]) -> Result<Matrix, BrokerError> {
        if others.is_empty() {
            return Ok(Matrix::default());
        }
        let ours = (&question.pacticipant, &question.version);
        let all = [ours].into_iter().chain(others.iter().map(|other| (&other.pacticipant, &other.version)));
        let query = all.flat_map(|(pacticipant, version)| {
            [("q[][pacticipant]", pacticipant.as_str()), ("q[][version]", version.as_str())]
        });
        self.read_matrix(query.chain([("latestby", LATEST_BY)]).collect()).await
    }

    /// The matrix of several versions of a pacticipant in an environment: each pact and result of one of them with what is live
    /// there. Its sums are about all together, and mean nothing.
    ///
    /// # Errors
    /// [`BrokerError::Rejected`] with status 400 when the pacticipant or the environment does not exist, and any other.
    pub async fn matrix_of_versions(
        &self,
        pacticipant: &Pacticipant,
        versions: &[Version],
        environment: &EnvironmentName,
    ) -> Result<Matrix, BrokerError> {
        let selectors = versions
            .iter()
            .flat_map(|version| [("q[][pacticipant]", pacticipant.as_str()), ("q[][version]", version.as_str())]);
        let rest = [("latestby", LATEST_BY), ("environment", environment.as_str())];
        self.read_matrix(selectors.chain(rest).collect()).await
    }

    /// Every pact and result of a version, wherever the other side is.
    ///
    /// # Errors
    /// [`BrokerError::Rejected`] with status 400 when the pacticipant does not exist, and any other.
    pub async fn whole_matrix(&self, question: &Question) -> Result<Matrix, BrokerError> {
        let (pacticipant, version) = (question.pacticipant.as_str(), question.version.as_str());
        let query = vec![("q[][pacticipant]", pacticipant), ("q[][version]", version), ("latestby", LATEST_BY)];
        self.read_matrix(query).await
    }

    /// The matrix of what somebody selected: also of versions that are not named, and to other destinations than an
    /// environment.
    ///
    /// # Errors
    /// [`BrokerError::Rejected`] with status 400 when a pacticipant or the environment does not exist, and any other.
    pub async fn matrix_of(&self, selection: &Selection) -> Result<Matrix, BrokerError> {
        self.read_matrix(selection.matrix_query()).await
    }

    async fn read_matrix(&self, mut query: Vec<(&str, &str)>) -> Result<Matrix, BrokerError> {
        query.push(("limit", LIMIT));
        let operation = Operation::ReadMatrix;
        let Some(document) = self.ask(Request::get(operation, &["matrix"]).with(&query)).await? else {
            let answered = "HTTP 404".to_owned();
            return Err(BrokerError::NotABroker { operation, answered });
        };
        document.read::<Body>().map(Body::read)
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;

//! The whole check: from the matrix, the other live versions and the errors to one verdict.

use std::collections::BTreeSet;

use futures::future::try_join_all;

use super::{Broker, BrokerError, Environment};
use crate::{
    api::names::{Pacticipant, Version},
    decide::{Judgement, LiveVersions, Matrix, Question, Verdict, judge, wants_live},
};

/// From how many providers on the live versions of all applications are read at once: two requests that cost a broker
/// some hundred milliseconds, against two requests of about three milliseconds for each provider.
const ONE_BY_ONE: usize = 8;

impl Broker {
    /// Asks whether a version may be deployed to an environment. An error becomes a verdict, too: see [`Self::judge`].
    pub async fn can_i_deploy(&self, question: &Question) -> Judgement {
        self.judge(question).await.unwrap_or_else(|error| verdict_of(&error))
    }

    /// Asks whether a version may be deployed to an environment.
    ///
    /// One request for a plain no. When the pacts of the version have to be compared with the live versions, one more
    /// request and two for each provider. Each is limited like every request of a [`Broker`].
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing: a missing object is an answer.
    pub async fn judge(&self, question: &Question) -> Result<Judgement, BrokerError> {
        match self.reading(question).await {
            Ok(Reading { judgement, hidden: true }) => {
                // A provider that was recorded between the two readings would seem hidden: read once more.
                Ok(self.reading(question).await.map_or(judgement, |reading| reading.judgement))
            }
            Ok(reading) => Ok(reading.judgement),
            // A broker answers 400 when the environment or the pacticipant is missing, and names it only in the text.
            Err(error @ BrokerError::Rejected { status: 400, .. }) => self.missing(question).await?.ok_or(error),
            Err(BrokerError::EnvironmentMissing { .. }) => Ok(environment_missing(question)),
            Err(error) => Err(error),
        }
    }

    async fn reading(&self, question: &Question) -> Result<Reading, BrokerError> {
        let matrix = self.matrix(question).await?;
        let by_rows = judge(question, &matrix, &LiveVersions::default());
        let providers = wants_live(question, &matrix);
        if providers.is_empty() {
            return Ok(Reading { judgement: by_rows, hidden: false });
        }
        match self.live_versions(question, providers).await {
            Ok(live) => Ok(Reading::compared(question, &matrix, &by_rows, &live)),
            // Live versions cannot turn an unknown result into a yes.
            Err(_) if !by_rows.verdict.is_yes() => Ok(Reading { judgement: by_rows, hidden: false }),
            Err(error) => Err(error),
        }
    }

    /// The live versions of these applications.
    async fn live_versions(&self, question: &Question, providers: BTreeSet<Pacticipant>) -> Result<Live, BrokerError> {
        let Some(environment) = self.environment(&question.environment).await? else {
            return Ok(Live { versions: LiveVersions::default(), unreadable: 0, gone: true });
        };
        let mut live = Live { versions: LiveVersions::default(), unreadable: 0, gone: false };
        let one_by_one: Vec<Option<&Pacticipant>> =
            if providers.len() < ONE_BY_ONE { providers.iter().map(Some).collect() } else { vec![None] };
        let read = one_by_one.into_iter().map(|provider| self.live_of(&environment, provider));
        let read = try_join_all(read).await?;
        for provider in &providers {
            live.versions.looked_up(provider.clone());
        }
        for (rows, unreadable) in read {
            live.unreadable += unreadable;
            for (pacticipant, version) in rows.into_iter().filter(|(pacticipant, _)| providers.contains(pacticipant)) {
                live.versions.looked_up(pacticipant).insert(version);
            }
        }
        Ok(live)
    }

    /// The deployed or supported versions, of one application or of all, and how many rows could not be read.
    async fn live_of(
        &self,
        environment: &Environment,
        provider: Option<&Pacticipant>,
    ) -> Result<(Vec<(Pacticipant, Version)>, usize), BrokerError> {
        let deployed = self.currently_deployed_rows(&environment.id, provider).await?;
        let supported = self.currently_supported_rows(&environment.id, provider).await?;
        let unreadable = deployed.unreadable + supported.unreadable;
        let deployed = deployed.rows.into_iter().map(|row| (row.pacticipant, row.version));
        let supported = supported.rows.into_iter().map(|row| (row.pacticipant, row.version));
        Ok((deployed.chain(supported).collect(), unreadable))
    }

    /// Which of environment and pacticipant is missing, if either is.
    async fn missing(&self, question: &Question) -> Result<Option<Judgement>, BrokerError> {
        if self.environment(&question.environment).await?.is_none() {
            return Ok(Some(environment_missing(question)));
        }
        if self.pacticipant_exists(&question.pacticipant).await? {
            return Ok(None);
        }
        let explanation = format!("the broker knows no pacticipant named {}", question.pacticipant);
        Ok(Some(Judgement::without_pairs(Verdict::PacticipantUnknown, explanation)))
    }
}

/// The live versions, and how complete they are.
struct Live {
    versions: LiveVersions,
    unreadable: usize,
    gone: bool,
}

/// A judgement, and whether it is a no only because of a version that the matrix does not show.
struct Reading {
    judgement: Judgement,
    hidden: bool,
}

impl Reading {
    fn compared(question: &Question, matrix: &Matrix, by_rows: &Judgement, live: &Live) -> Self {
        if live.gone {
            return Self { judgement: environment_missing(question), hidden: false };
        }
        let judgement = judge(question, matrix, &live.versions);
        if live.unreadable > 0 && judgement.verdict.is_yes() {
            let explanation = format!(
                "{} rows of what is live in {} cannot be read, so that a version may be missing",
                live.unreadable, question.environment
            );
            let judgement = Judgement { verdict: Verdict::Unknown, explanation: Some(explanation), ..judgement };
            return Self { judgement, hidden: false };
        }
        let hidden = by_rows.verdict.is_yes() && !judgement.verdict.is_yes();
        Self { judgement, hidden }
    }
}

fn environment_missing(question: &Question) -> Judgement {
    let explanation = format!("the broker has no environment named {}", question.environment);
    Judgement::without_pairs(Verdict::EnvironmentMissing, explanation)
}

/// The verdict when a broker did not answer the question.
#[must_use]
pub fn verdict_of(error: &BrokerError) -> Judgement {
    let verdict = match error {
        BrokerError::Unauthorized { .. } | BrokerError::Forbidden { .. } => Verdict::Unauthorized,
        BrokerError::PacticipantMissing { .. } => Verdict::PacticipantUnknown,
        BrokerError::VersionMissing { .. } => Verdict::VersionMissing,
        BrokerError::EnvironmentMissing { .. } => Verdict::EnvironmentMissing,
        BrokerError::RateLimited { .. }
        | BrokerError::Server { .. }
        | BrokerError::Transport { .. }
        | BrokerError::Busy { .. }
        | BrokerError::NotABroker { .. }
        | BrokerError::Redirected { .. }
        | BrokerError::TooLarge { .. }
        | BrokerError::Rejected { .. }
        | BrokerError::Unaddressable { .. } => Verdict::BrokerUnavailable,
    };
    Judgement::without_pairs(verdict, error.to_string())
}

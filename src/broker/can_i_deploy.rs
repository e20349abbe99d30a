//! The whole check: from the matrix, what is live and the errors to one verdict.

use std::{fmt, sync::Arc};

use futures::future::{join, try_join_all};
use tokio::time::Instant;

use super::{
    Broker, BrokerError,
    live::{LiveCache, LiveSnapshot},
    providers::Providers,
};
use crate::{
    api::names::{EnvironmentName, Pacticipant, Version},
    decide::{
        Evidence, Judgement, LiveVersions, Matrix, PairResult, Question, UnrecordedVersion, Vacuous, Verdict,
        brokers_spelling, judge, of_other_spelling, wants_live,
    },
};

/// How many versions one request asks about: the names of this many fit into a URL that every proxy takes.
pub(super) const ASKED_TOGETHER: usize = 30;

/// A state of what runs: how often it changed, and which admission was the last one before.
pub type Revision = (u64, u64);

/// What the cluster knows to run in the environments of one broker.
pub trait Running: Send + Sync {
    /// Others whenever something else runs in the environment of a question than before.
    fn revision(&self, question: &Question) -> Revision;

    /// The versions that run in the environment of a question, or are on their way there before the one in question, and
    /// are not among those that the broker has.
    fn unrecorded(&self, question: &Question, recorded: &LiveVersions) -> Vec<UnrecordedVersion>;
}

/// No cluster: what the broker says is all that is known.
#[derive(Clone, Copy, Debug)]
pub struct NoCluster;

impl Running for NoCluster {
    fn revision(&self, _: &Question) -> Revision {
        (0, 0)
    }

    fn unrecorded(&self, _: &Question, _: &LiveVersions) -> Vec<UnrecordedVersion> {
        Vec::new()
    }
}

/// Asks a broker whether versions may be deployed. Clones share what was read of its environments.
#[derive(Clone)]
pub struct Judge {
    broker: Broker,
    live: Arc<LiveCache>,
    providers: Arc<Providers>,
    running: Arc<dyn Running>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judge({:?})", self.broker)
    }
}

impl Broker {
    /// Asks whether a version may be deployed to an environment, by what the broker alone knows. An error becomes a
    /// verdict, too: see [`Judge::judge`].
    pub async fn can_i_deploy(&self, question: &Question) -> Judgement {
        let judge = Judge::new(self.clone(), Arc::new(NoCluster));
        judge.judge(question).await.unwrap_or_else(|error| verdict_of(&error))
    }
}

impl Judge {
    /// Asks this broker, and takes in what the cluster knows besides.
    #[must_use]
    pub fn new(broker: Broker, running: Arc<dyn Running>) -> Self {
        Self { broker, live: Arc::default(), providers: Arc::default(), running }
    }

    /// Asks whether a version may be deployed to an environment.
    ///
    /// One request while the broker has recorded what runs: what is live is read for all questions together, at most
    /// every few seconds. One more for each few versions that run and are not recorded.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing: a missing object is an answer.
    pub async fn judge(&self, question: &Question) -> Result<Judgement, BrokerError> {
        match self.reading(question, None).await {
            Ok(Reading { judgement, hidden: true }) => {
                // A provider that was recorded between the two readings would seem hidden: read once more.
                Ok(self.reading(question, Some(Instant::now())).await.map_or(judgement, |reading| reading.judgement))
            }
            Ok(Reading { judgement, .. }) if judgement.verdict == Verdict::YesVacuous => {
                Ok(self.why_vacuous(question, judgement).await)
            }
            Ok(reading) => Ok(reading.judgement),
            // A broker answers 400 for a missing pacticipant, too, and names it only in the text.
            Err(error @ BrokerError::Rejected { status: 400, .. }) => self.missing(question).await?.ok_or(error),
            Err(BrokerError::EnvironmentMissing { .. }) => Ok(environment_missing(&question.environment)),
            Err(error) => Err(error),
        }
    }

    /// What an environment has as live was changed: it is read anew.
    pub fn forget(&self, environment: &EnvironmentName) {
        self.live.forget(environment);
    }

    /// All that is deployed of a pacticipant in an environment was read, beginning at `began`: what is known of the
    /// environment is brought up to date with it.
    pub fn saw_deployed(
        &self,
        environment: &EnvironmentName,
        pacticipant: &Pacticipant,
        began: Instant,
        versions: Vec<Version>,
    ) {
        self.live.saw_deployed(environment, pacticipant, began, versions);
    }

    /// The same, whose requests wait while any other request to the broker does.
    #[must_use]
    pub fn giving_way(&self) -> Self {
        Self { broker: self.broker.giving_way(), ..self.clone() }
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What is live in an environment; see [`LiveCache::read`].
    pub(super) async fn live(&self, environment: &EnvironmentName) -> Result<Option<Arc<LiveSnapshot>>, BrokerError> {
        self.live.read(&self.broker, environment, None).await
    }

    /// See [`Running::unrecorded`].
    pub(super) fn unrecorded(&self, question: &Question, recorded: &LiveVersions) -> Vec<UnrecordedVersion> {
        self.running.unrecorded(question, recorded)
    }

    /// See [`Running::revision`].
    #[must_use]
    pub fn revision(&self, question: &Question) -> Revision {
        self.running.revision(question)
    }

    /// One judgement, by what was live at `not_before` or later, if that is given.
    async fn reading(&self, question: &Question, not_before: Option<Instant>) -> Result<Reading, BrokerError> {
        let environment = &question.environment;
        let read = self.live.read(&self.broker, environment, not_before);
        let asking = self.providers.ask(question);
        let (matrix, live) = join(self.broker.matrix(question), read).await;
        let matrix = match (matrix, &live) {
            // A broker answers 400 for a missing environment, and names it only in the text.
            (Err(BrokerError::Rejected { status: 400, .. }), Ok(None)) => {
                return Ok(Reading { judgement: environment_missing(&question.environment), hidden: false });
            }
            (matrix, _) => matrix?,
        };
        asking.answered(&matrix);
        let nothing = LiveVersions::default();
        let by_rows = || judge(question, &Evidence::of_broker(&matrix, &nothing));
        if !wants_live(&matrix) {
            return Ok(Reading { judgement: by_rows(), hidden: false });
        }
        let live = match live {
            Ok(Some(live)) => live,
            Ok(None) => return Ok(Reading { judgement: environment_missing(&question.environment), hidden: false }),
            Err(error) => {
                // Live versions that the broker has cannot turn an unknown result into a yes.
                let judgement = by_rows();
                return if judgement.verdict.is_yes() { Err(error) } else { Ok(Reading { judgement, hidden: false }) };
            }
        };
        let mut unrecorded = self.running.unrecorded(question, &live.versions);
        unrecorded
            .retain(|one| one.pacticipant != question.pacticipant && !question.leaves_out_all_of(&one.pacticipant));
        let unrecorded = self.providers.related(question, &matrix, unrecorded).await;
        let pairs = self.pairs(question, &unrecorded).await?;
        let evidence = Evidence { matrix: &matrix, recorded: &live.versions, unrecorded: &unrecorded, pairs: &pairs };
        let judgement = judge(question, &evidence);
        if live.unreadable > 0 && judgement.verdict.is_yes() {
            let explanation = format!(
                "{} rows of what is live in {environment} cannot be read, so that a version may be missing",
                live.unreadable
            );
            let judgement = Judgement { verdict: Verdict::Unknown, explanation: Some(explanation), ..judgement };
            return Ok(Reading { judgement, hidden: false });
        }
        let missing_in_matrix = judgement.failing().any(|pair| {
            pair.result == PairResult::Unverified
                && pair.provider_version.as_ref().is_some_and(|version| live.versions.has(&pair.provider, version))
        });
        let hidden = missing_in_matrix && !judgement.verdict.is_yes() && by_rows().verdict.is_yes();
        Ok(Reading { judgement, hidden })
    }

    /// A vacuous yes with its reason: one more request. Without an answer, it is a vacuous yes all the same.
    async fn why_vacuous(&self, question: &Question, judgement: Judgement) -> Judgement {
        match self.broker.whole_matrix(question).await {
            Ok(own) => match brokers_spelling(question, &own) {
                Some(theirs) => of_other_spelling(question, theirs),
                None => Judgement { vacuous: Vacuous::of(question, &own), ..judgement },
            },
            Err(_) => judgement,
        }
    }

    /// The matrix of the version in question with each unrecorded version.
    async fn pairs(&self, question: &Question, unrecorded: &[UnrecordedVersion]) -> Result<Matrix, BrokerError> {
        let asked =
            unrecorded.chunks(ASKED_TOGETHER).map(|versions| self.pairs_with(question, versions.iter().collect()));
        let mut all = Matrix::default();
        for matrix in try_join_all(asked).await? {
            all.success += matrix.success;
            all.unreadable += matrix.unreadable;
            all.rows.extend(matrix.rows);
        }
        Ok(all)
    }

    async fn pairs_with(
        &self,
        question: &Question,
        mut versions: Vec<&UnrecordedVersion>,
    ) -> Result<Matrix, BrokerError> {
        let error = match self.broker.pairs(question, &versions).await {
            Err(error @ BrokerError::Rejected { status: 400, .. }) => error,
            answered => return answered,
        };
        // Nobody has a pact with a name that the broker does not know.
        let unknown = self.broker.unknown_among(versions.iter().map(|one| &one.pacticipant).collect()).await?;
        versions.retain(|one| !unknown.contains(&one.pacticipant));
        if unknown.is_empty() {
            return Err(error);
        }
        if versions.is_empty() { Ok(Matrix::default()) } else { self.broker.pairs(question, &versions).await }
    }

    /// Which of environment and pacticipant is missing, if either is.
    async fn missing(&self, question: &Question) -> Result<Option<Judgement>, BrokerError> {
        if self.broker.environment(&question.environment).await?.is_none() {
            return Ok(Some(environment_missing(&question.environment)));
        }
        if self.broker.pacticipant_exists(&question.pacticipant).await? {
            return Ok(None);
        }
        let live = self.live(&question.environment).await.ok().flatten();
        let nothing = LiveVersions::default();
        Ok(Some(Judgement::of_unknown_pacticipant(question, live.as_ref().map_or(&nothing, |live| &live.versions))))
    }
}

/// A judgement, and whether it is a no only because of a version that the matrix does not show.
struct Reading {
    judgement: Judgement,
    hidden: bool,
}

/// The judgement when the broker does not have the environment.
pub(super) fn environment_missing(environment: &EnvironmentName) -> Judgement {
    let explanation = format!("the broker has no environment named {environment}");
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

//! With which providers versions have pacts, as their own matrices said a moment ago.
//!
//! A version that runs and is not recorded is asked about in a pair with the version in question. Most such pairs have no
//! pact. Whoever deploys fifty consumers of one provider at once asks about each of them, so each one's matrix says which
//! providers it needs, also those that are not in the environment, and the forty-nine others need not be asked about
//! again (docs/contributing/decisions/order-of-questions.md).

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use moka::sync::Cache;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    api::names::{Pacticipant, Version},
    decide::{Matrix, Question, UnrecordedVersion},
};

/// How long a matrix says it: as long as a yes is kept. A pact that is published meanwhile with a version that rolls out
/// already is noticed after that.
const SERVES: Duration = Duration::from_secs(10);
/// How long answers about other versions that are being asked for are waited for, in all. Longer than most answers take;
/// asking about a pair is always possible.
const AWAITED: Duration = Duration::from_millis(250);
/// How many versions are remembered.
const MOST_VERSIONS: u64 = 10_000;

/// What is known of one version's providers.
#[derive(Default)]
struct Known {
    providers: OnceLock<BTreeSet<Pacticipant>>,
    ended: Notify,
}

/// The providers of versions. See the module.
pub(super) struct Providers {
    by_version: Cache<(Pacticipant, Version), Arc<Known>>,
}

impl Default for Providers {
    fn default() -> Self {
        Self { by_version: Cache::builder().max_capacity(MOST_VERSIONS).time_to_live(SERVES).build() }
    }
}

/// The matrix of a version is being asked for. Dropped without an answer, it leaves nothing to wait for.
pub(super) struct Asking<'a> {
    providers: &'a Providers,
    version: (Pacticipant, Version),
    known: Arc<Known>,
}

impl Asking<'_> {
    /// The answer. One with rows that cannot be read says nothing, nor does one about a version that may be published in a
    /// moment.
    pub(super) fn answered(self, matrix: &Matrix) {
        let missing = matrix.rows.is_empty() && matrix.deployable != Some(true);
        if matrix.unreadable == 0 && !missing {
            let ours = |row: &&crate::decide::MatrixRow| {
                (&row.consumer, &row.consumer_version) == (&self.version.0, &self.version.1)
            };
            let providers = matrix.rows.iter().filter(ours).map(|row| row.provider.clone()).collect();
            // Whoever else asked the same has the same answer.
            drop(self.known.providers.set(providers));
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.known.providers.get().is_none() {
            self.providers.by_version.invalidate(&self.version);
        }
        self.known.ended.notify_waiters();
    }
}

impl Providers {
    /// The matrix of the version in question is asked for now.
    pub(super) fn ask(&self, question: &Question) -> Asking<'_> {
        let version = (question.pacticipant.clone(), question.version.clone());
        let known = Arc::<Known>::default();
        self.by_version.insert(version.clone(), Arc::clone(&known));
        Asking { providers: self, version, known }
    }

    /// Those of these versions that may have a pact with the one in question, by its own matrix and by theirs. One of which
    /// nothing is known may.
    pub(super) async fn related(
        &self,
        question: &Question,
        matrix: &Matrix,
        versions: Vec<UnrecordedVersion>,
    ) -> Vec<UnrecordedVersion> {
        let needed: BTreeSet<_> = matrix.rows.iter().map(|row| &row.provider).collect();
        let (mut related, until) = (Vec::new(), Instant::now() + AWAITED);
        for one in versions {
            if needed.contains(&one.pacticipant) || self.may_need(&one, &question.pacticipant, until).await {
                related.push(one);
            }
        }
        related
    }

    /// Whether a version may have a pact with a provider. What is being asked for is waited for `until` then.
    async fn may_need(&self, one: &UnrecordedVersion, provider: &Pacticipant, until: Instant) -> bool {
        let Some(known) = self.by_version.get(&(one.pacticipant.clone(), one.version.clone())) else { return true };
        if known.providers.get().is_none() {
            let ended = known.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if known.providers.get().is_none() {
                drop(timeout_at(until, ended).await);
            }
        }
        known.providers.get().is_none_or(|providers| providers.contains(provider))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;
    use crate::{
        api::{gate::InFlight, names::EnvironmentName},
        decide::MatrixRow,
    };

    fn name(name: &str) -> Pacticipant {
        Pacticipant::parse(name).unwrap()
    }

    fn version(version: &str) -> Version {
        Version::parse(version).unwrap()
    }

    fn question(pacticipant: &str) -> Question {
        Question {
            pacticipant: name(pacticipant),
            version: version("1"),
            environment: EnvironmentName::parse("production").unwrap(),
            ignore: Vec::new(),
            in_flight: InFlight::Count,
        }
    }

    /// The matrix of a consumer at 1 with these providers, none of which is there.
    fn matrix(consumer: &str, providers: &[&str]) -> Matrix {
        let row = |provider: &&str| MatrixRow {
            consumer: name(consumer),
            consumer_version: version("1"),
            provider: name(provider),
            provider_version: None,
            success: None,
            ignored: false,
        };
        Matrix { deployable: Some(true), rows: providers.iter().map(row).collect(), ..Matrix::default() }
    }

    fn running(names: &[&str]) -> Vec<UnrecordedVersion> {
        let one = |it: &&str| UnrecordedVersion { pacticipant: name(it), version: version("1"), in_flight: true };
        names.iter().map(one).collect()
    }

    #[tokio::test]
    async fn a_version_whose_matrix_names_no_pact_with_ours_is_not_asked_about() {
        let providers = Providers::default();
        providers.ask(&question("web")).answered(&matrix("web", &["orders", "stock"]));
        providers.ask(&question("app")).answered(&matrix("app", &["billing"]));
        providers.ask(&question("unread")).answered(&Matrix { unreadable: 1, ..matrix("unread", &[]) });
        providers.ask(&question("missing")).answered(&Matrix { deployable: Some(false), ..Matrix::default() });
        let all = running(&["web", "app", "unread", "missing", "never-asked", "stock"]);
        let related = async |ours: &str, own: &Matrix| {
            let related = providers.related(&question(ours), own, all.clone()).await;
            related.into_iter().map(|one| one.pacticipant.to_string()).collect::<Vec<_>>()
        };
        let not_known = ["unread", "missing", "never-asked", "stock"];
        assert_eq!(related("orders", &matrix("orders", &[])).await, [&["web"][..], &not_known].concat());
        assert_eq!(related("other", &matrix("other", &["app"])).await, [&["app"][..], &not_known].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_on_its_way_is_waited_for_but_not_for_long() {
        let providers = Providers::default();
        let own = matrix("orders", &[]);
        let ours = question("orders");
        let asking = providers.ask(&question("web"));
        let mut related = pin!(providers.related(&ours, &own, running(&["web"])));
        assert!(poll!(related.as_mut()).is_pending());
        asking.answered(&matrix("web", &["billing"]));
        assert_eq!(related.await, []);

        let failed = providers.ask(&question("web"));
        let mut related = pin!(providers.related(&ours, &own, running(&["web"])));
        assert!(poll!(related.as_mut()).is_pending());
        drop(failed);
        assert_eq!(related.await, running(&["web"]), "nothing is known");

        let (_slow, _slower) = (providers.ask(&question("web")), providers.ask(&question("app")));
        let began = Instant::now();
        let both = running(&["web", "app"]);
        assert_eq!(providers.related(&ours, &own, both.clone()).await, both);
        assert_eq!(began.elapsed(), AWAITED);
    }
}

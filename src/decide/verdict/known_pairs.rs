//! Rows of several matrices, put together: from them, the matrix that a broker would show of a question if other versions
//! were live than those that are. [`super::judge()`] reads it like a broker's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{LiveVersions, Matrix, MatrixRow, Member, Question};
use crate::api::names::{Pacticipant, Version};

/// What each provider version said of a pact.
type Results = BTreeMap<Version, bool>;

/// The pacts of consumer versions, and what is known of their verification. See the module.
#[derive(Clone, Debug, Default)]
pub struct KnownPairs {
    /// The pacts of each consumer version, by provider.
    pacts: HashMap<Member, BTreeMap<Pacticipant, Results>>,
    /// The consumer versions that have a pact with a provider.
    consumers: HashMap<Pacticipant, BTreeSet<Member>>,
    /// The versions that gave a result.
    providers: BTreeSet<Member>,
}

impl KnownPairs {
    /// Takes in the rows of a matrix. Where two contradict each other, a verification failed.
    pub fn add<'a>(&mut self, rows: impl IntoIterator<Item = &'a MatrixRow>) {
        for row in rows {
            let consumer = (row.consumer.clone(), row.consumer_version.clone());
            let pacts = self.pacts.entry(consumer.clone()).or_default();
            let results = pacts.entry(row.provider.clone()).or_default();
            if let (Some(version), Some(success)) = (&row.provider_version, row.success) {
                let known = results.entry(version.clone()).or_insert(success);
                *known = *known && success;
                self.providers.insert((row.provider.clone(), version.clone()));
            }
            self.consumers.entry(row.provider.clone()).or_default().insert(consumer);
        }
    }

    /// Whether anything is known of a version: it has a pact, or gave a result.
    #[must_use]
    pub fn knows(&self, member: &Member) -> bool {
        self.pacts.contains_key(member) || self.providers.contains(member)
    }

    /// The matrix of a question, if these versions were live: as a broker shows it, with a row without a result only where
    /// no live version has one.
    #[must_use]
    pub fn matrix(&self, question: &Question, live: &LiveVersions) -> Matrix {
        let ours = (question.pacticipant.clone(), question.version.clone());
        let only_ours = BTreeSet::from([question.version.clone()]);
        let nobody = BTreeSet::new();
        let mut rows = Vec::new();
        for provider in self.pacts.get(&ours).into_iter().flat_map(BTreeMap::keys) {
            let versions =
                if *provider == question.pacticipant { &only_ours } else { live.of(provider).unwrap_or(&nobody) };
            rows.extend(self.rows(&ours, provider, versions));
        }
        for consumer in self.consumers.get(&question.pacticipant).into_iter().flatten() {
            if consumer.0 != question.pacticipant && live.has(&consumer.0, &consumer.1) {
                rows.extend(self.rows(consumer, &question.pacticipant, &only_ours));
            }
        }
        for row in &mut rows {
            row.ignored = question.leaves_out(row);
        }
        summed_up(rows)
    }

    /// The matrix of versions with each other.
    #[must_use]
    pub fn between(&self, members: &[Member]) -> Matrix {
        let mut rows = Vec::new();
        for consumer in members {
            for provider in self.pacts.get(consumer).into_iter().flat_map(BTreeMap::keys) {
                let versions = members.iter().filter(|(name, _)| name == provider).map(|(_, version)| version.clone());
                let versions: BTreeSet<_> = versions.collect();
                if !versions.is_empty() {
                    rows.extend(self.rows(consumer, provider, &versions));
                }
            }
        }
        summed_up(rows)
    }

    /// The rows of a pact with these versions of its provider: those that gave a result, or one without.
    fn rows(&self, consumer: &Member, provider: &Pacticipant, versions: &BTreeSet<Version>) -> Vec<MatrixRow> {
        let row = |provider_version, success| MatrixRow {
            consumer: consumer.0.clone(),
            consumer_version: consumer.1.clone(),
            provider: provider.clone(),
            provider_version,
            success,
            ignored: false,
        };
        let results = self.pacts.get(consumer).and_then(|pacts| pacts.get(provider));
        let given = results.into_iter().flatten().filter(|(version, _)| versions.contains(*version));
        let rows: Vec<_> = given.map(|(version, success)| row(Some(version.clone()), Some(*success))).collect();
        if rows.is_empty() { vec![row(None, None)] } else { rows }
    }
}

/// Rows with the sums that a broker gives of them.
fn summed_up(rows: Vec<MatrixRow>) -> Matrix {
    let count = |wanted| {
        let counted = rows.iter().filter(|row| !row.ignored && row.success == wanted).count();
        u64::try_from(counted).unwrap_or(u64::MAX)
    };
    let (success, failed, unknown) = (count(Some(true)), count(Some(false)), count(None));
    let deployable = if unknown > 0 { None } else { Some(failed == 0) };
    Matrix { deployable, success, failed, unknown, rows, unreadable: 0 }
}

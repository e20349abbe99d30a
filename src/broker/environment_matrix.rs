//! Every pact between the versions that are live in an environment: what the whole picture ([`crate::overview`]) rests on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::try_join_all;

use super::{Broker, BrokerError, can_i_deploy::ASKED_TOGETHER, live};
use crate::{
    api::names::{EnvironmentName, Pacticipant, Version},
    decide::{Destination, LiveVersions, Matrix, MatrixRow, Selection, Selector, UnrecordedVersion, Versions},
};

/// What is live in an environment, and the pacts between that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentMatrix {
    /// What the broker has as live there.
    pub recorded: LiveVersions,
    /// What runs there besides.
    pub unrecorded: Vec<UnrecordedVersion>,
    /// The rows; one may be there twice.
    pub rows: Vec<MatrixRow>,
    /// How many rows, of the matrix and of what is live, could not be read: something may be missing.
    pub unreadable: usize,
    /// Those of the applications that run and that the broker does not know.
    pub unknown: BTreeSet<Pacticipant>,
}

/// An application and all of its versions that are live.
type Live<'a> = (&'a Pacticipant, BTreeSet<&'a Version>);

/// How long to wait before a request is repeated that failed so many times before; `None` when it is not.
pub type Patience<'a> = &'a (dyn Fn(u32, &BrokerError) -> Option<Duration> + Sync);

/// Sends a request until it is answered, or the tries are over.
async fn patiently<T, Asked>(patience: Patience<'_>, ask: impl Fn() -> Asked) -> Result<T, BrokerError>
where
    Asked: Future<Output = Result<T, BrokerError>>,
{
    let mut failures = 0;
    loop {
        let error = match ask().await {
            Err(error) => error,
            answered => return answered,
        };
        let Some(wait) = patience(failures, &error) else { return Err(error) };
        failures += 1;
        tokio::time::sleep(wait).await;
    }
}

impl Broker {
    /// The matrix of everything that is live in an environment; `None` when the broker does not have that. `unrecorded` says
    /// what runs besides what the broker has.
    ///
    /// Three requests find what is live. Each matrix request names some 30 of the versions; the broker adds what it has in the
    /// environment of everybody with whom those have a pact. So there are as many as thirties of versions: eight for 200
    /// applications, where a question for each version would be 200. Two exceptions: what is not recorded is named together,
    /// since the broker adds none of it (where that is more than 30 versions, by fifteens, each with each other); and a name
    /// that the broker does not know makes it refuse the request, so one request for each application without a record finds
    /// out which it is, and the question is repeated without it. Where there is more than one such request, that is found out
    /// before, by thirties. Each request is repeated as `patience` says, and not all of them when one fails.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn environment_matrix(
        &self,
        environment: &EnvironmentName,
        unrecorded: impl FnOnce(&LiveVersions) -> Vec<UnrecordedVersion>,
        patience: Patience<'_>,
    ) -> Result<Option<EnvironmentMatrix>, BrokerError> {
        let Some(found) = patiently(patience, || self.environment(environment)).await? else { return Ok(None) };
        let live = match patiently(patience, || live::of(self, &found.id)).await {
            Err(BrokerError::EnvironmentMissing { .. }) => return Ok(None),
            read => read?,
        };
        let recorded = &live.versions;
        let unrecorded = unrecorded(recorded);
        let mut all = EnvironmentMatrix { unreadable: live.unreadable, ..EnvironmentMatrix::default() };
        let asking = Asking { broker: self, environment, recorded, patience };
        if unrecorded.len() > ASKED_TOGETHER {
            all.unknown = asking.unknown(&unrecorded).await?;
        }
        let known: Vec<_> = unrecorded.iter().filter(|one| !all.unknown.contains(&one.pacticipant)).cloned().collect();
        let requests = requests(recorded, &known);
        let read = try_join_all(requests.iter().map(|live| asking.matrix_of_live(live))).await?;
        for (matrix, unknown) in read {
            all.rows.extend(matrix.rows);
            all.unreadable += matrix.unreadable;
            all.unknown.extend(unknown);
        }
        Ok(Some(EnvironmentMatrix { recorded: recorded.clone(), unrecorded, ..all }))
    }
}

/// What is asked about one environment.
#[derive(Clone, Copy)]
struct Asking<'a> {
    broker: &'a Broker,
    environment: &'a EnvironmentName,
    recorded: &'a LiveVersions,
    patience: Patience<'a>,
}

impl Asking<'_> {
    /// Which of the applications that nothing is recorded of the broker does not know. One request for each thirty versions of
    /// them, and for each application of those thirties that the broker refuses.
    async fn unknown(self, unrecorded: &[UnrecordedVersion]) -> Result<BTreeSet<Pacticipant>, BrokerError> {
        let mut fresh: BTreeMap<&Pacticipant, BTreeSet<&Version>> = BTreeMap::new();
        for one in unrecorded.iter().filter(|one| !self.is_recorded(&one.pacticipant)) {
            fresh.entry(&one.pacticipant).or_default().insert(&one.version);
        }
        let groups = together(fresh, ASKED_TOGETHER);
        let read = try_join_all(groups.iter().map(|live| self.matrix_of_live(live))).await?;
        Ok(read.into_iter().flat_map(|(_, unknown)| unknown).collect())
    }

    /// The matrix of some applications, and those of them that the broker does not know.
    async fn matrix_of_live(self, live: &[Live<'_>]) -> Result<(Matrix, BTreeSet<Pacticipant>), BrokerError> {
        let error = match self.matrix(live).await {
            Err(error @ BrokerError::Rejected { status: 400, .. }) => error,
            answered => return Ok((answered?, BTreeSet::new())),
        };
        let names = live.iter().map(|(name, _)| *name).filter(|name| !self.is_recorded(name));
        let lookups = names.map(async |name| {
            let exists = patiently(self.patience, || self.broker.pacticipant_exists(name)).await?;
            Ok::<_, BrokerError>((!exists).then(|| name.clone()))
        });
        let unknown: BTreeSet<_> = try_join_all(lookups).await?.into_iter().flatten().collect();
        if unknown.is_empty() {
            return Err(error);
        }
        let known: Vec<_> = live.iter().filter(|(name, _)| !unknown.contains(*name)).cloned().collect();
        let matrix = if known.is_empty() { Matrix::default() } else { self.matrix(&known).await? };
        Ok((matrix, unknown))
    }

    async fn matrix(self, live: &[Live<'_>]) -> Result<Matrix, BrokerError> {
        let selection = selection(live, self.environment);
        patiently(self.patience, || self.broker.matrix_of(&selection)).await
    }

    fn is_recorded(self, name: &Pacticipant) -> bool {
        self.recorded.of(name).is_some_and(|versions| !versions.is_empty())
    }
}

fn selection(live: &[Live<'_>], environment: &EnvironmentName) -> Selection {
    let selectors = live.iter().flat_map(|(pacticipant, versions)| {
        versions.iter().map(|version| Selector {
            pacticipant: (*pacticipant).clone(),
            versions: Versions::One((*version).clone()),
        })
    });
    let destination = Destination::Environment(environment.clone());
    Selection { selectors: selectors.collect(), destination, ignore: Vec::new() }
}

/// Which applications each request names, each with all of its versions: the broker adds none of an application that is
/// named.
fn requests<'a>(recorded: &'a LiveVersions, unrecorded: &'a [UnrecordedVersion]) -> Vec<Vec<Live<'a>>> {
    let mut fresh: BTreeMap<&Pacticipant, BTreeSet<&Version>> = BTreeMap::new();
    for one in unrecorded {
        fresh.entry(&one.pacticipant).or_default().insert(&one.version);
    }
    let mut settled = BTreeMap::new();
    for pacticipant in recorded.pacticipants() {
        let versions = recorded.of(pacticipant).into_iter().flatten();
        match fresh.get_mut(pacticipant) {
            Some(known) => known.extend(versions),
            None => drop(settled.insert(pacticipant, versions.collect::<BTreeSet<_>>())),
        }
    }
    if fresh.values().map(BTreeSet::len).sum::<usize>() <= ASKED_TOGETHER {
        return together(fresh.into_iter().chain(settled), ASKED_TOGETHER);
    }
    let halves = together(fresh, ASKED_TOGETHER / 2);
    let with_each_other = halves.iter().enumerate().flat_map(|(number, one)| {
        halves[number + 1..].iter().map(move |other| [one.as_slice(), other.as_slice()].concat())
    });
    let mut requests: Vec<_> = with_each_other.collect();
    if requests.is_empty() {
        requests.clone_from(&halves);
    }
    requests.extend(together(settled, ASKED_TOGETHER));
    requests
}

/// The applications in groups of so many versions; one that has more is a group.
fn together<'a>(live: impl IntoIterator<Item = Live<'a>>, most: usize) -> Vec<Vec<Live<'a>>> {
    let mut groups: Vec<Vec<Live<'a>>> = Vec::new();
    let mut room = 0;
    for (pacticipant, versions) in live {
        let count = versions.len();
        match groups.last_mut() {
            Some(group) if count <= room => {
                group.push((pacticipant, versions));
                room -= count;
            }
            _ => {
                groups.push(vec![(pacticipant, versions)]);
                room = most.saturating_sub(count);
            }
        }
    }
    groups
}

#[cfg(test)]
#[path = "environment_matrix_tests.rs"]
mod tests;

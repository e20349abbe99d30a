//! What the broker has to be asked for the smallest way to a yes, within limits. The search itself is pure:
//! [`crate::decide::way_to_yes()`].

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;

use super::{BrokerError, Judge};
use crate::{
    api::{
        gate::InFlight,
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{
        Destination, Judgement, KnownPairs, LiveVersions, Member, Question, Selection, Selector, Situation, Verdict,
        Versions, WayToYes, ignored_by_all, way_to_yes,
    },
};

/// How many of an application's newest versions are looked at.
const OWN: usize = 20;
/// How many other applications may get another version: those whose pairs fail, in order.
const OTHERS: usize = 4;
/// How many pending versions of each application are looked at.
const PENDING: usize = 4;
/// How many versions one request names: the names of this many fit into a URL that every proxy takes.
const NAMED: usize = 30;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// The application in question.
    pub pacticipant: Pacticipant,
    /// What is live of it and of the others, as far as something is.
    pub live: BTreeMap<Pacticipant, BTreeSet<Version>>,
    /// The newest versions of the application in question.
    pub own: Vec<Version>,
    /// The versions that may be deployed besides, newest first. An application of which none is pending has none.
    pub pending: BTreeMap<Pacticipant, Vec<Version>>,
    /// The applications whose pairs fail, too, and of which no other version was looked at.
    pub left_out: Vec<Pacticipant>,
}

/// A way, and what was looked at for it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundWay {
    /// What was looked at.
    pub considered: Considered,
    /// What came of it.
    pub way: WayToYes,
    /// What the gate's own question says of the newest deployable version, where there is one.
    pub newest: Option<Judgement>,
    /// What it says of the first step, where it is no yes: then the steps are not offered.
    pub objection: Option<Judgement>,
}

/// What was read of the pairs, and how many rows could not be read.
struct Known {
    pairs: KnownPairs,
    unreadable: usize,
}

impl Judge {
    /// The smallest way to a yes for a version about which `judgement` is not a yes; `question` is the question about any
    /// version.
    ///
    /// A few requests: what is live (read a moment ago, as a rule); the newest versions of the application and of each of the
    /// others whose pairs fail, four at most; a matrix with the environment for each of these; one of all that is
    /// pending with each other, and one more where something runs that is not recorded; and the gate's own question about
    /// what was found, so that nothing is said that the gate would not.
    ///
    /// `None` when the environment is gone by now.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn way_to_yes(
        &self,
        asked: &Member,
        judgement: &Judgement,
        question: &(dyn Fn(&Member) -> Question + Sync),
    ) -> Result<Option<FoundWay>, BrokerError> {
        let ours = question(asked);
        let environment = &ours.environment;
        let Some(snapshot) = self.live(environment).await? else { return Ok(None) };
        let mut unrecorded = self.unrecorded(&ours, &snapshot.versions);
        unrecorded.retain(|one| !one.in_flight || ours.in_flight == InFlight::Count);
        let unrecorded: Vec<Member> = unrecorded.into_iter().map(|one| (one.pacticipant, one.version)).collect();
        let mut live = snapshot.versions.clone();
        for (pacticipant, version) in &unrecorded {
            live.looked_up(pacticipant.clone()).insert(version.clone());
        }
        let considered = self.considered(asked, judgement, &live).await?;
        // A broker is not asked about a version that it does not have, beside others.
        let published = judgement.verdict != Verdict::VersionMissing;
        let Known { pairs, unreadable } =
            self.known(published.then_some(asked), environment, &considered, &unrecorded).await?;
        let situation = Situation {
            asked,
            known: &pairs,
            live: &live,
            staying: &snapshot.supported,
            own: &considered.own,
            pending: &considered.pending,
            question,
        };
        let mut way = way_to_yes(&situation);
        let newest = match &way.newest {
            Some(version) => Some(self.judge(&question(&(asked.0.clone(), version.clone()))).await?),
            None => None,
        };
        let objection = match way.steps.as_ref().and_then(|steps| steps.first()) {
            Some(_) if unreadable + snapshot.unreadable > 0 => {
                Some(Judgement::without_pairs(Verdict::Unknown, "rows of the broker's answers cannot be read"))
            }
            Some(first) => Some(self.judge_step(first, question).await?).filter(|judged| !judged.verdict.is_yes()),
            None => None,
        };
        if objection.is_some() {
            way.steps = None;
        }
        Ok(Some(FoundWay { considered, way, newest, objection }))
    }

    async fn considered(
        &self,
        asked: &Member,
        judgement: &Judgement,
        live: &LiveVersions,
    ) -> Result<Considered, BrokerError> {
        let sides = judgement.failing().flat_map(|pair| [&pair.consumer, &pair.provider]);
        let mut failing: Vec<Pacticipant> = Vec::new();
        for side in sides.filter(|side| **side != asked.0) {
            if !failing.contains(side) {
                failing.push(side.clone());
            }
        }
        let left_out = failing.split_off(failing.len().min(OTHERS));
        let names: Vec<_> = std::iter::once(&asked.0).chain(&failing).collect();
        let read = names.iter().map(|name| self.broker().newest_versions(name, OWN));
        let mut versions = try_join_all(read).await?.into_iter();
        let own = versions.next().unwrap_or_default();
        // Of the application itself, what lies between what is live and the version in question.
        let before = own.iter().skip_while(|version| **version != asked.1).skip(1).cloned().collect();
        let mut pending = BTreeMap::from([(asked.0.clone(), newer(before, live.of(&asked.0)))]);
        for (name, newest) in failing.into_iter().zip(versions) {
            let newest = newer(newest, live.of(&name));
            pending.insert(name, newest);
        }
        let now = pending.keys().filter_map(|name| Some((name.clone(), live.of(name)?.clone())));
        let now = now.filter(|(_, versions)| !versions.is_empty()).collect();
        Ok(Considered { pacticipant: asked.0.clone(), live: now, own, pending, left_out })
    }

    /// What is known of the pairs of all that is considered: with what is live, and with each other. `asked` is the version in
    /// question, where the broker has it.
    async fn known(
        &self,
        asked: Option<&Member>,
        environment: &EnvironmentName,
        considered: &Considered,
        unrecorded: &[Member],
    ) -> Result<Known, BrokerError> {
        let ours = &considered.pacticipant;
        let mut own = considered.own.clone();
        own.extend(asked.iter().map(|(_, version)| version).filter(|it| !considered.own.contains(it)).cloned());
        let others = considered.pending.iter().filter(|(name, _)| *name != ours);
        let versions = others.map(|(name, pending)| (name, pending.as_slice())).chain([(ours, own.as_slice())]);
        let broker = self.broker();
        let with_live = versions
            .filter(|(_, versions)| !versions.is_empty())
            .map(|(name, versions)| broker.matrix_of_versions(name, versions, environment));
        let mut matrices = try_join_all(with_live).await?;
        let pending = considered.pending.iter().flat_map(|(name, all)| all.iter().map(|it| (name.clone(), it.clone())));
        let pending: BTreeSet<Member> = asked.cloned().into_iter().chain(pending).collect();
        let own = own.into_iter().map(|version| (ours.clone(), version)).filter(|member| !pending.contains(member));
        // What runs and is not recorded has no row with the environment: it is asked about by name.
        let mut together: Vec<Vec<Member>> = vec![pending.iter().chain(unrecorded).take(NAMED).cloned().collect()];
        if !unrecorded.is_empty() {
            together.push(own.chain(unrecorded.iter().cloned()).take(NAMED).collect());
        }
        let together = together.iter().filter(|members| members.len() > 1).map(|members| self.between(members));
        matrices.extend(try_join_all(together).await?);
        let mut known = Known { pairs: KnownPairs::default(), unreadable: 0 };
        for matrix in matrices {
            known.pairs.add(&matrix.rows);
            known.unreadable += matrix.unreadable;
        }
        Ok(known)
    }

    /// The gate's question about the versions of one step.
    async fn judge_step(
        &self,
        step: &[Member],
        question: &(dyn Fn(&Member) -> Question + Sync),
    ) -> Result<Judgement, BrokerError> {
        let questions: Vec<_> = step.iter().map(question).collect();
        let [first, more @ ..] = questions.as_slice() else {
            return Ok(Judgement::without_pairs(Verdict::Unknown, "nothing is to be deployed"));
        };
        if more.is_empty() {
            return self.judge(first).await;
        }
        let selectors = step.iter().map(|(pacticipant, version)| Selector {
            pacticipant: pacticipant.clone(),
            versions: Versions::One(version.clone()),
        });
        let selection = Selection {
            selectors: selectors.collect(),
            destination: Destination::Environment(first.environment.clone()),
            ignore: ignored_by_all(&questions),
        };
        self.judge_selection(&selection).await
    }
}

/// The newest of these versions, without those that are live and what is older.
fn newer(newest_first: Vec<Version>, live: Option<&BTreeSet<Version>>) -> Vec<Version> {
    let is_live = |version: &Version| live.is_some_and(|live| live.contains(version));
    newest_first.into_iter().take_while(|version| !is_live(version)).take(PENDING).collect()
}

//! What the broker has to be asked for the smallest way to a yes, within limits. The search itself is pure:
//! [`crate::decide::way_to_yes()`].

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;

use super::{BrokerError, Judge, can_i_deploy::ASKED_TOGETHER};
use crate::{
    api::{
        gate::InFlight,
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{
        Destination, Judgement, KnownPairs, LiveVersions, Matrix, Member, Question, Selection, Selector, Situation,
        Verdict, Versions, WayToYes, ignored_by_all, way_to_yes,
    },
};

/// How many of an application's newest versions are looked at.
const OWN: usize = 20;
/// How many other applications may get another version: those whose pairs fail, in order.
const OTHERS: usize = 4;
/// How many pending versions of each application are looked at.
const PENDING: usize = 4;
/// How many versions that run and are not recorded are asked about: by nines or more, besides what may be deployed.
const UNRECORDED: usize = 90;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// The application in question.
    pub pacticipant: Pacticipant,
    /// What is live of it and of the others, as far as something is.
    pub live: BTreeMap<Pacticipant, BTreeSet<Version>>,
    /// What of that makes way when another version is deployed in every instance.
    pub making_way: BTreeMap<Pacticipant, BTreeSet<Version>>,
    /// The newest versions of the application in question.
    pub own: Vec<Version>,
    /// The versions that may be deployed besides, newest first. An application of which none is pending has none.
    pub pending: BTreeMap<Pacticipant, Vec<Version>>,
    /// The applications whose pairs fail, too, and of which no other version was looked at.
    pub left_out: Vec<Pacticipant>,
    /// How many versions that run and are not recorded were not asked about, since there are so many.
    pub unrecorded_left_out: usize,
    /// How many rows of the broker's answers could not be read.
    pub unreadable: usize,
}

impl Considered {
    /// Whether nothing that may matter was left out.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.left_out.is_empty() && self.unrecorded_left_out == 0 && self.unreadable == 0
    }
}

/// A way, and what was looked at for it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundWay {
    /// What was looked at.
    pub considered: Considered,
    /// What came of it.
    pub way: WayToYes,
    /// What the gate's own question says of the newest deployable version, where there is one and that lets it pass.
    pub newest: Option<Judgement>,
    /// What it says of the first step, where it is no yes: then the steps are not offered.
    pub objection: Option<Judgement>,
}

impl Judge {
    /// The smallest way to a yes for a version about which `judgement` is not a yes; `question` is the question about any
    /// version, and `passes` says which answers count as a yes.
    ///
    /// A few requests: what is live (read a moment ago, as a rule); the newest versions of the application and of each of the
    /// others whose pairs fail, four at most; a matrix with the environment for each of these; one of all that is
    /// pending with each other; two for each nine versions or more that run and are not recorded, ninety at most, and where the
    /// broker does not know an application of theirs, one for each of those; and the gate's own question about what was found,
    /// so that nothing is said that the gate would not.
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
        passes: &(dyn Fn(&Judgement) -> bool + Sync),
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
        let mut considered = self.considered(asked, judgement, &live, &snapshot.supported).await?;
        considered.unreadable = snapshot.unreadable;
        // A broker is not asked about a version that it does not have, beside others.
        let published = judgement.verdict != Verdict::VersionMissing;
        let pairs = self.known(published.then_some(asked), environment, &mut considered, unrecorded).await?;
        let situation = Situation {
            asked,
            known: &pairs,
            live: &live,
            staying: &snapshot.supported,
            own: &considered.own,
            pending: &considered.pending,
            question,
            passes,
        };
        let mut way = way_to_yes(&situation);
        let newest = match &way.newest {
            Some(version) => {
                let judged = self.judge(&question(&(asked.0.clone(), version.clone()))).await?;
                Some(judged).filter(passes)
            }
            None => None,
        };
        let objection = match way.steps.as_ref().and_then(|steps| steps.first()) {
            Some(_) if considered.unreadable > 0 => {
                Some(Judgement::without_pairs(Verdict::Unknown, "rows of the broker's answers cannot be read"))
            }
            Some(_) if considered.unrecorded_left_out > 0 => {
                Some(Judgement::without_pairs(Verdict::Unknown, "more runs and is not recorded than was looked at"))
            }
            Some(first) => Some(self.judge_step(first, question).await?).filter(|judged| !passes(judged)),
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
        staying: &LiveVersions,
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
        let (mut now, mut making_way) = (BTreeMap::new(), BTreeMap::new());
        for name in names {
            let there = live.of(name).cloned().unwrap_or_default();
            let stays = |version: &Version| staying.of(name).is_some_and(|staying| staying.contains(version));
            making_way.insert(name.clone(), there.iter().filter(|version| !stays(version)).cloned().collect());
            now.insert(name.clone(), there);
        }
        let newer = |name: &Pacticipant, versions: &[Version]| newer(versions, &now[name], &making_way[name]);
        // Of the application itself, what lies between what is live and the version in question.
        let before = own.iter().skip_while(|version| **version != asked.1).skip(1);
        let before: BTreeSet<_> = before.collect();
        let mut ours = newer(&asked.0, &own);
        ours.retain(|version| before.contains(version));
        let mut pending = BTreeMap::from([(asked.0.clone(), first(ours, &making_way[&asked.0]))]);
        for (name, newest) in failing.iter().zip(versions) {
            pending.insert(name.clone(), first(newer(name, &newest), &making_way[name]));
        }
        now.retain(|_, versions| !versions.is_empty());
        let pacticipant = asked.0.clone();
        let (unrecorded_left_out, unreadable) = (0, 0);
        Ok(Considered { pacticipant, live: now, making_way, own, pending, left_out, unrecorded_left_out, unreadable })
    }

    /// What is known of the pairs of all that is considered: with what is live, and with each other. `asked` is the version in
    /// question, where the broker has it. Says in `considered` what could not be read, and was not asked.
    async fn known(
        &self,
        asked: Option<&Member>,
        environment: &EnvironmentName,
        considered: &mut Considered,
        mut unrecorded: Vec<Member>,
    ) -> Result<KnownPairs, BrokerError> {
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
        let own: Vec<Member> = own.collect();
        let pending: Vec<Member> = pending.into_iter().collect();
        considered.unrecorded_left_out = unrecorded.len().saturating_sub(UNRECORDED);
        unrecorded.truncate(UNRECORDED);
        let together = match self.together(&pending, &own, &unrecorded).await {
            // Nobody has a pact with a name that the broker does not know, and it refuses all that is asked with it.
            Err(error @ BrokerError::Rejected { status: 400, .. }) => {
                let unknown = broker.unknown_among(unrecorded.iter().map(|(name, _)| name).collect()).await?;
                if unknown.is_empty() {
                    return Err(error);
                }
                unrecorded.retain(|(name, _)| !unknown.contains(name));
                self.together(&pending, &own, &unrecorded).await
            }
            together => together,
        };
        matrices.extend(together?);
        let mut known = KnownPairs::default();
        for matrix in matrices {
            known.add(&matrix.rows);
            considered.unreadable += matrix.unreadable;
        }
        Ok(known)
    }

    /// The matrices of what is pending with each other and, like the other versions of the application, with what runs and is
    /// not recorded: that has no row with the environment, so it is asked about by name.
    async fn together(
        &self,
        pending: &[Member],
        own: &[Member],
        unrecorded: &[Member],
    ) -> Result<Vec<Matrix>, BrokerError> {
        let requests = [
            beside(pending, unrecorded),
            beside(own, unrecorded).into_iter().filter(|_| !unrecorded.is_empty()).collect(),
        ];
        let requests: Vec<Vec<Member>> = requests.concat();
        let asked = requests.iter().filter(|members| members.len() > 1).map(|members| self.between(members));
        try_join_all(asked).await
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

/// These versions with the others, as many of those at once as one request has room for.
fn beside(versions: &[Member], others: &[Member]) -> Vec<Vec<Member>> {
    let others: Vec<Member> = others.iter().filter(|member| !versions.contains(member)).cloned().collect();
    if versions.is_empty() || others.is_empty() {
        return vec![versions.to_vec()];
    }
    let room = ASKED_TOGETHER.saturating_sub(versions.len()).max(1);
    others.chunks(room).map(|others| [versions, others].concat()).collect()
}

/// The versions, newest first, that may come instead of what is live: those that are newer. While several make way, a rollout
/// is under way, or only one instance has had it: each of them but the oldest may be what all of them are to have.
fn newer(newest_first: &[Version], live: &BTreeSet<Version>, making_way: &BTreeSet<Version>) -> Vec<Version> {
    let end = if making_way.len() > 1 {
        // One that is not among the newest is older than all of them.
        let listed = making_way.iter().filter(|version| newest_first.contains(version)).count();
        let oldest = newest_first.iter().rposition(|version| making_way.contains(version));
        oldest.filter(|_| listed == making_way.len())
    } else {
        newest_first.iter().position(|version| live.contains(version))
    };
    let newer = newest_first.iter().take(end.unwrap_or(newest_first.len()));
    newer.filter(|version| making_way.contains(*version) || !live.contains(*version)).cloned().collect()
}

/// As many of these as are looked at: what is live already, then the newest ones.
fn first(newest_first: Vec<Version>, making_way: &BTreeSet<Version>) -> Vec<Version> {
    let under_way = newest_first.iter().filter(|version| making_way.contains(version)).count();
    let mut room = PENDING.saturating_sub(under_way);
    let mut kept = Vec::new();
    for version in newest_first {
        if making_way.contains(&version) {
            kept.push(version);
        } else if room > 0 {
            room -= 1;
            kept.push(version);
        }
    }
    kept.truncate(PENDING);
    kept
}

#[cfg(test)]
#[path = "way_to_yes_tests.rs"]
mod tests;

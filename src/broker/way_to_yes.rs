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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Considered {
    /// The newest versions of the application in question.
    pub own: Vec<Version>,
    /// The versions that may be deployed besides, newest first. An application of which none is pending has none.
    pub pending: BTreeMap<Pacticipant, Vec<Version>>,
    /// The applications whose pairs fail, too, and of which no other version was looked at.
    pub left_out: Vec<Pacticipant>,
}

/// A way, and what was looked at for it.
#[derive(Clone, Debug, Default, PartialEq)]
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

impl Judge {
    /// The smallest way to a yes for a version about which `judgement` is not a yes; `question` is the question about any
    /// version.
    ///
    /// At most 4 + 3 · (1 + [`OTHERS`]) requests: what is live (read a moment ago, as a rule), the newest versions of the
    /// application and of each of the others whose pairs fail, a matrix with the environment for each of these, one of
    /// all that is pending with each other, and the gate's own question about what was found, so that nothing is said that
    /// the gate would not.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn way_to_yes(
        &self,
        asked: &Member,
        judgement: &Judgement,
        question: &(dyn Fn(&Member) -> Question + Sync),
    ) -> Result<FoundWay, BrokerError> {
        let ours = question(asked);
        let environment = &ours.environment;
        let Some(snapshot) = self.live(environment).await? else { return Ok(FoundWay::default()) };
        let live = self.with_unrecorded(&ours, &snapshot.versions);
        let mut considered = self.considered(asked, judgement, &live).await?;
        let known = self.known(asked, environment, &considered, &live).await?;
        if judgement.verdict == Verdict::VersionMissing {
            considered.pending.clear();
        }
        let situation = Situation {
            asked,
            known: &known,
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
            Some(first) => Some(self.judge_step(first, question).await?).filter(|judged| !judged.verdict.is_yes()),
            None => None,
        };
        if objection.is_some() {
            way.steps = None;
        }
        Ok(FoundWay { considered, way, newest, objection })
    }

    /// What is live, with what runs and is not recorded, as far as that counts.
    fn with_unrecorded(&self, question: &Question, recorded: &LiveVersions) -> LiveVersions {
        let mut live = recorded.clone();
        for one in self.unrecorded(question, recorded) {
            if !one.in_flight || question.in_flight == InFlight::Count {
                live.looked_up(one.pacticipant).insert(one.version);
            }
        }
        live
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
        Ok(Considered { own, pending, left_out })
    }

    /// What is known of the pairs of all that is considered: with what is live, and with each other.
    async fn known(
        &self,
        asked: &Member,
        environment: &EnvironmentName,
        considered: &Considered,
        live: &LiveVersions,
    ) -> Result<KnownPairs, BrokerError> {
        let mut own: Vec<_> = considered.own.clone();
        if !own.contains(&asked.1) {
            own.push(asked.1.clone());
        }
        let others = considered.pending.iter().filter(|(name, pending)| **name != asked.0 && !pending.is_empty());
        let others: Vec<_> = others.collect();
        let with_live = others.iter().map(|(name, pending)| (*name, pending.as_slice()));
        let with_live = std::iter::once((&asked.0, own.as_slice())).chain(with_live);
        let broker = self.broker();
        let with_live = with_live.map(|(name, versions)| broker.matrix_of_versions(name, versions, environment));
        let mut known = KnownPairs::default();
        for matrix in try_join_all(with_live).await? {
            known.add(&matrix.rows);
        }
        // What runs and is not recorded has no row with the environment: it is asked about by name.
        let pending = considered.pending.iter().flat_map(|(name, all)| all.iter().map(|it| (name.clone(), it.clone())));
        let unrecorded = others.iter().flat_map(|(name, _)| {
            live.of(name).into_iter().flatten().map(|version| ((*name).clone(), version.clone())).collect::<Vec<_>>()
        });
        let members: BTreeSet<Member> = std::iter::once(asked.clone()).chain(pending).collect();
        let more = unrecorded.filter(|member| !members.contains(member)).take(NAMED.saturating_sub(members.len()));
        let members: Vec<Member> = more.chain(members.iter().cloned()).collect();
        if members.len() > 1 {
            known.add(&self.between(&members).await?.rows);
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

//! The smallest way to a yes: the newest version of an application that may be deployed, and the order in which versions
//! that are pending pass; or what each of them fails on. A search, and no rule: every step of it is judged as the gate
//! would judge it, by [`judge()`] and [`together()`].

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Evidence, Judgement, KnownPairs, LiveVersions, Member, Pair, Question, Verdict, among, ignored_by_all, judge,
    together,
};
use crate::api::names::{Pacticipant, Version};

/// How many versions are deployed at once at most.
pub const AT_ONCE: usize = 3;
/// How many versions a way deploys at most, the one in question among them.
pub const VERSIONS: usize = 4;
/// How many deployments are judged at most: a limit for time, far beyond what the limits of the caller leave to look at.
pub const LOOKED_AT: usize = 50_000;

/// What is known of a question whose answer is not a yes.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The version in question.
    pub asked: &'a Member,
    /// What is known of the pairs.
    pub known: &'a KnownPairs,
    /// What is live in the environment.
    pub live: &'a LiveVersions,
    /// What of it stays when another version is deployed: what is released and supported.
    pub staying: &'a LiveVersions,
    /// The versions of the application in question, newest first.
    pub own: &'a [Version],
    /// The versions that may be deployed besides, newest first.
    pub pending: &'a BTreeMap<Pacticipant, Vec<Version>>,
    /// The question about a version in the environment.
    pub question: &'a dyn Fn(&Member) -> Question,
    /// Which answers count as a yes.
    pub passes: &'a dyn Fn(&Judgement) -> bool,
}

/// What was looked at and does not help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The versions that would be deployed, in this order, or together.
    pub members: Vec<Member>,
    /// The verdict on the last of them, or on all together.
    pub verdict: Verdict,
    /// The pair that fails, where one does.
    pub pair: Option<Pair>,
}

/// The smallest way to a yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayToYes {
    /// The newest version that may be deployed now.
    pub newest: Option<Version>,
    /// The newer ones, each of which may not.
    pub newer: Vec<Tried>,
    /// What to deploy, step by step; the versions of a step only together. The last step has the version in question.
    pub steps: Option<Vec<Vec<Member>>>,
    /// Where there are no steps: each pending version with the one in question, and the pair that fails.
    pub tried: Vec<Tried>,
    /// How many deployments were judged for that.
    pub looked_at: usize,
    /// Whether [`LOOKED_AT`] ended the search.
    pub cut_short: bool,
}

/// Searches for the smallest way to a yes: as few versions at once as possible, then as few versions as possible, then the
/// newest ones.
#[must_use]
pub fn way_to_yes(situation: &Situation<'_>) -> WayToYes {
    let mut way = WayToYes::default();
    situation.find_newest(&mut way);
    let mut search = Search { situation, judged: BTreeMap::new(), cut_short: false };
    way.steps = (1..=AT_ONCE).find_map(|at_once| search.steps(at_once));
    if way.steps.is_none() {
        way.tried = situation.tried();
    }
    way.looked_at = search.judged.len();
    way.cut_short = search.cut_short;
    way
}

/// Which versions were deployed since, by application: the rest of the environment is as it was.
type Moved = BTreeMap<Pacticipant, Version>;

impl Situation<'_> {
    /// What would be live once these versions are deployed. All that was deployed of an application makes way.
    fn live_after(&self, moved: &Moved) -> LiveVersions {
        let mut live = self.live.clone();
        for (pacticipant, version) in moved {
            let versions = live.looked_up(pacticipant.clone());
            versions.clone_from(self.staying.of(pacticipant).unwrap_or(&BTreeSet::new()));
            versions.insert(version.clone());
        }
        live
    }

    /// The verdict on versions that are deployed at once.
    fn judge(&self, members: &[Member], live: &LiveVersions) -> Judgement {
        let questions: Vec<Question> = members.iter().map(self.question).collect();
        let one = |question: &Question, live: &LiveVersions| {
            let matrix = self.known.matrix(question, live);
            judge(question, &Evidence::of_broker(&matrix, live))
        };
        if let [only] = questions.as_slice() {
            return one(only, live);
        }
        // Of another member only what stays is judged besides; where nothing does, it is left out.
        let (mut beside, mut left_out) = (live.clone(), Vec::new());
        for member in members {
            match self.staying.of(&member.0).filter(|staying| !staying.is_empty()) {
                Some(staying) => beside.looked_up(member.0.clone()).clone_from(staying),
                None => left_out.push(member.clone()),
            }
        }
        let alone: Vec<_> =
            questions.iter().map(|question| one(&among(question.clone(), &left_out), &beside)).collect();
        let between = self.known.between(members);
        together(members, &alone, &between, &ignored_by_all(&questions))
    }

    /// The newest version that may be deployed now; nothing is known of one without pacts and results, so it is passed over.
    fn find_newest(&self, way: &mut WayToYes) {
        for version in self.own {
            let members = vec![(self.asked.0.clone(), version.clone())];
            if !members.iter().all(|member| self.known.knows(member)) {
                continue;
            }
            let judgement = self.judge(&members, self.live);
            if (self.passes)(&judgement) {
                way.newest = Some(version.clone());
                return;
            }
            way.newer.push(Tried::of(members, &judgement));
        }
    }

    /// Every version that may be deployed in the search and that something is known of, with how new it is among those of its application: 0 is the newest.
    fn moves(&self) -> Vec<(Member, usize)> {
        let pending = self.pending.iter().flat_map(|(pacticipant, versions)| {
            versions.iter().enumerate().map(move |(age, version)| ((pacticipant.clone(), version.clone()), age))
        });
        let others = pending.filter(|(member, _)| member != self.asked);
        others.chain([(self.asked.clone(), 0)]).filter(|(member, _)| self.known.knows(member)).collect()
    }

    /// Each pending version of another application with the one in question: first the pending one, where that may be
    /// deployed by itself, else both together.
    fn tried(&self) -> Vec<Tried> {
        let others = self.moves().into_iter().map(|(member, _)| member).filter(|member| member.0 != self.asked.0);
        others
            .map(|member| {
                let members = vec![member.clone(), self.asked.clone()];
                let judgement = if (self.passes)(&self.judge(std::slice::from_ref(&member), self.live)) {
                    self.judge(std::slice::from_ref(self.asked), &self.live_after(&Moved::from([member])))
                } else {
                    self.judge(&members, self.live)
                };
                Tried::of(members, &judgement)
            })
            .collect()
    }
}

impl Tried {
    fn of(members: Vec<Member>, judgement: &Judgement) -> Self {
        Self { members, verdict: judgement.verdict, pair: judgement.failing().next().cloned() }
    }
}

/// A way to a state: its steps, and how good it is.
#[derive(Clone, Default)]
struct Way {
    steps: Vec<Vec<Member>>,
    /// How many versions are deployed together with others, and how old the versions are: the less, the better.
    cost: (usize, usize),
}

struct Search<'a> {
    situation: &'a Situation<'a>,
    /// Whether a deployment passes, by what was deployed before it.
    judged: BTreeMap<(Moved, Vec<Member>), bool>,
    cut_short: bool,
}

impl Search<'_> {
    /// The steps of at most so many versions at once, by as few versions as possible: layer after layer, each with what can be
    /// reached by one version more.
    fn steps(&mut self, at_once: usize) -> Option<Vec<Vec<Member>>> {
        let (pacticipant, version) = self.situation.asked;
        let moves = self.situation.moves();
        let mut layers: Vec<BTreeMap<Moved, Way>> = vec![BTreeMap::new(); VERSIONS + 1];
        layers[0].insert(Moved::new(), Way::default());
        let mut reached: BTreeSet<Moved> = BTreeSet::new();
        for count in 0..=VERSIONS {
            let layer = std::mem::take(&mut layers[count]);
            let there = layer.iter().filter(|(moved, _)| moved.get(pacticipant) == Some(version));
            if let Some((_, way)) = there.min_by_key(|(_, way)| way.cost) {
                return Some(way.steps.clone());
            }
            for (moved, way) in layer {
                if !reached.insert(moved.clone()) {
                    continue;
                }
                for set in sets(&moves, at_once.min(VERSIONS - count), &moved, self.situation) {
                    let members: Vec<Member> = set.iter().map(|(member, _)| member.clone()).collect();
                    if !self.passes(&moved, &members) {
                        continue;
                    }
                    let mut next = way.clone();
                    next.cost.0 += members.len() - 1;
                    next.cost.1 += set.iter().map(|(_, age)| age).sum::<usize>();
                    let mut after = moved.clone();
                    after.extend(members.iter().cloned());
                    let layer = &mut layers[count + members.len()];
                    next.steps.push(members);
                    if layer.get(&after).is_none_or(|known| next.cost < known.cost) {
                        layer.insert(after, next);
                    }
                }
            }
        }
        None
    }

    fn passes(&mut self, moved: &Moved, members: &[Member]) -> bool {
        let deployment = (moved.clone(), members.to_vec());
        if let Some(known) = self.judged.get(&deployment) {
            return *known;
        }
        if self.judged.len() >= LOOKED_AT {
            self.cut_short = true;
            return false;
        }
        let live = self.situation.live_after(moved);
        let passes = (self.situation.passes)(&self.situation.judge(members, &live));
        self.judged.insert(deployment, passes);
        passes
    }
}

/// Every set of at most so many versions, each of another application, that are newer than what was deployed since.
fn sets<'a>(
    all: &'a [(Member, usize)],
    at_once: usize,
    moved: &Moved,
    situation: &Situation<'_>,
) -> Vec<Vec<&'a (Member, usize)>> {
    let age = |pacticipant: &Pacticipant, version: &Version| {
        situation.pending.get(pacticipant)?.iter().position(|pending| pending == version)
    };
    let newer = |(member, at): &&(Member, usize)| match moved.get(&member.0) {
        _ if member == situation.asked => true,
        None => true,
        Some(version) => age(&member.0, version).is_none_or(|deployed| *at < deployed),
    };
    let possible: Vec<_> = all.iter().filter(newer).collect();
    let mut sets: Vec<Vec<&(Member, usize)>> = Vec::new();
    let mut ends: Vec<(Vec<&(Member, usize)>, usize)> = vec![(Vec::new(), 0)];
    for _ in 0..at_once {
        let mut longer = Vec::new();
        for (set, from) in &ends {
            for (at, one) in possible.iter().enumerate().skip(*from) {
                if set.iter().all(|other| other.0.0 != one.0.0) {
                    longer.push(([set.as_slice(), &[*one]].concat(), at + 1));
                }
            }
        }
        sets.extend(longer.iter().map(|(set, _)| set.clone()));
        ends = longer;
    }
    sets
}

#[cfg(test)]
#[path = "way_to_yes_tests.rs"]
mod tests;

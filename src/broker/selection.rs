//! The check of what people select: several versions together, versions by branch or tag, other destinations than an
//! environment. To an environment it is the gate's question about each version.

use std::collections::BTreeSet;

use futures::future::try_join_all;

use super::{BrokerError, Judge, can_i_deploy::environment_missing};
use crate::{
    api::{gate::InFlight, names::EnvironmentName},
    decide::{
        Destination, Ignored, Judgement, LiveVersions, Matrix, Member, Question, Selection, Selector, Verdict,
        Versions, among, by_rows, together,
    },
};

impl Judge {
    /// Asks whether the versions of a selection may be deployed together.
    ///
    /// For each version one request to an environment, as [`Judge::judge`], and one more for how they get along with each
    /// other; one for each version that is not named, to learn which it is. One without an environment.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing: a missing object is an answer.
    pub async fn judge_selection(&self, selection: &Selection) -> Result<Judgement, BrokerError> {
        let Destination::Environment(environment) = &selection.destination else {
            return self.by_rows(selection).await;
        };
        let mut members: Vec<Member> = Vec::new();
        let mut alone = Vec::new();
        for selector in &selection.selectors {
            match self.versions(selector, selection).await? {
                Ok(versions) => members.extend(versions),
                Err(judgement) => alone.push(judgement),
            }
        }
        let questions = members.iter().map(|member| question(member, &members, environment, &selection.ignore));
        let questions: Vec<Question> = questions.collect();
        alone.extend(try_join_all(questions.iter().map(|question| self.judge(question))).await?);
        if let [only] = alone.as_slice() {
            return Ok(only.clone());
        }
        let unknown = alone.iter().any(|judgement| judgement.verdict == Verdict::PacticipantUnknown);
        let between = if members.len() < 2 || unknown { Matrix::default() } else { self.between(&members).await? };
        Ok(together(&members, &alone, &between, &selection.ignore))
    }

    /// What the broker has as live in an environment; `None` when it does not have that.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn recorded(&self, environment: &EnvironmentName) -> Result<Option<LiveVersions>, BrokerError> {
        Ok(self.live(environment).await?.map(|live| live.versions.clone()))
    }

    /// The versions that a selector means, or the judgement when it means none that has anything to do with the
    /// destination.
    async fn versions(
        &self,
        selector: &Selector,
        selection: &Selection,
    ) -> Result<Result<Vec<Member>, Judgement>, BrokerError> {
        if let Some(version) = selector.version() {
            return Ok(Ok(vec![(selector.pacticipant.clone(), version.clone())]));
        }
        let alone = Selection { selectors: vec![selector.clone()], ..selection.clone() };
        let matrix = match self.matrix_or_missing(&alone).await? {
            Ok(matrix) => matrix,
            Err(judgement) => return Ok(Err(judgement)),
        };
        let ours = matrix.rows.iter().filter_map(|row| {
            if row.consumer == selector.pacticipant {
                Some(row.consumer_version.clone())
            } else {
                row.provider_version.clone().filter(|_| row.provider == selector.pacticipant)
            }
        });
        let versions: BTreeSet<_> = ours.collect();
        if versions.is_empty() {
            return Ok(Err(by_rows(&matrix)));
        }
        Ok(Ok(versions.into_iter().map(|version| (selector.pacticipant.clone(), version)).collect()))
    }

    async fn by_rows(&self, selection: &Selection) -> Result<Judgement, BrokerError> {
        Ok(match self.matrix_or_missing(selection).await? {
            Ok(matrix) => by_rows(&matrix),
            Err(judgement) => judgement,
        })
    }

    /// The matrix, or the judgement when the broker does not have one of the pacticipants or the environment: it answers
    /// 400, and names them only in the text.
    async fn matrix_or_missing(&self, selection: &Selection) -> Result<Result<Matrix, Judgement>, BrokerError> {
        let error = match self.broker().matrix_of(selection).await {
            Err(error @ BrokerError::Rejected { status: 400, .. }) => error,
            answered => return answered.map(Ok),
        };
        if let Destination::Environment(environment) = &selection.destination
            && self.broker().environment(environment).await?.is_none()
        {
            return Ok(Err(environment_missing(environment)));
        }
        for Selector { pacticipant, .. } in &selection.selectors {
            if !self.broker().pacticipant_exists(pacticipant).await? {
                let explanation = format!("the broker knows no pacticipant named {pacticipant}");
                return Ok(Err(Judgement::without_pairs(Verdict::PacticipantUnknown, explanation)));
            }
        }
        Err(error)
    }

    /// How the members get along with each other, wherever else they are.
    pub(super) async fn between(&self, members: &[Member]) -> Result<Matrix, BrokerError> {
        let selectors = members.iter().map(|(pacticipant, version)| Selector {
            pacticipant: pacticipant.clone(),
            versions: Versions::One(version.clone()),
        });
        let selection =
            Selection { selectors: selectors.collect(), destination: Destination::EachOther, ignore: Vec::new() };
        self.broker().matrix_of(&selection).await
    }
}

/// The question about a member of a set.
fn question(member: &Member, members: &[Member], environment: &EnvironmentName, ignore: &[Ignored]) -> Question {
    let (pacticipant, version) = member.clone();
    let (environment, ignore, in_flight) = (environment.clone(), ignore.to_vec(), InFlight::default());
    among(Question { pacticipant, version, environment, ignore, in_flight }, members)
}

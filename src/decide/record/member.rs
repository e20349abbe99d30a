//! A workload as a member of a record key.

use k8s_openapi::jiff::Timestamp;

use super::strangers::Stranger;
use crate::{
    api::{deployment::Member, names::Version},
    decide::reason::Reason,
    workload::{BypassStatement, Held, RolloutState, VersionProblem, WorkloadRef},
};

/// Why nothing may be changed for a member's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Several `PactEnvironment`s claim its namespace and not all of them allow that (case 41).
    Conflicted(Vec<String>),
}

/// A workload as a member of a record key.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberView {
    /// Which workload.
    pub workload: WorkloadRef,
    /// Its uid: another object of the same name is another workload.
    pub uid: String,
    /// The `PactEnvironment` by which it is a member.
    pub environment_object: String,
    /// The repository of its image without the registry, where that is known. Only in what is handed out: nobody keeps it.
    pub image: Option<Box<str>>,
    /// Its version, or why none can be determined.
    pub version: Result<Version, VersionProblem>,
    /// The versions that it runs besides, as far as its revisions say: those of an Argo Rollout.
    pub also_runs: Vec<Version>,
    /// The state of its rollout.
    pub rollout: RolloutState,
    /// Whether it has no pods, but for those that [`RolloutState::Terminating`] waits for.
    pub without_pods: bool,
    /// Why nothing may be changed for the key, if so.
    pub hold: Option<Hold>,
    /// Since when it is held, and for which version, if it is: paused until that may run.
    pub held: Option<Held>,
    /// The statement by which its version may have passed the gate unasked.
    pub bypass: Option<BypassStatement>,
    /// Whether its `PactEnvironment` names its namespace as an owner of the pacticipant.
    pub owner: bool,
    /// Why it does not count for the record, if so.
    pub stranger: Option<Stranger>,
}

impl MemberView {
    /// The same member at a later time: waiting for terminating pods may have ended.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        let rollout = match (&self.rollout, self.rollout.clone().at(now)) {
            (RolloutState::Terminating { .. }, RolloutState::Complete) if self.without_pods => {
                RolloutState::ScaledToZero
            }
            (_, later) => later,
        };
        Self { rollout, ..self }
    }

    /// Whether pods of it may answer: it has some, or old ones that terminate are still waited for. Only such a member
    /// has a vote while another one is such (cases 92 and 102).
    #[must_use]
    pub fn has_pods(&self) -> bool {
        !self.without_pods || matches!(self.rollout, RolloutState::Terminating { .. })
    }

    /// The member for the status of a `PactDeployment`.
    #[must_use]
    pub fn shown(&self) -> Member {
        Member {
            kind: self.workload.kind.to_string(),
            namespace: self.workload.namespace.clone(),
            name: self.workload.name.clone(),
            version: self.version.as_ref().ok().map(|version| version.as_str().to_owned()),
            earlier_versions: self.also_runs.iter().map(|version| version.as_str().to_owned()).collect(),
            rollout: self.rollout.name().to_owned(),
            without_pods: !self.has_pods(),
            problem: match (&self.stranger, &self.version) {
                (Some(_), _) => Some(Reason::Stranger.to_string()),
                (None, Err(problem)) => Some(Reason::from(problem).to_string()),
                (None, Ok(_)) => None,
            },
        }
    }
}

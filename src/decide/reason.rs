//! The closed list of reasons in our conditions and Events, each with its meaning for the object.
//!
//! A reason is an interface: people write alerts on it. CHANGELOG.md names every renamed reason.

use std::fmt;

use crate::workload::{IdentityProblem, VersionProblem};

/// What a reason means for a record: whether a person has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing has to be done: `Ready` is `True`.
    Settled,
    /// The operator continues by itself: kstatus' `Reconciling`.
    UnderWay,
    /// Nothing continues without a person: kstatus' `Stalled`.
    Stalled,
}

/// Makes the enum, its list and its texts from one table: users read the documentation comment of a reason.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $meaning:ident,)+) => {
        /// Why a condition has its status, or why an Event was written.
        #[allow(clippy::doc_markdown, reason = "the texts are read in a terminal, too")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All reasons, by name.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The reason as the API writes it, CamelCase.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// The reason that the API writes so.
            #[must_use]
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
            }

            /// What the reason means for its object.
            #[must_use]
            pub const fn meaning(self) -> Meaning {
                match self { $(Self::$name => Meaning::$meaning,)+ }
            }

            /// What the reason says, in a sentence or two.
            #[must_use]
            pub fn description(self) -> String {
                match self { $(Self::$name => [$($doc,)+].concat().trim().to_owned(),)+ }
            }
        }
    };
}

reasons! {
    /// There are several containers, and the one that gives the version is not named.
    AmbiguousContainer => Stalled,
    /// The workload has a version annotation, but the environment refuses annotations.
    AnnotationRefused => Stalled,
    /// A sink will never take an announcement, and it is left out.
    AnnouncementRefused => Stalled,
    /// More announcements of a PactDeployment waited for their delivery than are kept; the oldest were dropped.
    AnnouncementsDropped => Stalled,
    /// The broker's answer is longer than the operator reads.
    AnswerTooLarge => UnderWay,
    /// The broker answers, and may be read.
    Answering => Settled,
    /// The API server could not be asked for what a decision needs.
    ApiServerUnavailable => UnderWay,
    /// The annotation of the application instance does not hold a name that a broker accepts.
    ApplicationInstanceInvalid => Stalled,
    /// The environment refuses application instances of workloads, or records releases, which have none.
    ApplicationInstanceRefused => Stalled,
    /// None of the operator's records is at the broker any more; nothing is taken back until they were read again.
    BrokerAnomaly => UnderWay,
    /// There is no PactBroker of the name that the PactEnvironment refers to.
    BrokerMissing => UnderWay,
    /// The broker has not been probed yet.
    BrokerNotProbed => UnderWay,
    /// The broker does not answer, or answers with an error of its own.
    BrokerUnavailable => UnderWay,
    /// Flagger was told to wait with a Canary: its new version may not be deployed, or that is not known.
    CanaryHalted => UnderWay,
    /// Flagger was told to roll a Canary back: a verification of its new version failed.
    CanaryRollback => Stalled,
    /// Several PactEnvironments claim the namespace, and not each of them allows that.
    Conflicted => Stalled,
    /// The container that the annotation names is not in the pod template.
    ContainerMissing => Stalled,
    /// Another client keeps writing the same record; the operator corrected it once and no longer changes it.
    Contested => Stalled,
    /// The broker does not have the environment.
    EnvironmentMissing => UnderWay,
    /// The records of the environment have not been read yet.
    EnvironmentNotRead => UnderWay,
    /// No PactEnvironment records there any more; the record stays as it is.
    EnvironmentUnmanaged => Stalled,
    /// The broker refuses the operator's user the right that it needs.
    Forbidden => UnderWay,
    /// The broker has the environment.
    Found => Settled,
    /// A rollout is held for longer than its environment says; it stays paused until the answer is yes.
    HoldOverdue => Stalled,
    /// A rollout that is held may not run as things stand; it stays paused until the answer is yes.
    HoldRefused => Stalled,
    /// The PactEnvironment holds a value that cannot be used.
    InvalidEnvironment => Stalled,
    /// A name cannot be written into an address of the broker.
    InvalidName => UnderWay,
    /// The object holds a value that cannot be used.
    InvalidSpec => UnderWay,
    /// A key that looks like the operator's is not read: it is misspelt, a label, or on the pod template.
    KeyIgnored => Stalled,
    /// The operator handles no workloads of this kind.
    KindNotHandled => Stalled,
    /// Another replica leads now.
    LeaseLost => UnderWay,
    /// All that runs in the environment is known to the gate, so that Enforce is in force.
    Listed => Settled,
    /// What runs in the environment is being listed; until then Enforce behaves as Warn.
    Listing => UnderWay,
    /// A workload that ran the pacticipant exists, but cannot be judged yet; the record stays as it is.
    MembersUncertain => Stalled,
    /// Members of the group are, or roll out to, different versions.
    Mixed => UnderWay,
    /// Namespaces of this environment are claimed by another one, too.
    NamespaceClaimedTwice => Stalled,
    /// A namespace names more pacticipants than it may speak for; nothing is recorded for those that came last.
    NamespaceLimit => Stalled,
    /// A namespace that the PactEnvironment names does not exist, or its selector matches none.
    NamespaceMissing => UnderWay,
    /// No PactEnvironment claims the namespace: nothing of it is recorded.
    NamespaceUnmapped => Stalled,
    /// Each namespace that the PactEnvironment names exists.
    NamespacesExist => Settled,
    /// No namespace is claimed by another environment.
    NoOverlap => Settled,
    /// What answers at the address is not a Pact Broker.
    NotABroker => UnderWay,
    /// The workload has no annotation that names a pacticipant.
    NotAnnotated => Stalled,
    /// The workload names a pacticipant that other namespaces own: it is not recorded for it.
    NotOwned => Stalled,
    /// The version that the workload runs is not recorded yet.
    NotRecorded => UnderWay,
    /// Nothing has to be done at the broker.
    NothingPending => Settled,
    /// No workload runs the pacticipant and nothing is recorded.
    NothingRecorded => Settled,
    /// No workload runs the pacticipant any more; the record is taken back after the grace.
    Orphaned => UnderWay,
    /// The workload runs another version than the one that is waited for.
    OtherVersion => UnderWay,
    /// Each workload names only pacticipants that its namespace may speak for.
    OwnersRespected => Settled,
    /// The pacticipant annotation is empty, or has an empty item.
    PacticipantEmpty => Stalled,
    /// The pacticipant annotation holds a name that no broker accepts.
    PacticipantInvalid => Stalled,
    /// The broker does not know the pacticipant: nothing was published under that name.
    PacticipantMissing => UnderWay,
    /// The broker spells the pacticipant otherwise than the annotation.
    PacticipantSpelling => Stalled,
    /// The pacticipant annotation holds more names than are read.
    PacticipantsTooMany => Stalled,
    /// The workload is gone, and pods of it are left; the record stays as long as they do.
    PodsLeft => UnderWay,
    /// The broker asked its clients to wait.
    RateLimited => UnderWay,
    /// A version that runs is not recorded yet; the message says why.
    RecordFailed => UnderWay,
    /// The version was recorded, but the broker reported another one right after.
    RecordNotKept => UnderWay,
    /// The broker has recorded what runs.
    Recorded => Settled,
    /// The broker has a version that this operator did not record; the operator does not change it.
    RecordedByOthers => Settled,
    /// The workload has another pacticipant or environment now; the record stays until it is recorded there.
    RecordedElsewhereFirst => UnderWay,
    /// What runs in the environment's namespaces is recorded.
    Recording => Settled,
    /// The broker redirects to another address, which is not followed.
    Redirected => UnderWay,
    /// The broker rejects the request.
    RequestRejected => UnderWay,
    /// The workload states that its version passes the gate unasked; the version is not judged yes yet.
    RolloutBypassed => UnderWay,
    /// The rollout was denied by the gate.
    RolloutDenied => Stalled,
    /// The rollout did not finish within its deadline.
    RolloutFailed => Stalled,
    /// The rollout is held: paused by the operator until its version may run, and resumed by it then.
    RolloutHeld => UnderWay,
    /// A rollout is not finished yet.
    RolloutInProgress => UnderWay,
    /// The rollout is paused; it is recorded once resumed and finished.
    RolloutPaused => UnderWay,
    /// The rollout was held and goes on: its version may run now, or a person resumed it by hand.
    RolloutResumed => Settled,
    /// The rollout was admitted without a question: it is unclear whether, or how, an environment judges it.
    RolloutUnchecked => UnderWay,
    /// The rollout was admitted with a warning of the gate.
    RolloutWarned => UnderWay,
    /// The rollout would be denied if the gate were enforced.
    RolloutWouldBeDenied => UnderWay,
    /// A version that runs would be denied now.
    RunsUnsafe => Stalled,
    /// The Secret holds something that cannot be used.
    SecretInvalid => UnderWay,
    /// The Secret lacks a key.
    SecretKeyMissing => UnderWay,
    /// There is no such Secret in the operator's namespace.
    SecretMissing => UnderWay,
    /// The PactBroker names a Secret that is not for brokers: the operator's own, or one of another program.
    SecretRefused => UnderWay,
    /// The Secret could not be read.
    SecretUnreadable => UnderWay,
    /// The workload's namespace is new to a pacticipant that is recorded for others, and it runs another version.
    Stranger => Stalled,
    /// An Argo Rollout is annotated otherwise than the Deployment whose template it uses.
    TemplateDiffers => Stalled,
    /// The workload is only the template of an Argo Rollout or a Flagger Canary.
    TemplateOnly => Stalled,
    /// The broker refuses the credentials.
    Unauthorized => UnderWay,
    /// A version that runs has no verdict yet, because the broker could not be asked.
    Unchecked => UnderWay,
    /// No workload runs the pacticipant any more, and it is no longer recorded.
    Undeployed => Settled,
    /// Many records vanished at once; they stay until the workloads return or a person confirms it.
    UndeploysHeld => Stalled,
    /// A workload that ran the pacticipant exists, but is not managed any more; the record stays.
    Unmanaged => Settled,
    /// The object cannot be read and is not followed.
    Unreadable => Stalled,
    /// A pipeline was asked to verify a pact that has no result.
    VerificationRequested => UnderWay,
    /// A pipeline was asked several times to verify a pact, and no result arrived.
    VerificationUnanswered => Stalled,
    /// The image changed while the version annotation stayed.
    VersionAnnotationStale => UnderWay,
    /// The workload's version is not one that a broker accepts.
    VersionInvalid => Stalled,
    /// The annotation and the image's tag state different versions.
    VersionMismatch => Stalled,
    /// The broker does not have the version: nothing was published with it (yet).
    VersionMissing => UnderWay,
    /// The tag is one that is never a version, such as `latest`.
    VersionMutable => Stalled,
    /// The version of the workload cannot be determined.
    VersionUnresolved => Stalled,
    /// There is no such workload (yet).
    WorkloadMissing => UnderWay,
}

impl Reason {
    /// Whether a version, or its pacticipant, has to be published first. A list of the broker tells when that happened.
    #[must_use]
    pub const fn waits_for_a_publication(self) -> bool {
        matches!(self, Self::VersionMissing | Self::PacticipantMissing)
    }

    /// Whether the broker refuses until a person does something: trying again soon finds out nothing (case 112).
    #[must_use]
    pub const fn waits_for_a_person(self) -> bool {
        self.waits_for_a_publication()
            || matches!(
                self,
                Self::Forbidden
                    | Self::Unauthorized
                    | Self::RequestRejected
                    | Self::InvalidName
                    | Self::PacticipantSpelling
            )
    }

    /// Whether a right is missing: what one write finds out about it holds for others, too.
    #[must_use]
    pub const fn lacks_a_right(self) -> bool {
        matches!(self, Self::Forbidden | Self::Unauthorized)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Reason> for &'static str {
    fn from(reason: Reason) -> Self {
        reason.as_str()
    }
}

impl From<&VersionProblem> for Reason {
    fn from(problem: &VersionProblem) -> Self {
        match problem {
            VersionProblem::AmbiguousContainer { .. } => Self::AmbiguousContainer,
            VersionProblem::ContainerMissing { .. } => Self::ContainerMissing,
            VersionProblem::Mismatch { .. } | VersionProblem::Stale { .. } => Self::VersionMismatch,
            VersionProblem::Mutable { .. } => Self::VersionMutable,
            VersionProblem::AnnotationRefused { .. } => Self::AnnotationRefused,
            VersionProblem::InvalidVersion(_) => Self::VersionInvalid,
            VersionProblem::Unpromoted { .. } => Self::RolloutInProgress,
            VersionProblem::NoContainers
            | VersionProblem::NoTag { .. }
            | VersionProblem::DigestOnly { .. }
            | VersionProblem::BareDigest { .. }
            | VersionProblem::PatternMismatch { .. } => Self::VersionUnresolved,
        }
    }
}

impl From<&IdentityProblem> for Reason {
    fn from(problem: &IdentityProblem) -> Self {
        match problem {
            IdentityProblem::OtherThanTemplate(_) => Self::TemplateDiffers,
            IdentityProblem::EmptyPacticipant => Self::PacticipantEmpty,
            IdentityProblem::InvalidPacticipant(_) => Self::PacticipantInvalid,
            IdentityProblem::TooMany { .. } | IdentityProblem::TooLong { .. } => Self::PacticipantsTooMany,
            IdentityProblem::InvalidApplicationInstance(_) => Self::ApplicationInstanceInvalid,
            IdentityProblem::ApplicationInstanceRefused | IdentityProblem::ApplicationInstanceOfRelease => {
                Self::ApplicationInstanceRefused
            }
        }
    }
}

/// A reason and a message, for a condition or an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Why.
    pub reason: Reason,
    /// For people: object, cause, remedy.
    pub message: String,
}

impl Explanation {
    /// A reason and a message.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_valid_and_each_has_a_description() {
        let pattern = regex::Regex::new("^[A-Z][A-Za-z]{2,40}$").unwrap();
        for reason in Reason::ALL {
            assert!(pattern.is_match(reason.as_str()), "{reason}");
            assert!(reason.description().ends_with('.'), "{reason}: {}", reason.description());
        }
        assert!(Reason::ALL.is_sorted_by(|one, next| one.as_str() < next.as_str()), "by name, each once");
    }
}

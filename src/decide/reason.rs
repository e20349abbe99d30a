//! The closed list of reasons that conditions and Events of ours give, each with what it means for the object that has it.
//!
//! A reason is an interface: people write alerts on it. One that is renamed is named in CHANGELOG.md.

use std::fmt;

use crate::workload::{IdentityProblem, VersionProblem};

/// What a reason means for a record: whether anybody has to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// All is as it should be: `Ready` is `True`.
    Settled,
    /// It goes on by itself: kstatus' `Reconciling`.
    UnderWay,
    /// Nothing goes on without a person: kstatus' `Stalled`.
    Stalled,
}

/// Makes the enum, its list and its texts from one table: the documentation of a reason is what users read of it.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $meaning:ident,)+) => {
        /// Why a condition is as it is, or why an Event was written.
        #[allow(clippy::doc_markdown, reason = "the texts are read in a terminal, too")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them, by name.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The reason as the API writes it, CamelCase.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means for the object that has it.
            #[must_use]
            pub const fn meaning(self) -> Meaning {
                match self { $(Self::$name => Meaning::$meaning,)+ }
            }

            /// What it says, in a sentence or two.
            #[must_use]
            pub fn description(self) -> String {
                match self { $(Self::$name => [$($doc,)+].concat().trim().to_owned(),)+ }
            }
        }
    };
}

reasons! {
    /// The container that tells the version is not named, and there are several.
    AmbiguousContainer => Stalled,
    /// The version annotation is there, but the environment refuses annotations.
    AnnotationRefused => Stalled,
    /// The broker's answer is longer than the operator reads.
    AnswerTooLarge => UnderWay,
    /// The broker answers, and may be read.
    Answering => Settled,
    /// The API server could not be asked for what a decision needs.
    ApiServerUnavailable => UnderWay,
    /// The annotation of the application instance does not hold a name that a broker takes.
    ApplicationInstanceInvalid => Stalled,
    /// None of the operator's records is at the broker any more; nothing is taken back until they were read again.
    BrokerAnomaly => UnderWay,
    /// There is no PactBroker of the name that the PactEnvironment refers to.
    BrokerMissing => UnderWay,
    /// The broker has not been asked for the first time.
    BrokerNotProbed => UnderWay,
    /// The broker does not answer, or answers with an error of its own.
    BrokerUnavailable => UnderWay,
    /// Several PactEnvironments claim the namespace, and not each of them allows that.
    Conflicted => Stalled,
    /// The container that the annotation names is not in the pod template.
    ContainerMissing => Stalled,
    /// Somebody else keeps writing the same record; it was put right once and is left alone now.
    Contested => Stalled,
    /// The broker does not have the environment.
    EnvironmentMissing => UnderWay,
    /// What the environment has recorded has not been read yet.
    EnvironmentNotRead => UnderWay,
    /// No PactEnvironment records there any more; the record stays as it is.
    EnvironmentUnmanaged => Stalled,
    /// The broker refuses the operator's user the right that it needs.
    Forbidden => UnderWay,
    /// The broker has the environment.
    Found => Settled,
    /// The PactEnvironment cannot be followed.
    InvalidEnvironment => Stalled,
    /// A name cannot be written into an address of the broker.
    InvalidName => UnderWay,
    /// The object says something that cannot be followed.
    InvalidSpec => UnderWay,
    /// Another replica leads now.
    LeaseLost => UnderWay,
    /// A workload that ran it is there, but cannot be judged yet; the record stays as it is.
    MembersUncertain => Stalled,
    /// Members of the group are, or roll out to, different versions.
    Mixed => UnderWay,
    /// Namespaces of this environment are claimed by another one, too.
    NamespaceClaimedTwice => Stalled,
    /// No namespace is claimed by another environment.
    NoOverlap => Settled,
    /// What answers at the address is not a Pact Broker.
    NotABroker => UnderWay,
    /// Nothing has to be done at the broker.
    NothingPending => Settled,
    /// No workload runs it and nothing is recorded.
    NothingRecorded => Settled,
    /// No workload runs it any more; the record is taken back after the grace.
    Orphaned => UnderWay,
    /// The pacticipant annotation is empty, or has an empty item.
    PacticipantEmpty => Stalled,
    /// The pacticipant annotation holds a name that no broker takes.
    PacticipantInvalid => Stalled,
    /// The broker does not know the pacticipant: nothing was published under that name.
    PacticipantMissing => UnderWay,
    /// The pacticipant annotation holds more names than are read.
    PacticipantsTooMany => Stalled,
    /// The broker asked everyone to wait.
    RateLimited => UnderWay,
    /// A version that runs is not recorded yet; the message says why.
    RecordFailed => UnderWay,
    /// The version was recorded, but the broker said another one right after.
    RecordNotKept => UnderWay,
    /// The broker says what runs.
    Recorded => Settled,
    /// The broker has a version that this operator did not record: left as it is.
    RecordedByOthers => Settled,
    /// What runs in the environment's namespaces is recorded.
    Recording => Settled,
    /// The broker redirects to another address, which is not followed.
    Redirected => UnderWay,
    /// The broker rejects the request.
    RequestRejected => UnderWay,
    /// The rollout was denied by the gate.
    RolloutDenied => Stalled,
    /// The rollout did not finish within its deadline.
    RolloutFailed => Stalled,
    /// A rollout is not finished yet.
    RolloutInProgress => UnderWay,
    /// The rollout is paused; it is recorded once resumed and finished.
    RolloutPaused => UnderWay,
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
    /// The Secret could not be read.
    SecretUnreadable => UnderWay,
    /// The broker does not take the credentials.
    Unauthorized => UnderWay,
    /// A version that runs has no verdict yet, because the broker could not be asked.
    Unchecked => UnderWay,
    /// No workload runs it any more, and it is no longer recorded.
    Undeployed => Settled,
    /// A workload that ran it is there, but is not managed any more; the record stays.
    Unmanaged => Settled,
    /// The object cannot be read and is not followed.
    Unreadable => Stalled,
    /// The image changed while the version annotation stayed.
    VersionAnnotationStale => UnderWay,
    /// The workload's version is none that a broker takes.
    VersionInvalid => Stalled,
    /// The annotation and the image's tag say different versions.
    VersionMismatch => Stalled,
    /// The broker does not have the version: nothing was published with it (yet).
    VersionMissing => UnderWay,
    /// The tag is one that is never a version, such as `latest`.
    VersionMutable => Stalled,
    /// No version can be told from the workload.
    VersionUnresolved => Stalled,
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
            VersionProblem::Mismatch { .. } => Self::VersionMismatch,
            VersionProblem::Mutable { .. } => Self::VersionMutable,
            VersionProblem::AnnotationRefused { .. } => Self::AnnotationRefused,
            VersionProblem::InvalidVersion(_) => Self::VersionInvalid,
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
            IdentityProblem::EmptyPacticipant => Self::PacticipantEmpty,
            IdentityProblem::InvalidPacticipant(_) => Self::PacticipantInvalid,
            IdentityProblem::TooMany { .. } | IdentityProblem::TooLong { .. } => Self::PacticipantsTooMany,
            IdentityProblem::InvalidApplicationInstance(_) => Self::ApplicationInstanceInvalid,
        }
    }
}

/// A reason and a message, for a condition or an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Why.
    pub reason: Reason,
    /// For people: thing, cause, remedy.
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
    fn reasons_are_what_the_api_takes_and_each_says_something() {
        let pattern = regex::Regex::new("^[A-Z][A-Za-z]{2,40}$").unwrap();
        for reason in Reason::ALL {
            assert!(pattern.is_match(reason.as_str()), "{reason}");
            assert!(reason.description().ends_with('.'), "{reason}: {}", reason.description());
        }
        assert!(Reason::ALL.is_sorted_by(|one, next| one.as_str() < next.as_str()), "by name, each once");
    }

    #[test]
    fn the_page_of_reasons_says_what_they_say() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reasons.md");
        let page = std::fs::read_to_string(file).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = Reason::ALL
            .iter()
            .map(|reason| {
                let meaning = match reason.meaning() {
                    Meaning::Settled => "settled",
                    Meaning::UnderWay => "goes on by itself",
                    Meaning::Stalled => "needs a person",
                };
                format!("| `{reason}` | {meaning} | {} |", reason.description())
            })
            .collect();
        assert_eq!(rows, expected, "write them anew into docs/reasons.md");
    }
}

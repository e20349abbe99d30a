//! What has to be asked about an admission review, or why nothing has.

use k8s_openapi::jiff::Timestamp;

use super::{
    Cause, EnvironmentPolicy, Finding, GateRules, Identified, Operation, Problem, RecordedVersions, Review, Subject,
    decision::{in_force, must_be_asked},
    subjects,
};
use crate::{
    api::{gate::GateMode, names::Pacticipant},
    decide::{Question, messages},
    workload::{BrokenRules, EnvironmentRef, NamespaceMapping, VersionSource, Workload, WorkloadKind, stale_source},
};

/// Why a review is admitted without a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// Another operation or subresource: the configuration of the webhook sends too much.
    OtherOperation,
    /// A kind that the operator does not know, by its name.
    OtherKind(String),
    /// The object cannot be read.
    Unreadable {
        /// What it is.
        kind: WorkloadKind,
        /// Why.
        problem: String,
    },
    /// Neither the old nor the new object is annotated.
    Unannotated,
    /// It is the primary of a Flagger Canary: what is promoted was judged at its target (case 71).
    Primary,
    /// Its namespace lies in no environment.
    Unmapped,
    /// Its namespace is claimed by several environments that do not allow it.
    Conflicted {
        /// Their names.
        claimants: Vec<String>,
        /// Whether the gate of each of them is off.
        all_off: bool,
    },
}

impl Unjudged {
    /// As metrics and log lines have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OtherOperation | Self::OtherKind(_) => "NotOurs",
            Self::Unannotated => "Unannotated",
            Self::Unmapped => "Unmapped",
            Self::Conflicted { .. } => "Unclear",
            Self::Primary => "Primary",
            Self::Unreadable { .. } => "Unreadable",
        }
    }

    /// What whoever asked should know.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let text = match self {
            Self::OtherKind(kind) => {
                let known = WorkloadKind::ALL.map(WorkloadKind::kind).join(", ");
                format!("pact-operator judges no {kind}, only {known}")
            }
            Self::Unreadable { kind, problem } => {
                format!("not checked with Pact, the {kind} cannot be read: {problem}")
            }
            Self::Conflicted { claimants, all_off: false } => {
                format!("not checked with Pact: the namespace is claimed by {}", claimants.join(", "))
            }
            Self::OtherOperation
            | Self::Unannotated
            | Self::Primary
            | Self::Unmapped
            | Self::Conflicted { all_off: true, .. } => return None,
        };
        Some(messages::warning(&text))
    }
}

/// Something that whoever asked should know besides the verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A `PactEnvironment` cannot be followed, so its broker is not asked.
    BrokenEnvironment {
        /// Its name.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The image became another build and the version annotation stayed.
    StaleAnnotation,
    /// The image became another build and the version label, which says the version, stayed.
    StaleLabel,
}

impl Notice {
    /// The notice as a warning.
    #[must_use]
    pub fn warning(&self) -> String {
        match self {
            Self::BrokenEnvironment { object, .. } => {
                messages::warning(&format!("not checked with Pact: PactEnvironment {object} cannot be followed"))
            }
            Self::StaleAnnotation => messages::warning(
                "the image changed, but the annotation pact-operator.dev/version stayed: is it still right?",
            ),
            Self::StaleLabel => messages::warning(
                "the image changed, but the label app.kubernetes.io/version stayed: is it still right?",
            ),
        }
    }
}

/// A subject that has to be asked about, and the policy of its environment.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenSubject {
    /// The subject.
    pub subject: Subject,
    /// The gate block of its environment.
    pub rules: GateRules,
    /// Whether the environment's first inventory was recorded.
    pub backfilled: bool,
}

impl OpenSubject {
    /// The question to its broker, with what is ignored at `now`.
    ///
    /// # Errors
    /// When the pacticipant or its version is not known: then there is nothing to ask.
    pub fn question(&self, now: Timestamp) -> Result<Question, Problem> {
        let Identified { pacticipant, version } = self.subject.identified.as_ref().map_err(Clone::clone)?;
        Ok(self.rules.question(pacticipant, version, &self.subject.environment_ref.environment, now))
    }

    /// What comes of the answer under the environment's policy.
    #[must_use]
    pub fn finding(self, cause: Cause) -> Finding {
        Finding::new(self.subject, cause, &self.rules, self.backfilled)
    }
}

/// What has to be asked about a review.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Nothing: it is admitted.
    Unjudged(Unjudged),
    /// These; none when each version is known to be fine.
    Judged {
        /// What has to be asked about.
        subjects: Vec<OpenSubject>,
        /// What there is to report besides.
        notices: Vec<Notice>,
    },
}

impl Scope {
    /// Whether the answer does not depend on the verdicts: no environment's mode warns or denies.
    #[must_use]
    pub fn is_silent(subjects: &[OpenSubject]) -> bool {
        subjects.iter().all(|open| in_force(open.rules.mode, open.backfilled) < GateMode::Warn)
    }
}

/// Why a review needs no question whatever its namespace, if so. [`scope()`] looks at this first; it is there for a caller
/// who has to read the namespace otherwise.
#[must_use]
pub fn unjudged(review: &Review) -> Option<Unjudged> {
    if review.subresource || review.operation == Operation::Other {
        return Some(Unjudged::OtherOperation);
    }
    let Some(kind) = review.kind.known() else { return Some(Unjudged::OtherKind(review.kind.kind.clone())) };
    match &review.new {
        Err(problem) => Some(Unjudged::Unreadable { kind, problem: problem.clone() }),
        Ok(new) if !new.annotated() && !review.old.as_ref().is_some_and(Workload::annotated) => {
            Some(Unjudged::Unannotated)
        }
        Ok(new) if new.canary_owner.is_some() => Some(Unjudged::Primary),
        Ok(_) => None,
    }
}

/// What has to be asked about a review whose namespace lies where `mapping` says. `environment` gives the policy of a
/// `PactEnvironment`, or why it cannot be followed; `recorded` what is recorded of a pacticipant.
#[must_use]
pub fn scope<'a>(
    review: &Review,
    mapping: &NamespaceMapping,
    environment: impl Fn(&str) -> Option<&'a Result<EnvironmentPolicy, Box<BrokenRules>>>,
    recorded: impl Fn(&EnvironmentRef, &Pacticipant) -> RecordedVersions,
) -> Scope {
    if let Some(unjudged) = unjudged(review) {
        return Scope::Unjudged(unjudged);
    }
    let objects = match mapping {
        NamespaceMapping::Unmapped => return Scope::Unjudged(Unjudged::Unmapped),
        NamespaceMapping::Conflicted(claimants) => {
            let off = |policy: &EnvironmentPolicy| policy.gate.mode == GateMode::Off;
            let all_off = claimants.iter().all(|name| environment(name).is_some_and(|it| it.as_ref().is_ok_and(off)));
            return Scope::Unjudged(Unjudged::Conflicted { claimants: claimants.clone(), all_off });
        }
        NamespaceMapping::Mapped(objects) => objects,
    };
    let (old, mut open, mut notices) = (review.old.as_ref(), Vec::new(), Vec::new());
    let Ok(new) = &review.new else { return Scope::Judged { subjects: open, notices } };
    for object in objects {
        let policy = match environment(object) {
            None => continue,
            Some(Err(broken)) => {
                let problem = broken.problem.clone();
                notices.push(Notice::BrokenEnvironment { object: object.clone(), problem });
                continue;
            }
            Some(Ok(policy)) => policy,
        };
        // Where the version is checked it is a finding, not a notice.
        let stale = old.and_then(|old| stale_source(old, new, &policy.rules.version));
        if let Some(stale) = stale.filter(|stale| stale.untagged.is_none())
            && policy.gate.mode != GateMode::Off
            && notices.is_empty()
        {
            notices.push(match stale.source {
                VersionSource::Label => Notice::StaleLabel,
                _ => Notice::StaleAnnotation,
            });
        }
        let subjects = subjects(old, new, &policy.rules, &recorded).into_iter();
        open.extend(subjects.filter(|subject| must_be_asked(subject, &policy.gate)).map(|subject| OpenSubject {
            subject,
            rules: policy.gate.clone(),
            backfilled: policy.backfilled,
        }));
    }
    Scope::Judged { subjects: open, notices }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;

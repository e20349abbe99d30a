//! What has to be asked about an admission review, or why nothing has.

use std::borrow::Cow;

use k8s_openapi::jiff::Timestamp;

use super::{
    Cause, EnvironmentPolicy, Finding, GateRules, Identified, Operation, Purpose, RecordedVersions, Review, Subject,
    Unclear,
    decision::{in_force, must_be_asked},
    subjects,
};
use crate::{
    api::{gate::GateMode, names::Pacticipant},
    decide::{Question, messages, stray_keys},
    workload::{
        BrokenRules, EnvironmentRef, EnvironmentRules, NamespaceMapping, StrayKey, VersionSource, Whereabouts,
        Workload, WorkloadKind, stale_source,
    },
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
    /// It is the primary of a Flagger Canary: what is promoted was judged at its target (cases 71 and 88).
    Primary,
    /// Its pod template is another workload's, which is judged: an Argo Rollout with a reference.
    ByReference,
    /// A Job that another object controls, such as a `CronJob`, which was judged.
    Controlled,
    /// Its namespace lies in no environment.
    Unmapped,
}

impl Unjudged {
    /// As metrics and log lines have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OtherOperation | Self::OtherKind(_) => "NotOurs",
            Self::Unannotated => "Unannotated",
            Self::Unmapped => "Unmapped",
            Self::Primary => "Primary",
            Self::ByReference => "ByReference",
            Self::Controlled => "Controlled",
            Self::Unreadable { .. } => "Unreadable",
        }
    }

    /// What whoever asked should know, as a warning.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.sentence().as_deref().map(messages::warning)
    }

    /// The same, whole.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let text = match self {
            // A Knative Service: that of Kubernetes has no pod template, and nobody is asked about it.
            Self::OtherKind(kind) if kind == "Service" => {
                "no Service is judged or recorded: annotate spec.template of the Knative Service instead, for its Deployments"
                    .to_owned()
            }
            Self::OtherKind(kind) => {
                let known = WorkloadKind::RECORDED.map(WorkloadKind::kind).join(", ");
                format!("pact-operator judges and records no {kind}, only {known}")
            }
            Self::Unreadable { kind, problem } => {
                format!("not checked with Pact, the {kind} cannot be read: {problem}")
            }
            Self::OtherOperation
            | Self::Unannotated
            | Self::Primary
            | Self::ByReference
            | Self::Controlled
            | Self::Unmapped => return None,
        };
        Some(text)
    }
}

/// Something that whoever asked should know besides the verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The image became another build and the version annotation stayed.
    StaleAnnotation,
    /// The image became another build and the version label, which says the version, stayed.
    StaleLabel,
    /// A key that looks like the operator's and is not read.
    StrayKey(StrayKey),
}

impl Notice {
    /// The notice as a warning.
    #[must_use]
    pub fn warning(&self) -> String {
        match self {
            Self::StaleAnnotation => messages::warning(
                "the image changed, but the annotation pact-operator.dev/version stayed: is it still right?",
            ),
            Self::StaleLabel => messages::warning(
                "the image changed, but the label app.kubernetes.io/version stayed: is it still right?",
            ),
            Self::StrayKey(stray) => messages::warning(&stray_keys::sentence(stray)),
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
    /// Whether all that runs in the environment was listed.
    pub members_listed: bool,
    /// Why the broker is not asked although there is a question, if so.
    pub unclear: Option<Unclear>,
    /// Whether the request is a dry-run.
    pub dry_run: bool,
}

impl OpenSubject {
    /// The question to its broker, with what is ignored at `now`.
    ///
    /// # Errors
    /// When there is nothing to ask: it is unclear whether the environment judges it, or the pacticipant or its version
    /// is not known.
    pub fn question(&self, now: Timestamp) -> Result<Question, Cause> {
        if let Some(unclear) = &self.unclear {
            return Err(Cause::Unclear(unclear.clone()));
        }
        let identified = self.subject.identified.as_ref().map_err(|problem| Cause::Problem(problem.clone()));
        let Identified { pacticipant, version } = identified?;
        Ok(self.rules.question(pacticipant, version, &self.subject.environment_ref.environment, now))
    }

    /// The mode that is in force.
    #[must_use]
    pub fn mode(&self) -> GateMode {
        in_force(self.rules.mode, self.members_listed)
    }

    /// What comes of the answer under the environment's policy.
    #[must_use]
    pub fn finding(self, cause: Cause) -> Finding {
        let finding = Finding::new(self.subject, cause, &self.rules, self.members_listed);
        if self.dry_run { finding.of_dry_run(&self.rules) } else { finding }
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
        subjects.iter().all(|open| open.mode() < GateMode::Warn)
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
        Ok(new)
            if !new.annotated()
                && !review.old.as_ref().is_some_and(Workload::annotated)
                && new.stray_keys.is_empty() =>
        {
            Some(Unjudged::Unannotated)
        }
        Ok(new) if new.revisions.as_ref().is_some_and(|revisions| revisions.by_reference) => {
            Some(Unjudged::ByReference)
        }
        // What is judged only runs once: started by a CronJob in the night, it must not wait for an answer.
        Ok(new) if new.controlled && !kind.recorded() => Some(Unjudged::Controlled),
        Ok(_) => None,
    }
}

/// What has to be asked about a review whose namespace lies where `whereabouts` says. `environment` gives the policy of a
/// `PactEnvironment`, or why it cannot be followed; `recorded` what is recorded of a pacticipant.
#[must_use]
pub fn scope<'a>(
    review: &Review,
    whereabouts: &Whereabouts,
    environment: impl Fn(&str) -> Option<&'a Result<EnvironmentPolicy, Box<BrokenRules>>>,
    recorded: impl Fn(&EnvironmentRef, &Pacticipant) -> RecordedVersions,
) -> Scope {
    if let Some(unjudged) = unjudged(review) {
        return Scope::Unjudged(unjudged);
    }
    let mut claimants = claimants(whereabouts).peekable();
    if claimants.peek().is_none() {
        return Scope::Unjudged(Unjudged::Unmapped);
    }
    let (old, mut open, mut notices) = (review.old.as_ref(), Vec::new(), Vec::new());
    let Ok(new) = &review.new else { return Scope::Judged { subjects: open, notices } };
    let mut gated = false;
    for (object, unclear) in claimants {
        let Some(judge) = environment(object).and_then(|policy| Judge::of(policy, unclear)) else { continue };
        let judge = if review.purpose == Purpose::AsEnforced { judge.enforced() } else { judge };
        gated |= judge.gate.mode != GateMode::Off;
        // Where the version is checked it is a finding, not a notice.
        let stale = old.and_then(|old| stale_source(old, new, &judge.rules.version));
        let on = judge.gate.mode != GateMode::Off && judge.unclear.is_none();
        if let Some(stale) = stale.filter(|stale| stale.untagged.is_none() && on)
            && notices.is_empty()
        {
            notices.push(match stale.source {
                VersionSource::Label => Notice::StaleLabel,
                _ => Notice::StaleAnnotation,
            });
        }
        let subjects = subjects(old, review.old_waits, new, &judge.rules, &recorded).into_iter();
        open.extend(subjects.filter(|subject| must_be_asked(subject, &judge.gate)).map(|subject| {
            let open = judge.open(subject);
            OpenSubject { dry_run: review.dry_run, ..open }
        }));
    }
    if gated {
        notices.extend(new.stray_keys.iter().cloned().map(Notice::StrayKey));
    }
    Scope::Judged { subjects: open, notices }
}

/// The `PactEnvironment`s that claim a namespace or may claim it, each with why it is not clear that they judge it, if so.
pub fn claimants(whereabouts: &Whereabouts) -> impl Iterator<Item = (&str, Option<Unclear>)> {
    let (sure, conflict) = match &whereabouts.mapping {
        NamespaceMapping::Unmapped => (&[][..], None),
        NamespaceMapping::Mapped(objects) => (objects.as_slice(), None),
        NamespaceMapping::Conflicted(claimants) => {
            (claimants.as_slice(), Some(Unclear::Conflicted { claimants: claimants.clone() }))
        }
    };
    let sure = sure.iter().map(move |object| (object.as_str(), conflict.clone()));
    sure.chain(whereabouts.possible.iter().map(|object| (object.as_str(), Some(Unclear::NamespaceUnread))))
}

/// By what an environment judges.
pub(super) struct Judge<'a> {
    pub(super) rules: Cow<'a, EnvironmentRules>,
    gate: Cow<'a, GateRules>,
    members_listed: bool,
    unclear: Option<Unclear>,
}

impl<'a> Judge<'a> {
    /// Of one that cannot be followed, only the gate block is: its versions are found by the usual rules.
    pub(super) fn of(
        policy: &'a Result<EnvironmentPolicy, Box<BrokenRules>>,
        unclear: Option<Unclear>,
    ) -> Option<Self> {
        Some(match policy {
            Ok(policy) => Self {
                rules: Cow::Borrowed(&policy.rules),
                gate: Cow::Borrowed(&policy.gate),
                members_listed: policy.members_listed,
                unclear,
            },
            Err(broken) => Self {
                rules: Cow::Owned(broken.usual_rules()?),
                gate: Cow::Owned(GateRules::parse(&broken.gate.clone().unwrap_or_default())),
                members_listed: false,
                unclear: unclear.or_else(|| Some(Unclear::BrokenEnvironment { problem: broken.problem.clone() })),
            },
        })
    }

    /// The same, as if the environment enforced its actions.
    fn enforced(mut self) -> Self {
        self.gate.to_mut().mode = GateMode::Enforce;
        self
    }

    /// A subject in the environment, to be asked about.
    pub(super) fn open(&self, subject: Subject) -> OpenSubject {
        OpenSubject {
            subject,
            rules: self.gate.clone().into_owned(),
            // Where nothing is asked, no answer can lack what is not listed yet.
            members_listed: self.members_listed || self.unclear.is_some(),
            unclear: self.unclear.clone(),
            dry_run: false,
        }
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;

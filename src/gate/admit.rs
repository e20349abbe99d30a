//! One review, from the request to the decision.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{Api, core::PartialObjectMeta};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::{
    Gate,
    report::Decided,
    review::{Answer, Operation, Review},
};
use crate::{
    api::gate::GateMode,
    broker::questions::Source,
    decide::{
        Decision, Finding, GateRules, Identified, Judgement, Outcome, Question, Subject, Verdict,
        decision::{Cause, in_force, must_be_asked},
        messages, subjects,
    },
    workload::{NamespaceMapping, Workload, WorkloadKind, stale_annotation},
};
use operator_kit::refusal;

/// How long reading a namespace that the watch has not told of yet may take.
const NAMESPACE_LIMIT: Duration = Duration::from_secs(1);

/// Why a review is let through unjudged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Passed {
    /// Another kind, operation or subresource: the configuration of the webhook sends too much.
    NotOurs,
    /// Neither the old nor the new object is annotated.
    Unannotated,
    /// Its namespace lies in no environment.
    Unmapped,
    /// Its namespace is claimed by several environments that do not allow it, or by one that cannot be followed.
    Unclear,
    /// It is the primary of a Flagger Canary: what is promoted was judged at its target (case 71).
    Primary,
    /// The object cannot be read.
    Unreadable,
}

impl Passed {
    /// As metrics and log lines have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "NotOurs",
            Self::Unannotated => "Unannotated",
            Self::Unmapped => "Unmapped",
            Self::Unclear => "Unclear",
            Self::Primary => "Primary",
            Self::Unreadable => "Unreadable",
        }
    }
}

/// A subject that has to be asked about, and under which rules.
struct Open {
    subject: Subject,
    rules: GateRules,
    backfilled: bool,
}

impl Gate {
    /// Answers a review before `deadline`, and greets whoever asks for that.
    pub(super) async fn admit(self: &Arc<Self>, review: Review, deadline: Instant) -> Answer {
        let greet = review.self_test;
        let mut answer = self.judged(review, deadline).await;
        if greet {
            answer.warnings.insert(0, messages::greeting());
            answer.warnings.truncate(messages::WARNINGS);
        }
        answer
    }

    async fn judged(self: &Arc<Self>, review: Review, deadline: Instant) -> Answer {
        match self.open(&review, deadline).await {
            Err((passed, answer)) => {
                self.metrics.passed(passed);
                answer
            }
            Ok((open, notices)) if open.is_empty() => Answer { warnings: notices, ..Answer::allow() },
            Ok((open, notices)) => {
                // Nobody is held up where nothing can come of it: what there is to tell is found out afterwards.
                let silent = open.iter().all(|it| in_force(it.rules.mode, it.backfilled) < GateMode::Warn);
                if silent {
                    let gate = Arc::clone(self);
                    tokio::spawn(async move { gate.decide(&review, open, deadline).await });
                    return Answer { warnings: notices, ..Answer::allow() };
                }
                let decision = self.decide(&review, open, deadline).await;
                self.answer(&decision, notices)
            }
        }
    }

    fn answer(&self, decision: &Decision, notices: Vec<String>) -> Answer {
        let denied =
            (decision.outcome == Outcome::Denied).then(|| messages::denial(decision, |finding| self.link(finding)));
        let mut warnings = messages::warnings(decision);
        warnings.extend(notices);
        warnings.truncate(messages::WARNINGS);
        let audit = decision.findings.first().map(|finding| ("verdict", finding.cause.name().to_owned()));
        Answer { denied, warnings, audit: audit.into_iter().collect() }
    }

    /// What a review has to be asked about, and what there is to remark besides; or why it passes unjudged.
    async fn open(&self, review: &Review, deadline: Instant) -> Result<(Vec<Open>, Vec<String>), (Passed, Answer)> {
        if review.subresource || review.operation == Operation::Other {
            return Err((Passed::NotOurs, Answer::allow()));
        }
        let Some(kind) = review.kind.known() else {
            let known = WorkloadKind::ALL.map(WorkloadKind::kind).join(", ");
            let warning = format!("pact-operator judges no {}, only {known}", review.kind.kind);
            return Err((Passed::NotOurs, Answer::allow_with(warning)));
        };
        let new = match &review.new {
            Ok(new) => new,
            Err(problem) => {
                warn!(
                    namespace = review.namespace,
                    name = review.name,
                    kind = kind.kind(),
                    problem,
                    "a workload cannot be read and is let through"
                );
                let warning = format!("not checked with Pact, the {kind} cannot be read: {problem}");
                return Err((Passed::Unreadable, Answer::allow_with(warning)));
            }
        };
        let old = review.old.as_ref();
        if !new.annotated() && !old.is_some_and(Workload::annotated) {
            return Err((Passed::Unannotated, Answer::allow()));
        }
        if new.canary_owner.is_some() {
            return Err((Passed::Primary, Answer::allow()));
        }
        let objects = match self.mapping(&review.namespace, deadline).await {
            NamespaceMapping::Unmapped => return Err((Passed::Unmapped, Answer::allow())),
            NamespaceMapping::Mapped(objects) => objects,
            NamespaceMapping::Conflicted(claimants) => return Err((Passed::Unclear, self.conflicted(&claimants))),
        };
        Ok(self.subjects_in(&objects, old, new))
    }

    fn subjects_in(&self, objects: &[String], old: Option<&Workload>, new: &Workload) -> (Vec<Open>, Vec<String>) {
        let index = self.index();
        let (mut open, mut notices) = (Vec::new(), Vec::new());
        let stale = old.is_some_and(|old| stale_annotation(old, new));
        for object in objects {
            let environment = match index.environment(object) {
                Some(Ok(environment)) => environment,
                Some(Err(broken)) => {
                    let text = format!("not checked with Pact: PactEnvironment {object} cannot be followed");
                    warn!(environment = object, problem = broken.problem, "a review passes unjudged");
                    notices.push(messages::warning(&text));
                    continue;
                }
                None => continue,
            };
            let rules = &environment.rules;
            if stale
                && environment.gate.mode != GateMode::Off
                && rules.version.annotation_allowed
                && rules.version.tag_pattern.is_none()
                && notices.is_empty()
            {
                let text = "the image changed, but the annotation pact-operator.dev/version stayed: is it still right?";
                notices.push(messages::warning(text));
            }
            let remembered = |environment_ref: &_, pacticipant: &_| index.remembered(environment_ref, pacticipant);
            let subjects = subjects(old, new, rules, remembered).into_iter();
            open.extend(subjects.filter(|subject| must_be_asked(subject, &environment.gate)).map(|subject| Open {
                subject,
                rules: environment.gate.clone(),
                backfilled: environment.backfilled,
            }));
        }
        (open, notices)
    }

    fn conflicted(&self, claimants: &[String]) -> Answer {
        let index = self.index();
        let off = |name: &String| {
            index.environment(name).is_some_and(|it| it.as_ref().is_ok_and(|it| it.gate.mode == GateMode::Off))
        };
        if claimants.iter().all(off) {
            return Answer::allow();
        }
        Answer::allow_with(format!("not checked with Pact: the namespace is claimed by {}", claimants.join(", ")))
    }

    /// Where a namespace lies. One that the watch has not told of yet is asked for: a workload may come a moment after its
    /// namespace.
    async fn mapping(&self, namespace: &str, deadline: Instant) -> NamespaceMapping {
        {
            let index = self.index();
            if let Some(labels) = index.labels(namespace) {
                return index.mapping(namespace, labels);
            }
        }
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let limit = NAMESPACE_LIMIT.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let labels = match timeout(limit, api.get_opt(namespace)).await {
            Ok(Ok(found)) => found.and_then(|found| found.metadata.labels).unwrap_or_default(),
            Ok(Err(error)) => {
                let error = refusal::explain(&error);
                warn!(namespace, error, "the namespace cannot be read; only environments that name it claim it");
                BTreeMap::new()
            }
            Err(_) => {
                warn!(namespace, "the namespace was not read in time; only environments that name it claim it");
                BTreeMap::new()
            }
        };
        self.index().mapping(namespace, &labels)
    }

    /// Asks what has to be asked, all at once, and comes to a decision.
    async fn decide(&self, review: &Review, open: Vec<Open>, deadline: Instant) -> Decision {
        let asked = open.into_iter().map(|open| self.find(open, deadline));
        let (findings, sources): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
        let decision = Decision::over(findings);
        self.report(&Decided { review, decision: &decision, sources: &sources });
        decision
    }

    async fn find(&self, open: Open, deadline: Instant) -> (Finding, Source) {
        let Open { subject, rules, backfilled } = open;
        let (cause, source) = match &subject.identified {
            Err(problem) => (Cause::Problem(problem.clone()), Source::None),
            Ok(Identified { pacticipant, version }) => {
                let question =
                    rules.question(pacticipant, version, &subject.environment_ref.environment, Timestamp::now());
                let (judgement, source) = self.ask(&subject.environment_ref.broker, &question, deadline).await;
                (Cause::Judged(judgement), source)
            }
        };
        (Finding::new(subject, cause, &rules, backfilled), source)
    }

    async fn ask(&self, broker: &str, question: &Question, deadline: Instant) -> (Judgement, Source) {
        match self.brokers.questions(broker) {
            Err(why) => {
                let why = format!("PactBroker {broker}: {}", why.message);
                (Judgement::without_pairs(Verdict::BrokerUnavailable, why), Source::None)
            }
            Ok(questions) => {
                let (judgement, source) = questions.ask(question, deadline).await;
                if judgement.verdict == Verdict::Unauthorized {
                    self.brokers.refused();
                }
                ((*judgement).clone(), source)
            }
        }
    }

    /// The address of the matrix of a finding, for people.
    pub(super) fn link(&self, finding: &Finding) -> Option<String> {
        let Identified { pacticipant, version } = finding.subject.identified.as_ref().ok()?;
        if let Cause::Judged(judgement) = &finding.cause
            && matches!(judgement.verdict, Verdict::VersionMissing | Verdict::PacticipantUnknown)
        {
            return None;
        }
        let base = self.brokers.public_url(&finding.subject.environment_ref.broker)?;
        let question = Question {
            pacticipant: pacticipant.clone(),
            version: version.clone(),
            environment: finding.subject.environment_ref.environment.clone(),
            ignore: Vec::new(),
        };
        Some(messages::matrix_link(&base, &question))
    }
}

//! One review, from the request to the answer: gather, ask, answer.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{Api, core::PartialObjectMeta};
use operator_kit::{refusal, review_path, traces};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::Gate;
use crate::{
    api::gate::GateMode,
    broker::{
        fair_queue::{Caller, Urgency},
        questions::Source,
    },
    decide::{
        Decision, Finding, Judgement, Outcome, Question, Verdict,
        admission::{
            Answer, Bypass, Cause, Ineffective, Notice, OpenSubject, Purpose, Review, Scope, Unjudged, bypass, scope,
            unjudged,
        },
        hold, messages,
    },
    workload::Whereabouts,
};

/// How long reading a namespace that the watch has not reported yet may take.
const NAMESPACE_LIMIT: Duration = Duration::from_secs(1);

impl Gate {
    /// Answers a review of this caller before `deadline`.
    pub(super) async fn answer(
        self: &Arc<Self>,
        review: Review,
        caller: review_path::Caller,
        deadline: Instant,
    ) -> Answer {
        match caller {
            review_path::Caller::Known | review_path::Caller::Unverifiable => self.admit(review, deadline).await,
            review_path::Caller::Stranger => self.answer_stranger(&review, deadline).await,
        }
    }

    /// Answers a review before `deadline`, and greets whoever asks for that.
    async fn admit(self: &Arc<Self>, review: Review, deadline: Instant) -> Answer {
        let self_test = review.purpose == Purpose::SelfTest;
        // What is held does not run: changed or let go, it is judged as if it were new.
        let anew = if self.holds { hold::judged_anew(&review) } else { None };
        let answer = match self.gather(anew.as_ref().unwrap_or(&review), deadline).await {
            Scope::Unjudged(why) => {
                self.metrics.unjudged(&why);
                self.report_unjudged(&review, &why);
                let held = hold::let_go_by_manifest(&review).filter(|_| self.holds);
                held.map_or_else(|| Answer::unjudged(&why), |held| Answer::deny(messages::stays_held(&held)))
            }
            Scope::Judged { subjects, notices } => self.judge(review, subjects, &notices, deadline).await,
        };
        if self_test { answer.greeting() } else { answer }
    }

    /// What a review is about, from the view of the cluster.
    pub(super) async fn gather(&self, review: &Review, deadline: Instant) -> Scope {
        if let Some(why) = unjudged(review) {
            if let Unjudged::Unreadable { problem, .. } = &why {
                let (namespace, name, kind) = (&review.namespace, &review.name, &review.kind.kind);
                warn!(namespace, name, kind, problem, "a workload cannot be read and is admitted unjudged");
            }
            return Scope::Unjudged(why);
        }
        if self.is_primary(review, deadline).await {
            return Scope::Unjudged(Unjudged::Primary);
        }
        let whereabouts = self.whereabouts(&review.namespace, deadline).await;
        self.scope(review, &whereabouts)
    }

    pub(super) fn scope(&self, review: &Review, whereabouts: &Whereabouts) -> Scope {
        let (index, recorded) = (self.cluster.index(), self.cluster.recorded());
        let environments = index.environments();
        scope(review, whereabouts, |object| environments.get(object), |at, pacticipant| recorded.of(at, pacticipant))
    }

    /// Where a namespace lies. One that the watch has not reported yet is read: a workload may come a moment after its
    /// namespace.
    pub(super) async fn whereabouts(&self, namespace: &str, deadline: Instant) -> Whereabouts {
        if let Some(mapping) = self.cluster.index().mapping(namespace) {
            return mapping.into();
        }
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.cluster.client.clone());
        let limit = NAMESPACE_LIMIT.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let error = match timeout(limit, api.get_opt(namespace)).await {
            Ok(Ok(found)) => {
                let labels = found.and_then(|found| found.metadata.labels).unwrap_or_default();
                return self.cluster.index().environments().mapping(namespace, &labels).into();
            }
            Ok(Err(error)) => refusal::explain(&error),
            Err(_) => "it was not read in time".to_owned(),
        };
        let whereabouts = self.cluster.index().environments().whereabouts_without_labels(namespace);
        let unclear = whereabouts.possible.join(", ");
        warn!(namespace, error, unclear, "the namespace cannot be read: what selects by label may claim it");
        whereabouts
    }

    async fn judge(
        self: &Arc<Self>,
        review: Review,
        subjects: Vec<OpenSubject>,
        notices: &[Notice],
        deadline: Instant,
    ) -> Answer {
        if Scope::is_silent(&subjects) {
            // Nobody waits where the answer does not depend on the verdicts: they are found out and reported afterwards.
            if !subjects.is_empty() {
                let gate = Arc::clone(self);
                let finding_out = async move { gate.decide(&review, subjects, Bypass::Unstated, deadline).await };
                tokio::spawn(traces::carried(finding_out));
            }
            return Answer::noticed(notices);
        }
        let (subjects, bypass) = self.bypass(&review, subjects, deadline).await;
        let decision = self.decide(&review, subjects, bypass, deadline).await;
        Answer::decided(&decision, notices, |finding| self.link(finding))
    }

    /// What is left to be asked about when the review's statement counts, and what the statement comes to.
    pub(super) async fn bypass(
        &self,
        review: &Review,
        mut subjects: Vec<OpenSubject>,
        deadline: Instant,
    ) -> (Vec<OpenSubject>, Bypass) {
        let statement = match bypass::stated(review, &subjects, &self.bypass_accounts) {
            Ok(statement) => statement,
            Err(bypass) => return (subjects, bypass),
        };
        if let Err(why) = self.may_bypass(&review.user, deadline).await {
            if let Ineffective::RightUnknown(error) = &why {
                warn!(
                    uid = review.uid,
                    error, "whether a user may bypass the gate is not known, so it is not bypassed"
                );
            }
            return (subjects, Bypass::Ineffective(why));
        }
        subjects.retain(|open| !bypass::covers(&statement, review, open));
        (subjects, Bypass::Counts(statement))
    }

    /// Asks what has to be asked, all at once, comes to a decision and reports it.
    async fn decide(&self, review: &Review, subjects: Vec<OpenSubject>, bypass: Bypass, deadline: Instant) -> Decision {
        let namespace = &review.namespace;
        // A dry-run admits nothing.
        let asked = subjects.into_iter().map(|subject| self.find(subject, namespace, !review.dry_run, deadline));
        let (findings, sources): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
        let mut decision = self.holdable(review, Decision::over(findings).beside(bypass), deadline).await;
        if self.holds {
            decision = hold::as_held(review, decision);
        }
        if decision.outcome == Outcome::Denied && !review.dry_run {
            let mut recorded = self.cluster.recorded();
            for finding in &decision.findings {
                let environment_ref = &finding.subject.environment_ref;
                finding.asked.iter().for_each(|question| recorded.end_admission(environment_ref, question));
            }
        }
        self.report(review, &decision, &sources);
        decision
    }

    pub(super) async fn find(
        &self,
        open: OpenSubject,
        namespace: &str,
        admits: bool,
        deadline: Instant,
    ) -> (Finding, Source) {
        match open.question(Timestamp::now()) {
            Err(cause) => (open.finding(cause), Source::None),
            Ok(question) => {
                let caller = Caller { urgency: urgency(open.mode()), namespace: namespace.to_owned() };
                let environment_ref = &open.subject.environment_ref;
                if admits {
                    self.cluster.recorded().begin_admission(environment_ref, &question, Instant::now().into_std());
                }
                let (judgement, source) = self.ask(&environment_ref.broker, &question, caller, deadline).await;
                (Finding { asked: Some(question), ..open.finding(Cause::Judged(judgement)) }, source)
            }
        }
    }

    /// What a subject comes to for somebody who is admitted nothing by the answer.
    pub(super) async fn find_out(&self, open: OpenSubject, caller: Caller, deadline: Instant) -> Finding {
        match open.question(Timestamp::now()) {
            Err(cause) => open.finding(cause),
            Ok(question) => {
                let broker = open.subject.environment_ref.broker.clone();
                let (judgement, _) = self.ask(&broker, &question, caller, deadline).await;
                Finding { asked: Some(question), ..open.finding(Cause::Judged(judgement)) }
            }
        }
    }

    pub(super) async fn ask(
        &self,
        broker: &str,
        question: &Question,
        caller: Caller,
        deadline: Instant,
    ) -> (Judgement, Source) {
        self.traces
            .span("can-i-deploy", async {
                let (judgement, source) = self.ask_broker(broker, question, caller, deadline).await;
                if traces::current_trace().is_some() {
                    traces::add("pact.broker", broker.to_owned());
                    traces::add("pact.pacticipant", question.pacticipant.to_string());
                    traces::add("pact.version", question.version.to_string());
                    traces::add("pact.environment", question.environment.to_string());
                    traces::add("pact.verdict", judgement.verdict.name());
                    traces::add("pact.answer_from", source.name());
                }
                (judgement, source)
            })
            .await
    }

    async fn ask_broker(
        &self,
        broker: &str,
        question: &Question,
        caller: Caller,
        deadline: Instant,
    ) -> (Judgement, Source) {
        match self.cluster.brokers.questions(broker) {
            Err(why) => {
                let why = format!("PactBroker {broker}: {}", why.message);
                (Judgement::without_pairs(Verdict::BrokerUnavailable, why), Source::None)
            }
            Ok(questions) => {
                let (judgement, source) = questions.ask(question, caller, deadline).await;
                if judgement.verdict == Verdict::Unauthorized {
                    self.broker_clients.refused();
                }
                ((*judgement).clone(), source)
            }
        }
    }

    /// The address of the matrix of a finding, for people.
    pub(super) fn link(&self, finding: &Finding) -> Option<String> {
        let question = finding.asked.as_ref()?;
        if let Cause::Judged(judgement) = &finding.cause
            && judgement.verdict.is_unpublished()
        {
            return None;
        }
        let base = self.cluster.brokers.public_url(&finding.subject.environment_ref.broker)?;
        Some(messages::matrix_link(&base, &question.matrix_query()))
    }
}

/// How urgent a question is for an environment in this mode.
fn urgency(mode: GateMode) -> Urgency {
    match mode {
        GateMode::Enforce => Urgency::Enforced,
        GateMode::Warn => Urgency::Warned,
        GateMode::Off | GateMode::Audit => Urgency::Audited,
    }
}

//! What the gate counts. Label sets are closed: names of objects belong in logs and Events.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, exemplar::HistogramWithExemplars, family::Family},
};

use crate::{
    api::gate::GateAction,
    broker::questions::Source,
    decide::{
        Finding,
        admission::{Answer, Spared, Unjudged},
    },
};
use operator_kit::{metrics::Metrics, traces};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    verdict: &'static str,
    action: &'static str,
    wanted: &'static str,
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: &'static str,
}

/// Of which trace a measurement is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TraceLabels {
    trace_id: String,
}

/// The gate's counters.
#[derive(Clone)]
pub(super) struct GateMetrics {
    reviews: Family<OutcomeLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    answers: Family<SourceLabels, Counter>,
    unjudged: Family<OutcomeLabels, Counter>,
    events_dropped: Counter,
    tools: Family<OutcomeLabels, Counter>,
    seconds: HistogramWithExemplars<TraceLabels>,
}

impl GateMetrics {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let this = Self {
            reviews: Family::default(),
            decisions: Family::default(),
            answers: Family::default(),
            unjudged: Family::default(),
            events_dropped: Counter::default(),
            tools: Family::default(),
            seconds: HistogramWithExemplars::new(
                [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0].into_iter(),
            ),
        };
        metrics.register(|registry| {
            registry.register("gate_reviews", "Admission reviews by how they were answered", this.reviews.clone());
            registry.register(
                "gate_decisions",
                "Decisions, once for each workload, version and verdict",
                this.decisions.clone(),
            );
            registry.register("gate_answers", "Answers to questions by where they came from", this.answers.clone());
            registry.register(
                "gate_passed",
                "Reviews that were admitted without a question, by why",
                this.unjudged.clone(),
            );
            registry.register(
                "gate_events_dropped",
                "Reviews whose Events were not published because too many were under way",
                this.events_dropped.clone(),
            );
            registry.register(
                "gate_tool_questions",
                "Requests to the verdict endpoint by their answer: Yes, No, NotKnown, or Refused",
                this.tools.clone(),
            );
            registry.register(
                "gate_review_duration_seconds",
                "How long admission reviews took, from their head to our answer",
                this.seconds.clone(),
            );
        });
        this
    }

    pub(super) fn answered(&self, answer: &Answer, took: Duration) {
        let outcome = outcome(answer);
        self.reviews.get_or_create(&OutcomeLabels { outcome }).inc();
        let trace = traces::current_trace().map(|trace_id| TraceLabels { trace_id });
        self.seconds.observe(took.as_secs_f64(), trace, None);
    }

    /// Counts a review of somebody who is not known, which tells nothing about the cluster.
    pub(super) fn answered_stranger(&self) {
        self.reviews.get_or_create(&OutcomeLabels { outcome: "Stranger" }).inc();
    }

    /// Counts a tool's question by whether what it asked about may be deployed.
    pub(super) fn told(&self, deployable: Option<bool>) {
        let outcome = match deployable {
            Some(true) => "Yes",
            Some(false) => "No",
            None => "NotKnown",
        };
        self.tools.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts a request of a tool that got no verdict.
    pub(super) fn refused(&self) {
        self.tools.get_or_create(&OutcomeLabels { outcome: "Refused" }).inc();
    }

    pub(super) fn malformed(&self) {
        self.reviews.get_or_create(&OutcomeLabels { outcome: "Malformed" }).inc();
    }

    pub(super) fn unjudged(&self, why: &Unjudged) {
        self.unjudged.get_or_create(&OutcomeLabels { outcome: why.name() }).inc();
    }

    /// Counts a review whose statement counted.
    pub(super) fn bypassed(&self) {
        self.unjudged.get_or_create(&OutcomeLabels { outcome: "Bypassed" }).inc();
    }

    pub(super) fn decided(&self, finding: &Finding) {
        let labels = DecisionLabels {
            verdict: finding.cause.name(),
            action: match finding.spared {
                None | Some(Spared::DryRun) => action(finding.action),
                Some(Spared::Held) => "Hold",
                Some(Spared::ByHand) => "ByHand",
            },
            wanted: action(finding.wanted),
            mode: finding.mode.name(),
        };
        self.decisions.get_or_create(&labels).inc();
    }

    pub(super) fn sources(&self, sources: &[Source]) {
        for source in sources {
            let source = source.name();
            self.answers.get_or_create(&SourceLabels { source }).inc();
        }
    }

    pub(super) fn events_dropped(&self) {
        self.events_dropped.inc();
    }
}

fn action(action: GateAction) -> &'static str {
    match action {
        GateAction::Allow => "Allow",
        GateAction::Warn => "Warn",
        GateAction::Deny => "Deny",
    }
}

/// How a review was answered, in one word.
pub(super) fn outcome(answer: &Answer) -> &'static str {
    match (&answer.denied, answer.warnings.is_empty()) {
        (Some(_), _) => "Denied",
        (None, false) => "Warned",
        (None, true) => "Allowed",
    }
}

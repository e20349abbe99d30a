//! What a Canary of Flagger's may do: gather, ask, advise, report. Flagger names the Canary only; what it is about is read
//! from the API server.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use kube::Api;
use operator_kit::{
    events::{Event, Regarding},
    refusal,
};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use crate::{
    broker::fair_queue::{Caller, Urgency},
    cluster::live::live_workload,
    decide::{
        Decision, Finding, Reason,
        admission::{Advice, CanaryHook, Review, Scope, canary_review, for_hook},
        messages,
    },
    gate::{Gate, report::once},
    workload::{CanaryView, Whereabouts, Workload, WorkloadRef, primary_of, target_of},
};

/// How long the Canary, its target and its primary may take to be read, each.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// What Flagger asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) hook: CanaryHook,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// Whether the environments' actions count whatever their mode.
    pub(super) enforced: bool,
    /// Who asks; nobody knows where there is none.
    pub(super) user: Option<&'a str>,
}

/// What Flagger is told.
#[derive(Clone, Debug)]
pub(super) struct Advised {
    pub(super) advice: Advice,
    /// Why, in a line.
    pub(super) why: String,
}

/// Why nothing can be advised.
#[derive(Clone, Debug, Error)]
pub(super) enum NoAdvice {
    #[error("there is no {0}")]
    Missing(String),
    #[error("{0}")]
    Unread(String),
}

impl Gate {
    /// Advises Flagger before `deadline`, and has an Event on the Canary say why where it does not simply go on.
    pub(super) async fn advise(
        &self,
        asked: Asked<'_>,
        whereabouts: &Whereabouts,
        deadline: Instant,
    ) -> Result<Advised, NoAdvice> {
        let Some((canary, review)) = self.canary(asked, deadline).await? else {
            let why = "its target is of a kind that is not judged".to_owned();
            return Ok(Advised { advice: Advice::GoOn, why });
        };
        let subjects = match self.scope(&review, whereabouts) {
            Scope::Unjudged(why) => {
                let why = why.sentence().unwrap_or_else(|| format!("nothing is judged: {}", why.name()));
                return Ok(Advised { advice: Advice::GoOn, why });
            }
            Scope::Judged { subjects, .. } => for_hook(asked.hook, subjects),
        };
        // Not `Strange`, even for somebody without a token: such a question may come to nothing, and many of them would
        // then hold every Canary up. Few are answered at once instead.
        let caller = Caller { urgency: Urgency::Asked, namespace: asked.namespace.to_owned() };
        let findings = subjects.into_iter().map(|open| self.find_out(open, caller.clone(), deadline));
        let decision = Decision::over(join_all(findings).await);
        let advice = asked.hook.advice(&decision);
        let why = decision
            .findings
            .first()
            .map_or_else(|| "nothing in it has to be asked about".to_owned(), messages::sentence);
        let verdict = decision.findings.first().map(|finding| finding.cause.name());
        let (namespace, canary_name, hook) = (asked.namespace, asked.name, asked.hook.name());
        if let Some(user) = asked.user {
            info!(namespace, canary_name, hook, user, verdict, ?advice, why, "Flagger asked about a Canary");
        } else {
            debug!(namespace, canary_name, hook, verdict, ?advice, why, "somebody asked about a Canary");
        }
        self.report_advice(advice, &canary, &review, &decision);
        Ok(Advised { advice, why })
    }

    /// The Canary, and the review of its change; nothing where its target is of a kind that the operator does not know.
    async fn canary(&self, asked: Asked<'_>, deadline: Instant) -> Result<Option<(CanaryView, Review)>, NoAdvice> {
        let Asked { namespace, name, enforced, .. } = asked;
        let api: Api<CanaryView> = Api::namespaced(self.cluster.client.clone(), namespace);
        let what = format!("Canary {namespace}/{name}");
        let limit = || READ_LIMIT.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let canary = match timeout(limit(), api.get_opt(name)).await {
            Ok(Ok(Some(canary))) => canary,
            Ok(Ok(None)) => return Err(NoAdvice::Missing(what)),
            Ok(Err(error)) => return Err(unread(&what, &refusal::explain(&error))),
            Err(_) => return Err(unread(&what, "it was not read in time")),
        };
        let Some(target) = target_of(&canary) else { return Ok(None) };
        let primary = primary_of(&target);
        let read = async |workload: &WorkloadRef| -> Result<Option<Workload>, NoAdvice> {
            match timeout(limit(), live_workload(&self.cluster.client, workload)).await {
                Ok(Ok(workload)) => Ok(workload),
                Ok(Err(why)) => Err(unread(workload, &why.message)),
                Err(_) => Err(unread(workload, "it was not read in time")),
            }
        };
        let (target, primary) = tokio::try_join!(
            async { read(&target).await?.ok_or_else(|| NoAdvice::Missing(target.to_string())) },
            read(&primary)
        )?;
        let review = canary_review(&canary, target, primary, enforced);
        Ok(Some((canary, review)))
    }

    /// Has an Event published on the Canary about what holds it up: people read only Flagger's own that it waits for a hook.
    fn report_advice(&self, advice: Advice, canary: &CanaryView, review: &Review, decision: &Decision) {
        let reason = match advice {
            Advice::GoOn => return,
            Advice::Wait => Reason::CanaryHalted,
            Advice::RollBack => Reason::CanaryRollback,
        };
        let regarding = Regarding {
            api_version: "flagger.app/v1beta1".to_owned(),
            kind: "Canary".to_owned(),
            namespace: Some(review.namespace.clone()),
            name: canary.metadata.name.clone().unwrap_or_default(),
            uid: canary.metadata.uid.clone().unwrap_or_default(),
        };
        let event = |finding: &Finding| Event {
            reason: reason.as_str(),
            action: "Advise",
            warning: true,
            note: messages::note(finding, self.link(finding)),
            once_key: once(review, finding),
        };
        let events = decision.decisive().iter().map(event);
        self.publish_about(regarding, events.map(|event| (event, BTreeMap::new())).collect());
    }
}

fn unread(what: &impl std::fmt::Display, why: &str) -> NoAdvice {
    NoAdvice::Unread(format!("{what} cannot be read: {why}"))
}

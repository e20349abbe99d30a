//! The mutating webhook: pauses what is held, keeps it so, and takes our pause away with another version. See
//! docs/contributing/hold.md.
//!
//! It asks the same question as the validating webhook, which is asked after it and finds the answer kept. It denies
//! nothing and reports nothing: the other one does.

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use operator_kit::review_path::Caller;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::info;

use super::Gate;
use crate::{
    api::{annotations::HELD, gate::GateMode},
    decide::{
        Decision,
        admission::{Answer, OpenSubject, Review, Scope},
        hold::{self, Change},
    },
    workload::Held,
};

impl Gate {
    /// Answers a review of the mutating webhook before `deadline`. Of a caller who is not known nothing is changed.
    pub(super) async fn hold(self: &Arc<Self>, review: Review, caller: Caller, deadline: Instant) -> Answer {
        if !self.holds || caller == Caller::Stranger {
            return Answer::allow();
        }
        let change = match hold::before(&review) {
            Some(change) => change,
            None => self.hold_after_asking(&review, deadline).await,
        };
        let (uid, namespace, name, dry_run) = (&review.uid, &review.namespace, review.object_name(), review.dry_run);
        let answer = match &change {
            Change::None => return Answer::allow(),
            Change::Hold(held) => {
                info!(uid, namespace, name, dry_run, held = held.to_string(), "a rollout is held");
                let known = review.old.as_ref().and_then(Held::of);
                // Where the version is another one, the validating webhook says the same and why.
                let stays = known.is_some_and(|known| known.version == held.version);
                let warning =
                    format!("{} stays paused until it may run; by hand: kubectl rollout resume", held.version);
                if stays { Answer::allow_with(warning) } else { Answer::allow() }
            }
            Change::Release => {
                info!(uid, namespace, name, dry_run, "a rollout is no longer held: its version may run");
                Answer::allow()
            }
        };
        Answer { patch: operations(&review, &change), ..answer }
    }

    async fn hold_after_asking(self: &Arc<Self>, review: &Review, deadline: Instant) -> Change {
        let anew = hold::judged_anew(review);
        let Scope::Judged { subjects, .. } = self.gather(anew.as_ref().unwrap_or(review), deadline).await else {
            return hold::kept(review).unwrap_or(Change::None);
        };
        let is_held = |object: &_| Held::of(object).is_some();
        let held = review.new.as_ref().is_ok_and(is_held) || review.old.as_ref().is_some_and(is_held);
        let may_hold = |open: &OpenSubject| open.rules.hold.is_some() && open.mode() == GateMode::Enforce;
        if !held && !subjects.iter().any(may_hold) {
            return Change::None;
        }
        let (subjects, bypass) = self.bypass(review, subjects, deadline).await;
        // What is admitted is noted by the validating webhook.
        let asked = subjects.into_iter().map(|open| self.find(open, &review.namespace, false, deadline));
        let findings = join_all(asked).await.into_iter().map(|(finding, _)| finding).collect();
        let decision = self.holdable(review, Decision::over(findings).beside(bypass), deadline).await;
        hold::asked(review, &decision, Timestamp::now())
    }

    /// The decision, without a hold of what only is a template for other pods, if it could be held.
    pub(super) async fn holdable(&self, review: &Review, decision: Decision, deadline: Instant) -> Decision {
        let Ok(new) = &review.new else { return decision };
        let held = self.holds && hold::keeps_pods(review) && decision.decisive().iter().any(|finding| finding.may_hold);
        if held && self.may_be_a_template(&new.reference, deadline).await {
            return decision.without_hold();
        }
        decision
    }
}

/// A change as operations of a JSON patch. What is held is annotated, so it has annotations.
fn operations(review: &Review, change: &Change) -> Vec<Value> {
    let Ok(new) = &review.new else { return Vec::new() };
    let annotation = format!("/metadata/annotations/{}", HELD.replace('/', "~1"));
    match change {
        Change::None => Vec::new(),
        Change::Hold(held) => vec![
            json!({"op": "add", "path": "/spec/paused", "value": true}),
            json!({"op": "add", "path": annotation, "value": held.to_string()}),
        ],
        Change::Release => {
            let paused = new.paused.then(|| json!({"op": "remove", "path": "/spec/paused"}));
            let noted = new.annotations.held.is_some().then(|| json!({"op": "remove", "path": annotation}));
            paused.into_iter().chain(noted).collect()
        }
    }
}

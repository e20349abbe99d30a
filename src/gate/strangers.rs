//! Reviews of callers who are not known to be the API server (case 110).
//!
//! Anybody who reaches the port can make up a review. Such a caller learns whether the rollout would be admitted and
//! nothing about contracts, leaves no Event and no count of a decision, and has few questions asked. It still gets a
//! right answer: it may be the API server, for the moments after somebody changed the webhook configuration.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::Instant;
use tracing::debug;

use super::Gate;
use crate::{
    broker::fair_queue::{Caller, Urgency},
    decide::{
        Decision,
        admission::{Answer, Review, Scope, unjudged},
        hold, messages,
    },
};

impl Gate {
    /// Answers such a review before `deadline`. Nothing is read from the API server for it, so a bypass statement, which
    /// needs the rights of the user, does not count; the API server mostly judges those itself.
    pub(super) async fn answer_stranger(self: &Arc<Self>, review: &Review, deadline: Instant) -> Answer {
        debug!(uid = review.uid, namespace = review.namespace, "a caller is not known to be the API server");
        if unjudged(review).is_some() {
            return Answer::allow();
        }
        let mapping = self.cluster.index().mapping(&review.namespace).map(Into::into);
        let Some(whereabouts) = mapping else {
            // It may be the API server after all, and nobody has kept the pause.
            let held = hold::let_go_by_manifest(review).filter(|_| self.holds);
            return held.map_or_else(Answer::allow, |_| Answer::deny(messages::withheld().to_owned()));
        };
        // What is held is judged as for others; whether it may be is not, which needs other objects.
        let anew = if self.holds { hold::judged_anew(review) } else { None };
        let scope = self.scope(anew.as_ref().unwrap_or(review), &whereabouts);
        let Scope::Judged { subjects, .. } = scope else { return Answer::allow() };
        if Scope::is_silent(&subjects) {
            return Answer::allow();
        }
        let caller = Caller { urgency: Urgency::Strange, namespace: review.namespace.clone() };
        let asked = subjects.into_iter().map(|open| self.find_out(open, caller.clone(), deadline));
        let decision = Decision::over(join_all(asked).await).without_hold();
        Answer::withheld(&if self.holds { hold::as_held(review, decision) } else { decision })
    }
}

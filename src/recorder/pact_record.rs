//! The reconciler of a `PactRecord`: whether what its workload runs is recorded. It writes the status, and nothing else.
//!
//! What the watches know suffices as long as it says what the status says already. Before something is said that people
//! wait for, or that a person has to act on, the workload, its records and its namespace are read anew.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use operator_kit::{
    backoff::{Backoff, entropy, fraction},
    lease::Leadership,
    refusal,
};
use tracing::{debug, warn};

use super::{
    Settings,
    queue::{Next, Tries},
};
use crate::{
    api::{PactRecord, condition::is_true},
    cluster::{Cluster, pact_records::PactRecordRef},
    decide::{
        Explanation, Reason,
        pact_record::{Found, at_once, outcome, status, workload_of},
    },
};

/// For how long something is not written that is mostly over soon.
const QUIET: Duration = Duration::from_secs(2);
/// How often one that is not recorded is looked at although nothing changes: not every cause of it is watched.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// The reconciler; see the module documentation.
pub(super) struct PactRecordReconciler {
    pub(super) cluster: Arc<Cluster>,
    pub(super) leadership: Leadership,
    pub(super) settings: Arc<Settings>,
}

impl PactRecordReconciler {
    /// Looks at the workload of an object and writes the status if it changed.
    pub(super) async fn reconcile(&self, reference: &PactRecordRef, mut tries: Tries) -> Next {
        let Some(object) = self.cluster.pact_records().get(reference) else { return Next::wait() };
        let (now, before) = (Timestamp::now(), object.status.clone().unwrap_or_default());
        let judge = |found: &Found| status(&object, outcome(found, object.spec.version.as_deref()), now);

        let mut found = self.find(reference, &object, now);
        let mut after = found.as_ref().map(judge);
        let settled = |it: &_| is_true(it, "Recorded") || is_true(it, "Stalled");
        if after.as_ref().is_none_or(|after| *after != before && settled(&after.conditions)) {
            found = Some(self.find_live(reference, &object, now).await);
            after = found.as_ref().map(judge);
        }
        let (Some(found), Some(after)) = (found, after) else { return Next::wait() };
        self.note(reference, &found);
        let next = || look_again(&found, is_true(&after.conditions, "Recorded"), now);
        if after == before {
            return next();
        }
        if !at_once(&before, &after) {
            let left = QUIET.checked_sub(tries.lasting("quiet")).filter(|left| !left.is_zero());
            if let Some(left) = left {
                return Next::retry(left, tries);
            }
        }
        if !self.leadership.is_leader() {
            return Next::wait();
        }
        match self.cluster.write_pact_record(&object, after.clone()).await {
            Ok(()) => {
                let (namespace, name) = (&reference.namespace, &reference.name);
                let why = after.conditions.first().map(|ready| ready.reason.as_str());
                debug!(namespace, name, why, "the status of the PactRecord was written");
                next()
            }
            // The watch brings the newer object, or has taken it away.
            Err(kube::Error::Api(answer)) if answer.is_conflict() || answer.is_not_found() => Next::wait(),
            Err(error) => {
                let (namespace, name, error) = (&reference.namespace, &reference.name, refusal::explain(&error));
                warn!(namespace, name, error, "the status of the PactRecord cannot be written");
                let backoff = Backoff { min: self.settings.retry_min, max: self.settings.retry_max };
                Next::retry(tries.delay(backoff, "write"), tries)
            }
        }
    }

    /// What the watches know; `None` where only a read can tell.
    fn find(&self, reference: &PactRecordRef, object: &PactRecord, now: Timestamp) -> Option<Found> {
        match workload_of(&reference.namespace, &object.spec.workload_ref) {
            Err(why) => Some(Found::Unknown(why)),
            Ok(workload) => self.cluster.seen(&workload, now).map(Found::Seen),
        }
    }

    /// What the API server knows. That a record, or the place of the namespace, is not known for sure leaves everything
    /// open: the change is about to be reported, and looked at then.
    async fn find_live(&self, reference: &PactRecordRef, object: &PactRecord, now: Timestamp) -> Found {
        let workload = match workload_of(&reference.namespace, &object.spec.workload_ref) {
            Err(why) => return Found::Unknown(why),
            Ok(workload) => workload,
        };
        let found = self.cluster.seen_live(&workload, now).await;
        let Found::Seen(seen) = &found else { return found };
        if !outcome(&found, object.spec.version.as_deref()).recorded() {
            return found;
        }
        match self.cluster.still_is(seen).await {
            Ok(true) => found,
            Ok(false) => {
                let message = "its records were written, or its namespace moved, a moment ago; it is looked at again";
                Found::Unknown(Explanation::new(Reason::NotRecorded, message))
            }
            Err(why) => Found::Unknown(why),
        }
    }

    /// Remembers the keys: what becomes of them concerns the object.
    fn note(&self, reference: &PactRecordRef, found: &Found) {
        let keys = match found {
            Found::Seen(seen) => seen.keys.iter().map(|key| key.key.clone()).collect(),
            Found::Unknown(_) | Found::Missing(_) => Vec::new(),
        };
        self.cluster.pact_records().looked_at(reference, keys);
    }
}

/// When to look again although nothing changes.
fn look_again(found: &Found, recorded: bool, now: Timestamp) -> Next {
    if recorded {
        return Next::wait();
    }
    let again = match found {
        Found::Seen(seen) => seen.look_again().and_then(|at| Duration::try_from(at.duration_since(now)).ok()),
        // Nothing can be said: soon.
        Found::Unknown(why) if why.reason != Reason::KindNotHandled => Some(QUIET),
        Found::Unknown(_) | Found::Missing(_) => None,
    };
    let usual = LOOK_AGAIN + fraction(LOOK_AGAIN / 10, entropy());
    Next::after(again.map_or(usual, |again| again.min(usual)))
}

//! Checking a key: asks of each version that runs what the gate would have asked, on the controller's own budget.

use std::{collections::BTreeSet, sync::PoisonError, time::Duration};

use k8s_openapi::jiff::Timestamp;
use tracing::{info, warn};

use super::{
    Recorder,
    checks::{UNCHECKED, answered, check, is_yes, mentions, versions},
    member::MemberView,
    queue::{Next, Task},
};
use crate::{
    api::{
        deployment::{CHECKS_LIMIT, Check},
        names::{Pacticipant, Version},
    },
    broker::verdict_of,
    decide::{GateRules, Judgement, Question, Verdict},
    workload::{EnvironmentRef, RecordKey},
};
use operator_kit::backoff::{Backoff, entropy};

/// How long changes in an environment gather before what they may touch is asked again: many rollouts end at once.
const GATHER: Duration = Duration::from_secs(5);
/// How soon a verdict that is not a yes is asked for again, the first time.
const SECOND_LOOK: Duration = Duration::from_secs(30);
/// How long the status of a record waits for the check of its version.
pub(super) const TOGETHER: Duration = Duration::from_millis(500);

impl Recorder {
    /// Has a key checked if one of its versions never was.
    pub(super) fn begin_check(&self, key: &RecordKey, members: &[MemberView]) {
        let object = self.records.get(key);
        if self.checks.begin(key, &versions(members), object.as_deref()) {
            self.queue.now(Task::Check(key.clone()));
        }
    }

    /// Asks about every version of a key; answers when to ask again though nothing changes.
    pub(super) async fn check(&self, key: &RecordKey) -> Next {
        let members = self.index().members(key);
        if members.is_empty() {
            self.checks.end(key);
            return self.check_counterparts(key).await;
        }
        let mut next: Next = None;
        for version in versions(&members) {
            let again = self.check_version(key, &version, &members).await;
            next = [next, again].into_iter().flatten().min();
        }
        self.checks.end(key);
        next
    }

    async fn check_version(&self, key: &RecordKey, version: &Version, members: &[MemberView]) -> Next {
        let rules = self.gate_rules(key)?;
        let environment = &key.environment_ref.environment;
        let question = rules.question(&key.pacticipant, version, environment, Timestamp::now());
        let judgement = match self.brokers.get(&key.environment_ref.broker) {
            Err(why) => Judgement::without_pairs(Verdict::BrokerUnavailable, why.message),
            Ok(broker) => broker.judge(&question).await.unwrap_or_else(|error| {
                self.look_into(&key.environment_ref, &error);
                verdict_of(&error)
            }),
        };
        let found = check(&key.pacticipant, version, environment, &judgement, &rules, Timestamp::now());
        let again = self.ask_again(key, &found);
        if let Some((check, before)) = self.checks.set(key, found) {
            self.report_check(key, members, &check, before.as_ref()).await;
            // The status of the key is written by its own pass alone.
            self.queue.after(Duration::from_millis(200), Task::Record(key.clone()));
        }
        again
    }

    /// When to ask again though nothing changes: what is not a yes may become one when somebody publishes a result, and
    /// what was not answered when the broker can be asked. Soon at first, then ever more seldom.
    fn ask_again(&self, key: &RecordKey, check: &Check) -> Next {
        let mut tries = self.check_tries.lock().unwrap_or_else(PoisonError::into_inner);
        if is_yes(check) {
            tries.remove(key);
            return None;
        }
        let backoff = if answered(check) {
            Backoff { min: SECOND_LOOK.min(self.settings.resync_period), max: self.settings.resync_period }
        } else {
            Backoff { min: self.settings.retry_min, max: self.settings.retry_max }
        };
        let entry = tries.entry(key.clone()).or_default();
        let delay = backoff.delay(*entry, entropy());
        *entry = entry.saturating_add(1);
        Some(delay)
    }

    async fn report_check(&self, key: &RecordKey, members: &[MemberView], check: &Check, before: Option<&Check>) {
        let late = before.is_some_and(|before| before.verdict == UNCHECKED);
        let news = before.is_none_or(|before| before.verdict != check.verdict);
        if !news {
            return;
        }
        let (version, verdict) = (&check.version, &check.verdict);
        self.metrics.checked(verdict, check.would_deny, late);
        if check.would_deny || check.verdict == UNCHECKED {
            warn!(%key, version, verdict, late, "checked: {}", check.message);
        } else {
            info!(%key, version, verdict, late, "checked: {}", check.message);
        }
        let mode = self.gate_rules(key).map(|rules| rules.mode).unwrap_or_default();
        for member in members.iter().filter(|member| member.version.as_ref().is_ok_and(|it| it.as_str() == version)) {
            self.report_checked_member(key, member, check, mode).await;
        }
    }

    /// The gate block that a key is under.
    fn gate_rules(&self, key: &RecordKey) -> Option<GateRules> {
        let object = self.index().rules_for(key)?.object.clone();
        let environments = self.environments.lock().unwrap_or_else(PoisonError::into_inner);
        environments.get(&object).map(|environment| GateRules::parse(&environment.spec.gate))
    }

    /// A version was recorded of which the check said no: somebody may have published what was missing.
    pub(super) fn check_again_if_no(&self, key: &RecordKey) {
        if self.checks.of(key).iter().any(|check| !is_yes(check)) {
            self.queue.now(Task::Check(key.clone()));
        }
    }

    /// Other versions are recorded in an environment than before: has the keys checked again whose verdict that may
    /// change, which are those of the counterparts. Bounded by how many applications one is integrated with.
    pub(super) fn environment_changed(&self, environment_ref: &EnvironmentRef, pacticipants: &BTreeSet<String>) {
        let keys = self.checks.keys(|key, checks| {
            key.environment_ref == *environment_ref
                && pacticipants.iter().any(|changed| key.pacticipant.as_str() != changed && mentions(checks, changed))
        });
        // A counterpart that was not needed before has no pair yet: the changed application's own checks name it.
        let own = self
            .checks
            .keys(|key, _| key.environment_ref == *environment_ref && pacticipants.contains(key.pacticipant.as_str()));
        let named: BTreeSet<String> = own
            .iter()
            .flat_map(|key| self.checks.of(key))
            .flat_map(|check| check.pairs)
            .flat_map(|pair| [pair.consumer, pair.provider])
            .collect();
        let counterparts = self.checks.keys(|key, _| {
            key.environment_ref == *environment_ref
                && named.contains(key.pacticipant.as_str())
                && !pacticipants.contains(key.pacticipant.as_str())
        });
        // Of one that nothing here runs, nothing is known yet: its own question names them.
        let strangers =
            pacticipants.iter().filter(|changed| own.iter().all(|key| key.pacticipant.as_str() != *changed));
        let strangers = strangers.filter_map(|name| Pacticipant::parse(name).ok()).map(|pacticipant| RecordKey {
            environment_ref: environment_ref.clone(),
            pacticipant,
            instance: None,
        });
        for key in keys.into_iter().chain(counterparts).chain(strangers) {
            self.queue.after(GATHER.min(self.settings.resync_period), Task::Check(key));
        }
    }

    /// An application that nothing here runs was recorded by somebody else: has those here checked that have a pact
    /// with it. One question for each of its versions that are live.
    async fn check_counterparts(&self, stranger: &RecordKey) -> Next {
        let environment_ref = &stranger.environment_ref;
        let versions = self.places.state(environment_ref).view?.versions_of(&stranger.pacticipant);
        let broker = self.brokers.get(&environment_ref.broker).ok()?;
        let mut named = BTreeSet::new();
        for version in versions.into_iter().take(CHECKS_LIMIT) {
            let (pacticipant, environment) = (stranger.pacticipant.clone(), environment_ref.environment.clone());
            let question = Question { pacticipant, version, environment, ignore: Vec::new() };
            match broker.judge(&question).await {
                Ok(judgement) => {
                    named.extend(judgement.pairs.into_iter().flat_map(|pair| [pair.consumer, pair.provider]));
                }
                Err(error) => {
                    self.look_into(environment_ref, &error);
                    return Some(self.settings.retry_max);
                }
            }
        }
        for key in
            self.checks.keys(|key, _| key.environment_ref == *environment_ref && named.contains(&key.pacticipant))
        {
            self.queue.now(Task::Check(key));
        }
        None
    }

    /// A broker is back: asks what it did not answer.
    pub(super) fn check_unanswered(&self, broker: &str) {
        let keys = self
            .checks
            .keys(|key, checks| key.environment_ref.broker == broker && checks.iter().any(|check| !answered(check)));
        for key in keys {
            self.queue.now(Task::Check(key));
        }
    }

    /// The gate block of an environment changed: what it makes of each verdict is found out anew.
    pub(super) fn check_all_in(&self, environment_ref: &EnvironmentRef) {
        for key in self.checks.keys(|key, _| key.environment_ref == *environment_ref) {
            self.queue.now(Task::Check(key));
        }
    }
}

//! One result that is missing: whether it is asked for now, and the call.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use operator_kit::events::Event;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{VerificationReconciler, Where, kept::Read, memory::Memory};
use crate::{
    api::{PactDeployment, gate::InFlight},
    broker::Broker,
    decide::{
        Question, Reason, UnrecordedVersion, messages,
        verification::{
            Contract, MissingResult, RecordedSince, Standing, VerificationRequest, fires, standing, waits_until,
        },
    },
    notifier::verification::{Called, Way},
    recorder::queue::Task,
};

/// How long one is left alone that cannot be asked for now.
const SOON: Duration = Duration::from_secs(30);
/// How long this process has to lead for sure when it notes that it is about to ask: what it cannot do after that counts as
/// asked for, whoever leads next.
const ENOUGH: Duration = Duration::from_millis(500);
/// How long one is left alone of which the template makes nothing.
const LEFT_OUT: Duration = Duration::from_hours(1);

impl VerificationReconciler {
    /// Asks for one if it is due; says whether what is kept is still known.
    pub(super) async fn pursue(
        &self,
        memory: &mut Memory,
        read: &mut Read,
        contract: &Contract,
        (missing, found): (&MissingResult, &Where),
    ) -> bool {
        let now = Timestamp::now();
        let unanswered = read.ledger.unanswered(contract, &self.parts.pacing, now);
        let due = read.ledger.is_due(contract, &self.parts.pacing, now);
        let Some(way) = self.parts.hooks.way(&missing.provider) else { return true };
        if memory.waits(missing, Instant::now()) || !(due || unanswered.is_some()) || self.parts.hooks.rests(&way) {
            return true;
        }
        // Before anything is asked of the broker: many may be due for as long as there is no call.
        if due && !memory.call_is_free(self.parts.pacing.per_minute, Instant::now()) {
            return true;
        }
        let Ok(broker) = self.parts.cluster.brokers.get(&missing.broker) else { return true };
        let broker = broker.giving_way();
        if let Some(pause) = self.brokers_own(memory, &broker, missing, now).await {
            memory.wait(missing, pause);
            return true;
        }
        match self.standing(&broker, missing, found).await {
            Some(Standing::Missing) => {}
            Some(Standing::Given) => {
                memory.wait(missing, SOON);
                for key in &found.keys {
                    self.parts.schedule.queue.now(Task::Verdict(key.clone()));
                }
                return !read.ledger.forget(contract) || self.write(memory, read).await;
            }
            Some(Standing::NoPact) | None => {
                memory.wait(missing, SOON);
                return true;
            }
        }
        // It may have been published anew under the same version: then that is what is asked for, from the next look on.
        if !self.read_pact(memory, missing).await || !memory.has_content(missing, &contract.content) {
            return true;
        }
        if let Some(calls) = unanswered {
            read.ledger.said(contract);
            if !self.write(memory, read).await {
                return false;
            }
            self.tell_unanswered(contract, found, calls).await;
        }
        if !due {
            return true;
        }
        self.ask(memory, read, contract, (missing, found), &way, &broker).await
    }

    /// Notes that it is asked for, and asks.
    async fn ask(
        &self,
        memory: &mut Memory,
        read: &mut Read,
        contract: &Contract,
        (missing, found): (&MissingResult, &Where),
        way: &Way<'_>,
        broker: &Broker,
    ) -> bool {
        let request = self.request(broker, contract, missing, found).await;
        // Before anything is noted: what is left out is not asked for.
        let Some(call) = self.parts.hooks.prepare(way, &request) else {
            memory.wait(missing, LEFT_OUT);
            return true;
        };
        if self.parts.leadership.time_left() < ENOUGH {
            return true;
        }
        memory.begin_call(Instant::now());
        read.ledger.claim(contract, Timestamp::now());
        if !self.write(memory, read).await {
            return false;
        }
        match self.parts.hooks.call(way, call, &request).await {
            Called::Taken => {
                read.ledger.taken(contract);
                self.tell_asked(contract, found, way, &request).await;
                true
            }
            Called::Failed { .. } => {
                let now = Timestamp::now();
                read.ledger.failed(contract, now);
                memory.failed(contract, now);
                self.parts.leadership.is_leader() && self.write(memory, read).await
            }
        }
    }

    /// For how long the broker's own webhook is waited for, if it may have asked for this one.
    async fn brokers_own(
        &self,
        memory: &mut Memory,
        broker: &Broker,
        missing: &MissingResult,
        now: Timestamp,
    ) -> Option<Duration> {
        let published = memory.pact(missing)?.published?;
        let until = waits_until(published, self.recorded_since(missing, published), self.parts.pacing.grace, now)?;
        if memory.webhooks(&missing.broker, Instant::now()).is_none() {
            let webhooks = broker.webhooks().await.unwrap_or_else(|error| {
                // Then nobody knows whether there is one, and a verification too many is better than none.
                debug!(broker = missing.broker, %error, "the broker's webhooks cannot be read");
                Vec::new()
            });
            memory.set_webhooks(&missing.broker, webhooks);
        }
        let webhooks = memory.webhooks(&missing.broker, Instant::now())?;
        if !fires(webhooks, &missing.consumer, &missing.provider) {
            return None;
        }
        debug!(consumer = %missing.consumer, provider = %missing.provider, %until, "the broker's own webhook is waited for");
        Duration::try_from(until.duration_since(now)).ok()
    }

    /// Since when the broker has the provider's version, in whatever environment.
    fn recorded_since(&self, missing: &MissingResult, published: Timestamp) -> RecordedSince {
        let (broker, provider, version) = (&missing.broker, &missing.provider, missing.provider_version.as_str());
        let ours = |object: &PactDeployment| {
            let status = object.status.as_ref()?;
            let all = status.recorded.iter().chain(&status.supported);
            all.filter(|recorded| recorded.version == version)
                // One that was found there may have been there for long.
                .map(|recorded| if recorded.found { published.min(recorded.at.0) } else { recorded.at.0 })
                .min()
        };
        let records = self
            .parts
            .cluster
            .records
            .select(|key| key.environment_ref.broker == *broker && key.pacticipant == *provider);
        if let Some(at) = records.iter().filter_map(|(_, object)| ours(object)).min() {
            return RecordedSince::At(at);
        }
        let mut environments = self.parts.cluster.environment_refs().into_iter().filter(|it| it.broker == *broker);
        let is_live = environments.any(|environment_ref| {
            let snapshot = self.parts.cluster.snapshots.state(&environment_ref).snapshot;
            snapshot.is_some_and(|it| it.versions_of(provider).contains(&missing.provider_version))
        });
        if is_live { RecordedSince::SomeTime } else { RecordedSince::Never }
    }

    /// Whether it is missing still: what was found may be minutes old. `None` when the broker cannot be asked.
    async fn standing(&self, broker: &Broker, missing: &MissingResult, found: &Where) -> Option<Standing> {
        let question = Question {
            pacticipant: missing.consumer.clone(),
            version: missing.consumer_version.clone(),
            environment: found.environment()?.clone(),
            ignore: Vec::new(),
            in_flight: InFlight::Count,
        };
        let provider = UnrecordedVersion {
            pacticipant: missing.provider.clone(),
            version: missing.provider_version.clone(),
            in_flight: false,
        };
        match broker.pairs(&question, &[&provider]).await {
            Ok(matrix) => Some(standing(missing, &matrix)),
            Err(error) => {
                debug!(consumer = %missing.consumer, %error, "it cannot be asked whether a result is missing still");
                None
            }
        }
    }

    /// Reads the pact that has no result; says whether there is one.
    pub(super) async fn read_pact(&self, memory: &mut Memory, missing: &MissingResult) -> bool {
        let Ok(broker) = self.parts.cluster.brokers.get(&missing.broker) else { return false };
        let broker = broker.giving_way();
        match broker.published_pact(&missing.consumer, &missing.consumer_version, &missing.provider).await {
            Ok(Some(pact)) => {
                memory.set_pact(missing, pact);
                return true;
            }
            Ok(None) => {}
            Err(error) => {
                debug!(consumer = %missing.consumer, version = %missing.consumer_version, %error, "a pact cannot be read");
            }
        }
        memory.wait(missing, SOON);
        false
    }

    async fn request(
        &self,
        broker: &Broker,
        contract: &Contract,
        missing: &MissingResult,
        found: &Where,
    ) -> VerificationRequest {
        let base = self.parts.cluster.brokers.public_url(&missing.broker).unwrap_or_default();
        let consumer_branch = broker.branch_of(&missing.consumer, &missing.consumer_version).await;
        let provider_branch = broker.branch_of(&missing.provider, &missing.provider_version).await;
        VerificationRequest {
            pact_url: messages::content_link(&base, &missing.consumer, &missing.provider, &contract.content),
            consumer: missing.consumer.to_string(),
            consumer_version: missing.consumer_version.to_string(),
            consumer_branch: consumer_branch.ok().flatten().unwrap_or_default(),
            provider: missing.provider.to_string(),
            provider_version: missing.provider_version.to_string(),
            provider_branch: provider_branch.ok().flatten().unwrap_or_default(),
            environment: found.environment().map(ToString::to_string).unwrap_or_default(),
            broker_url: base.trim_end_matches('/').to_owned(),
        }
    }

    async fn tell_asked(&self, contract: &Contract, found: &Where, way: &Way<'_>, request: &VerificationRequest) {
        let VerificationRequest { consumer, consumer_version, provider, provider_version, pact_url, .. } = request;
        let note = format!(
            "{provider} {provider_version} has no result for the pact of {consumer} {consumer_version}: the hook {} was asked \
             to verify {pact_url}",
            way.hook()
        );
        self.publish(Reason::VerificationRequested, false, note, contract, found).await;
    }

    async fn tell_unanswered(&self, contract: &Contract, found: &Where, calls: u32) {
        let Contract { consumer, provider, provider_version, .. } = contract;
        let note = format!(
            "{provider} {provider_version} has no result for a pact of {consumer}, although it was asked for {calls} times: \
             look at the pipeline's runs; it has to verify exactly this version, and to publish the result. It is asked for \
             again at growing intervals"
        );
        warn!(
            consumer,
            provider, provider_version, calls, "a verification was asked for several times, and no result arrived"
        );
        self.publish(Reason::VerificationUnanswered, true, note, contract, found).await;
    }

    async fn publish(&self, reason: Reason, warning: bool, note: String, contract: &Contract, found: &Where) {
        let Some(regarding) = &found.regarding else { return };
        let Contract { consumer, content, provider, provider_version, .. } = contract;
        let once_key = format!("{consumer} {content} {provider} {provider_version}");
        let event = Event { reason: reason.as_str(), action: "RequestVerification", warning, note, once_key };
        if let Err(error) = self.parts.events.publish(regarding, &event).await {
            warn!(%error, "an Event was not published");
        }
    }
}

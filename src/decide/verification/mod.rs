//! Which verifications are asked for: of a pact whose content a provider version never verified, although both are live in
//! an environment, or one of them was denied because of that. See docs/contributing/decisions/triggered-verification.md.

pub mod brokers_webhook;
pub mod ledger;
pub mod missing;
pub mod request;

use std::time::Duration;

pub use brokers_webhook::{BrokersWebhook, RecordedSince, Scope, fires, waits_until};
pub use ledger::Ledger;
pub use missing::{MissingResult, Standing, missing_in, missing_of, standing};
pub use request::VerificationRequest;

/// What is asked for, once in an interval: the verification of one content of a pact by one version of its provider. Two
/// consumer versions with the same content are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contract {
    /// The name of the `PactBroker`.
    pub broker: String,
    /// The consumer.
    pub consumer: String,
    /// The content's name at the broker: the sha of its pact version.
    pub content: String,
    /// The provider.
    pub provider: String,
    /// The version that has to verify it.
    pub provider_version: String,
}

/// Between whom a verification is asked for, whatever the pact's content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parties {
    broker: String,
    consumer: String,
    provider: String,
    provider_version: String,
}

impl Parties {
    /// Of what is asked for.
    #[must_use]
    pub fn of(contract: &Contract) -> Self {
        let Contract { broker, consumer, provider, provider_version, .. } = contract.clone();
        Self { broker, consumer, provider, provider_version }
    }

    /// Of a result that is missing.
    #[must_use]
    pub fn wanting(missing: &MissingResult) -> Self {
        let MissingResult { broker, consumer, provider, provider_version, .. } = missing;
        Self {
            broker: broker.clone(),
            consumer: consumer.to_string(),
            provider: provider.to_string(),
            provider_version: provider_version.to_string(),
        }
    }
}

/// How often is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// How long one that was asked for is left alone.
    pub interval: Duration,
    /// How long the broker's own webhook is waited for.
    pub grace: Duration,
    /// How many are asked for within a minute.
    pub per_minute: u32,
}

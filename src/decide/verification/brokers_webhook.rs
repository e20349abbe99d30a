//! Whether the broker asks for a verification itself. It does so when a pact is published, for each provider version that
//! is deployed then, where it has a webhook for that; never when a provider version is deployed later. Pure.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::api::names::Pacticipant;

/// The event of the broker that asks for verifications.
const EVENT: &str = "contract_requiring_verification_published";

/// Whose pacts a webhook of the broker is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// Those of one application.
    Named(String),
    /// Those of applications with a label: which, is not looked up.
    Labelled,
}

impl Scope {
    /// Whether it may hold an application.
    fn may_hold(&self, pacticipant: &Pacticipant) -> bool {
        match self {
            Self::All | Self::Labelled => true,
            Self::Named(name) => name == pacticipant.as_str(),
        }
    }
}

/// A webhook of a broker, without what it sends and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokersWebhook {
    /// Whether it is switched on.
    pub enabled: bool,
    /// The names of its events.
    pub events: Vec<String>,
    /// Whose pacts as a consumer.
    pub consumer: Scope,
    /// Whose pacts as a provider.
    pub provider: Scope,
}

/// Whether one of these webhooks asks for verifications of pacts between the two.
#[must_use]
pub fn fires(webhooks: &[BrokersWebhook], consumer: &Pacticipant, provider: &Pacticipant) -> bool {
    webhooks.iter().any(|webhook| {
        webhook.enabled
            && webhook.events.iter().any(|event| event == EVENT)
            && webhook.consumer.may_hold(consumer)
            && webhook.provider.may_hold(provider)
    })
}

/// Since when the broker has a provider version as deployed or released, as far as the operator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedSince {
    /// Since then.
    At(Timestamp),
    /// Another client recorded it, nobody knows when.
    SomeTime,
    /// It is not recorded.
    Never,
}

/// Until when the broker's own webhook is waited for. `None` where it cannot have fired, or did so too long ago.
#[must_use]
pub fn waits_until(
    published: Timestamp,
    recorded: RecordedSince,
    grace: Duration,
    now: Timestamp,
) -> Option<Timestamp> {
    let there = match recorded {
        RecordedSince::At(at) => at <= published,
        RecordedSince::SomeTime => true,
        RecordedSince::Never => false,
    };
    let until = published.checked_add(grace).ok()?;
    (there && now < until).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::record::fixtures::at;

    fn name(text: &str) -> Pacticipant {
        Pacticipant::parse(text).unwrap()
    }

    #[test]
    fn a_webhook_counts_that_is_on_and_about_such_pacts() {
        let named = |name: &str| Scope::Named(name.to_owned());
        let webhook = |enabled, event: &str, consumer, provider| BrokersWebhook {
            enabled,
            events: vec!["provider_verification_published".into(), event.into()],
            consumer,
            provider,
        };
        for (webhook, expected) in [
            (webhook(true, EVENT, Scope::All, named("stock")), true),
            (webhook(true, EVENT, Scope::All, Scope::All), true),
            (webhook(true, EVENT, Scope::Labelled, Scope::Labelled), true),
            (webhook(true, EVENT, named("web"), named("stock")), true),
            (webhook(true, EVENT, named("app"), named("stock")), false),
            (webhook(true, EVENT, Scope::All, named("orders")), false),
            (webhook(false, EVENT, Scope::All, Scope::All), false),
            (webhook(true, "contract_content_changed", Scope::All, Scope::All), false),
        ] {
            assert_eq!(fires(std::slice::from_ref(&webhook), &name("web"), &name("stock")), expected, "{webhook:?}");
        }
        assert!(!fires(&[], &name("web"), &name("stock")));
    }

    #[test]
    fn it_is_waited_for_only_where_it_may_have_fired_and_not_for_long() {
        let grace = Duration::from_mins(10);
        let (before, published, after) = (at(0), at(1_000), at(1_001));
        for (recorded, now, expected) in [
            (RecordedSince::At(before), at(1_010), Some(at(1_600))),
            (RecordedSince::At(published), at(1_599), Some(at(1_600))),
            (RecordedSince::At(before), at(1_600), None),
            // Deployed later: the broker has no webhook for that.
            (RecordedSince::At(after), at(1_010), None),
            (RecordedSince::SomeTime, at(1_010), Some(at(1_600))),
            (RecordedSince::SomeTime, at(2_000), None),
            (RecordedSince::Never, at(1_010), None),
        ] {
            assert_eq!(waits_until(published, recorded, grace, now), expected, "{recorded:?} {now}");
        }
    }
}

//! Clients of the broker, and the names that these tests use.

use std::time::Duration;

use pact_operator::api::names::{ApplicationInstance, EnvironmentName, Pacticipant, Version};
use pact_operator::broker::{BaseUrl, Broker, BrokerConfig, Credentials, EnvironmentId, TlsSettings};

/// A minimal configuration.
pub(crate) fn config(url: &str) -> BrokerConfig {
    BrokerConfig {
        base_url: BaseUrl::parse(url).unwrap(),
        credentials: Credentials::None,
        headers: Vec::new(),
        tls: TlsSettings::default(),
        request_timeout: Duration::from_secs(20),
        concurrency: 4,
        longest_pause: pact_operator::broker::pause::LONGEST_PAUSE,
        user_agent: "pact-operator/test".to_owned(),
    }
}

/// A client with that configuration.
pub(crate) fn broker(url: &str) -> Broker {
    Broker::new(config(url)).unwrap()
}

pub(crate) fn pacticipant(name: &str) -> Pacticipant {
    Pacticipant::parse(name).unwrap()
}

pub(crate) fn version(number: &str) -> Version {
    Version::parse(number).unwrap()
}

pub(crate) fn instance(name: &str) -> ApplicationInstance {
    ApplicationInstance::parse(name).unwrap()
}

pub(crate) fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

pub(crate) fn environment_id(uuid: &str) -> EnvironmentId {
    EnvironmentId::parse(uuid).unwrap()
}

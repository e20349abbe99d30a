//! The brokers of a cluster as the verbs for people reach them: at the address that the command line names, with its
//! credentials; else as the operator does, with those in the Secrets that the `PactBroker` names.

use std::sync::Arc;

use clap::Args;
use kube::{Client, ResourceExt};

use super::{
    broker_connection::BrokerConnection,
    installed::Installed,
    process::{Failure, USER_AGENT},
};
use crate::{
    api::PactBroker,
    broker::{Broker, pause::LONGEST_PAUSE},
    cluster::client_factory::ClientFactory,
};

/// Where the Secrets of the brokers are.
#[derive(Args, Clone, Debug)]
pub(super) struct SecretsArguments {
    /// The namespace of the operator, with the Secrets that the `PactBrokers` name: read where no --broker-base-url is given.
    #[arg(long, default_value = "pact-operator", value_name = "NAME")]
    pub(super) operator_namespace: String,
}

/// A broker, and its address as people reach it.
pub(super) type Reached = (Broker, String);

/// See the module.
pub(super) struct ReachedBrokers<'a> {
    pub(super) verb: &'a str,
    pub(super) client: &'a Client,
    pub(super) connection: &'a BrokerConnection,
    pub(super) secrets: &'a SecretsArguments,
}

impl ReachedBrokers<'_> {
    /// The broker of this `PactBroker`.
    ///
    /// # Errors
    /// When it cannot be reached, with the remedy.
    pub(super) async fn reach(&self, installed: &Installed, name: &str) -> Result<Reached, Failure> {
        self.connection.keeps_its_secrets()?;
        if let Some(url) = self.connection.url() {
            return Ok((Broker::new(self.connection.config(url, self.verb)?)?, url.to_owned()));
        }
        let named = installed.brokers.iter().find(|broker| broker.name_any() == name);
        let Some(object) = named else {
            return Err(format!("there is no PactBroker named {name}: create it, or give --broker-base-url").into());
        };
        let factory = ClientFactory {
            client: self.client.clone(),
            namespace: self.secrets.operator_namespace.clone(),
            user_agent: format!("{USER_AGENT} {}", self.verb),
            longest_pause: LONGEST_PAUSE,
            observer: Arc::new(|_, _, _| {}),
        };
        let namespace = &self.secrets.operator_namespace;
        let otherwise = "or give --broker-base-url, and credentials in PACT_BROKER_TOKEN, or PACT_BROKER_USERNAME and \
                         PACT_BROKER_PASSWORD";
        // Who may not read them, or asks in another namespace, is mostly a person: the operator's remedy would not help.
        let unreadable = |_| {
            format!(
                "the Secrets of PactBroker {name} cannot be read in the namespace {namespace}: kubectl auth can-i get secrets -n \
                 {namespace}; {otherwise}"
            )
        };
        let unusable =
            |why: &str| format!("PactBroker {name}: {why}; is {namespace} the operator's namespace? {otherwise}");
        let made = factory.make(object, None).await.map_err(unreadable)?;
        let made = made.ok_or_else(|| unusable("no client was made"))?;
        Ok((made.client.map_err(|why| unusable(&why.message))?, public_url(object)))
    }
}

fn public_url(object: &PactBroker) -> String {
    object.spec.public_url.as_ref().unwrap_or(&object.spec.url).clone()
}

//! Published pacts: `/pacts/provider/{p}/consumer/{c}/version/{v}`.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::{Broker, error::BrokerError, ids::ContentId, operation::Operation, transport::Request};
use crate::api::names::{Pacticipant, Version};

/// The pact of a consumer version with a provider, without what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPact {
    /// The name of its content: pacts of other versions with the same content have the same.
    pub content: ContentId,
    /// When the consumer version published it, by the broker's clock.
    pub published: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    created_at: Option<String>,
    #[serde(rename = "_links")]
    links: Links,
}

#[derive(Deserialize)]
struct Links {
    #[serde(rename = "pb:pact-version")]
    content: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Broker {
    /// The pact of a consumer version with a provider; `None` when there is none.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn published_pact(
        &self,
        consumer: &Pacticipant,
        version: &Version,
        provider: &Pacticipant,
    ) -> Result<Option<PublishedPact>, BrokerError> {
        let segments =
            ["pacts", "provider", provider.as_str(), "consumer", consumer.as_str(), "version", version.as_str()];
        let Some(document) = self.ask(Request::get(Operation::ReadPact, &segments)).await? else { return Ok(None) };
        let Body { created_at, links } = document.read()?;
        let content = ContentId::parse(&links.content.name)
            .map_err(|_| document.other_shape("a pact whose content has no readable name"))?;
        Ok(Some(PublishedPact { content, published: created_at.and_then(|text| text.parse().ok()) }))
    }
}

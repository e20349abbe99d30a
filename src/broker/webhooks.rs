//! The webhooks of a broker: `/webhooks` and `/webhooks/{uuid}`. What they send and where is not read.

use serde::Deserialize;

use super::{
    Broker,
    error::BrokerError,
    ids::WebhookId,
    operation::Operation,
    rows::{Row, Rows},
    transport::Request,
};
use crate::decide::verification::{BrokersWebhook, Scope};

/// How many are read. A broker lists them without what they are about: each is a request.
const MOST: usize = 100;

#[derive(Deserialize)]
struct List {
    #[serde(rename = "_links")]
    links: Listed,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "pb:webhooks")]
    webhooks: Vec<Row<Link>>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

impl Link {
    /// Only the identifier is taken from a link.
    fn id(self) -> Option<WebhookId> {
        WebhookId::parse(self.href.rsplit('/').next()?).ok()
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default = "on")]
    enabled: bool,
    #[serde(default)]
    events: Vec<Row<Named>>,
    consumer: Option<Side>,
    provider: Option<Side>,
}

const fn on() -> bool {
    true
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Side {
    name: Option<String>,
}

impl Body {
    fn read(self) -> BrokersWebhook {
        let scope = |side: Option<Side>| match side {
            None => Scope::All,
            Some(Side { name: Some(name) }) => Scope::Named(name),
            Some(Side { name: None }) => Scope::Labelled,
        };
        let events = Rows::read("events", self.events, |event: Named| Some(event.name)).rows;
        BrokersWebhook { enabled: self.enabled, events, consumer: scope(self.consumer), provider: scope(self.provider) }
    }
}

impl Broker {
    /// The webhooks of the broker, a hundred at most. One request, and one for each of them; one that is deleted meanwhile
    /// is left out.
    ///
    /// # Errors
    /// Any [`BrokerError`] but those for something missing.
    pub async fn webhooks(&self) -> Result<Vec<BrokersWebhook>, BrokerError> {
        let Some(document) = self.ask(Request::get(Operation::ReadWebhooks, &["webhooks"])).await? else {
            return Ok(Vec::new());
        };
        let List { links } = document.read()?;
        let ids = Rows::read("webhooks", links.webhooks, Link::id).rows;
        let mut webhooks = Vec::new();
        for id in ids.iter().take(MOST) {
            let segments = ["webhooks", id.as_str()];
            if let Some(document) = self.ask(Request::get(Operation::ReadWebhook, &segments)).await? {
                webhooks.push(document.read::<Body>()?.read());
            }
        }
        Ok(webhooks)
    }
}

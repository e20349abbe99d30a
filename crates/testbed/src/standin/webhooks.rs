//! The broker's webhooks: as much as reading them needs. They are never sent.

use serde_json::{Value, json};

use super::answer::Answer;
use super::routes::Call;
use super::store::{State, Store, new_uuid};

/// A webhook.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    uuid: String,
    provider: Option<String>,
    events: Vec<String>,
    enabled: bool,
}

impl Store {
    /// Adds a webhook for the pacts of a provider, or of all, and returns its uuid.
    pub fn add_webhook(&self, provider: Option<&str>, events: &[&str], enabled: bool) -> String {
        let uuid = new_uuid();
        self.add_webhook_with_uuid(provider, events, enabled, &uuid);
        uuid
    }

    /// The same, under a uuid chosen by the caller.
    pub fn add_webhook_with_uuid(&self, provider: Option<&str>, events: &[&str], enabled: bool, uuid: &str) {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        let webhook = Webhook { uuid: uuid.to_owned(), provider: provider.map(str::to_owned), events, enabled };
        self.state().webhooks.push(webhook);
    }

    /// Removes a webhook. Says whether there was one.
    pub fn remove_webhook(&self, uuid: &str) -> bool {
        let webhooks = &mut self.state().webhooks;
        let before = webhooks.len();
        webhooks.retain(|webhook| webhook.uuid != uuid);
        webhooks.len() != before
    }
}

/// `GET /webhooks`: links only.
pub(super) fn collection(call: &Call<'_>, state: &State) -> Answer {
    if let Some(refused) = call.refused_read() {
        return refused;
    }
    let link = |webhook: &Webhook| json!({"title": "A webhook", "name": "POST ci.example.com", "href": call.links.to(&["webhooks", &webhook.uuid])});
    let links: Vec<Value> = state.webhooks.iter().map(link).collect();
    let own = json!({"title": "Webhooks", "href": call.links.to(&["webhooks"])});
    Answer::hal(200, &json!({"_links": {"self": own, "pb:webhooks": links}}))
}

/// `GET /webhooks/{uuid}`.
pub(super) fn one(call: &Call<'_>, state: &State, uuid: &str) -> Answer {
    if let Some(refused) = call.refused_read() {
        return refused;
    }
    let Some(webhook) = state.webhooks.iter().find(|webhook| webhook.uuid == uuid) else {
        return call.errors.not_found();
    };
    let events: Vec<_> = webhook.events.iter().map(|name| json!({"name": name})).collect();
    let mut body = json!({
        "uuid": webhook.uuid, "description": "A webhook", "enabled": webhook.enabled, "events": events,
        "request": {"method": "POST", "url": "https://ci.example.com/verify", "headers": {"Authorization": "**********"}},
        "_links": {"self": {"title": "A webhook", "href": call.links.to(&["webhooks", &webhook.uuid])}}});
    if let Some(provider) = &webhook.provider {
        body["provider"] = json!({"name": provider});
    }
    Answer::hal(200, &body)
}

//! Kubernetes Events, each published once.
//!
//! The name of an Event is computed from its subject, so a repeated Event, after a restart or from another replica,
//! meets the existing object. (kube's own recorder counts by reason and keeps the first note, so a new note under a
//! known reason would be lost.) Kubernetes deletes Events after an hour by default; an Event that is published again
//! later appears again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubeEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::recently::Recently;

#[cfg(test)]
mod tests;

/// The longest note that the API server accepts, in bytes.
const MAX_NOTE: usize = 1024;
/// The longest reason, action and instance that the API server accepts, in bytes.
const MAX_FIELD: usize = 128;
/// The longest name of an object.
const MAX_NAME: usize = 253;
/// The limit of a request. A missing Event is not worth a longer wait.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How many Events are remembered as published, at least.
const MOST_PUBLISHED: usize = 4096;
/// For how long, at least, and for twice as long at most. Kubernetes keeps Events for an hour; a longer time would suppress
/// Events that no longer exist.
const PUBLISHED_FOR: Duration = Duration::from_mins(15);

/// The object that an Event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regarding {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// `None` for a cluster-scoped object: its Events are in the namespace `default`.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
    /// The object's uid, so that a new object of the same name starts afresh.
    pub uid: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Why, in one `CamelCase` word: what people and tools filter by. At most 128 bytes.
    pub reason: &'a str,
    /// What was done or tried, in one `CamelCase` word. At most 128 bytes.
    pub action: &'a str,
    /// Whether a person has to act.
    pub warning: bool,
    /// The message for a person; cut at 1024 bytes. Never a credential.
    pub note: String,
    /// What makes this Event different from others with the same reason about the same object.
    pub once_key: String,
}

/// The result of a successful publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The Event is new.
    New,
    /// The Event existed already.
    Before,
}

/// Why an Event could not be published. No caller should fail because of it.
#[derive(Debug, Error)]
pub enum EventError {
    /// 403.
    #[error(
        "not allowed to publish Events in the namespace {namespace}: {message}. Remedy: grant create on events of \
         events.k8s.io to this ServiceAccount"
    )]
    Forbidden {
        /// The Event's namespace.
        namespace: String,
        /// The message of the API server.
        message: String,
    },
    /// The namespace is deleted or being deleted.
    #[error("the namespace {namespace} is gone or being deleted: no Event about {regarding}")]
    NamespaceGone {
        /// The Event's namespace.
        namespace: String,
        /// Kind and name of the object.
        regarding: String,
    },
    /// No answer in time.
    #[error("could not publish the Event {reason} about {regarding}: no answer from the API server within 5 s")]
    TimedOut {
        /// The Event's reason.
        reason: String,
        /// Kind and name of the object.
        regarding: String,
    },
    /// Anything else.
    #[error("could not publish the Event {reason} about {regarding}: {source}")]
    Failed {
        /// The Event's reason.
        reason: String,
        /// Kind and name of the object.
        regarding: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
}

/// Where Events are published. Clones share the record of published Events.
#[derive(Clone)]
pub struct EventSink {
    client: Client,
    controller: String,
    instance: String,
    /// The digests of the Events that were published lately.
    published: Arc<Recently>,
}

impl EventSink {
    /// `reporting_controller` is a qualified name (`example.dev/controller`), the same for all replicas;
    /// `instance` is this process (the Pod's name), cut at 128 bytes.
    #[must_use]
    pub fn new(client: Client, reporting_controller: impl Into<String>, instance: &str) -> Self {
        Self {
            client,
            controller: reporting_controller.into(),
            instance: cut(instance, MAX_FIELD).to_owned(),
            published: Arc::new(Recently::new(MOST_PUBLISHED, PUBLISHED_FOR)),
        }
    }

    /// Publishes `event` unless the same reason and key about the same object were published before.
    ///
    /// What this process published within the last 15 minutes (up to some thousand Events) is not sent again.
    ///
    /// # Errors
    /// When the API server refuses the Event or does not answer within 5 s. The Event then counts as not published.
    pub async fn publish(&self, regarding: &Regarding, event: &Event<'_>) -> Result<Published, EventError> {
        self.publish_annotated(regarding, event, BTreeMap::new()).await
    }

    /// The same with annotations on the Event, for programs that read it.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn publish_annotated(
        &self,
        regarding: &Regarding,
        event: &Event<'_>,
        annotations: BTreeMap<String, String>,
    ) -> Result<Published, EventError> {
        let digest = digest(&regarding.uid, event.reason, &event.once_key);
        if self.published.contains(digest) {
            return Ok(Published::Before);
        }
        let mut object = self.object(regarding, event, digest);
        object.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let api: Api<KubeEvent> = Api::namespaced(self.client.clone(), &namespace);
        let how = PostParams::default();
        let published = match tokio::time::timeout(REQUEST_LIMIT, api.create(&how, &object)).await {
            Ok(Ok(_)) => Published::New,
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => Published::Before,
            Ok(Err(error)) => return Err(failure(error, namespace, regarding, event)),
            Err(_) => {
                return Err(EventError::TimedOut { reason: event.reason.to_owned(), regarding: called(regarding) });
            }
        };
        self.published.insert(digest);
        Ok(published)
    }

    fn object(&self, regarding: &Regarding, event: &Event<'_>, digest: u64) -> KubeEvent {
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let mut object = KubeEvent {
            action: Some(cut(event.action, MAX_FIELD).to_owned()),
            reason: Some(cut(event.reason, MAX_FIELD).to_owned()),
            note: Some(shortened(&event.note, MAX_NOTE)),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(MicroTime(Timestamp::now())),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(regarding.api_version.clone()),
                kind: Some(regarding.kind.clone()),
                namespace: regarding.namespace.clone(),
                name: Some(regarding.name.clone()),
                uid: Some(regarding.uid.clone()),
                ..ObjectReference::default()
            }),
            ..KubeEvent::default()
        };
        object.metadata.name = Some(event_name(&regarding.name, digest));
        object.metadata.namespace = Some(namespace);
        object
    }
}

impl std::fmt::Debug for EventSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSink").field("controller", &self.controller).finish_non_exhaustive()
    }
}

fn failure(error: kube::Error, namespace: String, regarding: &Regarding, event: &Event<'_>) -> EventError {
    match error {
        kube::Error::Api(status) if status.is_not_found() || terminating(&status) => {
            EventError::NamespaceGone { namespace, regarding: called(regarding) }
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            EventError::Forbidden { namespace, message: status.message }
        }
        source => EventError::Failed {
            reason: event.reason.to_owned(),
            regarding: called(regarding),
            source: Box::new(source),
        },
    }
}

/// A namespace that is being deleted also answers 403, with this cause.
fn terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
}

fn called(regarding: &Regarding) -> String {
    match &regarding.namespace {
        Some(namespace) => format!("{} {namespace}/{}", regarding.kind, regarding.name),
        None => format!("{} {}", regarding.kind, regarding.name),
    }
}

/// The identity of an Event: 64 bits of a hash over the three values, each with its length before it.
fn digest(uid: &str, reason: &str, once_key: &str) -> u64 {
    let mut hash = Sha256::new();
    for part in [uid, reason, once_key] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

/// `{object}.{digest}`, at most 253 characters, and a valid name also for objects whose own name is not valid.
fn event_name(object: &str, digest: u64) -> String {
    let safe: String = object
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(MAX_NAME - ".0123456789abcdef".len())
        .collect();
    // No label of a name is empty, or begins or ends with a dash.
    let labels: Vec<&str> = safe.split('.').map(|label| label.trim_matches('-')).filter(|l| !l.is_empty()).collect();
    let name = labels.join(".");
    let mut full = if name.is_empty() { String::new() } else { format!("{name}.") };
    // Writing to a String cannot fail.
    let _ = write!(full, "{digest:016x}");
    full
}

/// At most `limit` bytes of `text`, whole characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// As [`cut`], with a mark at the end.
fn shortened(text: &str, limit: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= limit { text.to_owned() } else { format!("{}{MARK}", cut(text, limit - MARK.len())) }
}

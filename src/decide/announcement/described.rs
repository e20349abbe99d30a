//! An announcement for people and for templates.

use serde::Serialize;

use super::{Kind, Subject};

/// What a template may use of an announcement. Its names are a promise to those who wrote templates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// What a repeated delivery is recognised by.
    pub id: String,
    /// What happened: the name of a [`Kind`].
    pub kind: String,
    /// Whether a person should look at it.
    pub warning: bool,
    /// All of it in a sentence without a full stop.
    pub text: String,
    /// The pacticipant.
    pub pacticipant: String,
    /// The version; empty where none can be identified.
    pub version: String,
    /// The version that was recorded before; empty where there is none.
    pub previous_version: String,
    /// The environment's name at the broker.
    pub environment: String,
    /// The application instance; empty where there is none.
    pub application_instance: String,
    /// The name of the `PactBroker`.
    pub broker: String,
    /// The name of the cluster; empty where it has none.
    pub cluster: String,
    /// Workloads that run it, or ran it.
    pub workloads: Vec<String>,
    /// More about it; may be empty.
    pub message: String,
    /// When the operator found it (RFC 3339).
    pub at: String,
}

/// What a template may use of an announcement.
#[must_use]
pub fn described(subject: &Subject<'_>) -> Described {
    let Subject { key, cluster, announcement, .. } = subject;
    let instance = key.instance.as_ref().map(ToString::to_string).unwrap_or_default();
    Described {
        id: subject.id(),
        kind: announcement.kind.clone(),
        warning: Kind::named(&announcement.kind).is_none_or(needs_a_look),
        text: sentence(subject),
        pacticipant: key.pacticipant.to_string(),
        version: announcement.version.clone(),
        previous_version: announcement.previous_version.clone().unwrap_or_default(),
        environment: key.environment_ref.environment.to_string(),
        application_instance: instance,
        broker: key.environment_ref.broker.clone(),
        cluster: cluster.unwrap_or_default().to_owned(),
        workloads: announcement.workloads.clone(),
        message: announcement.message.clone(),
        at: announcement.at.0.to_string(),
    }
}

fn needs_a_look(kind: Kind) -> bool {
    match kind {
        Kind::Deployed | Kind::Upgraded | Kind::RolledBack | Kind::Removed => false,
        Kind::Drift | Kind::WouldDeny | Kind::Bypassed | Kind::Denied => true,
    }
}

fn sentence(subject: &Subject<'_>) -> String {
    let Subject { key, announcement, .. } = subject;
    let (version, previous) = (&announcement.version, announcement.previous_version.as_deref());
    let it = if version.is_empty() { format!("a rollout of {key}") } else { format!("{version} of {key}") };
    let before = previous.map(|previous| format!(", after {previous}")).unwrap_or_default();
    let what = match Kind::named(&announcement.kind) {
        Some(Kind::Deployed | Kind::Upgraded) => format!("{it} is deployed{before}"),
        Some(Kind::RolledBack) => format!("{it} is deployed again{before}"),
        Some(Kind::Removed) => format!("{it} was removed"),
        Some(Kind::Drift) => {
            format!("{it} was recorded again: another client had recorded something else")
        }
        Some(Kind::WouldDeny) => format!("{it} would be denied"),
        Some(Kind::Bypassed) => format!("{it} bypassed the gate"),
        Some(Kind::Denied) => format!("{it} was denied"),
        None => format!("{it}: {}", announcement.kind),
    };
    let message = &announcement.message;
    if message.is_empty() { what } else { format!("{what}: {message}") }
}

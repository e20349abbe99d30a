//! An announcement as a CDEvent. See <https://cdevents.dev/docs/spec/> and
//! <https://cdevents.dev/docs/continuous-deployment/>.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Kind, Subject, described};

/// The version of the specification that is kept.
pub const SPECIFICATION: &str = "0.5.0";

/// What need not be encoded in a part of a URI.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A CDEvent, and what of it a CloudEvent repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct CdEvent {
    /// What a repeated event is recognised by, with the source.
    pub id: String,
    /// Who sends it.
    pub source: String,
    /// Its type, with the version of it.
    pub type_: String,
    /// The id of its subject.
    pub subject: String,
    /// When it happened (RFC 3339).
    pub time: String,
    /// All of it.
    pub body: Value,
}

/// The CDEvent of an announcement. `None` for one of a kind that this version of the operator does not know.
///
/// Where the vocabulary of CDEvents has no type, it is a custom event of ours, as the specification wants those to be.
#[must_use]
pub fn cdevent(subject: &Subject<'_>) -> Option<CdEvent> {
    let kind = Kind::named(&subject.announcement.kind)?;
    let described = described(subject);
    let source = match subject.cluster {
        Some(cluster) => format!("/pact-operator/{}", encoded(cluster)),
        None => "/pact-operator".to_owned(),
    };
    let instance = subject.key.instance.as_ref().map(|instance| format!("/{instance}")).unwrap_or_default();
    let subject_id = format!("{}{instance}", described.pacticipant);
    let (type_, subject_type) = (type_of(kind), if of_vocabulary(kind) { "service" } else { "pactoperator-service" });
    let mut artifact = format!("pkg:generic/{}", encoded(&described.pacticipant));
    if !described.version.is_empty() {
        artifact = format!("{artifact}@{}", encoded(&described.version));
    }
    let environment = json!({"id": described.environment});
    let content = match kind {
        Kind::Removed => json!({"environment": environment}),
        Kind::Deployed | Kind::Upgraded | Kind::RolledBack => {
            json!({"environment": environment, "artifactId": artifact})
        }
        Kind::Drift | Kind::WouldDeny | Kind::Bypassed | Kind::Denied => {
            json!({"environment": environment, "artifactId": artifact, "reason": described.message})
        }
    };
    let body = json!({
        "context": {
            "specversion": SPECIFICATION,
            "id": described.id,
            "source": source,
            "type": type_,
            "timestamp": described.at,
        },
        "subject": {"id": subject_id, "type": subject_type, "content": content},
        "customData": described,
        "customDataContentType": "application/json",
    });
    let (id, time) = (described.id, described.at);
    Some(CdEvent { id, source, type_: type_.to_owned(), subject: subject_id, time, body })
}

/// Whether the vocabulary of CDEvents has the kind.
fn of_vocabulary(kind: Kind) -> bool {
    matches!(kind, Kind::Deployed | Kind::Upgraded | Kind::RolledBack | Kind::Removed)
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Deployed => "dev.cdevents.service.deployed.0.3.0",
        Kind::Upgraded => "dev.cdevents.service.upgraded.0.3.0",
        Kind::RolledBack => "dev.cdevents.service.rolledback.0.3.0",
        Kind::Removed => "dev.cdevents.service.removed.0.3.0",
        Kind::Drift => "dev.cdeventsx.pactoperator-service.drifted.0.1.0",
        Kind::WouldDeny => "dev.cdeventsx.pactoperator-service.wouldbedenied.0.1.0",
        Kind::Bypassed => "dev.cdeventsx.pactoperator-service.bypassed.0.1.0",
        Kind::Denied => "dev.cdeventsx.pactoperator-service.denied.0.1.0",
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

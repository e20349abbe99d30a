//! What whoever verifies is told, in the form that each of them takes. Pure.

use serde::Serialize;
use serde_json::{Value, json};

/// A verification that is asked for. Its names are a promise to those who wrote templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationRequest {
    /// The address of exactly the content that has to be verified.
    pub pact_url: String,
    /// The consumer.
    pub consumer: String,
    /// A version of it with this pact.
    pub consumer_version: String,
    /// The branch of that version; empty where none is known.
    pub consumer_branch: String,
    /// The provider.
    pub provider: String,
    /// The version that has to verify: the one that is deployed, or was denied.
    pub provider_version: String,
    /// The branch of that version; empty where none is known.
    pub provider_branch: String,
    /// The environment's name at the broker.
    pub environment: String,
    /// The broker's address.
    pub broker_url: String,
}

impl VerificationRequest {
    /// Its values by name, in a fixed order.
    fn values(&self) -> [(&'static str, &str); 9] {
        [
            ("pact_url", &self.pact_url),
            ("consumer", &self.consumer),
            ("consumer_version", &self.consumer_version),
            ("consumer_branch", &self.consumer_branch),
            ("provider", &self.provider),
            ("provider_version", &self.provider_version),
            ("provider_branch", &self.provider_branch),
            ("environment", &self.environment),
            ("broker_url", &self.broker_url),
        ]
    }

    /// The body of GitHub's repository dispatch. Its payload may have ten properties.
    /// See <https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event>.
    #[must_use]
    pub fn dispatch(&self, event_type: &str) -> Value {
        let payload: serde_json::Map<_, _> =
            self.values().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        json!({"event_type": event_type, "client_payload": payload})
    }

    /// The fields of GitLab's pipeline trigger, without the token.
    /// See <https://docs.gitlab.com/ci/triggers/#trigger-a-pipeline>.
    #[must_use]
    pub fn trigger(&self, git_ref: &str) -> Vec<(String, String)> {
        let variable = |(name, value): (&str, &str)| {
            let name = name.strip_prefix("pact_").unwrap_or(name).to_ascii_uppercase();
            (format!("variables[PACT_{name}]"), value.to_owned())
        };
        [("ref".to_owned(), git_ref.to_owned())].into_iter().chain(self.values().into_iter().map(variable)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> VerificationRequest {
        VerificationRequest {
            pact_url: "https://broker/pacts/provider/stock/consumer/web/pact-version/abc".into(),
            consumer: "web".into(),
            consumer_version: "7".into(),
            provider: "stock".into(),
            provider_version: "1.35.0".into(),
            environment: "production".into(),
            broker_url: "https://broker".into(),
            ..VerificationRequest::default()
        }
    }

    #[test]
    fn github_takes_no_more_than_ten_properties() {
        let body = request().dispatch("verify-pact");
        assert_eq!(body["event_type"], "verify-pact");
        let payload = body["client_payload"].as_object().unwrap();
        assert!(payload.len() <= 10, "{payload:?}");
        assert_eq!((&payload["provider_version"], &payload["consumer_branch"]), (&json!("1.35.0"), &json!("")));
        assert_eq!(payload["pact_url"], "https://broker/pacts/provider/stock/consumer/web/pact-version/abc");
    }

    #[test]
    fn gitlab_takes_variables() {
        let fields = request().trigger("main");
        assert_eq!(fields[0], ("ref".to_owned(), "main".to_owned()));
        let names: Vec<_> = fields[1..].iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "variables[PACT_URL]");
        assert!(names.contains(&"variables[PACT_PROVIDER_VERSION]"), "{names:?}");
        assert!(names.contains(&"variables[PACT_BROKER_URL]"), "{names:?}");
    }
}

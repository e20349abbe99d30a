//! `PactBroker`: the address of a Pact Broker, and how to connect to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Pact Broker or PactFlow account, and how the operator signs in there.
///
/// Secrets are read from the operator's own namespace only: a person who may write a `PactBroker` can make the operator
/// send those Secrets to the URL stated here, so only cluster administrators should have that right.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "pact-operator.dev",
    version = "v1alpha1",
    kind = "PactBroker",
    shortname = "pb",
    category = "pact",
    status = "PactBrokerStatus",
    derive = "PartialEq",
    doc = "A Pact Broker, and how the operator signs in there.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.brokerVersion"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PactBrokerSpec {
    /// The broker's base URL as the operator reaches it, with its path prefix if it has one.
    #[schemars(length(min = 8, max = 2048))]
    #[x_kube(
        validation = Rule::new("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''")
            .message("url must be an absolute http or https URL, for example https://broker.example.com"),
        validation = Rule::new("!self.contains('@') && !self.contains('?') && !self.contains('#')")
            .message("url must hold no credentials, query or fragment; credentials belong in spec.auth")
    )]
    pub url: String,

    /// The broker's URL as people reach it, for links in messages. Defaults to `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(
        validation = Rule::new("isURL(self) && url(self).getScheme() in ['http', 'https']")
            .message("publicUrl must be an absolute http or https URL"),
        validation = Rule::new("!self.contains('@') && !self.contains('?') && !self.contains('#')")
            .message("publicUrl must hold no credentials, query or fragment: messages show it to everybody")
    )]
    pub public_url: Option<String>,

    /// How the operator signs in. Leave it out for a broker without authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,

    /// A Secret with headers that are sent with each request: each key is a header's name, its value the header's
    /// value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret_ref: Option<SecretRef>,

    /// Which certificates are trusted and presented.
    #[serde(default)]
    pub tls: Tls,

    /// How long one request may take altogether, in seconds, from connecting to the last byte of the answer.
    #[serde(default = "default_request_timeout_seconds")]
    #[schemars(range(min = 1, max = 120))]
    pub request_timeout_seconds: i32,

    /// How many requests may be in flight at this broker at once. A broker carries out about five at once:
    /// more than a few seldom help.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: i32,
}

fn default_request_timeout_seconds() -> i32 {
    10
}

fn default_concurrency() -> i32 {
    6
}

/// One way of signing in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.basic) != has(self.bearer)")
        .message("auth takes exactly one of basic (open-source broker) and bearer (PactFlow)")
)]
pub struct Auth {
    /// A user name and a password, as the open-source broker requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,
    /// A token, as PactFlow requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<BearerAuth>,
}

/// A user name and password in a Secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// The Secret, in the operator's namespace.
    pub secret_ref: SecretRef,
    /// The key that holds the user name.
    #[serde(default = "default_username_key")]
    pub username_key: String,
    /// The key that holds the password.
    #[serde(default = "default_password_key")]
    pub password_key: String,
}

fn default_username_key() -> String {
    "username".to_owned()
}

fn default_password_key() -> String {
    "password".to_owned()
}

/// A token in a Secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BearerAuth {
    /// The Secret, in the operator's namespace.
    pub secret_ref: SecretRef,
    /// The key that holds the token.
    #[serde(default = "default_token_key")]
    pub token_key: String,
}

fn default_token_key() -> String {
    "token".to_owned()
}

/// A Secret in the operator's namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which certificates are trusted and presented.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// PEM certificates of authorities to trust besides those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub ca_bundle: Option<String>,
    /// A Secret whose key `ca.crt` holds PEM certificates of authorities to trust besides those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretRef>,
    /// A Secret of type `kubernetes.io/tls` with the client certificate (`tls.crt`) and key (`tls.key`) to present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretRef>,
    /// Accept any certificate. Anyone who intercepts the connection between operator and broker can then read the
    /// credentials.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// What the operator observed of a broker.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PactBrokerStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The version that the broker reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_version: Option<String>,
    /// `Ready`, `Reachable`, `Authorized`.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

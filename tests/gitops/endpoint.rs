//! A gate that answers tools and Flagger's hooks, what they need to ask it, and what the pages about them print.

use std::fs;
use std::path::PathBuf;

use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use testbed::kubectl;
use testbed::process::free_port;
use testbed::shared::{InUse, Shared};
use testbed::webhook::{WebhookOptions, configuration};

use crate::built::apply;
use crate::gate_setup::GateSetup;

/// For whom the tools' tokens are made.
const AUDIENCE: &str = "pact-operator";
/// Where the pages say that the endpoint is.
const PRINTED: &str = "https://pact-operator-webhook.pact-operator.svc:8443";

/// The set-up, whose gate answers at `address`.
pub struct Endpoint {
    pub setup: GateSetup,
    address: String,
    /// A token that may ask.
    pub token: String,
    /// The file with the authority of the endpoint's certificate.
    pub authority: PathBuf,
}

impl Endpoint {
    /// The one that the tests of Argo Rollouts and Flagger share.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<Endpoint> = Shared::new();
        SHARED.get(Self::start).await
    }

    /// A new one.
    pub async fn start() -> Self {
        let port = free_port();
        let options = WebhookOptions::default()
            .value("verdictEndpoint.enabled", true)
            .value("verdictEndpoint.port", port)
            .value("verdictEndpoint.audiences", json!([AUDIENCE]))
            .value("verdictEndpoint.serviceAccounts", json!(["people:tools"]))
            .value("verdictEndpoint.flagger.enabled", true);
        let name = options.configuration();
        let setup = GateSetup::start_with(options).await;
        let cp = &setup.cluster.control_plane;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tools"}});
        apply(cp, "people", &[account]).await;
        let token = ["create", "token", "tools", "-n", "people", "--audience", AUDIENCE, "--duration", "24h"];
        let token = kubectl::kubectl_ok(cp.kubeconfig(), &token).await.trim().to_owned();
        let hooks = configuration(&setup.cluster.client(), &name).await.webhooks.unwrap_or_default();
        let bundle = hooks.into_iter().next().and_then(|hook| hook.client_config.ca_bundle).expect("a caBundle").0;
        let authority = cp.folder().join("authority-of-the-endpoint.crt");
        fs::write(&authority, bundle).unwrap();
        Self { setup, address: format!("https://127.0.0.1:{port}"), token, authority }
    }

    /// An object that a page prints, as a block of indented lines that begins with `first`: with the address and the token
    /// of here.
    ///
    /// # Panics
    /// When the page has no such block.
    pub fn printed(&self, page: &str, first: &str) -> Value {
        let begins = format!("    {first}\n");
        let start = page.find(&begins).unwrap_or_else(|| panic!("the page prints no block that begins with {first}"));
        let lines = page[start..].lines().take_while(|line| line.starts_with("    "));
        let block: Vec<_> = lines.map(|line| &line[4..]).collect();
        let block = block.join("\n").replace(PRINTED, &self.address).replace("TOKEN", &self.token);
        serde_yaml_ng::from_str(&block).unwrap_or_else(|error| panic!("{error}:\n{block}"))
    }

    /// What a hook of Flagger's is told now, for a failure.
    pub async fn hook(&self, hook: &str, namespace: &str, canary: &str) -> String {
        let body = json!({
            "name": canary, "namespace": namespace, "phase": "Waiting", "checksum": "1",
            "metadata": {"token": self.token, "mode": "Enforce"},
        });
        let answer = self.client().post(format!("{}/v1/flagger/{hook}", self.address)).json(&body).send().await;
        match answer {
            Ok(answer) => format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()),
            Err(error) => format!("{error:?}"),
        }
    }

    fn client(&self) -> Client {
        let authority = Certificate::from_pem(&fs::read(&self.authority).unwrap()).unwrap();
        Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap()
    }

    /// The verdict endpoint's answer about a version in an environment.
    pub async fn ask(&self, pacticipant: &str, version: &str, environment: &str) -> Value {
        let url = format!("{}/v1/can-i-deploy", self.address);
        let query = format!("pacticipant={pacticipant}&version={version}&environment={environment}");
        let answer = self.client().get(format!("{url}?{query}")).bearer_auth(&self.token).send().await.unwrap();
        answer.json().await.unwrap()
    }
}

//! The verdict endpoint: the gate's verdict for tools that ask before they act, and who may ask.

use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::gate_setup::{GateSetup, MappedEnvironment, consumer_of};
use crate::objects::Objects as _;
use testbed::{
    eventually::eventually,
    process::free_port,
    test_cluster::SOON,
    webhook::{WebhookOptions, configuration, sum},
};

/// A gate with the endpoint, and a tool that may ask it.
pub(super) struct Tool {
    pub(super) setup: GateSetup,
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) token: String,
}

impl Tool {
    /// `argocd-application-controller` may ask; the developer may not.
    async fn start() -> Self {
        Self::start_with(WebhookOptions::default()).await
    }

    /// The same with more options.
    pub(super) async fn start_with(options: WebhookOptions) -> Self {
        let port = free_port();
        let options = options
            .value("verdictEndpoint.enabled", true)
            .value("verdictEndpoint.port", port)
            .value("verdictEndpoint.serviceAccounts", json!(["people:argocd-application-controller"]));
        let name = options.configuration();
        let setup = GateSetup::start_with(options).await;
        let configuration = configuration(&setup.cluster.client(), &name).await;
        let bundle = configuration.webhooks.unwrap().remove(0).client_config.ca_bundle.unwrap().0;
        let client =
            Client::builder().no_proxy().tls_certs_only([Certificate::from_pem(&bundle).unwrap()]).build().unwrap();
        let token = setup.token("argocd-application-controller").await;
        Self { setup, client, url: format!("https://127.0.0.1:{port}/v1/can-i-deploy"), token }
    }

    async fn sent(&self, request: RequestBuilder, token: Option<&str>) -> (StatusCode, Value) {
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// The answer to a query.
    async fn asked(&self, query: &[(&str, &str)]) -> Value {
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "%20"))).collect();
        let url = format!("{}?{}", self.url, query.join("&"));
        let (status, answer) = self.sent(self.client.get(url), Some(&self.token)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// The answer about a version in an environment, once it is this.
    async fn told(
        &self,
        environment: &MappedEnvironment,
        pacticipant: &str,
        version: &str,
        wanted: (Value, &str),
    ) -> Value {
        let query = [("pacticipant", pacticipant), ("version", version), ("environment", &*environment.name)];
        eventually(format!("{pacticipant} {version} to be {wanted:?}"), SOON, async || {
            let answer = self.asked(&query).await;
            let right = answer["deployable"] == wanted.0 && answer["verdict"] == wanted.1;
            if right { Ok(answer) } else { Err(answer.to_string()) }
        })
        .await
    }
}

impl GateSetup {
    /// A token of an account of people.yaml.
    pub(super) async fn token(&self, account: &str) -> String {
        let kubeconfig = self.cluster.control_plane.user_kubeconfig("people", account).await;
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let value: Value = serde_yaml_ng::from_str(&text).unwrap();
        value["users"][0]["user"]["token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_tool_gets_the_gates_verdict_and_what_is_needed_to_understand_it() {
    let tool = Tool::start().await;
    let setup = &tool.setup;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let MappedEnvironment { namespace, name } = environment;
    setup.provider_that_breaks(name, "orders");
    consumer_of(&setup.cluster.broker, name, "stock");
    setup.cluster.broker.store().publish_version("stock", "1.0.0");

    let decisions = async || sum(&setup.webhook.metrics().await, "pact_operator_gate_decisions_total");
    let before = decisions().await;

    let yes = tool.told(environment, "orders", "1.0.0", (json!(true), "Yes")).await;
    assert_eq!(yes["pairs"][0]["result"], "Verified", "{yes}");
    assert_eq!(yes["gate"]["action"], "Allow", "{yes}");

    let no = tool.told(environment, "orders", "2.0.0", (json!(false), "No")).await;
    let pair = json!({"result": "Failed", "consumer": "web-of-orders", "consumerVersion": "7", "provider": "orders", "providerVersion": "2.0.0"});
    assert_eq!(no["pairs"], json!([pair]), "{no}");
    assert_eq!(no["gate"], json!({"mode": "Enforce", "action": "Deny", "wanted": "Deny"}), "{no}");
    assert!(no["reason"].as_str().unwrap().contains("web-of-orders"), "{no}");
    assert!(no["remedy"].as_str().unwrap().starts_with("Deploy a version"), "{no}");
    assert!(no["link"].as_str().unwrap().starts_with(&format!("{}/matrix?", setup.cluster.broker.url())), "{no}");
    assert_eq!(no["checks"].as_array().unwrap().len(), 1, "{no}");

    let unknown = tool.told(environment, "stock", "1.0.0", (Value::Null, "Unknown")).await;
    assert_eq!(unknown["pairs"][0]["result"], "Unverified", "{unknown}");
    tool.told(environment, "orders", "3.0.0", (json!(false), "VersionMissing")).await;
    tool.told(environment, "nobody", "1", (json!(false), "PacticipantUnknown")).await;

    // By where it would run, and with what.
    let image = ("image", "registry.test:5000/shop/orders:2.0.0@sha256:0123");
    let by_image = tool.asked(&[("pacticipant", "orders"), image, ("namespace", namespace)]).await;
    assert_eq!((&by_image["verdict"], &by_image["version"]), (&json!("No"), &json!("2.0.0")), "{by_image}");
    let untagged = tool.asked(&[("pacticipant", "orders"), ("image", "orders:latest"), ("namespace", namespace)]).await;
    assert_eq!((&untagged["verdict"], &untagged["deployable"]), (&json!("Unidentified"), &json!(false)), "{untagged}");
    let body = json!({"pacticipant": "orders", "version": "2.0.0", "namespace": namespace});
    let (status, posted) = tool.sent(tool.client.post(&tool.url).json(&body), Some(&tool.token)).await;
    assert_eq!((status, &posted["verdict"]), (StatusCode::OK, &json!("No")), "{posted}");
    let elsewhere = tool.asked(&[("pacticipant", "orders"), ("version", "1.0.0"), ("namespace", "default")]).await;
    assert_eq!((&elsewhere["verdict"], &elsewhere["deployable"]), (&json!("Unmapped"), &Value::Null), "{elsewhere}");

    // A version that is recorded may always run again; one that a pod is to start next is not admitted by a question.
    setup.running(environment, "orders", "orders", "2.0.0").await;
    setup.cluster.wait_condition(name, "orders", ("Ready", "True", "Recorded")).await;
    tool.told(environment, "orders", "2.0.0", (json!(true), "Recorded")).await;
    assert_eq!(setup.reported(namespace).await, Vec::<String>::new(), "a question leaves no Event");
    assert_eq!(decisions().await, before, "a question is no decision");

    // The same pairs as a page, and for programs.
    let url = tool.url.replace("can-i-deploy", "matrix");
    let shown = tool.client.get(&url).bearer_auth(&tool.token).send().await.unwrap();
    assert_eq!(
        (shown.status(), &shown.headers()["content-type"]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().unwrap())
    );
    let page = shown.text().await.unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("web-of-orders"), "{page}");
    let (status, document) =
        tool.sent(tool.client.get(&url).header("accept", "application/json"), Some(&tool.token)).await;
    assert_eq!(status, StatusCode::OK, "{document}");
    assert!(document.to_string().contains("web-of-orders"), "{document}");

    // What cannot be told is no error of HTTP: tools throw the body of one away.
    let broker = setup.own_broker("lost").await;
    let lost = &setup.gated_by("lost", &broker, json!({"mode": "Enforce"})).await;
    drop(broker);
    let down = tool.told(lost, "orders", "1.0.0", (Value::Null, "BrokerUnavailable")).await;
    assert_eq!(down["pairs"], json!([]), "{down}");
}

#[tokio::test]
async fn whoever_is_not_known_or_may_not_ask_learns_nothing() {
    let tool = Tool::start().await;
    let environment = &tool.setup.gated(json!({"mode": "Enforce"})).await;
    tool.setup.provider_that_breaks(&environment.name, "orders");
    let question = format!("{}?pacticipant=orders&version=2.0.0&environment={}", tool.url, environment.name);
    let developer = tool.setup.token("developer").await;
    for (token, status, said) in [
        (None, StatusCode::UNAUTHORIZED, "who asks?"),
        (Some("a.b.c"), StatusCode::UNAUTHORIZED, "does not know the token"),
        (Some(&*developer), StatusCode::FORBIDDEN, "bind the ClusterRole pact-operator-ask"),
    ] {
        let (answered, body) = tool.sent(tool.client.get(&question), token).await;
        assert_eq!(answered, status, "{body}");
        assert!(body["error"].as_str().unwrap().contains(said), "{body}");
        assert!(body.get("deployable").is_none() && body.get("pairs").is_none(), "{body}");
    }
    let matrix = tool.url.replace("can-i-deploy", "matrix");
    for (token, status) in [(None, StatusCode::UNAUTHORIZED), (Some(&*developer), StatusCode::FORBIDDEN)] {
        let (answered, body) = tool.sent(tool.client.get(&matrix), token).await;
        assert_eq!(answered, status, "{body}");
        assert!(!body.to_string().contains("orders"), "{body}");
    }
    let misspelt = question.replace("environment", "enviroment");
    let (status, body) = tool.sent(tool.client.get(misspelt), Some(&tool.token)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert!(body.get("deployable").is_none(), "{body}");

    // The gate's own port answers no tool, and the tools' port no API server.
    let gate = question.replace(&tool.url, &format!("https://{}/v1/can-i-deploy", tool.setup.webhook.address()));
    let response = tool.client.get(gate).bearer_auth(&tool.token).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let (status, _) = tool.sent(tool.client.post(tool.url.replace("v1/can-i-deploy", "gate")), Some(&tool.token)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

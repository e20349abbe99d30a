//! The stand-in broker keeps the pact that the client wrote: a client that works with it works with a real broker.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use pact_verifier::callback_executors::HttpRequestProviderStateExecutor;
use pact_verifier::{
    FilterInfo, NullRequestFilterExecutor, PactSource, ProviderInfo, ProviderTransport, VerificationOptions,
    verify_provider_async,
};
use serde_json::{Value, json};

use super::pact::{checked_in, untracked};
use testbed::standin::{StandIn, Store};

/// Brings the stand-in into the state that an interaction names, and out of it again.
async fn change_state(State(store): State<Store>, Json(change): Json<Value>) -> Json<Value> {
    let parameters = &change["params"];
    let text = |name: &str| parameters[name].as_str().unwrap_or_else(|| panic!("{name} in {change}"));
    let setup = change["action"] == "setup";
    match change["state"].as_str().unwrap() {
        "an environment" if setup => {
            store.add_environment_with_uuid(text("name"), parameters["production"] == true, text("uuid"));
        }
        // Its deployments and releases go with it.
        "an environment" => assert!(store.remove_environment(text("name"))),
        "a pacticipant version" if setup => store.publish_version(text("pacticipant"), text("version")),
        "a pacticipant version" | "a version on a branch" if !setup => {
            assert!(store.remove_version(text("pacticipant"), text("version")));
        }
        "a pact" if setup => {
            store.publish_pact(text("consumer"), text("version"), text("provider"), "a contract");
        }
        "a pact" => assert!(store.remove_version(text("consumer"), text("version"))),
        "a webhook" if setup => {
            store.add_webhook_with_uuid(Some(text("provider")), &[text("event")], true, text("uuid"));
        }
        "a webhook" => assert!(store.remove_webhook(text("uuid"))),
        "a version on a branch" => store.add_to_branch(text("pacticipant"), text("version"), text("branch")),
        "a verification" if setup => {
            let (consumer, version, provider) = (text("consumer"), text("version"), text("provider"));
            assert!(store.verify(consumer, version, provider, text("by"), parameters["success"] == true));
        }
        "a verification" => drop(store.remove_version(text("provider"), text("by"))),
        "a deployed version" if setup => {
            let (pacticipant, version, environment) = (text("pacticipant"), text("version"), text("environment"));
            let instance = parameters.get("applicationInstance").and_then(Value::as_str);
            store.record_deployment_with_uuid(pacticipant, version, environment, instance, text("uuid"));
        }
        "a released version" if setup => {
            let (pacticipant, version, environment) = (text("pacticipant"), text("version"), text("environment"));
            store.record_release_with_uuid(pacticipant, version, environment, text("uuid"));
        }
        "a deployed version" | "a released version" => {}
        // Of an interaction without a state; one of them creates this environment.
        "" => drop(store.remove_environment("new")),
        state => panic!("no set-up for the state: {state}"),
    }
    Json(json!({}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stand_in_keeps_the_pact() {
    untracked();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let standin = StandIn::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let states = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(change_state)).with_state(standin.store().clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let http = ProviderTransport {
        transport: "http".to_owned(),
        port: Some(standin.port()),
        path: None,
        scheme: Some("http".to_owned()),
    };
    let provider = ProviderInfo {
        name: "Pact Broker".to_owned(),
        host: "127.0.0.1".to_owned(),
        transports: vec![http],
        ..ProviderInfo::default()
    };
    let options = VerificationOptions::<NullRequestFilterExecutor> {
        coloured_output: false,
        request_timeout: 20_000,
        custom_headers: HashMap::new(),
        ..VerificationOptions::default()
    };
    let executor = HttpRequestProviderStateExecutor {
        state_change_url: Some(states),
        state_change_teardown: true,
        state_change_body: true,
        retries: 0,
    };
    let source = PactSource::File(checked_in().to_string_lossy().into_owned());
    let pact: Value = serde_json::from_slice(&std::fs::read(checked_in()).unwrap()).unwrap();
    let result = verify_provider_async(
        provider,
        vec![source],
        FilterInfo::None,
        Vec::new(),
        &options,
        None,
        &Arc::new(executor),
        None,
    )
    .await
    .unwrap();
    assert!(result.result, "{}", result.output.join("\n"));
    assert_eq!(result.interaction_results.len(), pact["interactions"].as_array().unwrap().len());
}

//! The trigger and the template that the guide has for Argo CD's notifications, in the real controller.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::process::free_port;
use testbed::test_cluster::SOON;

use crate::argocd::{ArgoCd, NAMESPACE};
use crate::argocd_application::Application;
use crate::guide;
use crate::team::Team;

#[tokio::test]
async fn a_denial_is_announced_once_with_its_first_line() {
    let argo = ArgoCd::shared().await;
    let (chat, messages) = chat().await;
    // A chat whose address can be set; what is sent is the guide's.
    let mut data = guide::GITOPS.yaml("ConfigMap", "argocd-notifications-cm")["data"].take();
    data["service.mattermost"] = json!(format!("apiURL: {chat}\ntoken: none\n"));
    let api = Api::<ConfigMap>::namespaced(argo.setup.cluster.client(), NAMESPACE);
    let patch = Patch::Merge(json!({"data": data}));
    api.patch("argocd-notifications-cm", &PatchParams::default(), &patch).await.expect("the settings");
    let arguments = ["--argocd-repo-server-plaintext".to_owned(), format!("--metrics-port={}", free_port())];
    let controller = argo.start_also("argocd-notifications", "argocd-notifications-controller", &arguments).await;

    let team = Team::new(&argo.setup, "argo-notified").await;
    let first = argo.commit(&team.name, &team.manifests("1.0.0"));
    let shop = Application::new(&argo, &team.name, team.namespace(), &[]).await;
    shop.annotate("notifications.argoproj.io/subscribe.on-gate-denied.mattermost", "shop").await;
    shop.synced(&first).await;
    team.recorded("1.0.0").await;
    let second = shop.commit(&team.manifests("2.0.0")).await;
    let denial = team.denial();
    let reason = denial.split_once("denied the request: ").unwrap().1;
    let expected = format!("argo-notified waits: {reason}");
    eventually("the announcement", SOON, async || {
        let seen = messages.lock().unwrap().clone();
        let log = testbed::dump::tail(&controller.logs(), 10);
        // The first line ends with what more there is to know of the reason.
        let told = seen.first().is_some_and(|it| it.starts_with(&expected) && it.trim().lines().count() == 1);
        if told { Ok(()) } else { Err(format!("{seen:?}\n{log}")) }
    })
    .await;
    shop.retried(3).await;
    team.verify();
    shop.synced(&second).await;
    always("it is announced once", Duration::from_secs(3), async || {
        let seen = messages.lock().unwrap().clone();
        if seen.len() == 1 { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    shop.delete().await;
}

/// A chat on the loopback interface for as long as the test runs, and the messages that it gets.
async fn chat() -> (String, Arc<Mutex<Vec<String>>>) {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&messages);
    let app = Router::new().fallback(async move |body: String| {
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        kept.lock().unwrap().push(body["message"].as_str().unwrap_or_default().to_owned());
        "{}"
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), messages)
}

//! The rights that the documentation names are enough; without them the readiness reports which one is missing. Without a
//! Secret, and without the right to create one, the replicas go on.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rustls::pki_types::CertificateDer;
use serde_json::json;

use super::setup::{GENEROUS, Replica, SECRET, Setup, with_setup};
use testbed::control_plane::ControlPlane;
use testbed::eventually::{always, eventually};

async fn create<K>(api: Api<K>, object: serde_json::Value)
where
    K: serde::de::DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

async fn client(cp: &ControlPlane, namespace: &str) -> Client {
    let file = Kubeconfig::read_from(cp.user_kubeconfig(namespace, "webhook").await).unwrap();
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    config.proxy_url = None;
    Client::try_from(config).unwrap()
}

/// Creates the Secret, empty, as the chart does.
async fn create_secret(setup: &Setup) {
    let secrets = Api::<Secret>::namespaced(setup.client.clone(), &setup.namespace);
    create(secrets, json!({"metadata": {"name": SECRET}})).await;
}

/// Grants what the documentation names to the account `webhook`, the Secret only when `may_fill` it.
async fn grant(setup: &Setup, may_fill: bool) {
    let (ns, admin, name) = (&setup.namespace, &setup.client, setup.configuration_name());
    let subject = json!([{"kind": "ServiceAccount", "name": "webhook", "namespace": ns}]);
    let role = |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    if may_fill {
        let rules = json!({"metadata": {"name": "webhook"}, "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get", "update"]}]});
        create(Api::<Role>::namespaced(admin.clone(), ns), rules).await;
        let binding = json!({"metadata": {"name": "webhook"}, "subjects": subject, "roleRef": role("Role", "webhook")});
        create(Api::<RoleBinding>::namespaced(admin.clone(), ns), binding).await;
        return;
    }
    let cluster_role = json!({"metadata": {"name": name}, "rules": [{
        "apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingwebhookconfigurations"],
        "resourceNames": [name], "verbs": ["get", "patch"]}]});
    create(Api::<ClusterRole>::all(admin.clone()), cluster_role).await;
    let binding = json!({"metadata": {"name": name}, "subjects": subject, "roleRef": role("ClusterRole", &name)});
    create(Api::<ClusterRoleBinding>::all(admin.clone()), binding).await;
}

async fn revoke(setup: &Setup) {
    let (how, name) = (DeleteParams::default(), setup.configuration_name());
    drop(Api::<ClusterRoleBinding>::all(setup.client.clone()).delete(&name, &how).await);
    drop(Api::<ClusterRole>::all(setup.client.clone()).delete(&name, &how).await);
}

async fn create_account(setup: &Setup) {
    let accounts = Api::<ServiceAccount>::namespaced(setup.client.clone(), &setup.namespace);
    create(accounts, json!({"metadata": {"name": "webhook"}})).await;
}

fn served(replicas: &[Replica]) -> Vec<Option<CertificateDer<'static>>> {
    replicas.iter().map(|replica| replica.serving.end_entity()).collect()
}

/// Waits until each replica serves another leaf, and is ready.
async fn wait_new(replicas: &[Replica], leaves: &[Option<CertificateDer<'static>>]) {
    eventually("new leaves, and all replicas to be ready", GENEROUS, async || {
        let new = served(replicas).iter().zip(leaves).all(|(now, before)| now != before);
        let pending: Vec<_> = replicas.iter().map(Replica::pending).collect();
        if new && replicas.iter().all(Replica::is_ready) { Ok(()) } else { Err(format!("new: {new}, {pending:?}")) }
    })
    .await;
}

#[tokio::test]
async fn get_and_update_of_one_secret_and_get_and_patch_of_one_configuration_are_enough() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let (ns, name) = (setup.namespace.clone(), setup.configuration_name());
        create_account(&setup).await;
        create_secret(&setup).await;
        let replica = setup.replica_with(client(&cp, &ns).await, setup.own());
        setup.serve(&[&replica]);
        replica.wait_unready(&format!("not allowed to get the ValidatingWebhookConfiguration {name}")).await;
        grant(&setup, false).await;
        replica.wait_unready(&format!("not allowed to get the Secret {ns}/{SECRET}")).await;
        grant(&setup, true).await;
        replica.wait_ready().await;
        replica.end().await;
        revoke(&setup).await;
    })
    .await;
}

#[tokio::test]
async fn case_113_replicas_that_may_not_create_the_secret_go_on_while_it_is_missing() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let ns = setup.namespace.clone();
        create_account(&setup).await;
        create_secret(&setup).await;
        grant(&setup, false).await;
        grant(&setup, true).await;
        let client = client(&cp, &ns).await;
        let mut replicas =
            vec![setup.replica_with(client.clone(), setup.own()), setup.replica_with(client.clone(), setup.own())];
        setup.serve(&replicas.iter().collect::<Vec<_>>());
        for replica in &replicas {
            replica.wait_ready().await;
        }
        assert_eq!(setup.trusted().await.len(), 1, "one authority");

        // The Secret is deleted, and a replica starts without one: no call fails, and all of them are trusted.
        let secrets = Api::<Secret>::namespaced(setup.client.clone(), &ns);
        secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
        replicas.push(setup.replica_with(client, setup.own()));
        eventually("an authority of each replica to be trusted", GENEROUS, async || {
            setup.call().await?;
            let trusted = setup.trusted().await.len();
            if trusted == 4 { Ok(()) } else { Err(format!("{trusted}")) }
        })
        .await;
        replicas[2].wait_ready().await;
        setup.serve(&replicas.iter().collect::<Vec<_>>());
        let before = setup.configuration().await.metadata.resource_version;
        always("every replica to be called, and nothing to be written", Duration::from_secs(1), async || {
            setup.call().await?;
            let same = setup.configuration().await.metadata.resource_version == before;
            if same && replicas.iter().all(Replica::is_ready) { Ok(()) } else { Err("it changed".to_owned()) }
        })
        .await;
        // Weeks later, by the clocks of the replicas, when none of these certificates is valid any more.
        let leaves = served(&replicas);
        setup.advance(Duration::from_hours(20 * 24));
        wait_new(&replicas, &leaves).await;
        setup.advance_back(Duration::from_hours(20 * 24));
        eventually("calls to work by this clock", GENEROUS, async || setup.call().await).await;
        assert!(secrets.get_opt(SECRET).await.unwrap().is_none());

        // The Secret is there again, and all of them share the authority in it.
        let leaves = served(&replicas);
        create_secret(&setup).await;
        eventually("the Secret to be filled", GENEROUS, async || {
            setup.call().await?;
            let data = secrets.get(SECRET).await.map_err(|error| error.to_string())?.data.unwrap_or_default();
            data.contains_key("current.crt").then_some(()).ok_or_else(|| "it is empty".to_owned())
        })
        .await;
        wait_new(&replicas, &leaves).await;
        assert_eq!(
            setup.trusted().await.len(),
            5,
            "the earlier authorities stay trusted while leaves of them may be valid"
        );
        setup.call().await.unwrap();
        for replica in replicas {
            replica.end().await;
        }
        revoke(&setup).await;
    })
    .await;
}

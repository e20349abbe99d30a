//! The rights that the documentation names are enough; without them the readiness reports which one is missing.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use super::setup::{SECRET, Setup, with_setup};
use testbed::control_plane::ControlPlane;

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

#[tokio::test]
async fn get_create_update_of_one_secret_and_get_patch_of_one_configuration_are_enough() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let (ns, admin) = (setup.namespace.clone(), setup.client.clone());
        let name = setup.configuration_name();
        create(Api::<ServiceAccount>::namespaced(admin.clone(), &ns), json!({"metadata": {"name": "webhook"}})).await;
        let replica = setup.replica_with(client(&cp, &ns).await, setup.own());
        setup.serve(&[&replica]);
        replica.wait_unready(&format!("not allowed to get the ValidatingWebhookConfiguration {name}")).await;

        let subject = json!([{"kind": "ServiceAccount", "name": "webhook", "namespace": ns}]);
        let role =
            |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
        let cluster_role = json!({"metadata": {"name": name}, "rules": [{
            "apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingwebhookconfigurations"],
            "resourceNames": [name], "verbs": ["get", "patch"]}]});
        create(Api::<ClusterRole>::all(admin.clone()), cluster_role).await;
        let binding = json!({"metadata": {"name": name}, "subjects": subject, "roleRef": role("ClusterRole", &name)});
        create(Api::<ClusterRoleBinding>::all(admin.clone()), binding).await;
        replica.wait_unready(&format!("not allowed to get the Secret {ns}/{SECRET}")).await;

        let rules = json!({"metadata": {"name": "webhook"}, "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get", "update"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]});
        create(Api::<Role>::namespaced(admin.clone(), &ns), rules).await;
        let binding = json!({"metadata": {"name": "webhook"}, "subjects": subject, "roleRef": role("Role", "webhook")});
        create(Api::<RoleBinding>::namespaced(admin.clone(), &ns), binding).await;
        replica.wait_ready().await;
        replica.end().await;

        let how = DeleteParams::default();
        drop(Api::<ClusterRoleBinding>::all(admin.clone()).delete(&name, &how).await);
        drop(Api::<ClusterRole>::all(admin).delete(&name, &how).await);
    })
    .await;
}

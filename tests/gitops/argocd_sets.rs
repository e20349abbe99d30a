//! Applications that an `ApplicationSet` makes: the settings of its template are those that count.

use kube::api::DeleteParams;
use serde_json::json;
use testbed::dump;
use testbed::eventually::eventually;
use testbed::process::free_port;
use testbed::test_cluster::SOON;

use crate::argocd::{ArgoCd, NAMESPACE};
use crate::argocd_application::{Application, spec};
use crate::built::apply;
use crate::team::{Team, api};

#[tokio::test]
async fn an_application_of_a_set_goes_through_by_itself_with_the_settings_of_the_template() {
    let argo = ArgoCd::shared().await;
    let mut arguments = vec!["--repo-server-plaintext".to_owned()];
    let listen = ["metrics-addr", "probe-addr", "webhook-addr"];
    arguments.extend(listen.map(|flag| format!("--{flag}=127.0.0.1:{}", free_port())));
    let name = "argocd-applicationset-controller";
    let controller = argo.start_also(name, name, &arguments).await;

    let team = Team::new(&argo.setup, "argo-of-a-set").await;
    let first = argo.commit(&team.name, &team.manifests("1.0.0"));
    let template = json!({
        "metadata": {"name": "{{.name}}"}, "spec": spec(&argo, &team.name, team.namespace(), &[]),
    });
    let set = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": {"name": team.name},
        "spec": {"goTemplate": true, "generators": [{"list": {"elements": [{"name": team.name}]}}], "template": template},
    });
    apply(&argo.setup.cluster.control_plane, NAMESPACE, &[set]).await;
    let applications = api(&argo.setup, "argoproj.io", "v1alpha1", "Application", NAMESPACE);
    eventually("the set to make its Application", SOON, async || {
        let made = applications.get_opt(&team.name).await.map_err(|error| error.to_string())?;
        made.map(drop).ok_or_else(|| dump::tail(&controller.logs(), 5))
    })
    .await;
    let shop = Application::existing(&argo, &team.name);
    shop.synced(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    let second = shop.commit(&team.manifests("2.0.0")).await;
    let denial = team.denial();
    team.stays_until(&uid, "the denial", async || shop.told(&denial).await).await;
    team.verify();
    shop.synced(&second).await;
    team.recorded("2.0.0").await;
    let sets = api(&argo.setup, "argoproj.io", "v1alpha1", "ApplicationSet", NAMESPACE);
    drop(sets.delete(&team.name, &DeleteParams::default()).await);
    shop.delete().await;
}

//! Events against a real API server: published once by any number of processes, and accepted whatever their text.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::events::v1::Event as KubeEvent;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use operator_kit::events::{Event, EventError, EventSink, Published, Regarding};

use testbed::control_plane::ControlPlane;
use testbed::kubectl::kubectl_ok;
use testbed::namespace::with_namespace;

const CONTROLLER: &str = "pact-operator.dev/controller";

fn recorded(note: &str, once_key: &str) -> Event<'static> {
    Event { reason: "Recorded", action: "Record", warning: false, note: note.into(), once_key: once_key.into() }
}

async fn config_map(cp: &ControlPlane, namespace: &str) -> Regarding {
    let mut object = ConfigMap::default();
    object.metadata.name = Some("orders".into());
    let api: Api<ConfigMap> = Api::namespaced(cp.client(), namespace);
    let object = api.create(&PostParams::default(), &object).await.unwrap();
    Regarding {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: Some(namespace.to_owned()),
        name: object.name_any(),
        uid: object.uid().unwrap(),
    }
}

#[tokio::test]
async fn an_event_is_published_once_by_any_number_of_processes_and_shown_by_describe() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let orders = config_map(&cp, &ns).await;
        let event = recorded(&"größer ".repeat(300), "1.0.0");
        for (pod, expected) in [("pod-1", Published::New), ("pod-2", Published::Before)] {
            // A new sink has no state, as after a restart.
            let sink = EventSink::new(cp.client(), CONTROLLER, pod);
            assert_eq!(sink.publish(&orders, &event).await.unwrap(), expected);
        }
        let sink = EventSink::new(cp.client(), CONTROLLER, "pod-1");
        assert_eq!(sink.publish(&orders, &recorded("news", "2.0.0")).await.unwrap(), Published::New);
        let api: Api<KubeEvent> = Api::namespaced(cp.client(), &ns);
        assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 2);
        let described = kubectl_ok(cp.kubeconfig(), &["describe", "configmap", "orders", "-n", &ns]).await;
        assert!(described.contains("Recorded") && described.contains("news"), "{described}");
    })
    .await;
}

#[tokio::test]
async fn events_of_cluster_scoped_objects_are_accepted() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let namespace = Api::<Namespace>::all(cp.client()).get(&ns).await.unwrap();
        let regarding = Regarding {
            api_version: "v1".into(),
            kind: "Namespace".into(),
            namespace: None,
            name: ns.clone(),
            uid: namespace.uid().unwrap(),
        };
        let sink = EventSink::new(cp.client(), CONTROLLER, "pod-1");
        assert_eq!(sink.publish(&regarding, &recorded("mapped", "k")).await.unwrap(), Published::New);
    })
    .await;
}

#[tokio::test]
async fn an_event_in_a_namespace_that_is_gone_is_an_error_that_says_so() {
    let cp = ControlPlane::shared().await;
    let regarding = Regarding {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: Some("never-was".into()),
        name: "orders".into(),
        uid: "uid".into(),
    };
    let sink = EventSink::new(cp.client(), CONTROLLER, "pod-1");
    let error = sink.publish(&regarding, &recorded("gone", "k")).await.unwrap_err();
    assert!(matches!(error, EventError::NamespaceGone { .. }), "{error}");
}

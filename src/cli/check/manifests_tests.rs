//! Manifests as helm and kustomize print them.

use super::*;

fn parsed(text: &str) -> Result<Vec<Manifest>, String> {
    let mut manifests = Vec::new();
    parse("all.yaml", text, &mut manifests).map_err(|error| error.to_string())?;
    Ok(manifests)
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
  annotations: {pact-operator.dev/pacticipant: orders}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec: {containers: [{name: orders, image: \"shop/orders:2.0.0\"}]}
";

#[test]
fn documents_lists_and_empty_ones_are_read_and_workloads_get_the_namespace_that_they_lack() {
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", DEPLOYMENT.trim().replace('\n', "\n  "));
    let text = format!(
        "# Source: chart/templates/a.yaml\n---\n{DEPLOYMENT}---\n---\napiVersion: v1\nkind: Service\n---\n{list}"
    );
    let manifests = parsed(&text).unwrap();
    let kinds: Vec<_> = manifests.iter().map(|manifest| manifest.kind().kind).collect();
    assert_eq!(kinds, ["Deployment", "Service", "Deployment"]);
    let (kind, workload) = manifests[2].workload("shop").unwrap();
    let workload = workload.unwrap();
    assert_eq!((kind, workload.clone().reference.namespace.as_str()), (WorkloadKind::Deployment, "shop"));
    assert!(workload.annotated() && workload.containers[0].image == "shop/orders:2.0.0", "{workload:?}");
    assert!(manifests[1].workload("shop").is_none());
}

#[test]
fn what_is_no_object_is_refused_with_its_file_and_what_cannot_be_read_is_said_of_its_workload() {
    for text in ["- a\n- b", "just text", "a: [", "a: b\n---\n- c"] {
        let refused = parsed(text).unwrap_err();
        assert!(refused.starts_with("all.yaml: document"), "{refused}");
    }
    let broken = DEPLOYMENT.replace(r#"[{name: orders, image: "shop/orders:2.0.0"}]"#, "7");
    let (_, workload) = parsed(&broken).unwrap()[0].workload("shop").unwrap();
    assert!(workload.is_err(), "{workload:?}");
}

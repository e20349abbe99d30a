//! The checked-in definitions are those of the types, and show the documented columns.

use std::{collections::BTreeMap, path::Path};

use super::*;

fn definitions() -> [CustomResourceDefinition; 4] {
    [PactBroker::crd(), PactEnvironment::crd(), PactDeployment::crd(), PactRecord::crd()]
}

#[test]
fn the_checked_in_definitions_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(
        files,
        ["pactbrokers.yaml", "pactdeployments.yaml", "pactenvironments.yaml", "pactrecords.yaml"],
        "run: make crds"
    );
    for definition in definitions() {
        let file = format!("{}.yaml", definition.spec.names.plural);
        let checked_in = fs::read_to_string(folder.join(&file)).unwrap();
        assert!(checked_in == yaml(&definition).unwrap(), "crds/{file} differs from the types; run: make crds");
        // kubectl apply without --server-side keeps the whole object in an annotation, which may hold 256 KiB.
        assert!(checked_in.len() < 100 << 10, "crds/{file} has grown to {} bytes", checked_in.len());
        let chart = folder.with_file_name("charts/pact-operator/files/crds").join(&file);
        assert!(fs::read_to_string(chart).unwrap() == checked_in, "the chart's {file} differs; run: make crds");
    }
}

#[test]
fn a_boolean_of_yaml_1_1_is_quoted() {
    for (line, written) in [
        ("  - Off", "  - \"Off\""),
        ("default: No", "default: \"No\""),
        ("  no:", "  \"no\":"),
        ("  no: Deny", "  \"no\": Deny"),
        ("none:", "none:"),
        ("a:  b", "a:  b"),
        ("- Audit", "- Audit"),
        ("served: true", "served: true"),
        ("description: The gate is Off", "description: The gate is Off"),
        ("Off", "Off"),
    ] {
        assert_eq!(quoted(line), written);
    }
    let yaml = yaml(&PactEnvironment::crd()).unwrap();
    assert!(yaml.contains("- \"Off\"\n"));
}

#[test]
fn every_kind_has_its_scope_a_status_and_the_short_name_that_is_documented() {
    let documented = [("pb", "Cluster"), ("pactenv", "Cluster"), ("pactdep", "Cluster"), ("pactrec", "Namespaced")];
    for (definition, (short, scope)) in definitions().iter().zip(documented) {
        let (spec, names) = (&definition.spec, &definition.spec.names);
        assert_eq!((spec.scope.as_str(), spec.group.as_str()), (scope, "pact-operator.dev"), "{}", names.kind);
        assert_eq!(names.short_names.as_deref(), Some(&[short.to_owned()][..]), "{}", names.kind);
        assert_eq!(names.categories.as_deref(), Some(&["pact".to_owned()][..]), "{}", names.kind);
        assert_eq!(spec.versions.len(), 1, "{}", names.kind);
        let version = &spec.versions[0];
        assert_eq!((version.name.as_str(), version.served, version.storage), ("v1alpha1", true, true));
        assert!(version.subresources.as_ref().is_some_and(|it| it.status.is_some()), "{}", names.kind);
        assert!(spec.conversion.is_none(), "{}: never a conversion webhook", names.kind);
    }
}

#[test]
fn the_columns_are_the_documented_ones_and_each_shows_an_existing_field() {
    let columns = BTreeMap::from([
        ("PactBroker", vec!["URL", "Ready", "Reason", "Version", "Age"]),
        (
            "PactEnvironment",
            vec![
                "Broker",
                "Environment",
                "Mode",
                "Ready",
                "Reason",
                "Namespaces",
                "Workloads",
                "Recorded",
                "Orphaned",
                "Would-Deny",
                "Unchecked",
                "Age",
            ],
        ),
        (
            "PactDeployment",
            vec![
                "Pacticipant",
                "Environment",
                "Instance",
                "Cluster",
                "Desired",
                "Recorded",
                "Since",
                "Verdict",
                "Ready",
                "Reason",
            ],
        ),
        ("PactRecord", vec!["Kind", "Workload", "Waits-For", "Version", "Recorded", "Reason", "Age"]),
    ]);
    for definition in definitions() {
        let kind = definition.spec.names.kind.as_str();
        let version = &definition.spec.versions[0];
        let shown = version.additional_printer_columns.as_deref().unwrap();
        let names: Vec<_> = shown.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, columns[kind], "{kind}");
        let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let schema = serde_json::to_value(schema).unwrap();
        for column in shown {
            if column.json_path == ".metadata.creationTimestamp" {
                continue;
            }
            let of_type = ["Ready", "Recorded"].map(|type_| format!("[?(@.type==\"{type_}\")]"));
            let path = of_type.iter().fold(column.json_path.clone(), |path, it| path.replace(it, "/items"));
            let path = path.replace("[0]", "/items");
            let pointer: String =
                path.split(['.', '/']).filter(|part| !part.is_empty()).fold(String::new(), |pointer, part| {
                    if part == "items" { pointer + "/items" } else { format!("{pointer}/properties/{part}") }
                });
            let field = schema.pointer(&pointer).unwrap_or_else(|| panic!("{kind} has no {}", column.json_path));
            let type_ = if column.type_ == "date" { "string" } else { column.type_.as_str() };
            assert_eq!(field["type"], type_, "{kind}: {}", column.json_path);
        }
    }
}

#[test]
fn what_waits_for_a_record_is_new_until_the_operator_has_looked_at_it() {
    let schema = serde_json::to_value(&PactRecord::crd().spec.versions[0].schema).unwrap();
    // kstatus takes an object without a status for one that is as it should be.
    assert_eq!(
        schema["openAPIV3Schema"]["properties"]["status"]["default"],
        serde_json::json!({"observedGeneration": -1})
    );
}

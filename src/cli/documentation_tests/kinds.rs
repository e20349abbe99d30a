//! The pages of our kinds, from the definitions that are made of the types.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{GENERATED, cell, is_as_generated};
use crate::api::{PactBroker, PactDeployment, PactEnvironment, PactRecord};

/// Fields whose own fields Kubernetes describes.
const OF_KUBERNETES: [&str; 2] = ["conditions", "selector"];

#[test]
fn the_pages_of_the_kinds_are_what_the_types_say() {
    for definition in [PactBroker::crd(), PactEnvironment::crd(), PactDeployment::crd(), PactRecord::crd()] {
        let page = format!("docs/reference/{}.md", definition.spec.names.kind.to_lowercase());
        is_as_generated(&page, &of_kind(&definition));
    }
}

fn of_kind(definition: &CustomResourceDefinition) -> String {
    let (names, version) = (&definition.spec.names, &definition.spec.versions[0]);
    let short = names.short_names.as_ref().unwrap()[0].as_str();
    let schema = serde_json::to_value(&version.schema).unwrap();
    let schema = &schema["openAPIV3Schema"];
    let about = schema["description"].as_str().unwrap();
    let mut page = format!(
        "{GENERATED}# {}\n\n{about} {}-scoped, `{}/{}`, short name `{short}`.\n",
        names.kind,
        definition.spec.scope.trim_end_matches('d'),
        definition.spec.group,
        version.name
    );
    for part in ["spec", "status"] {
        let part_schema = &schema["properties"][part];
        let said = part_schema["description"].as_str().unwrap_or_default();
        let refused = refusals(part_schema).map_or_else(String::new, |it| format!("\n{it}\n"));
        write!(page, "\n## {part}\n\n{said}\n{refused}").unwrap();
        page += "\n| field | type | default | |\n|---|---|---|---|\n";
        page += &fields("", part_schema);
    }
    write!(page, "\n## Columns\n\n`kubectl get {short}` shows these; `-o wide` adds those that are marked.\n\n")
        .unwrap();
    page += "| column | shows | |\n|---|---|---|\n";
    for column in version.additional_printer_columns.iter().flatten() {
        let wide = if column.priority.unwrap_or_default() > 0 { "wide" } else { "" };
        writeln!(page, "| {} | `{}` | {wide} |", column.name.to_uppercase(), column.json_path).unwrap();
    }
    page
}

/// The rows of what is below an object.
fn fields(path: &str, schema: &Value) -> String {
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let mut rows = String::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let default = match &field["default"] {
            _ if required(name) => "required".to_owned(),
            // The defaults of an object are those of its fields.
            Value::Null | Value::Object(_) => String::new(),
            Value::Array(items) if items.len() > 3 => "see below".to_owned(),
            default => format!("`{}`", default.as_str().map_or_else(|| default.to_string(), str::to_owned)),
        };
        let mut text = field["description"].as_str().unwrap_or_default().to_owned();
        if let Some(items) = field["default"].as_array().filter(|items| items.len() > 3) {
            let items: Vec<_> = items.iter().map(|item| format!("`{}`", item.as_str().unwrap())).collect();
            text = format!("{text} By default {}.", items.join(", "));
        }
        if let Some(refused) = refusals(field) {
            text = format!("{text} {refused}");
        }
        writeln!(rows, "| `{path}` | {} | {default} | {} |", of_type(field), cell(&text)).unwrap();
        if !OF_KUBERNETES.contains(&name.as_str()) {
            rows += &fields(&path, field);
            rows += &fields(&format!("{path}[]"), &field["items"]);
        }
    }
    rows
}

/// What a field may hold.
fn of_type(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    let type_ = schema["type"].as_str().unwrap_or("any");
    if type_ == "array" {
        return format!("list of {}", of_type(&schema["items"]));
    }
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64(), schema["format"].as_str()) {
        (Some(least), Some(most), _) => format!("{type_}, {least} to {most}"),
        (_, _, Some("date-time")) => "time".to_owned(),
        _ => type_.to_owned(),
    }
}

/// What the API server says when it refuses a value.
fn refusals(schema: &Value) -> Option<String> {
    let said = schema["x-kubernetes-validations"].as_array()?.iter().filter_map(|rule| rule["message"].as_str());
    let said: Vec<_> = said.map(|message| format!("`{message}`")).collect();
    Some(format!("Refused with: {}.", said.join("; ")))
}

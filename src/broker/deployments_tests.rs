use serde_json::{Value, from_str};

use super::*;

fn read(rows: &Value) -> Rows<DeployedVersion> {
    let text = json!({ "_embedded": { "deployedVersions": rows } }).to_string();
    let list: List = from_str(&text).unwrap();
    Rows::read("deployed versions", list.embedded.deployed_versions, DeploymentRow::read)
}

fn row(uuid: &str, pacticipant: &str, version: &str) -> Value {
    json!({ "uuid": uuid, "_embedded": { "pacticipant": { "name": pacticipant }, "version": { "number": version } } })
}

#[test]
fn rows_that_cannot_be_read_do_not_hide_the_others() {
    let rows = read(&json!([
        row("u1", "orders", "1"),
        row("u2", "bad\u{7}name", "1"),
        row("u3", "orders ", "1"),
        row("u4", "orders", "\n"),
        row("../u5", "orders", "1"),
        row("u6", &"x".repeat(256), "1"),
        { "uuid": "u7" },
        { "uuid": 8 },
        null,
        row("u9", "größe", "1+b/c"),
    ]));
    let names: Vec<_> = rows.rows.iter().map(|row| (row.id.as_str(), row.pacticipant.as_str())).collect();
    assert_eq!(names, [("u1", "orders"), ("u9", "größe")]);
    assert_eq!(rows.unreadable, 8);
}

/// Case 33: a row with an empty instance has replaced the row without one, and is neither.
#[test]
fn an_empty_instance_is_not_no_instance() {
    let mut rows =
        vec![row("u1", "orders", "1"), row("u2", "orders", "2"), row("u3", "orders", "3"), row("u4", "orders", "4")];
    rows[0]["applicationInstance"] = json!("");
    rows[0]["target"] = json!("");
    rows[1]["applicationInstance"] = json!("blue");
    rows[2]["target"] = json!("old");
    let rows = read(&Value::Array(rows));
    let instances: Vec<_> = rows
        .rows
        .iter()
        .map(|row| (row.id.as_str(), row.application_instance.as_ref().map(ApplicationInstance::as_str)))
        .collect();
    assert_eq!(instances, [("u2", Some("blue")), ("u3", Some("old")), ("u4", None)]);
    assert_eq!(rows.unreadable, 1);
}

#[test]
fn a_list_without_its_key_is_no_empty_list() {
    for body in ["{}", r#"{"_embedded":{}}"#, r#"{"_embedded":{"deployedVersions":null}}"#, "[]"] {
        assert!(serde_json::from_str::<List>(body).is_err(), "{body}");
    }
}

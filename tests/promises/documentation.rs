//! What the book says can be done: each manifest in it is taken by the API server, and the metrics that it lists are those
//! that the processes serve.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use testbed::{kubectl::kubectl_reading, test_cluster::TestCluster};

/// The page that lists the metrics.
const METRICS: &str = "docs/reference/metrics.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the book, and the READMEs.
fn pages() -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![root().join("README.md"), root().join("charts/pact-operator/README.md")];
    collect(&root().join("docs"), &mut found);
    found
}

/// The objects in the blocks of YAML of a page: those with an `apiVersion` and a `kind`.
fn manifests(page: &Path) -> Vec<Value> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let documents = blocks.flat_map(|block| serde_yaml_ng::Deserializer::from_str(block).map(Value::deserialize));
    let objects = documents.map(Result::unwrap).filter(|it| it["apiVersion"].is_string() && it["kind"].is_string());
    objects.collect()
}

#[tokio::test]
async fn the_api_server_takes_each_manifest_of_the_book() {
    let cluster = TestCluster::shared().await;
    let mut kinds = BTreeMap::<String, usize>::new();
    for page in pages() {
        for manifest in manifests(&page) {
            let kind = manifest["kind"].as_str().unwrap().to_owned();
            let arguments =
                ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-n", "default", "-f", "-"];
            // Strictly: a field that does not exist is refused, and not only warned about.
            let arguments = [&arguments[..], &["--validate=strict"]].concat();
            let said = kubectl_reading(cluster.control_plane.kubeconfig(), &arguments, &manifest.to_string()).await;
            let error = String::from_utf8_lossy(&said.stderr);
            assert!(said.status.success() && error.is_empty(), "{}: {manifest}\n{error}", page.display());
            *kinds.entry(kind).or_default() += 1;
        }
    }
    for kind in ["PactBroker", "PactEnvironment", "Deployment", "StatefulSet"] {
        assert!(kinds.contains_key(kind), "the book has no {kind}: {kinds:?}");
    }
    assert!(kinds.values().sum::<usize>() >= 15, "{kinds:?}");
}

/// The metrics that the page lists, with their types.
fn listed() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join(METRICS)).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `pact_operator_"));
    let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    rows.map(|cells| (format!("pact_operator_{}", cells[0].trim_end_matches('`')), cells[1].to_owned())).collect()
}

/// The page lists each metric that is served (as OpenMetrics text), with its type. The other way round, it lists none that
/// is not served, but for `rare` ones.
pub fn the_page_of_metrics_lists_what_is_served(served: &str, rare: &[&str]) {
    let mut listed = listed();
    for line in served.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, type_) = line.split_once(' ').unwrap();
        let name = match type_ {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        // Both processes serve some.
        if let Some(said) = listed.get(&name) {
            assert_eq!(said, type_, "{METRICS}: {name}");
        } else {
            panic!("{METRICS} lacks {name}");
        }
    }
    listed.retain(|name, type_| {
        let family = name.trim_end_matches("_total").trim_end_matches("_info");
        !served.contains(&format!("# TYPE {family} {type_}")) && !rare.contains(&name.as_str())
    });
    assert!(listed.is_empty(), "no process serves {listed:?}, which {METRICS} lists");
}

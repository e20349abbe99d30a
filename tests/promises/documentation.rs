//! What the book says can be done: each manifest in it is taken by the API server, its commands of kubectl work, and the
//! metrics that it lists are those that the processes serve.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::people_verbs;
use testbed::{
    kubectl::{self, kubectl_reading},
    namespace,
    rollout::deployment,
    test_cluster::TestCluster,
    tools,
};

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
    found.sort();
    found
}

/// The groups of the deployment tools' kinds, which this API server does not serve: tests/gitops applies those manifests.
const OF_TOOLS: [&str; 2] = ["argoproj.io/", ".toolkit.fluxcd.io/"];

/// The objects in the blocks of YAML of a page: those with an `apiVersion` and a `kind`.
fn manifests(page: &Path) -> Vec<Value> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let documents = blocks.flat_map(|block| serde_yaml_ng::Deserializer::from_str(block).map(Value::deserialize));
    let objects = documents.map(Result::unwrap).filter(|it| it["apiVersion"].is_string() && it["kind"].is_string());
    let of_tools =
        |it: &Value| OF_TOOLS.iter().any(|group| it["apiVersion"].as_str().is_some_and(|it| it.contains(group)));
    objects.filter(|it| !of_tools(it)).collect()
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

/// What is not run: it never ends, or needs the pods of an installed chart.
const NOT_RUN: [&str; 3] = ["--watch", "port-forward", " logs "];

/// The commands of kubectl on lines of code, and those in prose that only read and stand for no other name.
fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let on_lines =
        text.lines().filter(|line| line.starts_with("    ")).map(|line| line.trim().trim_start_matches("$ "));
    let on_lines = on_lines.filter_map(|line| line.split(" #").next()).map(|line| line.trim_end_matches(" &").trim());
    let in_prose = text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("kubectl get "));
    let in_prose = in_prose.filter(|code| !code.contains(['|', '\n']) && !code.contains("NAME"));
    let runs = |line: &&str| {
        line.strip_prefix("kubectl ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '-'))
            && !NOT_RUN.iter().any(|word| line.contains(word))
    };
    on_lines.chain(in_prose).filter(runs).map(str::to_owned).collect()
}

/// The command as it is run: what exists already is not created again, and what others need is not deleted.
fn without_harm(command: &str) -> String {
    let verb = command.split_whitespace().find(|word| ["create", "delete"].contains(word));
    match verb {
        Some("create") => format!("{command} --dry-run=client"),
        Some(_) if !command.contains(" deployment ") => format!("{command} --dry-run=server"),
        _ => command.to_owned(),
    }
}

#[tokio::test]
async fn the_commands_of_kubectl_in_the_book_work() {
    let cluster = TestCluster::without_operator().await;
    let client = cluster.client();
    // What the pages begin with: a workload, an installed gate, and the namespace of a broker.
    namespace::ensure(&cluster.control_plane, &client, "pact-broker", &[]).await;
    deployment("stock").apply(&client, "default").await;
    let gate = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "pact-operator"}});
    let hold = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "pact-operator"}});
    let logging = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pact-operator-logging"}});
    namespace::ensure(&cluster.control_plane, &client, "pact-operator", &[]).await;
    for (namespace, object) in [("default", gate), ("default", hold), ("pact-operator", logging)] {
        kubectl::apply(cluster.control_plane.kubeconfig(), namespace, &object.to_string()).await;
    }
    let path = format!("{}:{}", tools::folder().await.display(), env::var("PATH").unwrap());
    let mut count = 0;
    for page in pages() {
        for written in commands(&page) {
            let command = without_harm(&written);
            let mut shell = Command::new("sh");
            shell.args(["-euc", &command]).current_dir(root()).env("PATH", &path);
            shell.env("KUBECONFIG", cluster.control_plane.kubeconfig());
            let said = people_verbs::run(shell, "").await;
            assert_eq!(said.code, Some(0), "{}: {command}\n{}{}", page.display(), said.out, said.err);
            count += 1;
        }
    }
    assert!(count >= 25, "only {count} commands were found");
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

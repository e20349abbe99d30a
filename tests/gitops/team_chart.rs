//! A team's chart: its Deployment, whose version is the chart's only value, and a Job as hook before each upgrade.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// What the team's chart calls the Job that it runs before an upgrade.
pub const HOOK: &str = "migrate";

/// Writes the chart of this name as `chart` into a folder. The Deployment names its version `{{ .Values.version }}`.
pub fn write(folder: &Path, name: &str, deployment: &Value) {
    let chart = folder.join("chart");
    fs::create_dir_all(chart.join("templates")).unwrap();
    let about = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n");
    fs::write(chart.join("Chart.yaml"), about).unwrap();
    fs::write(chart.join("values.yaml"), "version: 0.0.0\n").unwrap();
    fs::write(chart.join("templates/deployment.yaml"), deployment.to_string()).unwrap();
    let container = json!({"name": "migrate", "image": "registry.example.com/shop:{{ .Values.version }}"});
    let hook = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": HOOK, "annotations": {
            "helm.sh/hook": "pre-upgrade", "helm.sh/hook-delete-policy": "before-hook-creation",
        }},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    });
    fs::write(chart.join("templates/hook.yaml"), hook.to_string()).unwrap();
}

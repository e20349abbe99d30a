//! A team's chart: its Deployment, whose version is the chart's only value, and a Job as hook before each upgrade.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::team::Team;

/// What the team's chart calls the Job that it runs before an upgrade.
pub const HOOK: &str = "migrate";

/// Writes the chart as `chart` into a folder.
pub fn write(folder: &Path, team: &Team) {
    let chart = folder.join("chart");
    fs::create_dir_all(chart.join("templates")).unwrap();
    let about = format!("apiVersion: v2\nname: {}\nversion: 1.0.0\n", team.name);
    fs::write(chart.join("Chart.yaml"), about).unwrap();
    fs::write(chart.join("values.yaml"), "version: 0.0.0\n").unwrap();
    let deployment = team.deployment("{{ .Values.version }}");
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

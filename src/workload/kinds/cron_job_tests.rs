use serde_json::{Value, json};

use super::*;
use crate::workload::{
    View, Workload,
    kinds::fixtures::{self, with},
};

const NOW: &str = "2026-11-23T10:01:00Z";

fn cron_job(active: &[&str]) -> Value {
    let active: Vec<_> = active.iter().map(|name| json!({"kind": "Job", "name": name})).collect();
    json!({
        "metadata": {"name": "bill", "namespace": "shop", "uid": "u1", "generation": 1},
        "spec": {
            "schedule": "0 3 * * *",
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "bill:1"}]}}}},
        },
        "status": {"active": active, "lastScheduleTime": "2026-11-23T03:00:00Z"},
    })
}

fn observed(object: Value) -> Workload {
    serde_json::from_value::<View<CronJob>>(object).unwrap().observe(NOW.parse().unwrap())
}

#[test]
fn it_is_finished_when_no_job_of_it_runs() {
    fixtures::table::<CronJob>(
        &cron_job(&[]),
        NOW,
        &[
            ("nothing runs", &[], "Complete"),
            ("never ran", &[("/status", Value::Null)], "Complete"),
            ("one runs", &[("/status/active", json!([{"name": "bill-1"}]))], "Progressing"),
            ("suspended", &[("/spec/suspend", json!(true))], "ScaledToZero"),
            (
                "suspended while one runs",
                &[("/spec/suspend", json!(true)), ("/status/active", json!([{"name": "bill-1"}]))],
                "Progressing",
            ),
        ],
    );
    let workload = observed(cron_job(&[]));
    assert_eq!((workload.containers[0].image.as_str(), workload.without_pods), ("bill:1", false), "it has a vote");
    assert!(observed(with(cron_job(&[]), &[("/spec/suspend", json!(true))])).without_pods);
}

#[test]
fn only_jobs_that_ran_when_the_generation_was_first_seen_are_waited_for() {
    let states = |generation: i64, active: &[&str], before: &Workload| {
        let now = with(cron_job(active), &[("/metadata/generation", json!(generation))]);
        observed(now).continuing(Some(before))
    };
    let first = observed(cron_job(&["bill-1", "bill-2"]));
    let name = |workload: &Workload| workload.rollout.name();
    assert_eq!(name(&first), "Progressing");
    let second = states(1, &["bill-2", "bill-3"], &first);
    assert_eq!((name(&second), &*second.jobs), ("Progressing", &["bill-2".to_owned()][..]));
    let third = states(1, &["bill-3", "bill-4"], &second);
    assert_eq!((name(&third), third.jobs.len()), ("Complete", 0), "bill-3 was started with this template");
    let fourth = states(1, &["bill-4", "bill-5"], &third);
    assert_eq!(name(&fourth), "Complete", "and so were those after it");
    let changed = states(2, &["bill-5"], &fourth);
    assert_eq!(name(&changed), "Progressing", "bill-5 has the template of before");
}

//! What a run promises, judged at its end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use pact_operator::api::PactDeployment;
use pact_operator::api::condition::is_true;
use testbed::standin::WriteKind;
use tokio::time::sleep;

use crate::certificates;
use crate::changes::Outcome;
use crate::controllers::Controllers;
use crate::growth::{Growth, MOST};
use crate::memory::Role;
use crate::run::Run;
use crate::world::{CONSUMER, FIRST, World};

/// How long after the last change everything may take to be recorded. A leader may have been killed a minute before.
const SETTLED: Duration = Duration::from_mins(2);
/// How many of a kind are shown.
const SHOWN: usize = 5;

/// What was broken, a line for each promise.
pub async fn broken(world: &World, controllers: &Controllers, run: &Run) -> Vec<String> {
    let mut broken = Vec::new();
    broken.extend(several("admissions failed", &failed(run)));
    broken.extend(several("records are missing or wrong", &unsettled(world, run).await));
    broken.extend(several("rows should not have been written", &wrong_rows(world)));
    broken.extend(several("times no controller led", &run.kills.without_leader));
    broken.extend(several("processes ended or panicked", &ended(world, controllers, run)));
    broken.extend(several("webhooks did not rotate their certificate or were not asked", &idle(run)));
    if run.clock.is_full() {
        broken.extend(several("processes have grown", &grown(run)));
    }
    broken
}

/// One line, if there is anything.
fn several(what: &str, all: &[String]) -> Option<String> {
    let some: Vec<_> = all.iter().take(SHOWN).cloned().collect();
    (!all.is_empty()).then(|| format!("{} {what}: {}", all.len(), some.join("; ")))
}

fn failed(run: &Run) -> Vec<String> {
    let failed = run.changes.answered.iter().filter_map(|one| match &one.outcome {
        Outcome::Failed(reason) => Some(format!("{} after {:.0?}: {reason}", one.what, one.sent)),
        Outcome::Allowed | Outcome::Denied => None,
    });
    failed.collect()
}

/// Waits until the broker and the records have each Deployment's last version, once its rollout is complete; gives those
/// that are wrong at last.
async fn unsettled(world: &World, run: &Run) -> Vec<String> {
    let since = Instant::now();
    loop {
        let wrong = wrong_now(world, &run.changes.last).await;
        if wrong.is_empty() {
            println!("Everything was recorded {:.1?} after the last change.", since.elapsed());
        }
        if wrong.is_empty() || since.elapsed() > SETTLED {
            return wrong;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn wrong_now(world: &World, last: &BTreeMap<String, String>) -> Vec<String> {
    let records = match Api::<PactDeployment>::all(world.client.clone()).list(&ListParams::default()).await {
        Ok(records) => records.items,
        Err(error) => return vec![error.to_string()],
    };
    let recorded = |app: &str| {
        let record = records.iter().find(|record| record.spec.pacticipant == app)?;
        let status = record.status.clone()?;
        let ready = is_true(&status.conditions, "Ready");
        status.recorded.filter(|_| ready).map(|recorded| recorded.version)
    };
    let wrong = last.iter().filter_map(|(app, version)| {
        let rows = world.cluster.broker.store().current(&world.environment, app);
        let rows: Vec<_> = rows.into_iter().map(|row| row.version).collect();
        let (runs, says) = (world.finished.now(app), recorded(app));
        let right = rows == [version.clone()] && says.as_ref() == Some(version) && runs.as_ref() == Some(version);
        (!right).then(|| format!("{app} was last changed to {version}, runs {runs:?}, has the rows {rows:?}, and its record says {says:?}"))
    });
    wrong.collect()
}

/// Rows of versions that never finished, rows that go back, and writes that are no deployments.
fn wrong_rows(world: &World) -> Vec<String> {
    let (mut wrong, mut newest) = (Vec::new(), BTreeMap::new());
    for write in world.cluster.broker.writes() {
        let what = format!("{:?} {} {}", write.kind, write.pacticipant, write.version);
        if write.kind != WriteKind::Deployed || write.environment != world.environment || write.pacticipant == CONSUMER
        {
            wrong.push(what);
        } else if !world.finished.ever(&write.pacticipant, &write.version) {
            wrong.push(format!("{what}, which never finished"));
        } else {
            let before = newest.insert(write.pacticipant.clone(), number(&write.version));
            if before.is_some_and(|before| before >= number(&write.version)) {
                wrong.push(format!("{what} after a newer one or itself"));
            }
        }
    }
    wrong
}

/// The versions of a Deployment are numbered in the order of its changes.
fn number(version: &str) -> u32 {
    let number = version.split('.').next().and_then(|first| first.parse().ok());
    number.unwrap_or_else(|| panic!("{version} is no version like {FIRST}"))
}

fn ended(world: &World, controllers: &Controllers, run: &Run) -> Vec<String> {
    let mut ended = Vec::new();
    for (webhook, pid) in world.webhooks.iter().zip(run.webhooks) {
        if webhook.pid() != pid {
            ended.push(format!("{} has ended", webhook.name()));
        }
    }
    for controller in &controllers.running {
        if controller.pid().is_none() {
            ended.push(format!("{} has ended", controller.name()));
        }
    }
    for file in std::fs::read_dir(world.cluster.control_plane.folder()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of_ours =
            name.starts_with("pact-operator-") && path.extension().is_some_and(|extension| extension == "log");
        if of_ours && String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("panicked") {
            ended.push(format!("{name} has a panic"));
        }
    }
    ended
}

fn idle(run: &Run) -> Vec<String> {
    let (mut idle, expected) = (Vec::new(), certificates::expected(run.clock));
    for ((name, rotations), reviews) in run.rotations.iter().zip(run.reviews) {
        if *rotations < expected {
            idle.push(format!("{name} has replaced its certificate {rotations} times instead of {expected}"));
        }
        if reviews == 0 {
            idle.push(format!("{name} was never asked"));
        }
    }
    idle
}

fn grown(run: &Run) -> Vec<String> {
    let grown =
        Role::ALL.into_iter().filter_map(|role| match Growth::of(&run.memory, run.clock, role, |one| one.resident) {
            Ok(growth) if growth.part() > MOST => {
                let (from, to) = (crate::report::mib(growth.third), crate::report::mib(growth.end));
                Some(format!("{} from {from} to {to}: {:+.1} %", role.name(), growth.part() * 100.0))
            }
            Ok(_) => None,
            Err(reason) => Some(reason),
        });
    grown.collect()
}

//! Many rollouts at once: how long after the last completion is the last one recorded?

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::bare_requests::read_record_read;
use crate::completions::Completions;
use crate::report::{Report, Spread, ms, seconds_between, times};
use crate::sizes::Sizes;
use crate::stage::{PATIENCE, Stage, rows};
use crate::testbed::components::Component;
use crate::testbed::eventually::eventually;
use crate::testbed::scene::Scene;

const NAME: &str = "many";
const FLOOR: &str = "floor";

pub async fn measure(sizes: &Sizes, report: &mut Report) {
    let count = sizes.at_once;
    let stage = Stage::new().await;
    let broker = &stage.scene.broker;
    stage.publish(NAME, count, &["1.0.0", "2.0.0", "3.0.0"]);
    broker.store().add_environment(FLOOR, false);
    for number in 0..count {
        broker.store().record_deployment(&format!("{NAME}-{number}"), "1.0.0", FLOOR, None);
    }
    let operator = stage.start_operator().await;
    let completions = Completions::watch(&stage.scene, &stage.namespace, None);
    stage.create(NAME, 0..count, "1.0.0", 1).await;
    stage.wait_remembered("1.0.0", count).await;

    let bare = read_record_read(broker, FLOOR, (NAME, count), "2.0.0").await;
    broker.clear_writes();
    let began = Instant::now();
    stage.set_version(NAME, count, "2.0.0").await;
    stage.wait_rows("2.0.0", count).await;
    let real = Wave::of(&stage.scene, &completions, "2.0.0", count, began).await;
    stage.wait_remembered("2.0.0", count).await;

    // What no controller could do: all complete in the time that it takes to say so.
    stage.scene.control_plane.stop(Component::ControllerManager);
    stage.set_version(NAME, count, "3.0.0").await;
    let began = Instant::now();
    stage.set_observed(NAME, 0..count, 3).await;
    stage.wait_rows("3.0.0", count).await;
    let sudden = Wave::of(&stage.scene, &completions, "3.0.0", count, began).await;
    let bare_again = read_record_read(broker, FLOOR, (NAME, count), "3.0.0").await;
    drop(operator);

    report.section(
        &format!("{count} rollouts at once"),
        &format!(
            "{count} Deployments of one pod, all patched together. From the last completion, as the bench's own watch sees \
             it, to the last row. The floor is a plain client that sends the same {count} × (GET current, POST, GET \
             current) to the same stand-in, 4 at a time as a `PactBroker` allows by default, with nothing else going on. \
             The second wave has no controller in it: the bench itself writes all {count} statuses as fast as the API \
             server takes them, while etcd, API server and operator share the cores."
        ),
    );
    real.rows("real rollouts", bare, report);
    sudden.rows("statuses written at once", bare_again, report);
}

/// What became of many rollouts to one version.
struct Wave {
    /// From the first patch to the last completion.
    completing: Duration,
    /// From the last completion to the last row.
    last: f64,
    /// From the first completion to the last row.
    whole: f64,
    /// Of each rollout, from its completion to its row.
    each: Spread,
}

impl Wave {
    async fn of(scene: &Scene, completions: &Completions, version: &str, count: usize, began: Instant) -> Self {
        // The bench's watch may lag behind the operator's.
        let complete = eventually("the bench's watch to have seen all", PATIENCE, async || {
            let complete = completions.to(version);
            if complete.len() == count { Ok(complete) } else { Err(format!("{} of {count}", complete.len())) }
        })
        .await;
        let rows: HashMap<String, Instant> = rows(&scene.broker, version).into_iter().collect();
        let (first_complete, last_complete) = (*complete.values().min().unwrap(), *complete.values().max().unwrap());
        let last_row = *rows.values().max().unwrap();
        Self {
            completing: last_complete.saturating_duration_since(began),
            last: seconds_between(last_complete, last_row),
            whole: seconds_between(first_complete, last_row),
            each: Spread::of(complete.iter().map(|(name, at)| seconds_between(*at, rows[name])).collect()),
        }
    }

    fn rows(&self, what: &str, bare: Duration, report: &mut Report) {
        let last = Duration::from_secs_f64(self.last.max(0.0));
        report.row(
            &format!("{what}: last completion to last row"),
            &ms(last),
            &ms(bare),
            &times(last, bare),
            "≤ 1.3 ×",
        );
        let whole = Duration::from_secs_f64(self.whole.max(0.0));
        report.row(
            &format!("{what}: first completion to last row"),
            &format!("{} (the completions themselves: {} from the first patch)", ms(whole), ms(self.completing)),
            &ms(bare),
            &times(whole, bare),
            "",
        );
        let negative = self.each.negative();
        report.fact(
            &format!("{what}: each, completion to row"),
            &format!("{}; negative: {negative} of {}", self.each.shown(), self.each.len()),
            "none negative",
        );
    }
}

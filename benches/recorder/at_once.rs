//! Many rollouts at once: how long after the last completion is the last one recorded?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bare_requests::read_record_read;
use crate::bare_watch::BareRecorder;
use crate::report::{Report, Spread, ms, seconds_between, times};
use crate::setup::{PATIENCE, Setup, publish, rows};
use crate::sizes::Sizes;
use testbed::components::Component;
use testbed::eventually::eventually;
use testbed::standin::StandIn;

const NAME: &str = "many";
const FLOOR: &str = "floor";

pub async fn measure(sizes: &Sizes, report: &mut Report) {
    let count = sizes.at_once;
    let setup = Setup::new().await;
    let broker = &setup.cluster.broker;
    setup.publish(NAME, count, &["1.0.0", "2.0.0", "3.0.0"]);
    broker.store().add_environment(FLOOR, false);
    for number in 0..count {
        broker.store().record_deployment(&format!("{NAME}-{number}"), "1.0.0", FLOOR, None);
    }
    let operator = setup.start_operator().await;
    let bare_broker = Arc::new(StandIn::start().await);
    bare_broker.store().add_environment(FLOOR, false);
    publish(&bare_broker, NAME, count, &["1.0.0", "2.0.0", "3.0.0"]);
    let watch = BareRecorder::start(&setup.cluster, &setup.namespace, &bare_broker, FLOOR);
    setup.create(NAME, 0..count, "1.0.0", 1).await;
    setup.wait_recorded_in_cluster("1.0.0", count).await;

    let bare = read_record_read(broker, FLOOR, (NAME, count), "2.0.0").await;
    broker.clear_requests();
    let began = Instant::now();
    setup.set_version(NAME, count, "2.0.0").await;
    setup.wait_rows("2.0.0", count).await;
    let real = Wave::of((broker, &setup.environment), (&watch, &bare_broker), "2.0.0", count, began).await;
    setup.wait_recorded_in_cluster("2.0.0", count).await;

    // Faster than any controller: all rollouts complete as fast as their statuses are written.
    setup.cluster.control_plane.stop(Component::ControllerManager);
    setup.set_version(NAME, count, "3.0.0").await;
    broker.clear_requests();
    let began = Instant::now();
    setup.set_observed(NAME, 0..count, 3).await;
    setup.wait_rows("3.0.0", count).await;
    let sudden = Wave::of((broker, &setup.environment), (&watch, &bare_broker), "3.0.0", count, began).await;
    let bare_again = read_record_read(broker, FLOOR, (NAME, count), "3.0.0").await;
    drop(operator);

    report.section(
        &format!("{count} rollouts at once"),
        &format!(
            "{count} Deployments of one pod, all patched together. From the last completion, as the bench's own watch sees \
             it, to the last row. The floor is a plain client that sends the same {count} × (GET current, POST, GET \
             current) to the same stand-in, 4 at a time as a `PactBroker` allows by default, with nothing else going on. \
             The second wave has no controller in it: the bench itself writes all {count} statuses as fast as the API \
             server takes them, while etcd, API server and operator share the cores. The bare watch is that \
             of the single rollouts, on the same rollouts: one request for each, to another stand-in. Each record of the \
             operator's needs a read of the live Deployment from the API server, too; neither floor has it. Each: min / median / p95 / max."
        ),
    );
    real.rows("real rollouts", bare, report);
    sudden.rows("statuses written at once", bare_again, report);
}

/// The results of many rollouts to one version.
struct Wave {
    /// From the first patch to the last completion.
    completing: Duration,
    /// From the last completion to the last row.
    last: f64,
    /// From the first completion to the last row.
    whole: f64,
    /// Of each rollout, from its completion to its row.
    each: Spread,
    /// Of each rollout, from its completion to the first question to the broker about it.
    asked: Spread,
    /// What the bare watch needed from the last completion to its last row.
    watch_last: f64,
}

impl Wave {
    async fn of(
        (broker, environment): (&StandIn, &str),
        (watch, bare_broker): (&BareRecorder, &StandIn),
        version: &str,
        count: usize,
        began: Instant,
    ) -> Self {
        let bare_rows = eventually("the bare watch to have recorded all", PATIENCE, async || {
            let rows = rows(bare_broker, FLOOR, version);
            if rows.len() == count { Ok(rows) } else { Err(format!("{} of {count}", rows.len())) }
        })
        .await;
        let complete = watch.completions.to(version);
        let last_of = |rows: &mut dyn Iterator<Item = Instant>| rows.max().unwrap();
        let rows: HashMap<String, Instant> = rows(broker, environment, version).into_iter().collect();
        // If a question came before this watch had the completion, so did the row, which counts as negative.
        let mut asked: HashMap<String, Instant> = HashMap::new();
        for request in broker.requests() {
            if let Some((_, name)) = request.path_and_query.rsplit_once("?pacticipant=")
                && complete.get(name).is_some_and(|complete| *complete <= request.at)
            {
                asked.entry(name.to_owned()).or_insert(request.at);
            }
        }
        let (first_complete, last_complete) = (*complete.values().min().unwrap(), *complete.values().max().unwrap());
        let last_row = last_of(&mut rows.values().copied());
        let since_completion = |to: &HashMap<String, Instant>| {
            Spread::of(complete.iter().filter_map(|(name, at)| Some(seconds_between(*at, *to.get(name)?))).collect())
        };
        Self {
            completing: last_complete.saturating_duration_since(began),
            last: seconds_between(last_complete, last_row),
            whole: seconds_between(first_complete, last_row),
            each: since_completion(&rows),
            asked: since_completion(&asked),
            watch_last: seconds_between(last_complete, last_of(&mut bare_rows.into_iter().map(|(_, at)| at))),
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
        let watch = Duration::from_secs_f64(self.watch_last.max(0.0));
        report.row(&format!("{what}: the same beside the bare watch"), &ms(last), &ms(watch), &times(last, watch), "");
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
        report.fact(&format!("{what}: each, completion to the first question"), &self.asked.shown(), "");
    }
}

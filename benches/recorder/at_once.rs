//! Many rollouts at once: how long after the last completion is the last one recorded?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bare_requests::{AT_ONCE, read_record_read};
use crate::bare_watch::BareRecorder;
use crate::bare_writes::BareRecords;
use crate::report::{Goal, Report, Spread, ms, seconds_between, times};
use crate::setup::{PATIENCE, Setup, publish, rows};
use crate::sizes::Sizes;
use testbed::components::Component;
use testbed::eventually::eventually;
use testbed::standin::{EACH, StandIn, THREADS};

const NAME: &str = "many";
const FLOOR: &str = "floor";

pub async fn measure(sizes: &Sizes, report: &mut Report) {
    let count = sizes.at_once;
    let setup = Setup::new().await;
    let broker = &setup.cluster.broker;
    let versions = ["1.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0"];
    setup.publish(NAME, count, &versions);
    broker.store().add_environment(FLOOR, false);
    for number in 0..count {
        broker.store().record_deployment(&format!("{NAME}-{number}"), "1.0.0", FLOOR, None);
    }
    let operator = setup.start_operator().await;
    let bare_broker = Arc::new(StandIn::start().await);
    bare_broker.store().add_environment(FLOOR, false);
    publish(&bare_broker, NAME, count, &versions);
    let watch = BareRecorder::start(&setup.cluster, &setup.namespace, &bare_broker, FLOOR);
    setup.create(NAME, 0..count, "1.0.0", 1).await;
    setup.wait_recorded_in_cluster("1.0.0", count).await;
    let beside = (&watch, &*bare_broker);

    let bare = read_record_read(broker, FLOOR, (NAME, count), "2.0.0").await;
    let real = Wave::real(&setup, beside, "2.0.0", count).await;
    broker.faults().busy();
    let busy_bare = read_record_read(broker, FLOOR, (NAME, count), "3.0.0").await;
    let busy_real = Wave::real(&setup, beside, "3.0.0", count).await;

    // Faster than any controller: all rollouts complete as fast as their statuses are written.
    setup.cluster.control_plane.stop(Component::ControllerManager);
    let busy_sudden = Wave::sudden(&setup, beside, ("4.0.0", 4), count).await;
    broker.faults().clear();
    let sudden = Wave::sudden(&setup, beside, ("5.0.0", 5), count).await;
    drop(operator);
    let records = BareRecords::new(&setup, FLOOR, (NAME, count));
    records.first("4.0.0").await;
    let writing = records.next("5.0.0").await;

    report.section(
        &format!("{count} rollouts at once"),
        &format!(
            "{count} Deployments of one pod, all patched together. From the last completion, as the bench's own watch sees \
             it, to the last row. The broker answers as a real one does: {THREADS} requests at once, each takes {} ms. The \
             floor is a plain client that sends the same {count} × (GET current, POST, GET current) to the same stand-in, \
             {AT_ONCE} at a time as a `PactBroker` allows by default, with nothing else going on. The second wave has no \
             controller in it: the bench itself writes all {count} statuses as fast as the API server takes them, while \
             etcd, API server and operator share the cores. Each record of the operator's needs a read of the live \
             Deployment from the API server, too, which the floor has not. Each: min / median / p95 / max.",
            EACH.as_millis()
        ),
    );
    busy_real.rows("real rollouts", &[("", busy_bare)], report);
    busy_sudden.rows("statuses written at once", &[("", busy_bare)], report);
    let judged = |what: &str, took: Duration, report: &mut Report| {
        let goal = Goal::at_most(1.3, "×", took.as_secs_f64() / busy_bare.as_secs_f64());
        report.judged(what, [&ms(took), &ms(busy_bare), &times(took, busy_bare)], &goal);
    };
    judged("real rollouts: from the last completion until all are recorded", busy_real.last(), report);
    judged("statuses written at once: from the first completion until all are recorded", busy_sudden.whole(), report);
    for (what, wave) in [("real rollouts", &busy_real), ("statuses written at once", &busy_sudden)] {
        let negative = wave.each.negative();
        report.judged(
            &format!("{what}: recorded before complete"),
            [&format!("{negative} of {}", wave.each.len()), "", ""],
            &Goal::none("rollouts", negative),
        );
    }

    report.section(
        &format!("The same {count} rollouts, at a broker that answers at once"),
        "What the API server takes is most of what is seen. The second floor also writes into the API server what the operator \
         writes for each record: the status of a `PactDeployment`, and an Event. The bare watch is that of the single \
         rollouts, on the same rollouts: one request for each, to another stand-in.",
    );
    let floors = [("", bare), (", beside the second floor", writing)];
    real.rows("real rollouts", &floors, report);
    real.beside_watch("real rollouts", report);
    sudden.rows("statuses written at once", &floors, report);
    sudden.beside_watch("statuses written at once", report);
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
    /// The controllers roll out.
    async fn real(setup: &Setup, beside: (&BareRecorder, &StandIn), version: &str, count: usize) -> Self {
        setup.cluster.broker.clear_requests();
        let began = Instant::now();
        setup.set_version(NAME, count, version).await;
        Self::recorded(setup, beside, version, count, began).await
    }

    /// The bench writes the statuses of this generation.
    async fn sudden(
        setup: &Setup,
        beside: (&BareRecorder, &StandIn),
        (version, generation): (&str, i64),
        count: usize,
    ) -> Self {
        setup.set_version(NAME, count, version).await;
        setup.cluster.broker.clear_requests();
        let began = Instant::now();
        setup.set_observed(NAME, 0..count, generation).await;
        Self::recorded(setup, beside, version, count, began).await
    }

    async fn recorded(
        setup: &Setup,
        beside: (&BareRecorder, &StandIn),
        version: &str,
        count: usize,
        began: Instant,
    ) -> Self {
        setup.wait_rows(version, count).await;
        let wave = Self::of((&setup.cluster.broker, &setup.environment), beside, version, count, began).await;
        setup.wait_recorded_in_cluster(version, count).await;
        wave
    }

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

    /// From the last completion to the last row.
    fn last(&self) -> Duration {
        Duration::from_secs_f64(self.last.max(0.0))
    }

    /// From the first completion to the last row.
    fn whole(&self) -> Duration {
        Duration::from_secs_f64(self.whole.max(0.0))
    }

    /// Beside each of the floors.
    fn rows(&self, what: &str, floors: &[(&str, Duration)], report: &mut Report) {
        for (which, floor) in floors {
            for (from, took) in [("last", self.last()), ("first", self.whole())] {
                let what = format!("{what}: {from} completion to last row{which}");
                report.row(&what, &ms(took), &ms(*floor), &times(took, *floor), "");
            }
        }
        report.fact(&format!("{what}: first patch or status to last completion"), &ms(self.completing));
        report.fact(
            &format!("{what}: each, completion to row"),
            &format!("{}; negative: {} of {}", self.each.shown(), self.each.negative(), self.each.len()),
        );
        report.fact(&format!("{what}: each, completion to the first question"), &self.asked.shown());
    }

    /// Beside the bare watch.
    fn beside_watch(&self, what: &str, report: &mut Report) {
        let watch = Duration::from_secs_f64(self.watch_last.max(0.0));
        let what = format!("{what}: last completion to last row, beside the bare watch");
        report.row(&what, &ms(self.last()), &ms(watch), &times(self.last(), watch), "");
    }
}

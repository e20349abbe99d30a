//! A broker that never answers, while reviews of another broker's environment go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use futures::future::join_all;

use crate::cost;
use crate::report::{Goal, Report, Spread, mib};
use crate::reviewed::Reviews;
use crate::setup::{PROVIDER, REVIEW_BYTES, Setup};
use crate::sizes::Sizes;

/// What is left of the 10 s that the API server waits, less the reserve.
const BUDGET: Duration = Duration::from_secs(8);
/// How many of those questions come in a second: within a few seconds, so that they pile up, but not as one burst,
/// which would keep two cores busy whatever the answer.
const PER_SECOND: u32 = 250;

pub async fn measure(setup: &Setup, sizes: &Sizes, report: &mut Report) {
    let bodies = setup.cached();
    let (gate, yes) = (setup.gate(&bodies), setup.yes(&bodies));
    drop((gate.steady(sizes.rate, sizes.steady / 12).await, yes.steady(sizes.rate, sizes.steady / 12).await));
    let floor = yes.steady(sizes.rate, sizes.steady / 2).await;
    let known: Arc<[Bytes]> = (0..sizes.unanswered).map(|number| bodies[number % bodies.len()].clone()).collect();
    let (alone, _) = tokio::join!(gate.steady(sizes.rate, sizes.steady), ask(setup, known));

    let reviews = Reviews::of(REVIEW_BYTES);
    let question = |number| reviews.one(&setup.unanswered, PROVIDER, PROVIDER, &format!("6.0.{number}"));
    let questions: Arc<[Bytes]> = (0..sizes.unanswered).map(question).collect();
    let pid = setup.webhook.pid();
    let before = cost::resident(pid);
    let most = Arc::new(AtomicU64::new(before));
    let watching = tokio::spawn({
        let most = Arc::clone(&most);
        async move {
            loop {
                most.fetch_max(cost::resident(pid), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let (meanwhile, unanswered) = tokio::join!(gate.steady(sizes.rate, sizes.steady), ask(setup, questions));
    watching.abort();
    let grown = most.load(Ordering::Relaxed).saturating_sub(before);

    report.section(
        &format!("{} questions to a broker that never answers", sizes.unanswered),
        &format!(
            "Each about another version, {PER_SECOND} in a second, the API server waiting 10 s, while {} reviews a second go \
             on whose verdicts of another broker are cached. Called directly; each review is timed from when it \
             was sent, however slowly others are answered. The floor is the same traffic, with cached verdicts for those \
             questions, too. p50 / p99 / p99.9.",
            sizes.rate
        ),
    );
    let shown = |it: &Spread| {
        let [p50, p99, p999] = [it.median(), it.quantile(0.99), it.quantile(0.999)].map(|seconds| seconds * 1e3);
        format!("{p50:.2} / {p99:.2} / {p999:.2} ms")
    };
    let ratio = |ours: &Spread, floor: &Spread| {
        format!("p50 {:.2} ×, p99 {:.2} ×", ours.median() / floor.median(), ours.quantile(0.99) / floor.quantile(0.99))
    };
    report.row("cached, beside those questions", &shown(&meanwhile), &shown(&alone), &ratio(&meanwhile, &alone), "");
    report.row(
        "the floor, beside always yes without those questions",
        &shown(&alone),
        &shown(&floor),
        &ratio(&alone, &floor),
        "",
    );
    let late = unanswered.iter().filter(|answer| answer.seconds > BUDGET.as_secs_f64() + 0.5).count();
    let slowest = unanswered.iter().map(|answer| answer.seconds).fold(0.0, f64::max);
    let answers = unanswered.len();
    report.judged(
        "questions answered later than 8.5 s",
        [&format!("{late} of {answers}; the last after {slowest:.2} s"), "", ""],
        &Goal::none("questions", late),
    );
    let at_once = unanswered.iter().filter(|answer| answer.seconds < 1.0).count();
    report.fact("questions told within 1 s that the broker is too slow", &at_once.to_string());
    let unavailable = unanswered.iter().filter(|answer| answer.unavailable).count();
    report.judged(
        "answers that do not say BrokerUnavailable",
        [&format!("{} of {answers}", answers - unavailable), "", ""],
        &Goal::none("answers", answers - unavailable),
    );
    report.judged(
        "resident memory: before, and grown by at most",
        [&format!("{}, {}", mib(before), mib(grown)), "", ""],
        &Goal::at_most_mib(20.0, grown),
    );
}

struct TimedAnswer {
    seconds: f64,
    unavailable: bool,
}

/// Asks these questions, whether earlier ones were answered or not.
async fn ask(setup: &Setup, bodies: Arc<[Bytes]>) -> Vec<TimedAnswer> {
    let target = setup.gate(&bodies);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut sent = Vec::new();
    for number in 0..bodies.len() {
        tick.tick().await;
        let target = target.clone();
        sent.push(tokio::spawn(async move {
            let answered = target.send(number).await;
            let unavailable = answered.body.contains(r#""verdict":"BrokerUnavailable""#);
            TimedAnswer { seconds: answered.took.as_secs_f64(), unavailable }
        }));
    }
    join_all(sent).await.into_iter().map(Result::unwrap).collect()
}

//! New questions, at a slow broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures::{StreamExt, future::join_all, stream};

use crate::report::{Goal, Report, Spread, ratio};
use crate::reviewed::Reviews;
use crate::setup::{CONSUMED, CONSUMER, PROVIDER, REVIEW_BYTES, Setup};
use crate::sizes::Sizes;
use testbed::standin::{EACH, Fault, THREADS};

/// How many clients ask at once.
const CLIENTS: usize = 50;

/// How long the broker takes for every answer.
const SLOW: Duration = Duration::from_millis(50);

pub async fn measure(setup: &Setup, sizes: &Sizes, report: &mut Report) {
    let broker = &setup.cluster.broker;
    let store = broker.store();
    for number in 0..sizes.uncached {
        store.verify("web", "1", PROVIDER, &provider_version(number), true);
        store.publish_pact(CONSUMER, &consumer_version(number), CONSUMED, "what shop wants");
        store.verify(CONSUMER, &consumer_version(number), CONSUMED, "1.0.0", true);
    }
    broker.faults().add(Fault::delay(SLOW));
    report.section(
        &format!("Verdicts that are not cached, with a broker that takes {} ms for each answer", SLOW.as_millis()),
        "Called directly, one after the other, each about another version. The floor is a plain client that asks the same \
         stand-in for the same matrix and nothing else. p50 / p99. A version that consumes others needs more than the \
         matrix: what is live of its providers has to be read, or the answer might be a false yes.",
    );
    let consumer: Vec<String> = (0..sizes.uncached.div_ceil(3)).map(consumer_version).collect();
    // Before anything is on its way that others would be asked about, too.
    let (took, asked) = one_by_one(setup, CONSUMER, &consumer).await;
    let floor = matrices(setup).await;
    report.row(
        &format!("a consumer of one provider, n={}", took.len()),
        &shown(&took),
        &shown(&floor),
        &format!("{} (p50)", ratio(took.median(), floor.median())),
        "",
    );
    report.fact("a consumer of one provider: broker requests per review", &format!("{asked:.2}"));
    let provider: Vec<String> = (0..sizes.uncached).map(provider_version).collect();
    let (took, asked) = one_by_one(setup, PROVIDER, &provider).await;
    let floor = matrices(setup).await;
    let added = |quantile: f64| format!("{:+.1} ms", (took.quantile(quantile) - floor.quantile(quantile)) * 1e3);
    report.row(
        &format!("a provider, n={}", took.len()),
        &shown(&took),
        &shown(&floor),
        &format!("added: {} / {}", added(0.5), added(0.99)),
        "",
    );
    report.fact("a provider: broker requests per review", &format!("{asked:.2}"));
    equal(setup, sizes.equal, &floor, report).await;
    broker.faults().clear();
}

/// New questions about consumers, at a broker of a few threads: one after the other, and from many clients at once. The
/// floor is a plain client that asks it for the same matrices and nothing else.
pub async fn measure_busy(setup: &Setup, sizes: &Sizes, report: &mut Report) {
    let (broker, count) = (&setup.cluster.broker, sizes.uncached * 4);
    let version = |number: usize| format!("6.0.{number}");
    // At once each consumer is another one: what rolls out at the same time counts for all of them.
    let consumer = |number: usize| if number < sizes.uncached { CONSUMER.to_owned() } else { format!("shop-{number}") };
    for number in 0..count {
        broker.store().publish_pact(&consumer(number), &version(number), CONSUMED, "what shop wants");
        broker.store().verify(&consumer(number), &version(number), CONSUMED, "1.0.0", true);
    }
    broker.faults().busy();
    report.section(
        &format!("New questions, at a broker of {THREADS} threads that takes {} ms for each answer", EACH.as_millis()),
        "Called directly, each about a consumer whose provider runs: one after the other another version of one, at once \
         another consumer each. The floor is a plain client that asks the same stand-in for the same matrices and nothing \
         else.",
    );
    let all: Vec<String> = (0..count).map(version).collect();
    let (alone, at_once) = all.split_at(sizes.uncached);
    let (took, asked) = one_by_one(setup, CONSUMER, alone).await;
    let floor = matrices(setup).await;
    report.row(&format!("one after the other, n={}: p50 / p99", took.len()), &shown(&took), &shown(&floor), "", "");
    for (what, goal, quantile) in [("p50", 3.0, 0.5), ("p99", 10.0, 0.99)] {
        let (ours, floor) = (took.quantile(quantile) * 1e3, floor.quantile(quantile) * 1e3);
        report.judged(
            &format!("one after the other, {what}; the goal is what is more than the floor"),
            [&format!("{ours:.1} ms"), &format!("{floor:.1} ms"), &format!("{:+.1} ms", ours - floor)],
            &Goal::at_most(goal, "ms", ours - floor),
        );
    }
    report.judged(
        "broker requests per question, one after the other",
        [&format!("{asked:.2}"), "1.00", ""],
        &Goal::at_most(1.1, "requests", asked),
    );

    let reviews = Reviews::of(REVIEW_BYTES);
    let review = |number| reviews.one(&setup.gated, &consumer(number), &consumer(number), &version(number));
    let bodies: Arc<[Bytes]> = (sizes.uncached..count).map(review).collect();
    broker.clear_requests();
    let target = &setup.gate(&bodies);
    let began = Instant::now();
    let answers = stream::iter(0..at_once.len()).map(|number| async move { target.send(number).await });
    let answers: Vec<_> = answers.buffer_unordered(CLIENTS).collect().await;
    let ours = at_once.len() as f64 / began.elapsed().as_secs_f64();
    assert!(answers.iter().all(|it| it.body.contains(r#""verdict":"Yes""#)), "not what is to be measured");
    let took = Spread::of(answers.iter().map(|it| it.took.as_secs_f64()).collect());
    let paths = broker.requests().into_iter().map(|request| request.path_and_query);
    let mut paths: Vec<String> = paths.filter(|path| path.starts_with("/matrix")).collect();
    let asked_at_once = paths.len() as f64 / at_once.len() as f64;
    paths.retain(|path| path.contains("&environment="));
    let client = &reqwest::Client::builder().no_proxy().build().unwrap();
    let began = Instant::now();
    let bare = stream::iter(&paths).map(|path| async move {
        let request = client.get(format!("{}{path}", broker.url())).header("accept", "application/hal+json");
        drop(request.send().await.unwrap().bytes().await.unwrap());
    });
    bare.buffer_unordered(CLIENTS).collect::<Vec<()>>().await;
    let bare = paths.len() as f64 / began.elapsed().as_secs_f64();
    report.judged(
        &format!("{CLIENTS} clients at once, n={}: answers a second", at_once.len()),
        [&format!("{ours:.0}"), &format!("{bare:.0}"), &ratio(ours, bare)],
        &Goal::at_least(0.95, "×", ours / bare),
    );
    report.judged(
        "broker requests for a matrix or pairs per question, at once",
        [&format!("{asked_at_once:.2}"), "1.00", ""],
        &Goal::at_most(1.1, "requests", asked_at_once),
    );
    let slowest = took.largest() / took.median();
    report.judged(
        "the slowest of them beside the median",
        [
            &format!("{:.1} ms", took.largest() * 1e3),
            &format!("{:.1} ms", took.median() * 1e3),
            &format!("{slowest:.2} ×"),
        ],
        &Goal::at_most(2.0, "×", slowest),
    );
    broker.faults().clear();
}

/// How many requests at the broker a new question about a consumer needs, one after the other.
pub async fn requests_per_question(setup: &Setup, count: usize) -> f64 {
    let store = setup.cluster.broker.store();
    let versions: Vec<String> = (0..count).map(|number| format!("7.0.{number}")).collect();
    for version in &versions {
        store.publish_pact(CONSUMER, version, CONSUMED, "what shop wants");
        store.verify(CONSUMER, version, CONSUMED, "1.0.0", true);
    }
    one_by_one(setup, CONSUMER, &versions).await.1
}

/// p50 / p99.
fn shown(spread: &Spread) -> String {
    format!("{:.1} / {:.1} ms", spread.quantile(0.5) * 1e3, spread.quantile(0.99) * 1e3)
}

fn provider_version(number: usize) -> String {
    format!("3.0.{number}")
}

fn consumer_version(number: usize) -> String {
    format!("4.0.{number}")
}

/// How long each took, and how many requests at the broker each needed.
async fn one_by_one(setup: &Setup, pacticipant: &str, versions: &[String]) -> (Spread, f64) {
    let reviews = Reviews::of(REVIEW_BYTES);
    let review = |version: &String| reviews.one(&setup.gated, pacticipant, pacticipant, version);
    let bodies: Arc<[Bytes]> = versions.iter().map(review).collect();
    let target = setup.gate(&bodies);
    // A review that is admitted without a judgement makes the connection.
    let elsewhere = [reviews.one(&setup.free, pacticipant, pacticipant, "1")].into();
    drop(target.with(&elsewhere).send(0).await);
    setup.cluster.broker.clear_requests();
    let mut seconds = Vec::new();
    for number in 0..versions.len() {
        let answered = target.send(number).await;
        assert!(answered.body.contains(r#""verdict":"Yes""#), "not what is to be measured: {}", answered.body);
        seconds.push(answered.took.as_secs_f64());
    }
    (Spread::of(seconds), setup.cluster.broker.requests().len() as f64 / versions.len() as f64)
}

/// The same matrices, asked for by a plain client: the requests that the webhook sent before, sent again.
async fn matrices(setup: &Setup) -> Spread {
    let broker = &setup.cluster.broker;
    let is_matrix = |path: &str| path.starts_with("/matrix");
    let paths = broker.requests().into_iter().map(|request| request.path_and_query).filter(|path| is_matrix(path));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut seconds = Vec::new();
    for path in paths.collect::<Vec<_>>() {
        let request = client.get(format!("{}{path}", broker.url())).header("accept", "application/hal+json");
        let began = Instant::now();
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        drop(answer.bytes().await.unwrap());
        seconds.push(began.elapsed().as_secs_f64());
    }
    Spread::of(seconds)
}

async fn equal(setup: &Setup, count: usize, floor: &Spread, report: &mut Report) {
    const VERSION: &str = "5.0.0";
    let broker = &setup.cluster.broker;
    broker.store().verify("web", "1", PROVIDER, VERSION, true);
    let reviews = Reviews::of(REVIEW_BYTES);
    let review = |number| reviews.one(&setup.gated, &format!("{PROVIDER}-{number}"), PROVIDER, VERSION);
    let bodies: Arc<[Bytes]> = (0..count).map(review).collect();
    let target = setup.gate(&bodies);
    broker.clear_requests();
    let sent = (0..count).map(|number| {
        let target = target.clone();
        tokio::spawn(async move { target.send(number).await.took.as_secs_f64() })
    });
    let took = Spread::of(join_all(sent.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect());
    let requests = broker.requests().len();
    report.row(
        &format!("{count} equal questions at once: broker requests"),
        &requests.to_string(),
        &count.to_string(),
        "",
        "",
    );
    report.row(
        &format!("{count} equal questions at once: the first to the last answer, handshakes included"),
        &took.shown(),
        &format!("{:.1} ms (one matrix)", floor.median() * 1e3),
        "",
        "",
    );
}

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{PactDeploymentStatus, deployment::Announcement},
    decide::{announcement::Sink, record::fixtures::key},
    notifier::{endpoint::Endpoint, post, template::Template},
};

/// A status, and the header `Retry-After`.
type Answer = (u16, Option<&'static str>);

/// What a sink got, and what it is to answer.
#[derive(Clone, Default)]
struct FakeSink {
    got: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl FakeSink {
    /// It answers so, and then 204.
    fn answering(answers: &[Answer]) -> Self {
        let this = Self::default();
        this.answers.lock().unwrap().extend(answers);
        this
    }

    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let this = self.clone();
        let take = async move |headers: HeaderMap, body: String| this.take(headers, &body);
        let router = Router::new().route("/events", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn take(&self, headers: HeaderMap, body: &str) -> (StatusCode, HeaderMap) {
        self.got.lock().unwrap().push((headers, serde_json::from_str(body).unwrap()));
        let (status, retry_after) = self.answers.lock().unwrap().pop_front().unwrap_or((204, None));
        let retry_after = retry_after.map(|value| ("retry-after".parse().unwrap(), value.parse().unwrap()));
        (StatusCode::from_u16(status).unwrap(), retry_after.into_iter().collect())
    }

    /// The sequences of the CDEvents that it got.
    fn sequences(&self) -> Vec<i64> {
        let sequence =
            |event: &Value| event["context"]["id"].as_str().unwrap().rsplit_once('-').unwrap().1.parse().unwrap();
        self.got.lock().unwrap().iter().map(|(_, event)| sequence(event)).collect()
    }
}

/// An API server that holds one object, and lets it be patched.
#[derive(Clone)]
struct FakeServer {
    object: Arc<Mutex<PactDeployment>>,
    patches: Arc<Mutex<Vec<Value>>>,
    broken: Arc<AtomicBool>,
}

impl FakeServer {
    fn with(sequences: std::ops::RangeInclusive<i64>) -> Self {
        let key = key("production", "orders");
        let mut object = PactDeployment::new(&key.object_name(), key.spec());
        object.metadata.uid = Some("uid-1".into());
        object.metadata.resource_version = Some("1".into());
        let one = |sequence| Announcement {
            sequence,
            kind: "Deployed".into(),
            at: Time(Timestamp::from_second(1).unwrap()),
            version: sequence.to_string(),
            previous_version: None,
            workloads: Vec::new(),
            message: String::new(),
            sinks: vec!["cdevents".into(), "webhook".into()],
        };
        let announcements = sequences.map(one).collect();
        object.status = Some(PactDeploymentStatus { announcements, ..PactDeploymentStatus::default() });
        Self { object: Arc::new(Mutex::new(object)), patches: Arc::default(), broken: Arc::default() }
    }

    fn client(&self) -> kube::Client {
        let this = self.clone();
        let server = tower::service_fn(move |request: axum::http::Request<Body>| {
            let this = this.clone();
            async move {
                let event = request.uri().path().contains("/events");
                let body = request.into_body().collect_bytes().await.unwrap();
                let (status, answer) = this.answer(event, &serde_json::from_slice(&body).unwrap());
                let answer =
                    axum::http::Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, Infallible>(answer.unwrap())
            }
        });
        kube::Client::new(server, "default")
    }

    fn answer(&self, event: bool, body: &Value) -> (u16, Value) {
        self.patches.lock().unwrap().push(body.clone());
        if event {
            return (201, body.clone());
        }
        if self.broken.load(Ordering::Relaxed) {
            return (
                500,
                json!({"kind": "Status", "status": "Failure", "reason": "InternalError", "code": 500, "message": "x"}),
            );
        }
        let mut object = self.object.lock().unwrap();
        let version: i32 = object.metadata.resource_version.as_ref().unwrap().parse().unwrap();
        object.metadata.resource_version = Some((version + 1).to_string());
        object.metadata.annotations = serde_json::from_value(body["metadata"]["annotations"].clone()).unwrap();
        (200, serde_json::to_value(&*object).unwrap())
    }

    fn marks(&self) -> Vec<String> {
        let patches = self.patches.lock().unwrap();
        let marks = patches.iter().filter_map(|patch| patch.pointer("/metadata/annotations")).map(ToString::to_string);
        marks.collect()
    }
}

struct World {
    server: FakeServer,
    delivery: Delivery,
    outlet: Outlet,
    key: RecordKey,
}

impl World {
    async fn new(sink: Sink, fake: &FakeSink, template: Template, server: FakeServer) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let records = RecordStore::new(server.client());
        records.apply(server.object.lock().unwrap().clone());
        let endpoint = Endpoint::new(Some(&fake.serve().await), None).unwrap();
        let delivery = Delivery {
            records,
            leadership: Leadership::always(),
            events: EventSink::new(server.client(), "test", "test"),
            client: post::client("test").unwrap(),
            metrics: NotifierMetrics::default(),
            cluster: None,
            shutdown: CancellationToken::new(),
        };
        let outlet = Outlet::new(SinkSettings { sink, endpoint, template });
        Self { server, delivery, outlet, key: key("production", "orders") }
    }

    async fn deliver(&self) {
        self.delivery.deliver(&self.outlet, &self.key).await;
    }

    /// Delivers until nothing is due any more.
    async fn deliver_all(&self) {
        let waits = || {
            self.outlet.due(&self.delivery.records, Timestamp::now());
            let object = self.delivery.records.get(&self.key).unwrap();
            self.outlet.settings.sink.waiting(&object, 0).next().is_some()
        };
        while waits() {
            self.deliver().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn all_are_delivered_in_order_and_noted_once() {
    let sink = FakeSink::default();
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(3..=5)).await;
    world.deliver().await;
    assert_eq!(sink.sequences(), [3, 4, 5]);
    assert_eq!(world.server.marks(), [r#"{"pact-operator.dev/announced-cdevents":"5"}"#]);
    assert_eq!(world.server.patches.lock().unwrap()[0]["metadata"]["uid"], "uid-1");
    world.deliver_all().await;
    assert_eq!(sink.sequences().len(), 3, "none twice");
    let (headers, event) = sink.got.lock().unwrap()[0].clone();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/cdevents+json; charset=utf-8");
    assert_eq!((header("ce-specversion"), header("ce-id")), ("1.0".into(), "uid-1-1-3".into()));
    assert_eq!(header("ce-type"), event["context"]["type"].as_str().unwrap());
    assert_eq!((header("ce-subject"), header("ce-source")), ("orders".into(), "/pact-operator".into()));
}

#[tokio::test]
async fn one_that_fails_is_tried_again_before_those_after_it() {
    let sink = FakeSink::answering(&[(204, None), (500, None), (503, None), (204, None)]);
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=3)).await;
    world.deliver().await;
    assert_eq!(sink.sequences(), [1, 2]);
    assert_eq!(
        world.server.marks(),
        [r#"{"pact-operator.dev/announced-cdevents":"1"}"#],
        "what was delivered is noted"
    );
    world.deliver().await;
    assert_eq!(sink.sequences(), [1, 2], "not before its time");
    world.deliver_all().await;
    assert_eq!(sink.sequences(), [1, 2, 2, 2, 3]);
}

#[tokio::test]
async fn a_sink_that_asks_for_a_pause_has_it() {
    let sink = FakeSink::answering(&[(429, Some("3600"))]);
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=2)).await;
    world.deliver().await;
    assert!(world.outlet.rests(Instant::now() + Duration::from_secs(590)), "ten minutes at most");
    assert!(!world.outlet.rests(Instant::now() + Duration::from_secs(601)));
    world.outlet.progress.delivered(&world.key, 0);
    world.deliver().await;
    assert_eq!(sink.sequences(), [1], "nothing is sent meanwhile");
}

#[tokio::test]
async fn one_that_the_sink_refuses_for_good_is_left_out_and_reported() {
    let sink = FakeSink::answering(&[(204, None), (400, None)]);
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=3)).await;
    world.deliver().await;
    assert_eq!(sink.sequences(), [1, 2, 3]);
    let requests = world.server.patches.lock().unwrap().clone();
    assert_eq!(requests[0]["reason"], "AnnouncementRefused");
    let note = requests[0]["note"].as_str().unwrap();
    assert!(note.contains("400") && note.contains("2 of orders in production is deployed"), "{note}");
    assert_eq!(world.server.marks(), [r#"{"pact-operator.dev/announced-cdevents":"3"}"#]);
}

#[tokio::test]
async fn a_sink_that_never_took_anything_refuses_nothing_for_good() {
    let sink = FakeSink::answering(&[(400, None), (415, None)]);
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=2)).await;
    world.deliver_all().await;
    assert_eq!(sink.sequences(), [1, 1, 1, 2]);
}

#[tokio::test]
async fn a_status_is_an_answer_however_slowly_the_rest_of_it_comes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let never = || async {
        (StatusCode::OK, axum::body::Body::from_stream(futures::stream::pending::<Result<String, Infallible>>()))
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/events", post(never))).await });
    let mut world =
        World::new(Sink::CdEvents, &FakeSink::default(), Template::default(), FakeServer::with(1..=1)).await;
    world.outlet.settings.endpoint = Endpoint::new(Some(&url), None).unwrap();
    world.deliver().await;
    assert_eq!(world.server.marks(), [r#"{"pact-operator.dev/announced-cdevents":"1"}"#]);
}

#[tokio::test]
async fn a_mark_of_another_leader_that_came_further_stays_and_who_leads_no_longer_notes_nothing() {
    let sink = FakeSink::default();
    let mut world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=2)).await;
    let object = world.server.object.lock().unwrap().clone();
    let mut further = object.clone();
    further.metadata.resource_version = Some("9".into());
    further.annotations_mut().insert(Sink::CdEvents.annotation(), "7".into());
    world.delivery.records.apply(further);
    assert!(world.delivery.note(&world.outlet, &world.key, &object, 2).await);
    assert!(world.delivery.note(&world.outlet, &world.key, &object, 8).await);
    assert_eq!(world.server.marks().len(), 1, "only what is further");
    let (_granting, standby) = operator_kit::lease::leadership();
    world.delivery.leadership = standby;
    assert!(!world.delivery.note(&world.outlet, &world.key, &object, 9).await);
    assert_eq!(world.server.marks().len(), 1);
}

#[tokio::test]
async fn case_107_after_a_restore_other_news_of_the_same_numbers_are_delivered() {
    let sink = FakeSink::default();
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=3)).await;
    // Delivered while the API server was down.
    world.server.broken.store(true, Ordering::Relaxed);
    world.deliver().await;
    assert_eq!(sink.sequences(), [1, 2, 3]);
    world.server.broken.store(false, Ordering::Relaxed);
    let restored = FakeServer::with(1..=2).object.lock().unwrap().clone();
    drop(world.delivery.records.set(restored.clone()));
    *world.server.object.lock().unwrap() = restored;
    world.deliver_all().await;
    assert_eq!(sink.sequences(), [1, 2, 3, 1, 2]);
}

#[tokio::test]
async fn what_could_not_be_noted_is_not_delivered_again_by_the_same_process() {
    let sink = FakeSink::default();
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=2)).await;
    world.server.broken.store(true, Ordering::Relaxed);
    world.deliver().await;
    assert_eq!(world.server.marks().len(), 1);
    world.server.broken.store(false, Ordering::Relaxed);
    world.deliver_all().await;
    assert_eq!(sink.sequences(), [1, 2]);
    assert_eq!(world.server.marks().len(), 2, "it is noted as soon as it can be");
}

#[tokio::test]
async fn the_template_of_a_webhook_says_what_is_sent_and_what_is_not() {
    let sink = FakeSink::default();
    let template = r#"{% if version != "2" %}{"text": {{ text }}}{% endif %}"#;
    let world = World::new(Sink::Webhook, &sink, Template::parse(template).unwrap(), FakeServer::with(1..=3)).await;
    world.deliver().await;
    let got: Vec<_> = sink.got.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    let text = |version: i32| json!({"text": format!("{version} of orders in production is deployed")});
    assert_eq!(got, [text(1), text(3)]);
    assert_eq!(world.server.marks(), [r#"{"pact-operator.dev/announced-webhook":"3"}"#]);
}

#[tokio::test]
async fn a_standby_and_a_process_that_ends_deliver_nothing() {
    let sink = FakeSink::default();
    let mut world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=2)).await;
    world.delivery.shutdown.cancel();
    world.deliver().await;
    world.delivery.shutdown = CancellationToken::new();
    let (granting, standby) = operator_kit::lease::leadership();
    world.delivery.leadership = standby;
    world.deliver().await;
    assert!(sink.sequences().is_empty() && world.server.patches.lock().unwrap().is_empty());
    granting.lead_until(std::time::Instant::now() + Duration::from_mins(1));
    world.deliver().await;
    assert_eq!(sink.sequences(), [1, 2]);
}

#[tokio::test]
async fn what_waits_longest_is_due_first_and_its_age_is_known() {
    let sink = FakeSink::default();
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=1)).await;
    assert_eq!(
        world.outlet.due(&world.delivery.records, Timestamp::from_second(91).unwrap()),
        std::slice::from_ref(&world.key)
    );
    assert_eq!(world.outlet.oldest.load(Ordering::Relaxed), 90);
    let other = key("production", "web");
    let mut object = world.server.object.lock().unwrap().clone();
    (object.metadata.name, object.spec) = (Some(other.object_name()), other.spec());
    object.status.as_mut().unwrap().announcements[0].at = Time(Timestamp::from_second(61).unwrap());
    world.delivery.records.apply(object);
    let due = world.outlet.due(&world.delivery.records, Timestamp::from_second(91).unwrap());
    assert_eq!(due, [other, world.key.clone()], "taken from the end");
    world.deliver().await;
    world.outlet.due(&world.delivery.records, Timestamp::from_second(91).unwrap());
    assert_eq!(world.outlet.oldest.load(Ordering::Relaxed), 30);
}

#[tokio::test]
async fn a_sink_that_does_not_answer_holds_nothing_up_at_the_end() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let server = tower::service_fn(|_: axum::http::Request<Body>| async {
        Ok::<_, Infallible>(axum::http::Response::builder().status(500).body(Body::empty()).unwrap())
    });
    let api_server = kube::Client::new(server, "default");
    let records = RecordStore::new(api_server.clone());
    records.apply(FakeServer::with(1..=1).object.lock().unwrap().clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(Some(&format!("http://{}/", listener.local_addr().unwrap())), None).unwrap();
    let shutdown = CancellationToken::new();
    let surroundings = crate::notifier::Surroundings {
        events: EventSink::new(api_server.clone(), "test", "test"),
        client: api_server,
        records,
        leadership: Leadership::always(),
        metrics: operator_kit::metrics::Metrics::new("test", Vec::new()),
        dropped: prometheus_client::metrics::counter::Counter::default(),
        cluster: None,
        user_agent: "test".into(),
        restored: operator_kit::history::History::new().restored(),
        shutdown: shutdown.clone(),
    };
    let sinks = vec![SinkSettings { sink: Sink::CdEvents, endpoint, template: Template::default() }];
    let running = tokio::spawn(crate::notifier::run(sinks, surroundings));
    let _connection = listener.accept().await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_sink_that_fails_is_asked_about_one_object_at_a_time_however_many_wait() {
    let sink = FakeSink::answering(&[(500, None); 100]);
    let world = World::new(Sink::CdEvents, &sink, Template::default(), FakeServer::with(1..=1)).await;
    for number in 0..50 {
        let key = key("production", &format!("app-{number}"));
        let mut object = world.server.object.lock().unwrap().clone();
        (object.metadata.name, object.spec) = (Some(key.object_name()), key.spec());
        world.delivery.records.apply(object);
        world.delivery.deliver(&world.outlet, &key).await;
    }
    assert!(sink.sequences().len() < 15, "{}", sink.sequences().len());
}

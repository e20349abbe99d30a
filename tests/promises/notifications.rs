//! What happens to records is announced: each announcement reaches its sink at least once, those of an application in their
//! order, although the sink fails half the time and the operator is killed meanwhile.
//!
//! `ENDURANCE_ANNOUNCEMENTS=10000` is the long form.

use crate::objects::Objects as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use futures::StreamExt as _;
use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use pact_operator::{
    api::{
        PactDeployment, PactDeploymentStatus,
        deployment::{ANNOUNCEMENTS_LIMIT, Announcement},
        names::{EnvironmentName, Pacticipant},
    },
    workload::{EnvironmentRef, RecordKey},
};
use serde_json::{Value, json};
use testbed::{
    eventually::eventually,
    operator::OperatorOptions,
    test_cluster::{BROKER, SOON, TestCluster, annotated, image, quick},
    webhook::{Person, Webhook, WebhookOptions},
};

use super::{dice::Dice, gate_setup::GateSetup, recorder_asserts::published};

/// What a sink got: of whom, which announcement, and what it answered.
#[derive(Clone, Debug)]
struct Arrival {
    subject: String,
    sequence: i64,
    event: Value,
    answered: u16,
}

/// A sink that fails half the time: before it kept the event, after it, or because it is asked too often.
#[derive(Clone)]
struct HalfBroken {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    dice: Arc<Mutex<Dice>>,
}

impl HalfBroken {
    async fn serve(seed: u64) -> (Self, String) {
        let this = Self { arrivals: Arc::default(), dice: Arc::new(Mutex::new(Dice(seed))) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/cdevents", listener.local_addr().unwrap());
        let sink = this.clone();
        let take = async move |headers: HeaderMap, body: String| sink.take(&headers, &body);
        let router = Router::new().route("/cdevents", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (this, url)
    }

    fn take(&self, headers: &HeaderMap, body: &str) -> (StatusCode, HeaderMap) {
        let event: Value = serde_json::from_str(body).unwrap();
        let id = event["context"]["id"].as_str().unwrap();
        assert_eq!(headers["ce-id"].to_str().unwrap(), id);
        let answered = match self.dice.lock().unwrap().below(20) {
            0..=9 => 202,
            10..=14 => 500,
            15..=17 => 503,
            18 => 404,
            _ => 429,
        };
        let sequence = id.rsplit_once('-').unwrap().1.parse().unwrap();
        let subject = event["subject"]["id"].as_str().unwrap().to_owned();
        self.arrivals.lock().unwrap().push(Arrival { subject, sequence, event, answered });
        let retry_after = (answered == 429).then(|| ("retry-after".parse().unwrap(), "0".parse().unwrap()));
        (StatusCode::from_u16(answered).unwrap(), retry_after.into_iter().collect())
    }

    fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    /// What it has: the different ids that it answered with success.
    fn kept(&self) -> usize {
        let arrivals = self.arrivals.lock().unwrap();
        let kept = arrivals.iter().filter(|arrival| arrival.answered == 202);
        kept.map(|arrival| (&arrival.subject, arrival.sequence)).collect::<BTreeSet<_>>().len()
    }

    /// Waits until it has as many.
    async fn wait_kept(&self, count: usize, cluster: &TestCluster) {
        // Each waits for those before it, and a few fail ten times in a row.
        eventually(format!("{count} announcements to arrive"), 15 * SOON, async || match self.kept() {
            kept if kept >= count => Ok(()),
            kept => Err(format!("{kept}; {}", cluster.logs().lines().rev().take(20).collect::<Vec<_>>().join("\n"))),
        })
        .await;
    }

    /// Asserts that none came before those of its application that precede it had been taken; answers by application the
    /// types of what was taken, each once.
    fn in_order(&self) -> BTreeMap<String, Vec<String>> {
        let mut taken: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for Arrival { subject, sequence, event, answered } in self.arrivals() {
            let of_it = taken.entry(subject.clone()).or_default();
            let last = of_it.last().map_or(0, |(sequence, _)| *sequence);
            assert!(sequence <= last + 1, "{subject}: {sequence} came before {} was taken", last + 1);
            if answered == 202 && sequence == last + 1 {
                let type_ = event["context"]["type"].as_str().unwrap();
                of_it.push((sequence, type_.rsplit('.').nth(3).unwrap().to_owned()));
            }
        }
        let types = |all: Vec<(i64, String)>| all.into_iter().map(|(_, type_)| type_).collect();
        taken.into_iter().map(|(subject, all)| (subject, types(all))).collect()
    }
}

/// An operator that leads at once, and sends CDEvents there.
fn sending(url: &str) -> OperatorOptions {
    quick().arg("--no-leader-election").value("notifications.cdevents.url", url)
}

/// Kills the operator, and starts another one.
async fn kill_and_start(cluster: &mut TestCluster, options: &OperatorOptions) {
    cluster.operators[0].kill9();
    cluster.operators.clear();
    cluster.start_operator(options.clone()).await;
}

#[tokio::test]
async fn what_happens_to_an_application_is_announced_in_order() {
    let (sink, url) = HalfBroken::serve(7).await;
    let options = sending(&url);
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(options.clone()).await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({"record": {"undeployGraceSeconds": 1}})).await;
    published(&cluster, "orders", &["1.0.0", "2.0.0"]);
    let orders = annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
    orders.set_image(&image("2.0.0")).await;
    cluster.wait_recorded(&environment, "orders", "2.0.0").await;
    kill_and_start(&mut cluster, &options).await;
    orders.set_image(&image("1.0.0")).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;

    cluster.broker.store().record_deployment("orders", "0.9.9", &environment, None);
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    sink.wait_kept(4, &cluster).await;

    // A counterpart that it fails: the next version would be denied, and passes by its statement.
    let store = cluster.broker.store();
    store.publish_pact("web", "7", "orders", "what it expects");
    store.publish_version("orders", "3.0.0");
    assert!(store.verify("web", "7", "orders", "3.0.0", false));
    store.record_deployment("web", "7", &environment, None);
    let bypass = [("pact-operator.dev/bypass", "3.0.0 \"outage\"")];
    let rollout = annotated("orders", "orders", "3.0.0");
    bypass
        .iter()
        .fold(rollout, |it, (name, value)| it.annotation(name, value))
        .apply(&cluster.client(), &namespace)
        .await;
    cluster.wait_recorded(&environment, "orders", "3.0.0").await;
    sink.wait_kept(7, &cluster).await;
    orders.delete().await;
    sink.wait_kept(8, &cluster).await;

    let types = sink.in_order().remove("orders").unwrap();
    let after_the_drift: BTreeSet<_> = types[4..7].iter().map(String::as_str).collect();
    assert_eq!(types[..4], ["deployed", "upgraded", "rolledback", "drifted"], "{types:?}");
    assert_eq!(after_the_drift, BTreeSet::from(["bypassed", "upgraded", "wouldbedenied"]), "{types:?}");
    assert_eq!(types[7..], ["removed"], "{types:?}");
    let events: Vec<_> = sink.arrivals().into_iter().map(|arrival| arrival.event).collect();
    let of_type = |type_: &str| {
        let is = |event: &&Value| event["context"]["type"].as_str().unwrap().contains(type_);
        events.iter().find(is).unwrap_or_else(|| panic!("no {type_}"))
    };
    let back = &of_type("rolledback")["customData"];
    assert_eq!((&back["version"], &back["previousVersion"]), (&json!("1.0.0"), &json!("2.0.0")));
    assert_eq!(back["workloads"], json!([format!("Deployment {namespace}/orders")]));
    assert!(of_type("wouldbedenied")["customData"]["message"].as_str().unwrap().contains("web"));
    assert!(of_type("bypassed")["customData"]["message"].as_str().unwrap().contains("\"outage\""));
    assert_eq!(of_type("removed")["subject"]["content"], json!({"environment": {"id": environment}}));

    let metrics = cluster.operators[0].metrics().await;
    for metric in [
        "pact_operator_announcements_delivered_total{sink=\"cdevents\"}",
        "pact_operator_announcement_failures_total{sink=\"cdevents\"}",
        "pact_operator_announcements_oldest_waiting_seconds{sink=\"cdevents\"}",
        "pact_operator_announcements_dropped_total 0",
    ] {
        assert!(metrics.contains(metric), "{metric}: {metrics}");
    }
    let logs = cluster.logs();
    assert!(!logs.contains("Remedy: grant"), "{logs}");
}

#[tokio::test]
async fn a_denial_is_announced_once_although_the_operator_is_killed() {
    let (sink, url) = HalfBroken::serve(3).await;
    let options = sending(&url);
    let cluster = TestCluster::without_operator().await;
    let gate = WebhookOptions::default().value("notifications.cdevents.url", &*url);
    let webhook = Webhook::start(&cluster.control_plane, gate).await;
    let developer = Person::developer(&cluster.control_plane).await;
    let mut setup = GateSetup { cluster, webhook, developer };
    setup.cluster.start_operator(options.clone()).await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "orders");
    setup.running(&environment, "orders", "orders", "1.0.0").await;
    setup.cluster.wait_recorded(&environment.name, "orders", "1.0.0").await;
    let denied = async |setup: &GateSetup| {
        let output = setup.set_version(&environment.namespace, "orders", "2.0.0", &[]).await;
        assert!(output.denial().is_some(), "{output:?}");
    };
    denied(&setup).await;
    // A CREATE that is denied leaves no workload, and no record.
    let create = annotated("another", "orders", "2.0.0").manifest().to_string();
    let output = setup.kubectl_reading(&environment.namespace, &["create", "-f", "-"], &create).await;
    assert!(output.denial().is_some(), "{output:?}");
    // What is no version has none in its announcement, either.
    let output = setup.set_version(&environment.namespace, "orders", "latest", &[]).await;
    assert!(output.denial().is_some(), "{output:?}");
    let of_denials =
        || sink.arrivals().into_iter().filter(|it| it.event["customData"]["kind"] == "Denied").collect::<Vec<_>>();
    eventually("the denials to be taken", 2 * SOON, async || {
        let taken = of_denials()
            .iter()
            .filter(|it| it.answered == 202)
            .map(|it| it.event["context"]["id"].to_string())
            .collect::<BTreeSet<_>>();
        if taken.len() == 3 { Ok(()) } else { Err(format!("{taken:?}")) }
    })
    .await;
    let arrivals = of_denials();
    let of_the_rollout = |it: &&Arrival| {
        let told = &it.event["customData"];
        told["workloads"][0].as_str().unwrap().ends_with("/orders") && told["version"] != ""
    };
    let without_version = arrivals.iter().find(|it| it.event["customData"]["version"] == "").unwrap();
    assert_eq!(without_version.event["subject"]["content"]["artifactId"], "pkg:generic/orders");
    let event = &arrivals.iter().find(of_the_rollout).unwrap().event;
    assert_eq!(event["context"]["type"], "dev.cdeventsx.pactoperator-service.denied.0.1.0");
    assert_eq!((&event["subject"]["id"], &event["customData"]["version"]), (&json!("orders"), &json!("2.0.0")));
    let reason = event["subject"]["content"]["reason"].as_str().unwrap();
    assert!(reason.contains("web-of-orders 7") && reason.contains("(asked by "), "{reason}");

    // Another process finds on the Events that they were delivered; the same denial again is no other one.
    let noted = async || {
        let events = Api::<Event>::namespaced(setup.cluster.client(), &environment.namespace);
        let events = events.list(&ListParams::default()).await.unwrap().into_iter();
        events.filter(|event| event.annotations().contains_key("pact-operator.dev/announced-cdevents")).count()
    };
    eventually("the deliveries to be noted", SOON, async || match noted().await {
        3 => Ok(()),
        noted => Err(noted.to_string()),
    })
    .await;
    let before = of_denials().len();
    kill_and_start(&mut setup.cluster, &options).await;
    denied(&setup).await;
    setup.cluster.broker.store().publish_version("later", "1.0.0");
    setup.running(&environment, "later", "later", "1.0.0").await;
    eventually("what happens later to be announced", 2 * SOON, async || {
        let later = sink.arrivals().iter().any(|it| it.subject == "later" && it.answered == 202);
        if later { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert_eq!(of_denials().len(), before, "{:?}", of_denials());
    let logs = setup.cluster.logs();
    assert!(!logs.contains("Remedy: grant"), "{logs}");
}

/// How many applications there are, each with as many announcements as are kept.
fn applications() -> usize {
    let wanted: usize = std::env::var("ENDURANCE_ANNOUNCEMENTS").map_or(600, |text| text.parse().unwrap());
    wanted.div_ceil(ANNOUNCEMENTS_LIMIT)
}

/// Writes the record of an application of which much happened while nobody delivered it.
async fn record_with_announcements(records: &Api<PactDeployment>, environment: &str, application: usize) {
    let key = RecordKey {
        environment_ref: EnvironmentRef {
            broker: BROKER.into(),
            environment: EnvironmentName::parse(environment).unwrap(),
        },
        pacticipant: Pacticipant::parse(&format!("app-{application:04}")).unwrap(),
        instance: None,
    };
    let one = |number: usize| Announcement {
        sequence: i64::try_from(number).unwrap(),
        kind: if number == 1 { "Deployed" } else { "Upgraded" }.into(),
        at: Time(Timestamp::now()),
        version: format!("{number}.0.0"),
        previous_version: (number > 1).then(|| format!("{}.0.0", number - 1)),
        workloads: vec![format!("Deployment shop/app-{application:04}")],
        message: String::new(),
        sinks: vec!["cdevents".into()],
    };
    let announcements = (1..=ANNOUNCEMENTS_LIMIT).map(one).collect();
    let status = PactDeploymentStatus { announcements, ..PactDeploymentStatus::default() };
    let name = key.object_name();
    records.create(&PostParams::default(), &PactDeployment::new(&name, key.spec())).await.unwrap();
    let status = Patch::Merge(json!({"status": status}));
    records.patch_status(&name, &PatchParams::default(), &status).await.unwrap();
}

#[tokio::test]
async fn endurance_each_announcement_arrives_in_order_although_sink_and_operator_fail() {
    let (sink, url) = HalfBroken::serve(11).await;
    let options = sending(&url);
    let mut cluster = TestCluster::without_operator().await;
    let records = Api::<PactDeployment>::all(cluster.client());
    let environment = cluster.environment(&["nowhere"], json!({})).await;
    let applications = applications();
    let written = (0..applications).map(|number| record_with_announcements(&records, &environment, number));
    futures::stream::iter(written).buffer_unordered(8).collect::<Vec<_>>().await;
    let all = applications * ANNOUNCEMENTS_LIMIT;

    cluster.start_operator(options.clone()).await;
    for part in 1..=3 {
        sink.wait_kept(all * part / 4, &cluster).await;
        kill_and_start(&mut cluster, &options).await;
    }
    sink.wait_kept(all, &cluster).await;

    let taken = sink.in_order();
    assert_eq!(taken.len(), applications);
    for (application, types) in &taken {
        assert_eq!(types.len(), ANNOUNCEMENTS_LIMIT, "{application}");
    }
    let arrivals = sink.arrivals();
    let failed = arrivals.iter().filter(|arrival| arrival.answered != 202).count();
    assert!(failed * 5 > arrivals.len() * 2, "{failed} of {} failed", arrivals.len());
    println!(
        "{all} announcements of {applications} applications: {} requests, {failed} of them failed",
        arrivals.len()
    );
    // Records of which nothing else is known are deleted as soon as their last announcement was delivered, and not before.
    eventually("the records to be gone", SOON, async || {
        let left = records.list(&ListParams::default()).await.unwrap().items;
        if left.is_empty() { Ok(()) } else { Err(format!("{}: {:?}", left.len(), left[0].annotations())) }
    })
    .await;
}

#[tokio::test]
async fn a_sink_that_does_not_answer_loses_the_oldest_announcements_and_that_is_said() {
    // Nobody listens there.
    let options = sending("http://127.0.0.1:9/cdevents").value("notifications.webhook.url", "http://127.0.0.1:9/hook");
    let mut cluster = TestCluster::without_operator().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let records = Api::<PactDeployment>::all(cluster.client());
    record_with_announcements(&records, &environment, 1).await;
    published(&cluster, "app-0001", &["40.0.0"]);
    let live = annotated("app-0001", "app-0001", "40.0.0").apply(&cluster.client(), &namespace).await;
    cluster.start_operator(options).await;
    cluster.wait_recorded(&environment, "app-0001", "40.0.0").await;
    cluster.wait_condition(&environment, "app-0001", ("Ready", "True", "Recorded")).await;
    let record = cluster.record(&environment, "app-0001").await.unwrap();
    let note = cluster.wait_event("default", &record.name_any(), "AnnouncementsDropped").await;
    assert!(note.contains("were dropped before every sink had them"), "{note}");
    let kept: Vec<_> = record.status.unwrap().announcements.iter().map(|one| one.sequence).collect();
    assert_eq!(kept, (2..=33).collect::<Vec<_>>());
    eventually("the drop to be counted, and the age of the oldest", SOON, async || {
        let metrics = cluster.operators[0].metrics().await;
        let counted = metrics.contains("pact_operator_announcements_dropped_total 1");
        let tried = metrics.lines().any(|line| {
            let failures = line.strip_prefix("pact_operator_announcement_failures_total{sink=\"webhook\"} ");
            failures.is_some_and(|failures| failures != "0")
        });
        if counted && tried { Ok(()) } else { Err(metrics) }
    })
    .await;
    assert!(cluster.logs().contains("an announcement is not delivered yet"), "{}", cluster.logs());
    live.delete().await;
}

#[tokio::test]
async fn a_sink_whose_secret_is_missing_is_named_and_recording_goes_on_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (sink, url) = HalfBroken::serve(5).await;
    let mut cluster = TestCluster::without_operator().await;
    let options = quick().arg("--no-leader-election");
    cluster.start_operator(options.arg(&format!("--cdevents-secrets={}", folder.path().display()))).await;
    let logs = cluster.logs();
    assert!(logs.contains("the sink cdevents: the file") && logs.contains("needs the key url"), "{logs}");
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    published(&cluster, "orders", &["1.0.0"]);
    annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    std::fs::write(folder.path().join("url"), url).unwrap();
    sink.wait_kept(1, &cluster).await;
}

#[tokio::test]
async fn what_runs_no_longer_is_said_to_run_no_longer_although_no_sink_takes_what_was_announced_of_it() {
    // Nobody listens there.
    let options = sending("http://127.0.0.1:9/cdevents");
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(options).await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({"gate": {"mode": "Audit"}})).await;
    // Its other versions are published, this one never is: it is announced that it would be denied, and not recorded.
    published(&cluster, "orders", &["1.0.0"]);
    let live = annotated("orders", "orders", "2.0.0").apply(&cluster.client(), &namespace).await;
    let status = async || cluster.record(&environment, "orders").await.and_then(|it| it.status).unwrap_or_default();
    eventually("an announcement to wait", SOON, async || match status().await {
        it if !it.announcements.is_empty() && !it.members.is_empty() => Ok(()),
        it => Err(format!("{it:?}")),
    })
    .await;
    live.delete().await;
    eventually("the record to say that nothing runs", SOON, async || match status().await {
        it if it.members.is_empty() => Ok(()),
        it => Err(format!("{:?}", it.members)),
    })
    .await;
    assert_eq!(status().await.announcements[0].kind, "WouldDeny", "it waits on");
}

#[tokio::test]
async fn without_a_sink_the_event_of_a_denial_says_nothing_for_one() {
    let setup = GateSetup::start().await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "orders");
    setup.running(&environment, "orders", "orders", "1.0.0").await;
    let output = setup.set_version(&environment.namespace, "orders", "2.0.0", &[]).await;
    assert!(output.denial().is_some(), "{output:?}");
    setup.wait_reported(&environment.namespace, "orders", "RolloutDenied").await;
    let events = Api::<Event>::namespaced(setup.cluster.client(), &environment.namespace);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let denied: Vec<_> = events.iter().filter(|event| event.reason.as_deref() == Some("RolloutDenied")).collect();
    assert!(!denied.is_empty() && denied.iter().all(|event| event.annotations().is_empty()), "{denied:?}");
}

#[tokio::test]
async fn a_webhook_gets_what_its_template_makes_with_headers_that_no_log_shows() {
    type Got = Arc<Mutex<Vec<(String, String)>>>;
    let got = Got::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/services/planted-path", listener.local_addr().unwrap());
    let kept = Arc::clone(&got);
    let take = async move |headers: HeaderMap, body: String| {
        let token = headers["authorization"].to_str().unwrap().to_owned();
        kept.lock().unwrap().push((token, body));
        // The first is turned away, so that something is logged.
        if kept.lock().unwrap().len() == 1 { StatusCode::FORBIDDEN } else { StatusCode::OK }
    };
    let router = Router::new().route("/services/{path}", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("headers"), "Authorization: Bearer planted-token\n").unwrap();
    std::fs::write(file("template.json"), r#"{"text": {{ kind ~ ": " ~ text }}}"#).unwrap();

    let mut cluster = TestCluster::without_operator().await;
    let options = quick().value("notifications.webhook.url", &*url);
    let options = options.arg(&format!("--notification-secrets={}", folder.path().display()));
    cluster.start_operator(options.arg(&format!("--notification-template={}", file("template.json").display()))).await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let name = "Order \"Service\"";
    published(&cluster, name, &["1.0.0"]);
    annotated("orders", name, "1.0.0").apply(&cluster.client(), &namespace).await;
    eventually("the announcement to be taken", SOON, async || match got.lock().unwrap().len() {
        2.. => Ok(()),
        count => Err(format!("{count}: {}", cluster.logs())),
    })
    .await;
    let (token, body) = got.lock().unwrap()[1].clone();
    assert_eq!(token, "Bearer planted-token");
    let text = format!("Deployed: 1.0.0 of {name} in {environment} is deployed");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"text": text}));
    let logs = cluster.logs();
    assert!(logs.contains("it does not take the credentials"), "{logs}");
    assert!(!logs.contains("planted-"), "{logs}");
}

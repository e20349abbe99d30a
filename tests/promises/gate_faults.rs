//! Whatever becomes of the broker while somebody rolls out: the answer is ours, in time and with our words, and what the
//! policy says happens. The API server never gives up on us.
#![allow(clippy::print_stdout, reason = "what was measured or said is read by people")]

use crate::objects::Objects as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::Api;
use kube::api::DeleteParams;
use pact_operator::api::{PactBroker, PactEnvironment};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use testbed::eventually::eventually;
use testbed::kubectl::kubectl;
use testbed::load::overload;
use testbed::standin::{Effect, Fault, StandIn};
use testbed::test_cluster::{SOON, TestCluster, annotated, image};
use testbed::webhook::{Person, Webhook, WebhookOptions, sum};

/// How many roll out at once while the broker is broken, into each of two environments.
const MANY: usize = 25;

/// What goes wrong.
enum Break {
    /// Between the gate and the broker.
    Fault(Fault),
    /// The `PactBroker` names another url.
    Url(String),
    /// The environment is deleted at the broker.
    Environment,
}

/// What goes wrong, and what is to be said of it.
struct Case {
    name: &'static str,
    breaks: Break,
    verdict: &'static str,
    /// One of these.
    says: &'static [&'static str],
}

fn fault(name: &'static str, fault: Fault, says: &'static [&'static str]) -> Case {
    Case { name, breaks: Break::Fault(fault), verdict: "BrokerUnavailable", says }
}

fn url(name: &'static str, url: String, says: &'static [&'static str]) -> Case {
    Case { name, breaks: Break::Url(url), verdict: "BrokerUnavailable", says }
}

/// A control plane with the operator and a gate that the API server waits 5 s for.
struct Stage {
    cluster: TestCluster,
    webhook: Webhook,
}

impl Stage {
    async fn set(timeout_seconds: u32) -> Self {
        let cluster = TestCluster::start().await;
        let options = WebhookOptions::default().timeout_seconds(timeout_seconds).failure_policy("Fail");
        let webhook = Webhook::start(&cluster.control_plane, options).await;
        Self { cluster, webhook }
    }

    async fn shared() -> &'static Self {
        static SHARED: OnceCell<Stage> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::set(5)).await
    }

    async fn play(&self, case: Case) {
        println!("--- {}", case.name);
        let act = Act::begin(self, case.name).await;
        act.breaks(&case).await;
        let Case { verdict, says, name, .. } = case;
        act.one_is_denied(name, says).await;
        act.one_is_warned(name).await;
        act.traces(verdict).await;
        act.many(says).await;
        let logs = self.webhook.logs();
        assert!(!logs.contains("panicked"), "{logs}");
        if matches!(case.breaks, Break::Fault(_)) {
            act.mends().await;
        }
        act.ends().await;
    }
}

/// One broker that will break, and two environments at it: one that denies what cannot be checked, and one that says
/// nothing about that.
struct Act<'a> {
    stage: &'a Stage,
    broker: StandIn,
    object: String,
    person: Person,
    strict: EnvironmentRef,
    lenient: EnvironmentRef,
}

/// A namespace and the environment that it lies in.
struct EnvironmentRef {
    namespace: String,
    environment: String,
}

/// Whether the API server gave up on us. Where the machine has far more to do than it can, programs wait for their turn
/// longer than the reserve for the way back lasts, and nobody could answer in time: only then that is no failure.
fn gave_up(text: &str) -> bool {
    let theirs = ["context deadline exceeded", "failed calling webhook", "failed to call webhook", "i/o timeout"];
    if !theirs.iter().any(|theirs| text.contains(theirs)) {
        return false;
    }
    let load = overload().unwrap_or_else(|| panic!("the API server gave up on us: {text}"));
    println!("not counted, the load is {load}: {text}");
    true
}

impl<'a> Act<'a> {
    async fn begin(stage: &'a Stage, name: &str) -> Self {
        let cluster = &stage.cluster;
        let broker = StandIn::start().await;
        let object = format!("{name}-{}", &uuid::Uuid::new_v4().simple().to_string()[..6]);
        cluster.apply::<PactBroker>("PactBroker", &object, json!({"url": broker.url()})).await;
        let deny = json!({"brokerUnavailable": "Deny", "unauthorized": "Deny", "environmentMissing": "Deny",
            "yesVacuous": "Allow"});
        let strict = place(cluster, &broker, &object, deny).await;
        let lenient = place(cluster, &broker, &object, json!({"yesVacuous": "Allow"})).await;
        for number in 1..=3 {
            broker.store().publish_version("orders", &format!("{number}.0.0"));
        }
        let person = Person::developer(&cluster.control_plane).await;
        let act = Self { stage, broker, object, person, strict, lenient };
        for place in [&act.strict, &act.lenient] {
            let (orders, client) = (annotated("orders", "orders", "1.0.0").replicas(0), act.person.client());
            eventually("the gate to know the new broker", SOON, async || {
                orders.try_apply(&client, &place.namespace).await.map(drop).map_err(|error| error.to_string())
            })
            .await;
            // The gate knows the environment, its first inventory and the broker when it denies what is not there.
            eventually("the gate to enforce", SOON, async || {
                let said = act.set_image(place, "no-such-version", true).await;
                if !said.succeeded && said.text.contains("no version") { Ok(()) } else { Err(said.text) }
            })
            .await;
        }
        act
    }

    async fn breaks(&self, case: &Case) {
        match &case.breaks {
            Break::Fault(fault) => self.broker.faults().add(fault.clone()),
            Break::Url(url) => {
                let made = || {
                    let of_ours =
                        |line: &&str| line.contains("a client for the broker was made") && line.contains(&self.object);
                    self.stage.webhook.logs().lines().filter(of_ours).count()
                };
                let before = made();
                self.stage.cluster.apply::<PactBroker>("PactBroker", &self.object, json!({"url": url})).await;
                eventually("the gate to use the new url", SOON, async || {
                    if made() > before { Ok(()) } else { Err("it uses the old one".to_owned()) }
                })
                .await;
            }
            Break::Environment => {
                for place in [&self.strict, &self.lenient] {
                    assert!(self.broker.store().remove_environment(&place.environment));
                }
            }
        }
    }

    /// Takes away what the controller would go on trying to record, every two seconds: what comes next is measured.
    async fn ends(self) {
        let (client, how) = (self.stage.cluster.client(), DeleteParams::default());
        for place in [&self.strict, &self.lenient] {
            Api::<PactEnvironment>::all(client.clone()).delete(&place.environment, &how).await.unwrap();
        }
        Api::<PactBroker>::all(client).delete(&self.object, &how).await.unwrap();
    }

    /// What kubectl says to a developer who sets an image.
    async fn set_image(&self, place: &EnvironmentRef, version: &str, dry_run: bool) -> Said {
        let image = format!("app={}", image(version));
        let mut arguments = vec!["-n", place.namespace.as_str(), "set", "image", "deployment/orders", &image];
        if dry_run {
            arguments.push("--dry-run=server");
        }
        loop {
            let began = Instant::now();
            let output = kubectl(self.person.kubeconfig(), &arguments).await;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            if !gave_up(&text) {
                return Said { succeeded: output.status.success(), text, took: began.elapsed() };
            }
        }
    }

    async fn one_is_denied(&self, name: &str, says: &[&str]) {
        let said = self.set_image(&self.strict, "2.0.0", false).await;
        println!("{name}, denied after {:.1} s: {}", said.took.as_secs_f32(), said.text.trim());
        assert!(!said.succeeded, "{}", said.text);
        let first = said.text.lines().next().unwrap_or_default();
        let ours = format!("orders 2.0.0 could not be checked for {}: ", self.strict.environment);
        assert!(first.contains("denied the request") && first.contains(&ours), "{first}");
        assert!(says.iter().any(|text| first.contains(text)), "none of {says:?}: {first}");
        let remedy = said.text.contains("kubectl get pactbroker") || said.text.contains("The platform team has to");
        assert!(remedy && said.text.contains("In an emergency"), "{}", said.text);
    }

    async fn one_is_warned(&self, name: &str) {
        let said = self.set_image(&self.lenient, "2.0.0", false).await;
        println!("{name}, warned after {:.1} s: {}", said.took.as_secs_f32(), said.text.trim());
        assert!(said.succeeded, "{}", said.text);
        let ours = format!("Warning: orders 2.0.0 → {}: ", self.lenient.environment);
        let warning = said.text.lines().find(|line| line.starts_with(&ours));
        assert!(warning.is_some_and(|line| line.chars().count() <= 120 + "Warning: ".len()), "{}", said.text);
    }

    /// A log line, an Event and a count for each.
    async fn traces(&self, verdict: &str) {
        for (place, reason, action) in
            [(&self.strict, "RolloutDenied", "Deny"), (&self.lenient, "RolloutWarned", "Warn")]
        {
            let wanted = format!("orders 2.0.0 could not be checked for {}: ", place.environment);
            eventually(format!("an Event {reason}: {wanted}"), SOON, async || {
                let notes = self.stage.cluster.events(&place.namespace, "orders", reason).await;
                if notes.iter().any(|note| note.contains(&wanted)) { Ok(()) } else { Err(format!("{notes:?}")) }
            })
            .await;
            let logs = self.stage.webhook.logs();
            let told = [place.namespace.as_str(), verdict, "orders 2.0.0 could not", &format!("action={action}")];
            let found = logs.lines().any(|line| told.iter().all(|text| line.contains(text)));
            assert!(found, "no line with {told:?}:\n{logs}");
            let metrics = self.stage.webhook.metrics().await;
            let of_verdict = format!("verdict=\"{verdict}\"");
            let of_action = format!("action=\"{action}\"");
            let counted = metrics.lines().filter(|line| line.starts_with("pact_operator_gate_decisions_total{"));
            let counted = counted.filter(|line| line.contains(&of_verdict) && line.contains(&of_action));
            assert!(counted.count() > 0, "{verdict} {action}: {metrics}");
        }
    }

    /// Many at once, all of them different.
    async fn many(&self, says: &[&str]) {
        let client = self.person.client();
        let began = Instant::now();
        let strict = join_all((0..MANY).map(async |number| {
            let name = format!("many-{number}");
            let rollout = annotated(&name, &name, "1.0.0").replicas(0);
            rollout.try_apply(&client, &self.strict.namespace).await.err()
        }));
        let lenient = join_all((0..MANY).map(async |number| {
            let name = format!("many-{number}");
            let rollout = annotated(&name, &name, "1.0.0").replicas(0);
            rollout.try_apply(&client, &self.lenient.namespace).await.err()
        }));
        let (strict, lenient) = tokio::join!(strict, lenient);
        for error in strict {
            let Some(kube::Error::Api(status)) = error.as_deref() else { panic!("admitted, or worse: {error:?}") };
            if gave_up(&status.message) {
                continue;
            }
            assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"), "{}", status.message);
            let first = status.message.lines().next().unwrap_or_default();
            // When many fail, the broker is left alone for a while; and more wait for it than get their turn in time.
            let also = ["left alone for some seconds", "gave no answer within", "other questions wait"];
            assert!(says.iter().chain(&also).any(|text| first.contains(text)), "{first}");
        }
        for error in lenient.into_iter().flatten() {
            assert!(gave_up(&error.to_string()), "not admitted: {error}");
        }
        println!("{} at once took {:.1} s", 2 * MANY, began.elapsed().as_secs_f32());
    }

    /// The broker is well again: so is the next rollout, without a word.
    async fn mends(&self) {
        self.broker.faults().clear();
        eventually("a rollout to be checked again", SOON, async || {
            let said = self.set_image(&self.strict, "3.0.0", false).await;
            if said.succeeded && said.text.is_empty() { Ok(()) } else { Err(said.text) }
        })
        .await;
    }
}

struct Said {
    succeeded: bool,
    text: String,
    took: Duration,
}

async fn place(cluster: &TestCluster, broker: &StandIn, object: &str, actions: Value) -> EnvironmentRef {
    let namespace = cluster.namespace().await;
    let environment = format!("env-{namespace}");
    broker.store().add_environment(&environment, false);
    let more = json!({"brokerRef": {"name": object}, "gate": {"mode": "Enforce", "actions": actions}});
    cluster.map(&environment, &[&namespace], more).await;
    cluster.wait_environment(&environment, ("Backfilled", "True", "Recorded")).await;
    EnvironmentRef { namespace, environment }
}

#[tokio::test]
async fn a_broker_that_is_slow_or_silent_costs_a_rollout_its_time_and_our_words_say_so() {
    let stage = Stage::shared().await;
    let late: &[&str] = &["it gave no answer within "];
    stage.play(fault("slow-5", Fault::delay(Duration::from_secs(5)), late)).await;
    stage.play(fault("slow-30", Fault::delay(Duration::from_secs(30)), late)).await;
    stage.play(fault("hanging", Fault::new(Effect::Hang), late)).await;
    // Accepts connections and never says a word.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    stage.play(url("black-hole", format!("http://{}", hole.local_addr().unwrap()), late)).await;
    drop(hole);
}

#[tokio::test]
async fn a_broker_that_answers_wrongly_is_told_from_one_that_refuses_us() {
    let stage = Stage::shared().await;
    stage.play(fault("broken", Fault::status(500), &["HTTP 500"])).await;
    stage.play(fault("html", Fault::new(Effect::Html), &["no Pact Broker answers"])).await;
    stage.play(fault("cut", Fault::new(Effect::CutBody), &["the answer was cut off"])).await;
    let refused: &[&str] = &["refused the credentials (HTTP 401)"];
    stage.play(Case { verdict: "Unauthorized", ..fault("unauthorized", Fault::status(401), refused) }).await;
    let forbidden: &[&str] = &["forbids us"];
    stage.play(Case { verdict: "Unauthorized", ..fault("forbidden", Fault::status(403), forbidden) }).await;
    stage
        .play(Case {
            name: "no-environment",
            breaks: Break::Environment,
            verdict: "EnvironmentMissing",
            says: &["the broker has no environment named"],
        })
        .await;
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_is_told_with_the_reason() {
    let stage = Stage::shared().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    stage.play(url("refused", format!("http://{free}"), &["no connection"])).await;
    // Some resolvers do not say that there is no such host, but nothing for a long time.
    let unknown: &[&str] = &["its host is not known", "it gave no answer within "];
    stage.play(url("unknown-host", "http://broker.invalid:9292".to_owned(), unknown)).await;
    let plain = StandIn::start().await;
    let no_tls = plain.url().replace("http://", "https://");
    stage.play(url("no-tls", no_tls, &["TLS failed"])).await;
    let own = super::broker_tls::own_authority();
    stage.play(url("untrusted", own, &["TLS failed"])).await;
}

#[tokio::test]
async fn a_single_second_is_enough_for_an_answer_of_ours() {
    let stage = Stage::set(1).await;
    let late: &[&str] = &["it gave no answer within "];
    stage.play(fault("hanging", Fault::new(Effect::Hang), late)).await;
    stage.play(fault("slow-5", Fault::delay(Duration::from_secs(5)), late)).await;
    assert!(sum(&stage.webhook.metrics().await, "pact_operator_gate_reviews_total") > 0);
}

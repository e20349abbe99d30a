//! Whatever fails at the broker during a rollout, the gate answers in time with a reason of its own, and acts as the
//! policy says. The API server never gives up on the gate.
#![allow(clippy::print_stdout, reason = "people read what was measured and answered")]

use crate::objects::Objects as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::Api;
use kube::api::DeleteParams;
use pact_operator::api::{PactBroker, PactEnvironment};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use testbed::eventually::eventually;
use testbed::kubectl::kubectl;
use testbed::load::overload;
use testbed::shared::{InUse, Shared};
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

/// What goes wrong, and what the answer must contain.
struct Case {
    name: &'static str,
    breaks: Break,
    verdict: &'static str,
    /// The answer must contain one of these.
    says: &'static [&'static str],
}

fn fault(name: &'static str, fault: Fault, says: &'static [&'static str]) -> Case {
    Case { name, breaks: Break::Fault(fault), verdict: "BrokerUnavailable", says }
}

fn url(name: &'static str, url: String, says: &'static [&'static str]) -> Case {
    Case { name, breaks: Break::Url(url), verdict: "BrokerUnavailable", says }
}

/// A control plane with the operator, and a gate that the API server waits for only a few seconds.
struct Setup {
    cluster: TestCluster,
    webhook: Webhook,
}

impl Setup {
    async fn start(timeout_seconds: u32) -> Self {
        let cluster = TestCluster::start().await;
        let options = WebhookOptions::default().timeout_seconds(timeout_seconds).failure_policy("Fail");
        let webhook = Webhook::start(&cluster.control_plane, options).await;
        Self { cluster, webhook }
    }

    async fn shared() -> InUse<Self> {
        static SHARED: Shared<Setup> = Shared::new();
        SHARED.get(|| Self::start(5)).await
    }

    async fn run_case(&self, case: Case) {
        println!("--- {}", case.name);
        let run = CaseRun::begin(self, case.name).await;
        run.break_broker(&case).await;
        let Case { verdict, says, name, .. } = case;
        run.check_denied(name, says).await;
        run.check_warned(name).await;
        run.check_traces(verdict).await;
        run.check_many_at_once(says).await;
        let logs = self.webhook.logs();
        assert!(!logs.contains("panicked"), "{logs}");
        if matches!(case.breaks, Break::Fault(_)) {
            run.check_recovery().await;
        }
        run.clean_up().await;
    }
}

/// One broker that will fail, and two environments at it: one that denies what cannot be checked, and one with the
/// default.
struct CaseRun<'a> {
    setup: &'a Setup,
    broker: StandIn,
    object: String,
    person: Person,
    strict: MappedEnvironment,
    lenient: MappedEnvironment,
}

/// A namespace and the environment that it is mapped to.
struct MappedEnvironment {
    namespace: String,
    name: String,
}

/// Whether the API server gave up on the gate. On an overloaded machine programs wait for a processor for longer than
/// the time reserve of an answer, so that no gate could answer in time: only then it is no failure.
fn gave_up(text: &str) -> bool {
    let theirs = ["context deadline exceeded", "failed calling webhook", "failed to call webhook", "i/o timeout"];
    if !theirs.iter().any(|theirs| text.contains(theirs)) {
        return false;
    }
    let load = overload().unwrap_or_else(|| panic!("the API server gave up on the gate: {text}"));
    println!("not counted, the load is {load}: {text}");
    true
}

impl<'a> CaseRun<'a> {
    async fn begin(setup: &'a Setup, name: &str) -> Self {
        let cluster = &setup.cluster;
        let broker = StandIn::start().await;
        let object = format!("{name}-{}", &uuid::Uuid::new_v4().simple().to_string()[..6]);
        cluster.apply::<PactBroker>("PactBroker", &object, json!({"url": broker.url()})).await;
        let deny = json!({"brokerUnavailable": "Deny", "unauthorized": "Deny", "environmentMissing": "Deny",
            "yesVacuous": "Allow"});
        let strict = map_environment(cluster, &broker, &object, deny).await;
        let lenient = map_environment(cluster, &broker, &object, json!({"yesVacuous": "Allow"})).await;
        for number in 1..=3 {
            broker.store().publish_version("orders", &format!("{number}.0.0"));
        }
        let person = Person::developer(&cluster.control_plane).await;
        let run = Self { setup, broker, object, person, strict, lenient };
        for environment in [&run.strict, &run.lenient] {
            let (orders, client) = (annotated("orders", "orders", "1.0.0").replicas(0), run.person.client());
            eventually("the gate to know the new broker", SOON, async || {
                orders.try_apply(&client, &environment.namespace).await.map(drop).map_err(|error| error.to_string())
            })
            .await;
            // When the gate denies a missing version, it knows the environment, its first inventory and the broker.
            eventually("the gate to enforce", SOON, async || {
                let output = run.set_image(environment, "no-such-version", true).await;
                if !output.succeeded && output.text.contains("no version") { Ok(()) } else { Err(output.text) }
            })
            .await;
        }
        run
    }

    async fn break_broker(&self, case: &Case) {
        match &case.breaks {
            Break::Fault(fault) => self.broker.faults().add(fault.clone()),
            Break::Url(url) => {
                let made = || {
                    let of_ours =
                        |line: &&str| line.contains("a client for the broker was made") && line.contains(&self.object);
                    self.setup.webhook.logs().lines().filter(of_ours).count()
                };
                let before = made();
                self.setup.cluster.apply::<PactBroker>("PactBroker", &self.object, json!({"url": url})).await;
                eventually("the gate to use the new url", SOON, async || {
                    if made() > before { Ok(()) } else { Err("it uses the old one".to_owned()) }
                })
                .await;
            }
            Break::Environment => {
                for environment in [&self.strict, &self.lenient] {
                    assert!(self.broker.store().remove_environment(&environment.name));
                }
            }
        }
    }

    /// Removes the environments, which the controller would try to record every two seconds, since the next case is
    /// measured.
    async fn clean_up(self) {
        let (client, how) = (self.setup.cluster.client(), DeleteParams::default());
        for environment in [&self.strict, &self.lenient] {
            Api::<PactEnvironment>::all(client.clone()).delete(&environment.name, &how).await.unwrap();
        }
        Api::<PactBroker>::all(client).delete(&self.object, &how).await.unwrap();
    }

    /// The output of kubectl for a developer who sets an image.
    async fn set_image(&self, environment: &MappedEnvironment, version: &str, dry_run: bool) -> CommandOutput {
        let image = format!("app={}", image(version));
        let mut arguments = vec!["-n", environment.namespace.as_str(), "set", "image", "deployment/orders", &image];
        if dry_run {
            arguments.push("--dry-run=server");
        }
        loop {
            let began = Instant::now();
            let output = kubectl(self.person.kubeconfig(), &arguments).await;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            if !gave_up(&text) {
                return CommandOutput { succeeded: output.status.success(), text, took: began.elapsed() };
            }
        }
    }

    async fn check_denied(&self, name: &str, says: &[&str]) {
        let output = self.set_image(&self.strict, "2.0.0", false).await;
        println!("{name}, denied after {:.1} s: {}", output.took.as_secs_f32(), output.text.trim());
        assert!(!output.succeeded, "{}", output.text);
        let first = output.text.lines().next().unwrap_or_default();
        let ours = format!("orders 2.0.0 could not be checked for {}: ", self.strict.name);
        assert!(first.contains("denied the request") && first.contains(&ours), "{first}");
        assert!(says.iter().any(|text| first.contains(text)), "none of {says:?}: {first}");
        let remedy = output.text.contains("kubectl get pactbroker") || output.text.contains("The platform team has to");
        assert!(remedy && output.text.contains("In an emergency"), "{}", output.text);
    }

    async fn check_warned(&self, name: &str) {
        let output = self.set_image(&self.lenient, "2.0.0", false).await;
        println!("{name}, warned after {:.1} s: {}", output.took.as_secs_f32(), output.text.trim());
        assert!(output.succeeded, "{}", output.text);
        let ours = format!("Warning: orders 2.0.0 → {}: ", self.lenient.name);
        let warning = output.text.lines().find(|line| line.starts_with(&ours));
        assert!(warning.is_some_and(|line| line.chars().count() <= 120 + "Warning: ".len()), "{}", output.text);
    }

    /// Asserts that each has a log line, an Event and a count.
    async fn check_traces(&self, verdict: &str) {
        for (environment, reason, action) in
            [(&self.strict, "RolloutDenied", "Deny"), (&self.lenient, "RolloutWarned", "Warn")]
        {
            let wanted = format!("orders 2.0.0 could not be checked for {}: ", environment.name);
            eventually(format!("an Event {reason}: {wanted}"), SOON, async || {
                let notes = self.setup.cluster.events(&environment.namespace, "orders", reason).await;
                if notes.iter().any(|note| note.contains(&wanted)) { Ok(()) } else { Err(format!("{notes:?}")) }
            })
            .await;
            let logs = self.setup.webhook.logs();
            let expected =
                [environment.namespace.as_str(), verdict, "orders 2.0.0 could not", &format!("action={action}")];
            let found = logs.lines().any(|line| expected.iter().all(|text| line.contains(text)));
            assert!(found, "no line with {expected:?}:\n{logs}");
            let metrics = self.setup.webhook.metrics().await;
            let of_verdict = format!("verdict=\"{verdict}\"");
            let of_action = format!("action=\"{action}\"");
            let counted = metrics.lines().filter(|line| line.starts_with("pact_operator_gate_decisions_total{"));
            let counted = counted.filter(|line| line.contains(&of_verdict) && line.contains(&of_action));
            assert!(counted.count() > 0, "{verdict} {action}: {metrics}");
        }
    }

    /// Many at once, all of them different.
    async fn check_many_at_once(&self, says: &[&str]) {
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
            // When many questions fail, the gate pauses those to that broker; and more wait than can be sent in time.
            let also = ["left alone for some seconds", "gave no answer within", "other questions wait"];
            assert!(says.iter().chain(&also).any(|text| first.contains(text)), "{first}");
        }
        for error in lenient.into_iter().flatten() {
            assert!(gave_up(&error.to_string()), "not admitted: {error}");
        }
        println!("{} at once took {:.1} s", 2 * MANY, began.elapsed().as_secs_f32());
    }

    /// The broker works again: the next rollout passes without a warning.
    async fn check_recovery(&self) {
        self.broker.faults().clear();
        eventually("a rollout to be checked again", SOON, async || {
            let output = self.set_image(&self.strict, "3.0.0", false).await;
            if output.succeeded && output.text.is_empty() { Ok(()) } else { Err(output.text) }
        })
        .await;
    }
}

struct CommandOutput {
    succeeded: bool,
    text: String,
    took: Duration,
}

async fn map_environment(cluster: &TestCluster, broker: &StandIn, object: &str, actions: Value) -> MappedEnvironment {
    let namespace = cluster.namespace().await;
    let environment = format!("env-{namespace}");
    broker.store().add_environment(&environment, false);
    let more = json!({"brokerRef": {"name": object}, "gate": {"mode": "Enforce", "actions": actions}});
    cluster.map(&environment, &[&namespace], more).await;
    cluster.wait_environment(&environment, ("MembersListed", "True", "Listed")).await;
    MappedEnvironment { namespace, name: environment }
}

#[tokio::test]
async fn a_slow_or_silent_broker_delays_a_rollout_for_a_bounded_time_and_the_answer_says_why() {
    let setup = Setup::shared().await;
    let late: &[&str] = &["it gave no answer within "];
    setup.run_case(fault("slow-5", Fault::delay(Duration::from_secs(5)), late)).await;
    setup.run_case(fault("slow-30", Fault::delay(Duration::from_secs(30)), late)).await;
    setup.run_case(fault("hanging", Fault::new(Effect::Hang), late)).await;
    // Accepts connections and never answers.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    setup.run_case(url("black-hole", format!("http://{}", hole.local_addr().unwrap()), late)).await;
    drop(hole);
}

#[tokio::test]
async fn a_broker_that_answers_wrongly_is_distinguished_from_one_that_refuses_access() {
    let setup = Setup::shared().await;
    setup.run_case(fault("broken", Fault::status(500), &["HTTP 500"])).await;
    setup.run_case(fault("html", Fault::new(Effect::Html), &["no Pact Broker answers"])).await;
    setup.run_case(fault("cut", Fault::new(Effect::CutBody), &["the answer was cut off"])).await;
    let refused: &[&str] = &["refused the credentials (HTTP 401)"];
    setup.run_case(Case { verdict: "Unauthorized", ..fault("unauthorized", Fault::status(401), refused) }).await;
    let forbidden: &[&str] = &["forbids us"];
    setup.run_case(Case { verdict: "Unauthorized", ..fault("forbidden", Fault::status(403), forbidden) }).await;
    setup
        .run_case(Case {
            name: "no-environment",
            breaks: Break::Environment,
            verdict: "EnvironmentMissing",
            says: &["the broker has no environment named"],
        })
        .await;
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_is_reported_with_the_reason() {
    let setup = Setup::shared().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    setup.run_case(url("refused", format!("http://{free}"), &["no connection"])).await;
    // Some resolvers do not report an unknown host, but give no answer for a long time.
    let unknown: &[&str] = &["its host is not known", "it gave no answer within "];
    setup.run_case(url("unknown-host", "http://broker.invalid:9292".to_owned(), unknown)).await;
    let plain = StandIn::start().await;
    let no_tls = plain.url().replace("http://", "https://");
    setup.run_case(url("no-tls", no_tls, &["TLS failed"])).await;
    let own = super::broker_tls::own_authority();
    setup.run_case(url("untrusted", own, &["TLS failed"])).await;
}

#[tokio::test]
async fn a_timeout_of_one_second_is_enough_for_the_gate_to_answer() {
    let setup = Setup::start(1).await;
    let late: &[&str] = &["it gave no answer within "];
    setup.run_case(fault("hanging", Fault::new(Effect::Hang), late)).await;
    setup.run_case(fault("slow-5", Fault::delay(Duration::from_secs(5)), late)).await;
    assert!(sum(&setup.webhook.metrics().await, "pact_operator_gate_reviews_total") > 0);
}

//! A bypass is a statement about one version, with a reason, by somebody who may: case 73. Everybody else is asked,
//! whatever their rights.

use crate::objects::Objects as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::path::Path;
use tokio::sync::Mutex;

use super::gate_setup::{CommandOutput, GateSetup, MappedEnvironment};
use super::recorder_asserts::condition;
use testbed::chart::RELEASE;
use testbed::eventually::eventually;
use testbed::kubectl::{kubectl, kubectl_ok, kubectl_reading};
use testbed::rendered::Rendered;
use testbed::rollout::{Live, deployment};
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::{SOON, annotated, image};
use testbed::values::Values;
use testbed::webhook::{Person, WebhookOptions, sum};

const BYPASS: &str = "pact-operator.dev/bypass";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Calls are counted for the whole process: one test at a time.
static COUNTING: Mutex<()> = Mutex::const_new(());

/// A gate that is asked about everybody, where Argo CD's account is listed and Flux's are not.
async fn setup() -> InUse<GateSetup> {
    static SETUP: Shared<GateSetup> = Shared::new();
    let options = || {
        let listed = json!(["people:argocd-application-controller"]);
        WebhookOptions::default().for_everybody().value("webhook.bypassServiceAccounts", listed)
    };
    SETUP.get(async || GateSetup::start_with(options()).await).await
}

/// `kubectl patch`: this version, and this statement if any, in one request.
async fn roll_out(
    kubeconfig: &Path,
    namespace: &str,
    name: &str,
    version: &str,
    statement: Option<&str>,
) -> CommandOutput {
    let containers = json!([{"name": "app", "image": image(version)}]);
    let mut patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    if let Some(statement) = statement {
        patch["metadata"] = json!({"annotations": {BYPASS: statement}});
    }
    let target = format!("deployment/{name}");
    let patch = ["-n", namespace, "patch", &target, "-p", &patch.to_string()];
    CommandOutput::of(&kubectl(kubeconfig, &patch).await)
}

/// The first line of our denial.
fn denied(output: &CommandOutput) -> &str {
    output.denial().unwrap_or_else(|| panic!("{output:?}"))
}

#[tokio::test]
async fn case_73_accounts_that_hold_every_right_are_asked_like_everybody() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let MappedEnvironment { namespace, name: environment } = &setup.gated(json!({"mode": "Enforce"})).await;
    let cp = &setup.cluster.control_plane;
    let admin = cp.kubeconfig().to_owned();
    let mut accounts = vec![("admin", admin, true), ("on-call", Person::on_call(cp).await.kubeconfig, true)];
    for (account, listed) in
        [("argocd-application-controller", true), ("kustomize-controller", false), ("helm-controller", false)]
    {
        accounts.push((account, Person::named(cp, account).await.kubeconfig, listed));
    }
    for (account, kubeconfig, passes) in &accounts {
        let app = &format!("of-{account}");
        setup.provider_that_breaks(environment, app);
        let may = kubectl_ok(kubeconfig, &["auth", "can-i", "bypass", "pactenvironments.pact-operator.dev"]).await;
        assert_eq!(may.trim(), "yes", "{account}");
        let manifest = annotated(app, app, "1.0.0").manifest().to_string();
        setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await.silent();
        // The API server repeats a patch, calls included, that conflicts with the Deployment controller's writes.
        Live::new(&setup.client(), namespace, app).wait_complete().await;

        let before = setup.webhook.reviews().await;
        let text = denied(&roll_out(kubeconfig, namespace, app, "2.0.0", None).await).to_owned();
        assert!(text.starts_with(&format!("{app} 2.0.0 may not be deployed to {environment}: ")), "{account}: {text}");
        assert!(text.contains(&format!("{BYPASS}=\"2.0.0 REASON\"")), "{account}: {text}");
        for (statement, why) in
            [("1.0.0 the shop is down", "it is for 1.0.0, and 2.0.0 would run"), ("2.0.0", "it gives no reason")]
        {
            let output = roll_out(kubeconfig, namespace, app, "2.0.0", Some(statement)).await;
            let expected = format!("The annotation {BYPASS} does not count: {why}");
            assert!(denied(&output).contains(&expected), "{account}: {output:?}");
        }
        let asked = setup.webhook.reviews().await;
        assert!(asked >= before + 3, "{account} was not asked");

        let output = roll_out(kubeconfig, namespace, app, "2.0.0", Some("2.0.0 the shop is down")).await;
        if *passes {
            output.silent();
            assert_eq!(setup.webhook.reviews().await, asked, "{account} was asked in spite of its statement");
        } else {
            assert!(denied(&output).contains("webhook.bypassServiceAccounts"), "{account}: {output:?}");
        }
    }
}

#[tokio::test]
async fn case_73_a_bypass_is_told_and_counted_until_its_version_is_judged_yes_and_ends_with_it() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let MappedEnvironment { namespace, name: environment } = &setup.gated(json!({"mode": "Enforce"})).await;
    let on_call = Person::on_call(&setup.cluster.control_plane).await;
    setup.provider_that_breaks(environment, "traced");
    let manifest = annotated("traced", "traced", "1.0.0").manifest().to_string();
    setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await.silent();
    roll_out(on_call.kubeconfig(), namespace, "traced", "2.0.0", Some("2.0.0 the shop is down")).await.silent();

    let note = setup.cluster.wait_event(namespace, "traced", "RolloutBypassed").await;
    assert!(note.contains("states that 2.0.0 passes the gate unasked: the shop is down"), "{note}");
    let bypassed = ("Bypassed", "True", "RolloutBypassed");
    setup.cluster.wait_condition(environment, "traced", bypassed).await;
    let counted = async || sum(&setup.cluster.operators[0].metrics().await, "pact_operator_records_bypassed");
    assert!(counted().await >= 1);

    let store = setup.cluster.broker.store();
    assert!(store.verify("web-of-traced", "7", "traced", "2.0.0", true));
    eventually("the version to be judged yes", SOON, async || {
        let record = setup.cluster.record(environment, "traced").await.expect("it is recorded");
        match condition(&record, "Bypassed") {
            None => Ok(()),
            Some(still) => Err(format!("{still:?}")),
        }
    })
    .await;

    // The statement is still there, and about another version.
    assert!(store.verify("web-of-traced", "7", "traced", "3.0.0", false));
    let output = roll_out(on_call.kubeconfig(), namespace, "traced", "3.0.0", None).await;
    assert!(denied(&output).contains("does not count: it is for 2.0.0, and 3.0.0 would run"), "{output:?}");
    assert!(output.warnings().iter().any(|warning| warning.contains("does not count")), "{output:?}");
}

#[tokio::test]
async fn case_73_the_api_server_compares_what_it_can_and_leaves_the_rest_to_the_gate() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let MappedEnvironment { namespace, .. } = &setup.gated(json!({"mode": "Enforce"})).await;
    let on_call = Person::on_call(&setup.cluster.control_plane).await;
    let image = |tag: &str| format!("localhost:5000/shop/forms{tag}");
    let alone = |tag: &str| deployment("forms").image(&image(tag)).replicas(0);
    let beside = |tag: &str| alone(tag).container("proxy", "proxy:2.0.0");
    let version = |text: &str| ("pact-operator.dev/version".to_owned(), text.to_owned());
    let container = |text: &str| ("pact-operator.dev/container".to_owned(), text.to_owned());
    let digest = format!("@{DIGEST}");
    let both = format!(":2.0.0@{DIGEST}");
    let long = format!("2.0.0 {}", "x".repeat(2_000));
    for (what, rollout, more, statement, calls) in [
        ("a tag", alone(":2.0.0"), vec![], "2.0.0 why", 0),
        ("a tag and a digest", alone(&both), vec![], "2.0.0 why", 0),
        ("a digest and the version", alone(&digest), vec![version("2.0.0")], "2.0.0 why", 0),
        ("the version, whatever the tag", alone(":7"), vec![version("2.0.0")], "2.0.0 why", 0),
        ("the named container", beside(":2.0.0"), vec![container("app")], "2.0.0 why", 0),
        ("more white space", alone(":2.0.0"), vec![], "  2.0.0   why ", 0),
        ("the end of another tag", alone(":12.0.0"), vec![], "2.0.0 why", 1),
        ("a port", deployment("forms").image("localhost:5000/forms"), vec![], "5000/forms why", 1),
        ("another version", alone(":2.0.0"), vec![version("1.0.0")], "2.0.0 why", 1),
        ("another container", beside(":1.0.0"), vec![container("app")], "2.0.0 why", 1),
        ("no container named", beside(":2.0.0"), vec![], "2.0.0 why", 1),
        ("a digest alone", alone(&digest), vec![], "2.0.0 why", 1),
        ("no reason", alone(":2.0.0"), vec![], "2.0.0", 1),
        ("no reason but white space", alone(":2.0.0"), vec![], "2.0.0   ", 1),
        ("nothing", alone(":2.0.0"), vec![], "", 1),
        ("what is never a version", alone(":latest"), vec![], "latest why", 1),
        ("a longer statement than is compared", alone(":2.0.0"), vec![], &long, 1),
    ] {
        let rollout = more.iter().fold(rollout, |rollout, (key, value)| rollout.annotation(key, value));
        let rollout = rollout.annotation("pact-operator.dev/pacticipant", "forms").annotation(BYPASS, statement);
        let before = setup.webhook.reviews().await;
        let create = ["-n", namespace, "create", "--dry-run=server", "-f", "-"];
        kubectl_reading(on_call.kubeconfig(), &create, &rollout.manifest().to_string()).await;
        assert_eq!(setup.webhook.reviews().await - before, calls, "{what}");
    }
}

/// Under `Ignore`, a condition that fails admits the request: nobody must be able to write an object for which it does.
#[tokio::test]
async fn case_73_no_object_makes_the_condition_cost_too_much() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let MappedEnvironment { namespace, name: environment } = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(environment, "heavy");
    let words = "2.0.0 ".repeat(30_000);
    let spaces = " ".repeat(150_000);
    let name = "x".repeat(150_000);
    for (what, bypass, more) in [
        ("a long statement", words.as_str(), None),
        ("nothing but white space", &spaces, None),
        ("a long name of the container", "2.0.0 why", Some(("pact-operator.dev/container", &name))),
        ("a long version", "2.0.0 why", Some(("pact-operator.dev/version", &name))),
        ("a name that has to be trimmed", "2.0.0 why", Some(("pact-operator.dev/container", &spaces))),
    ] {
        let mut rollout = annotated("heavy", "heavy", "2.0.0").annotation(BYPASS, bypass);
        for number in 0..300 {
            rollout = rollout.container(&format!("side-{number}"), &image("2.0.0"));
        }
        if let Some((key, value)) = more {
            rollout = rollout.annotation(key, value);
        }
        let (before, create) = (setup.webhook.reviews().await, ["create", "--dry-run=server", "-f", "-"]);
        let output = setup.kubectl_reading(namespace, &create, &rollout.manifest().to_string()).await;
        assert!(output.denial().is_some(), "{what}: {}", &output.err[..output.err.len().min(1_000)]);
        assert_eq!(setup.webhook.reviews().await, before + 1, "{what}");
    }
}

#[tokio::test]
async fn case_73_where_only_the_rules_tell_the_version_the_gate_judges_the_statement_itself() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let namespace = &setup.cluster.namespace().await;
    let more = json!({"gate": {"mode": "Enforce"}, "version": {"tagPattern": "^v(?<version>[0-9.]+)$"}});
    let environment = &setup.cluster.environment(&[namespace], more).await;
    setup.members_listed(environment).await;
    setup.provider_that_breaks(environment, "patterned");
    let manifest = annotated("patterned", "patterned", "v1.0.0").manifest().to_string();
    setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await.silent();
    let counted = async || {
        let metrics = setup.webhook.metrics().await;
        sum(&metrics.replace("total{outcome=\"Bypassed\"}", "bypassed"), "pact_operator_gate_passed_bypassed")
    };
    let cp = &setup.cluster.control_plane;
    let helm = Person::named(cp, "helm-controller").await;
    for (who, kubeconfig, why) in [
        ("jane", Person::jane(cp).await.kubeconfig, "does not hold the verb bypass"),
        ("helm-controller", helm.kubeconfig, "webhook.bypassServiceAccounts"),
    ] {
        let output = roll_out(&kubeconfig, namespace, "patterned", "v2.0.0", Some("2.0.0 the shop is down")).await;
        assert!(denied(&output).contains(why), "{who}: {output:?}");
    }
    // The admin's right is that of a group.
    for (who, kubeconfig, version) in
        [("on-call", Person::on_call(cp).await.kubeconfig, "v2.0.0"), ("admin", cp.kubeconfig().to_owned(), "v4.0.0")]
    {
        let statement = format!("{} the shop is down", &version[1..]);
        let before = (setup.webhook.reviews().await, counted().await);
        let output = roll_out(&kubeconfig, namespace, "patterned", version, Some(&statement)).await;
        // A patch that meets a status of that moment is tried again by the API server, and reviewed again.
        let (reviewed, bypassed) = (setup.webhook.reviews().await - before.0, counted().await - before.1);
        assert!(reviewed >= 1 && reviewed == bypassed, "{who}: {bypassed} of {reviewed}");
        let said = format!("not checked with Pact: {BYPASS} states {} (the shop is down)", &version[1..]);
        assert_eq!((output.code, output.warnings()), (0, vec![said.as_str()]), "{who}");
    }
}

#[tokio::test]
async fn case_73_the_audit_log_keeps_a_bypass_that_the_gate_was_not_called_for() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let cp = &setup.cluster.control_plane;
    let mut values = Values::default();
    values.set("bypassAudit.enabled", true);
    values.set("webhook.bypassServiceAccounts", json!(["people:argocd-application-controller"]));
    let rendered = Rendered::with(cp, RELEASE, &values).await;
    rendered.apply(cp, &["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]).await;
    let policy = || async {
        let get = ["get", "validatingadmissionpolicy", "pact-operator-bypass", "-o", "json"];
        serde_json::from_str::<DynamicObject>(&kubectl_ok(cp.kubeconfig(), &get).await).unwrap().data
    };
    eventually("the policy's types to be checked", SOON, async || {
        let status = policy().await["status"].clone();
        if status["observedGeneration"].is_null() { Err(status.to_string()) } else { Ok(()) }
    })
    .await;
    let warnings = policy().await["status"]["typeChecking"]["expressionWarnings"].clone();
    assert!(warnings.is_null(), "{warnings}");

    let MappedEnvironment { namespace, name: environment } = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(environment, "audited");
    // The testbed's API server keeps the requests of accounts.
    let argo = Person::named(cp, "argocd-application-controller").await;
    let statement = "2.0.0 the shop is down";
    let rollout = annotated("audited", "audited", "2.0.0").annotation(BYPASS, statement).manifest().to_string();
    let create = ["-n", namespace, "create", "--dry-run=server", "-f", "-"];
    eventually("the audit log to keep the statement", SOON, async || {
        // A policy takes effect some time after it was created.
        CommandOutput::of(&kubectl_reading(argo.kubeconfig(), &create, &rollout).await).silent();
        let log = std::fs::read_to_string(cp.audit_log().expect("the API server keeps one")).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut kept = events.filter(|event| event["annotations"]["pact-operator-bypass/statement"] == statement);
        kept.next().map(drop).ok_or_else(|| "it does not".to_owned())
    })
    .await;
    let delete = ["delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "pact-operator-bypass"];
    kubectl_ok(cp.kubeconfig(), &delete).await;
}

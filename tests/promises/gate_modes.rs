//! Nine verdicts in four modes: the output that people get, the Deployment's Events, and the counters.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use pact_operator::api::gate::{GateAction, GateActions, GateMode};
use pact_operator::decide::Verdict;
use serde_json::json;
use tokio::sync::Mutex;

use super::gate_setup::{CommandOutput, GateSetup, MappedEnvironment, consumer_of, provider_that_breaks};
use testbed::eventually::{always, eventually};
use testbed::shared::{InUse, Shared};
use testbed::standin::{Auth, StandIn};
use testbed::test_cluster::{SOON, annotated};
use testbed::webhook::sum;

/// Decisions are counted for the whole process: one test at a time.
static COUNTING: Mutex<()> = Mutex::const_new(());

const MODES: [GateMode; 4] = [GateMode::Off, GateMode::Audit, GateMode::Warn, GateMode::Enforce];

/// The verdicts in an order in which they can be made one after the other.
const VERDICTS: [Verdict; 9] = [
    Verdict::Yes,
    Verdict::YesVacuous,
    Verdict::No,
    Verdict::Unknown,
    Verdict::VersionMissing,
    Verdict::PacticipantUnknown,
    Verdict::EnvironmentMissing,
    Verdict::Unauthorized,
    Verdict::BrokerUnavailable,
];

async fn setup() -> InUse<GateSetup> {
    static SETUP: Shared<GateSetup> = Shared::new();
    SETUP.get(GateSetup::start).await
}

#[tokio::test]
async fn every_verdict_has_its_outcome_event_and_count_in_every_mode() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let broker = setup.own_broker("modes").await;
    let mut environments = Vec::new();
    for mode in MODES {
        environments.push((mode, setup.gated_by("modes", &broker, json!({"mode": mode})).await));
    }
    for (_, environment) in &environments {
        for verdict in VERDICTS {
            prepare(&broker, &environment.name, verdict);
            let app = app(verdict);
            annotated(&app, &app, "1.0.0").apply(&setup.cluster.client(), &environment.namespace).await;
        }
    }
    let mut reported: Vec<Vec<String>> = vec![Vec::new(); MODES.len()];
    for verdict in VERDICTS {
        bring_about(&broker, &environments, verdict).await;
        for ((mode, environment), reported) in environments.iter().zip(&mut reported) {
            let (action, wanted) = (capped(verdict, *mode), usual(verdict));
            let labels =
                format!(r#"{{verdict="{verdict}",action="{action:?}",wanted="{wanted:?}",mode="{}"}}"#, mode.name());
            let (before, these) = (counted(&setup, "").await, counted(&setup, &labels).await);
            let output = setup.set_version(&environment.namespace, &app(verdict), "2.0.0", &[]).await;
            assert_output(&output, verdict, *mode, environment);
            if let Some(reason) = event(*mode, verdict) {
                reported.push(format!("{} {reason}", app(verdict)));
                let note = setup.wait_reported(&environment.namespace, &app(verdict), reason).await;
                assert!(note.starts_with(&sentence(verdict, environment)), "{mode:?}: {note}");
            }
            if *mode == GateMode::Off {
                assert_eq!(counted(&setup, "").await, before, "{verdict}: nothing is asked, so nothing is decided");
                continue;
            }
            eventually(format!("{labels} to be counted"), SOON, async || match counted(&setup, &labels).await {
                now if now == these + 1 => Ok(()),
                other => Err(format!("{other}\n{}", decisions(&setup).await)),
            })
            .await;
            assert_eq!(counted(&setup, "").await, before + 1, "{verdict} in {mode:?}");
        }
    }
    always("no further Event is published", Duration::from_secs(1), async || {
        for ((mode, environment), wanted) in environments.iter().zip(&mut reported) {
            wanted.sort();
            let reported = setup.reported(&environment.namespace).await;
            if reported != *wanted {
                return Err(format!("{mode:?}: {reported:?}, not {wanted:?}"));
            }
        }
        Ok(())
    })
    .await;
    // A denied Deployment is unchanged, and an admitted one is changed.
    for (mode, environment) in &environments {
        for verdict in VERDICTS {
            let denied = capped(verdict, *mode) == GateAction::Deny;
            let live = setup.deployments(&environment.namespace).get(&app(verdict)).await.unwrap();
            let image = live.spec.unwrap().template.spec.unwrap().containers[0].image.clone().unwrap();
            assert!(image.ends_with(if denied { ":1.0.0" } else { ":2.0.0" }), "{verdict} in {mode:?}: {image}");
        }
    }
}

#[test]
fn the_table_has_every_verdict() {
    assert!(Verdict::ALL.iter().all(|verdict| VERDICTS.contains(verdict)));
}

#[tokio::test]
async fn a_rollout_that_is_denied_ten_times_is_reported_and_counted_once() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "stubborn");
    setup.running(environment, "stubborn", "stubborn", "1.0.0").await;
    let (before, reviews) = (counted(&setup, "").await, setup.webhook.reviews().await);
    for attempt in 0..10 {
        let more: &[&str] = if attempt % 3 == 0 { &["--dry-run=server"] } else { &[] };
        let output = setup.set_version(&environment.namespace, "stubborn", "2.0.0", more).await;
        assert!(output.denial().is_some(), "attempt {attempt}: {output:?}");
    }
    assert_eq!(setup.webhook.reviews().await, reviews + 10);
    assert_eq!(counted(&setup, "").await, before + 1);
    reported_exactly(&setup, environment, &["stubborn RolloutDenied"]).await;

    // Another version is another matter.
    let consumer = "web-of-stubborn";
    assert!(setup.cluster.broker.store().verify(consumer, "7", "stubborn", "3.0.0", false));
    assert!(setup.set_version(&environment.namespace, "stubborn", "3.0.0", &[]).await.denial().is_some());
    assert_eq!(counted(&setup, "").await, before + 2);
    reported_exactly(&setup, environment, &["stubborn RolloutDenied", "stubborn RolloutDenied"]).await;
}

#[tokio::test]
async fn a_dry_run_that_is_denied_as_flux_makes_it_leaves_an_event_and_one_that_is_let_through_leaves_none() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    for app in ["fluxed", "fluxed-new"] {
        setup.provider_that_breaks(&environment.name, app);
    }
    setup.running(environment, "fluxed", "fluxed", "1.0.0").await;
    let api = setup.deployments(&environment.namespace);
    let flux = |dry_run| PatchParams { dry_run, ..PatchParams::apply("kustomize-controller").force() };
    for _ in 0..3 {
        for name in ["fluxed", "fluxed-new"] {
            let manifest = annotated(name, name, "2.0.0").manifest().clone();
            let denied = api.patch(name, &flux(true), &Patch::Apply(&manifest)).await;
            let Err(kube::Error::Api(status)) = denied else { panic!("{denied:?}") };
            assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
        }
    }
    reported_exactly(&setup, environment, &["fluxed RolloutDenied", "fluxed-new RolloutDenied"]).await;
    assert!(api.get_opt("fluxed-new").await.unwrap().is_none());

    // A vacuous yes is warned about. The dry-run shows the warning, and only the rollout itself makes the Event.
    let idle = annotated("idle", "nobody-uses-it", "1.0.0").manifest().clone();
    setup.cluster.broker.store().publish_version("nobody-uses-it", "1.0.0");
    api.patch("idle", &flux(true), &Patch::Apply(&idle)).await.unwrap();
    let output = setup
        .kubectl_reading(&environment.namespace, &["create", "--dry-run=server", "-f", "-"], &idle.to_string())
        .await;
    assert!(output.code == 0 && output.warnings().len() == 1, "{output:?}");
    reported_exactly(&setup, environment, &["fluxed RolloutDenied", "fluxed-new RolloutDenied"]).await;
    api.patch("idle", &flux(false), &Patch::Apply(&idle)).await.unwrap();
    reported_exactly(&setup, environment, &["fluxed RolloutDenied", "fluxed-new RolloutDenied", "idle RolloutWarned"])
        .await;
}

/// Waits until exactly these Events exist, and checks that no other follows.
async fn reported_exactly(setup: &GateSetup, environment: &MappedEnvironment, wanted: &[&str]) {
    let reported = async || {
        let reported = setup.reported(&environment.namespace).await;
        if reported == wanted { Ok(()) } else { Err(format!("{reported:?}, not {wanted:?}")) }
    };
    eventually("the Events to be published", SOON, reported).await;
    always("no further Event is published", Duration::from_millis(500), reported).await;
}

/// How many decisions were counted with exactly these labels; with all, when there are none.
async fn counted(setup: &GateSetup, labels: &str) -> u64 {
    sum(&setup.webhook.metrics().await, &format!("pact_operator_gate_decisions_total{labels}"))
}

async fn decisions(setup: &GateSetup) -> String {
    let metrics = setup.webhook.metrics().await;
    metrics.lines().filter(|line| line.contains("gate_decisions_total{")).collect::<Vec<_>>().join("\n")
}

/// The pacticipant, and the Deployment, about which this verdict is to be given.
fn app(verdict: Verdict) -> String {
    verdict.name().to_lowercase()
}

fn prepare(broker: &StandIn, environment: &str, verdict: Verdict) {
    let (store, app) = (broker.store(), app(verdict));
    match verdict {
        Verdict::Yes => {
            provider_that_breaks(broker, environment, &app);
            assert!(store.verify("web-of-yes", "7", &app, "2.0.0", true));
        }
        Verdict::YesVacuous => store.publish_version(&app, "2.0.0"),
        Verdict::Unknown => {
            consumer_of(broker, environment, &app);
            store.publish_version(&app, "2.0.0");
        }
        Verdict::VersionMissing => store.publish_version(&app, "1.0.0"),
        Verdict::PacticipantUnknown => {}
        // If the broker were asked and could answer, these would be a plain no.
        Verdict::No | Verdict::EnvironmentMissing | Verdict::Unauthorized | Verdict::BrokerUnavailable => {
            provider_that_breaks(broker, environment, &app);
        }
    }
}

/// Changes the broker so that it leads to this verdict.
async fn bring_about(broker: &StandIn, environments: &[(GateMode, MappedEnvironment)], verdict: Verdict) {
    match verdict {
        Verdict::EnvironmentMissing => {
            for (_, environment) in environments {
                assert!(broker.store().remove_environment(&environment.name));
            }
        }
        Verdict::Unauthorized => {
            broker.set_auth(Some(Auth::Basic { user: "somebody".to_owned(), pass: "else".to_owned() }));
        }
        Verdict::BrokerUnavailable => broker.stop().await,
        _ => {}
    }
}

/// The action for a verdict unless an environment sets another one
/// (docs/contributing/rules.md#verdicts-and-default-actions).
fn usual(verdict: Verdict) -> GateAction {
    match verdict {
        Verdict::Yes => GateAction::Allow,
        Verdict::YesVacuous
        | Verdict::PacticipantUnknown
        | Verdict::EnvironmentMissing
        | Verdict::Unauthorized
        | Verdict::BrokerUnavailable => GateAction::Warn,
        Verdict::No | Verdict::Unknown | Verdict::VersionMissing => GateAction::Deny,
    }
}

fn capped(verdict: Verdict, mode: GateMode) -> GateAction {
    match mode {
        GateMode::Off | GateMode::Audit => GateAction::Allow,
        GateMode::Warn => usual(verdict).min(GateAction::Warn),
        GateMode::Enforce => usual(verdict),
    }
}

/// The reason of its Event, if there is one.
fn event(mode: GateMode, verdict: Verdict) -> Option<&'static str> {
    match (mode, usual(verdict)) {
        (GateMode::Enforce, GateAction::Deny) => Some("RolloutDenied"),
        (GateMode::Audit | GateMode::Warn, GateAction::Deny) => Some("RolloutWouldBeDenied"),
        (GateMode::Warn | GateMode::Enforce, GateAction::Warn) => Some("RolloutWarned"),
        _ => None,
    }
}

/// How the sentence about a verdict begins.
fn sentence(verdict: Verdict, environment: &MappedEnvironment) -> String {
    let verb = match verdict {
        Verdict::Yes | Verdict::YesVacuous => "may be deployed to",
        Verdict::EnvironmentMissing | Verdict::Unauthorized | Verdict::BrokerUnavailable => "could not be checked for",
        _ => "may not be deployed to",
    };
    format!("{} 2.0.0 {verb} {}: {}", app(verdict), environment.name, reason_clause(verdict))
}

fn reason_clause(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Yes => "its only pair is verified",
        Verdict::YesVacuous => "nothing had to be verified",
        Verdict::No => "it failed to verify the pact of web-of-no 7",
        Verdict::Unknown => "it has not verified the pact of web-of-unknown 7",
        Verdict::VersionMissing => "the broker has no version 2.0.0",
        Verdict::PacticipantUnknown => "the broker knows no pacticipant",
        Verdict::EnvironmentMissing => "the broker has no environment",
        Verdict::Unauthorized => "the Pact Broker refused the credentials",
        Verdict::BrokerUnavailable => "the Pact Broker",
    }
}

/// Checks the output that people get.
fn assert_output(output: &CommandOutput, verdict: Verdict, mode: GateMode, environment: &MappedEnvironment) {
    let context = format!("{verdict} in {mode:?}: {output:?}");
    match capped(verdict, mode) {
        GateAction::Allow => output.silent(),
        GateAction::Warn => {
            assert!(output.code == 0 && output.denial().is_none(), "{context}");
            let &[warning] = output.warnings().as_slice() else { panic!("{context}") };
            let begins = format!("{} 2.0.0 → {}: ", app(verdict), environment.name);
            assert!(warning.starts_with(&begins), "{context}");
            assert!(warning[begins.len()..].starts_with(&reason_clause(verdict)[..15]), "{context}");
            assert!(warning.chars().count() <= 120, "{context}");
            let would_deny = usual(verdict) == GateAction::Deny;
            assert_eq!(warning.ends_with("; Enforce would deny it"), would_deny, "{context}");
        }
        GateAction::Deny => {
            assert!(output.code == 1 && output.warnings().is_empty(), "{context}");
            let denial = output.denial().unwrap_or_else(|| panic!("{context}"));
            assert!(denial.starts_with(&sentence(verdict, environment)), "{context}");
            assert!(denial.lines().next().unwrap().chars().count() <= 256, "{context}");
            assert!(denial.contains("In an emergency: ") && denial.contains("apply it again"), "{context}");
            // A link leads to the matrix at the broker; it has none of a version that it does not know.
            assert_eq!(denial.contains("/matrix?"), verdict != Verdict::VersionMissing, "{context}");
        }
    }
}

#[test]
fn the_usual_actions_are_those_of_the_schema() {
    let actions = GateActions::default();
    for (verdict, action) in [
        (Verdict::YesVacuous, actions.yes_vacuous),
        (Verdict::No, actions.failed),
        (Verdict::Unknown, actions.unknown),
        (Verdict::VersionMissing, actions.version_missing),
        (Verdict::PacticipantUnknown, actions.pacticipant_unknown),
        (Verdict::EnvironmentMissing, actions.environment_missing),
        (Verdict::Unauthorized, actions.unauthorized),
        (Verdict::BrokerUnavailable, actions.broker_unavailable),
    ] {
        assert_eq!(action, usual(verdict), "{verdict}");
    }
}

//! Nine verdicts in four modes: what whoever rolls out sees, what the Deployment's Events say, and what is counted.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use pact_operator::api::gate::{GateAction, GateActions, GateMode};
use pact_operator::decide::Verdict;
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};

use super::gate_stage::{EnvironmentRef, Said, Stage, consumer_of, provider_that_breaks};
use testbed::eventually::{always, eventually};
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

async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    STAGE.get_or_init(Stage::start).await
}

#[tokio::test]
async fn every_verdict_has_its_outcome_event_and_count_in_every_mode() {
    let (stage, _one) = (stage().await, COUNTING.lock().await);
    let broker = stage.own_broker("modes").await;
    let mut places = Vec::new();
    for mode in MODES {
        places.push((mode, stage.gated_by("modes", &broker, json!({"mode": mode})).await));
    }
    for (_, place) in &places {
        for verdict in VERDICTS {
            prepare(&broker, &place.environment, verdict);
            let app = app(verdict);
            annotated(&app, &app, "1.0.0").apply(&stage.cluster.client(), &place.namespace).await;
        }
    }
    let mut told: Vec<Vec<String>> = vec![Vec::new(); MODES.len()];
    for verdict in VERDICTS {
        bring_about(&broker, &places, verdict).await;
        for ((mode, place), told) in places.iter().zip(&mut told) {
            let (action, wanted) = (capped(verdict, *mode), usual(verdict));
            let labels =
                format!(r#"{{verdict="{verdict}",action="{action:?}",wanted="{wanted:?}",mode="{}"}}"#, mode.name());
            let (before, these) = (counted(stage, "").await, counted(stage, &labels).await);
            let said = stage.set_version(&place.namespace, &app(verdict), "2.0.0", &[]).await;
            seen(&said, verdict, *mode, place);
            if let Some(reason) = event(*mode, verdict) {
                told.push(format!("{} {reason}", app(verdict)));
                let note = stage.wait_told(&place.namespace, &app(verdict), reason).await;
                assert!(note.starts_with(&sentence(verdict, place)), "{mode:?}: {note}");
            }
            if *mode == GateMode::Off {
                assert_eq!(counted(stage, "").await, before, "{verdict}: nothing is asked, so nothing is decided");
                continue;
            }
            eventually(format!("{labels} to be counted"), SOON, async || match counted(stage, &labels).await {
                now if now == these + 1 => Ok(()),
                other => Err(format!("{other}\n{}", decisions(stage).await)),
            })
            .await;
            assert_eq!(counted(stage, "").await, before + 1, "{verdict} in {mode:?}");
        }
    }
    always("no further Event is told", Duration::from_secs(1), async || {
        for ((mode, place), wanted) in places.iter().zip(&mut told) {
            wanted.sort();
            let told = stage.told(&place.namespace).await;
            if told != *wanted {
                return Err(format!("{mode:?}: {told:?}, not {wanted:?}"));
            }
        }
        Ok(())
    })
    .await;
    // What was denied is as it was, and what was admitted is not.
    for (mode, place) in &places {
        for verdict in VERDICTS {
            let denied = capped(verdict, *mode) == GateAction::Deny;
            let live = stage.deployments(&place.namespace).get(&app(verdict)).await.unwrap();
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
async fn what_is_denied_ten_times_is_told_and_counted_once() {
    let (stage, _one) = (stage().await, COUNTING.lock().await);
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    stage.provider_that_breaks(&place.environment, "stubborn");
    stage.running(place, "stubborn", "stubborn", "1.0.0").await;
    let (before, reviews) = (counted(stage, "").await, stage.webhook.reviews().await);
    for attempt in 0..10 {
        let more: &[&str] = if attempt % 3 == 0 { &["--dry-run=server"] } else { &[] };
        let said = stage.set_version(&place.namespace, "stubborn", "2.0.0", more).await;
        assert!(said.denial().is_some(), "attempt {attempt}: {said:?}");
    }
    assert_eq!(stage.webhook.reviews().await, reviews + 10);
    assert_eq!(counted(stage, "").await, before + 1);
    once(stage, place, &["stubborn RolloutDenied"]).await;

    // Another version is another matter.
    let consumer = "web-of-stubborn";
    assert!(stage.cluster.broker.store().verify(consumer, "7", "stubborn", "3.0.0", false));
    assert!(stage.set_version(&place.namespace, "stubborn", "3.0.0", &[]).await.denial().is_some());
    assert_eq!(counted(stage, "").await, before + 2);
    once(stage, place, &["stubborn RolloutDenied", "stubborn RolloutDenied"]).await;
}

#[tokio::test]
async fn a_dry_run_that_is_denied_as_flux_makes_it_leaves_an_event_and_one_that_is_let_through_leaves_none() {
    let (stage, _one) = (stage().await, COUNTING.lock().await);
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    for app in ["fluxed", "fluxed-new"] {
        stage.provider_that_breaks(&place.environment, app);
    }
    stage.running(place, "fluxed", "fluxed", "1.0.0").await;
    let api = stage.deployments(&place.namespace);
    let flux = |dry_run| PatchParams { dry_run, ..PatchParams::apply("kustomize-controller").force() };
    for _ in 0..3 {
        for name in ["fluxed", "fluxed-new"] {
            let manifest = annotated(name, name, "2.0.0").manifest().clone();
            let denied = api.patch(name, &flux(true), &Patch::Apply(&manifest)).await;
            let Err(kube::Error::Api(status)) = denied else { panic!("{denied:?}") };
            assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
        }
    }
    once(stage, place, &["fluxed RolloutDenied", "fluxed-new RolloutDenied"]).await;
    assert!(api.get_opt("fluxed-new").await.unwrap().is_none());

    // A yes to nothing is warned about. The dry-run shows the warning, and the rollout itself tells the Event.
    let idle = annotated("idle", "nobody-uses-it", "1.0.0").manifest().clone();
    stage.cluster.broker.store().publish_version("nobody-uses-it", "1.0.0");
    api.patch("idle", &flux(true), &Patch::Apply(&idle)).await.unwrap();
    let said =
        stage.kubectl_reading(&place.namespace, &["create", "--dry-run=server", "-f", "-"], &idle.to_string()).await;
    assert!(said.code == 0 && said.warnings().len() == 1, "{said:?}");
    once(stage, place, &["fluxed RolloutDenied", "fluxed-new RolloutDenied"]).await;
    api.patch("idle", &flux(false), &Patch::Apply(&idle)).await.unwrap();
    once(stage, place, &["fluxed RolloutDenied", "fluxed-new RolloutDenied", "idle RolloutWarned"]).await;
}

/// Waits until exactly these Events were told, and sees that it stays so.
async fn once(stage: &Stage, place: &EnvironmentRef, wanted: &[&str]) {
    let told = async || {
        let told = stage.told(&place.namespace).await;
        if told == wanted { Ok(()) } else { Err(format!("{told:?}, not {wanted:?}")) }
    };
    eventually("the Events to be told", SOON, told).await;
    always("no Event is told twice", Duration::from_millis(500), told).await;
}

/// How many decisions were counted with exactly these labels; with all, when there are none.
async fn counted(stage: &Stage, labels: &str) -> u64 {
    sum(&stage.webhook.metrics().await, &format!("pact_operator_gate_decisions_total{labels}"))
}

async fn decisions(stage: &Stage) -> String {
    let metrics = stage.webhook.metrics().await;
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
        // Were the broker asked and able to answer, these would be a plain no.
        Verdict::No | Verdict::EnvironmentMissing | Verdict::Unauthorized | Verdict::BrokerUnavailable => {
            provider_that_breaks(broker, environment, &app);
        }
    }
}

/// What has to become of the broker before it gives this verdict.
async fn bring_about(broker: &StandIn, places: &[(GateMode, EnvironmentRef)], verdict: Verdict) {
    match verdict {
        Verdict::EnvironmentMissing => {
            for (_, place) in places {
                assert!(broker.store().remove_environment(&place.environment));
            }
        }
        Verdict::Unauthorized => {
            broker.set_auth(Some(Auth::Basic { user: "somebody".to_owned(), pass: "else".to_owned() }));
        }
        Verdict::BrokerUnavailable => broker.stop().await,
        _ => {}
    }
}

/// What is done about a verdict unless an environment says otherwise (docs/contributing/rules.md#verdicts-and-default-actions).
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

/// The Event that tells it.
fn event(mode: GateMode, verdict: Verdict) -> Option<&'static str> {
    match (mode, usual(verdict)) {
        (GateMode::Enforce, GateAction::Deny) => Some("RolloutDenied"),
        (GateMode::Audit | GateMode::Warn, GateAction::Deny) => Some("RolloutWouldBeDenied"),
        (GateMode::Warn | GateMode::Enforce, GateAction::Warn) => Some("RolloutWarned"),
        _ => None,
    }
}

/// How the sentence about a verdict begins.
fn sentence(verdict: Verdict, place: &EnvironmentRef) -> String {
    let verb = match verdict {
        Verdict::Yes | Verdict::YesVacuous => "may be deployed to",
        Verdict::EnvironmentMissing | Verdict::Unauthorized | Verdict::BrokerUnavailable => "could not be checked for",
        _ => "may not be deployed to",
    };
    format!("{} 2.0.0 {verb} {}: {}", app(verdict), place.environment, because(verdict))
}

fn because(verdict: Verdict) -> &'static str {
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

/// What whoever rolls out sees.
fn seen(said: &Said, verdict: Verdict, mode: GateMode, place: &EnvironmentRef) {
    let context = format!("{verdict} in {mode:?}: {said:?}");
    match capped(verdict, mode) {
        GateAction::Allow => said.silent(),
        GateAction::Warn => {
            assert!(said.code == 0 && said.denial().is_none(), "{context}");
            let &[warning] = said.warnings().as_slice() else { panic!("{context}") };
            let begins = format!("{} 2.0.0 → {}: ", app(verdict), place.environment);
            assert!(warning.starts_with(&begins), "{context}");
            assert!(warning[begins.len()..].starts_with(&because(verdict)[..15]), "{context}");
            assert!(warning.chars().count() <= 120, "{context}");
            let would_deny = usual(verdict) == GateAction::Deny;
            assert_eq!(warning.ends_with("; Enforce would deny it"), would_deny, "{context}");
        }
        GateAction::Deny => {
            assert!(said.code == 1 && said.warnings().is_empty(), "{context}");
            let denial = said.denial().unwrap_or_else(|| panic!("{context}"));
            assert!(denial.starts_with(&sentence(verdict, place)), "{context}");
            assert!(denial.lines().next().unwrap().chars().count() <= 256, "{context}");
            assert!(denial.contains("In an emergency: ") && denial.contains("apply it again"), "{context}");
            // A link leads to what the broker knows; there is nothing to see of what it does not know.
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

//! The steps of the demo, in their order. Each verifies what it reports.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::observer::Observed;
use crate::set_up::{Demo, ENVIRONMENT, Shown, Step, describe, run_kubectl, verify};
use crate::transcript::shown;
use testbed::http::plain_client;
use testbed::standin::WriteKind;

/// How long the record of a deleted workload stays, as set in `values.yaml`.
pub const GRACE: Duration = Duration::from_secs(5);

/// A Deployment is deployed and recorded.
pub async fn deploy(demo: &Demo) -> Step {
    let transcript = demo.transcript;
    transcript.heading(1, "A Deployment with one annotation: its version is recorded");
    transcript.output(include_str!("orders.yaml"));
    transcript.gap();
    let since = Instant::now();
    demo.apply("orders.yaml").await?;
    demo.is_recorded(since, "orders", &["orders"], "1.0.0").await?;
    demo.reason_reported("orders", "Recorded").await?;
    demo.kubectl(&["get", "pactdep"]).await?;
    Ok(())
}

/// A new image is recorded when its rollout has finished.
pub async fn new_image(demo: &Demo) -> Step {
    let transcript = demo.transcript;
    transcript.heading(2, "A new image: recorded when the rollout has finished, and only then");
    let since = Instant::now();
    demo.kubectl(&["set", "image", "deployment/orders", "app=registry.example.com/orders:2.0.0"]).await?;
    let mut recorded = pin!(demo.is_recorded(since, "orders", &["orders"], "2.0.0"));
    // The operator reports a rollout under way after 3 s, and a faster rollout not at all.
    let object = tokio::select! {
        object = demo.reason_reported("orders", "RolloutInProgress") => object?,
        recorded = &mut recorded => {
            recorded?;
            return verify(false, "the PactDeployment reports the rollout under way", "it did not before the end");
        }
    };
    let under_way = async {
        demo.kubectl(&["get", "pactdep"]).await?;
        demo.why(&object).await
    };
    let (under_way, recorded) = tokio::join!(under_way, recorded);
    under_way.and(recorded)
}

/// A rollout that never finishes is never recorded, and undoing it writes no record either.
pub async fn never_ready(demo: &Demo) -> Step {
    let transcript = demo.transcript;
    transcript.heading(3, "A version that never becomes ready: not recorded, and the operator says why");
    let since = Instant::now();
    let patch = r#"
    {"spec": {"template": {"metadata": {"labels": {"testbed/ready": "never"}}, "spec":
       {"containers": [{"name": "app", "image": "registry.example.com/orders:3.0.0"}]}}}}"#;
    demo.kubectl(&["patch", "deployment", "orders", "--patch", patch]).await?;
    let expected = "the progress deadline of 3.0.0 passes";
    demo.follow(&mut Shown::new(since, "orders", "orders"), expected, |states, _| {
        states.iter().any(|state| state.failed)
    })
    .await?;
    let object = demo.reason_reported("orders", "RolloutFailed").await?;
    demo.kubectl(&["get", "pactdep"]).await?;
    demo.why(&object).await?;
    demo.nothing_written(since, "3.0.0 is not recorded: pods of 2.0.0 still serve, and 2.0.0 is recorded")?;
    transcript.gap();
    let undone = Instant::now();
    demo.kubectl(&["rollout", "undo", "deployment/orders"]).await?;
    demo.follow(&mut Shown::new(undone, "orders", "orders"), "2.0.0 is back", |states, _| {
        states.iter().any(|state| state.version == "2.0.0" && state.complete())
    })
    .await?;
    demo.reason_reported("orders", "Recorded").await?;
    demo.nothing_written(since, "back on 2.0.0, and nothing had to be recorded: the broker was right all the time")
}

/// A rollback of a finished rollout is recorded like any other.
pub async fn roll_back(demo: &Demo) -> Step {
    demo.transcript.heading(4, "A rollback of a finished rollout: recorded like any other");
    let since = Instant::now();
    demo.kubectl(&["rollout", "undo", "deployment/orders", "--to-revision=1"]).await?;
    demo.is_recorded(since, "orders", &["orders"], "1.0.0").await?;
    demo.reason_reported("orders", "Recorded").await.map(drop)
}

/// Two pacticipants in one Deployment are two records.
pub async fn two_pacticipants(demo: &Demo) -> Step {
    let transcript = demo.transcript;
    transcript.heading(5, "Two pacticipants in one Deployment: two records");
    transcript.output("pact-operator.dev/pacticipant: web-shop, shop-admin");
    let since = Instant::now();
    demo.apply("shopfront.yaml").await?;
    demo.is_recorded(since, "shopfront", &["web-shop", "shop-admin"], "4.2.0").await?;
    for pacticipant in ["web-shop", "shop-admin"] {
        demo.reason_reported(pacticipant, "Recorded").await?;
    }
    Ok(())
}

/// A version that the broker does not know is reported, and recorded as soon as it is published.
pub async fn version_missing(demo: &Demo) -> Step {
    let transcript = demo.transcript;
    transcript.heading(6, "A version that nobody published: reported, and recorded once it is published");
    let since = Instant::now();
    let mut shown_so_far = Shown::new(since, "billing", "billing");
    demo.apply("billing.yaml").await?;
    demo.follow(&mut shown_so_far, "the rollout finishes", |states, _| states.iter().any(Observed::complete)).await?;
    demo.reason_reported("billing", "VersionMissing").await?;
    demo.kubectl(&["get", "pactdep"]).await?;
    let output = demo
        .until("an Event on the Deployment", async || {
            let arguments = ["events", "--for", "deployment/billing", "--types=Warning"];
            let output = run_kubectl(demo.control_plane.kubeconfig(), &arguments).await;
            let output = output.map_err(|broken| broken.found)?;
            if output.contains("VersionMissing") { Ok(output) } else { Err(output) }
        })
        .await?;
    transcript.command("kubectl events --for deployment/billing --types=Warning");
    transcript.quote(&output);
    demo.nothing_written(
        since,
        "1.1.0 runs but is not recorded, and the team sees why: the operator invents no version",
    )?;

    transcript.gap();
    transcript.say("Now billing's pipeline publishes 1.1.0. Nothing changes in the cluster.");
    let before = demo.observer.since(since, "billing").len();
    let published = Instant::now();
    publish(demo, "billing", "1.1.0").await?;
    let expected = "billing 1.1.0 is recorded though nothing changed in the cluster";
    let mut shown_so_far = Shown::new(published, "billing", "billing");
    demo.follow(&mut shown_so_far, expected, |_, writes| !writes.is_empty()).await?;
    let writes = demo.writes(published);
    let found: Vec<_> = writes.iter().map(describe).collect();
    verify(found == ["billing 1.1.0 is deployed"], expected, found.join(", "))?;
    let touched = demo.observer.since(since, "billing").len() - before;
    verify(touched == 0, "the Deployment billing is left alone", format!("it changed {touched} times"))?;
    let after = writes[0].at - published;
    transcript.kept(&format!(
        "billing 1.1.0 is recorded {} after it was published: the operator kept asking for it",
        shown(after)
    ));
    demo.reason_reported("billing", "Recorded").await.map(drop)
}

/// What a pipeline does with `pact-broker create-version`, with curl.
async fn publish(demo: &Demo, pacticipant: &str, version: &str) -> Step {
    let path = format!("/pacticipants/{pacticipant}/versions/{version}");
    demo.transcript.command(&format!("curl -X PUT -H 'Content-Type: application/json' -d '{{}}' $BROKER{path}"));
    let request = plain_client().put(format!("{}{path}", demo.broker.url())).header("Content-Type", "application/json");
    let status = request.body("{}").send().await.map(|answer| answer.status().as_u16());
    verify(matches!(status, Ok(201)), "the broker answers 201 (created)", format!("{status:?}"))
}

/// A deleted Deployment is undeployed at the broker after the grace.
pub async fn delete(demo: &Demo) -> Step {
    let transcript = demo.transcript;
    transcript.heading(7, "A Deployment is deleted: it is undeployed at the broker after the grace");
    let since = Instant::now();
    let mut shown_so_far = Shown::new(since, "orders", "orders");
    demo.kubectl(&["delete", "deployment", "orders"]).await?;
    demo.follow(&mut shown_so_far, "the Deployment goes", |states, _| states.iter().any(|state| state.gone)).await?;
    let object = demo.reason_reported("orders", "Orphaned").await?;
    demo.kubectl(&["get", "pactdep"]).await?;
    demo.why(&object).await?;
    let says = demo.recorded_version("orders");
    verify(says.as_deref() == Some("1.0.0"), "the record stays during the grace", format!("the broker: {says:?}"))?;
    let expected = "orders is recorded as no longer deployed";
    let (states, writes) = demo.follow(&mut shown_so_far, expected, |_, writes| !writes.is_empty()).await?;
    let found: Vec<_> = writes.iter().map(describe).collect();
    verify(found == ["orders 1.0.0 is no longer deployed"], expected, found.join(", "))?;
    let gone = states.iter().find(|state| state.gone).map_or(since, |state| state.at);
    let after = writes[0].at.saturating_duration_since(gone);
    // The PactDeployment keeps the time of the deletion in whole seconds.
    let enough = after + Duration::from_secs(1) >= GRACE;
    verify(enough, format!("the grace of {} is waited for", shown(GRACE)), format!("only {}", shown(after)))?;
    transcript.kept(&format!("it is undeployed {} after the Deployment had gone", shown(after)));
    demo.reason_reported("orders", "Undeployed").await.map(drop)
}

/// Everything that was written at the broker, in order, and the state at the end.
pub async fn summary(demo: &Demo) -> Step {
    let transcript = demo.transcript;
    transcript.heading(15, "Everything that was written at the broker, in order");
    let writes = demo.broker.writes();
    let first = writes.first().map_or_else(Instant::now, |write| write.at);
    for write in &writes {
        let kind = match write.kind {
            WriteKind::Deployed => "deployed",
            WriteKind::Undeployed => "undeployed",
            WriteKind::Released | WriteKind::SupportEnded => "released",
        };
        let at = (write.at - first).as_secs_f64();
        transcript.output(&format!("{at:>5.1} s  {kind:<10}  {:<10}  {}", write.pacticipant, write.version));
    }
    transcript.gap();
    transcript.say(&format!("What the broker shows for {ENVIRONMENT} now:"));
    let mut rows: Vec<_> = demo.broker.store().current_in(ENVIRONMENT);
    rows.sort_by(|a, b| a.pacticipant.cmp(&b.pacticipant));
    for row in &rows {
        transcript.output(&format!("{:<10}  {}", row.pacticipant, row.version));
    }
    let rows: Vec<_> = rows.iter().map(|row| format!("{} {}", row.pacticipant, row.version)).collect();
    let wanted = ["billing 1.1.0", "shop-admin 4.2.0", "stock 4.0.0", "web-shop 4.2.0"];
    verify(rows == wanted, wanted.join(", "), rows.join(", "))?;
    transcript.gap();
    demo.kubectl(&["get", "deployments"]).await?;
    demo.kubectl(&["get", "pactenv"]).await?;
    demo.kubectl(&["get", "pactdep", "-o", "wide"]).await.map(drop)
}

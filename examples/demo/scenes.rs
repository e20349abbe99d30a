//! The steps of the demo, in their order. Each verifies what it reports.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::observer::Sight;
use crate::stage::{ENVIRONMENT, Played, Stage, Tale, promised, run_kubectl, told};
use crate::transcript::shown;
use testbed::http::plain_client;
use testbed::standin::WriteKind;

/// How long the record of a deleted workload stays, as set in `values.yaml`.
pub const GRACE: Duration = Duration::from_secs(5);

/// A Deployment is deployed and recorded.
pub async fn deploy(stage: &Stage) -> Played {
    let transcript = stage.transcript;
    transcript.heading(1, "A Deployment with one annotation: its version is recorded");
    transcript.output(include_str!("orders.yaml"));
    transcript.gap();
    let since = Instant::now();
    stage.apply("orders.yaml").await?;
    stage.is_recorded(since, "orders", &["orders"], "1.0.0").await?;
    stage.remembered("orders", "Recorded").await?;
    stage.kubectl(&["get", "pactdep"]).await?;
    Ok(())
}

/// A new image is recorded when its rollout has finished.
pub async fn new_image(stage: &Stage) -> Played {
    let transcript = stage.transcript;
    transcript.heading(2, "A new image: recorded when the rollout has finished, and only then");
    let since = Instant::now();
    stage.kubectl(&["set", "image", "deployment/orders", "app=registry.example.com/orders:2.0.0"]).await?;
    let mut recorded = pin!(stage.is_recorded(since, "orders", &["orders"], "2.0.0"));
    // The operator reports a rollout under way after 3 s, and a faster rollout not at all.
    let object = tokio::select! {
        object = stage.remembered("orders", "RolloutInProgress") => object?,
        recorded = &mut recorded => {
            recorded?;
            return promised(false, "the PactDeployment reports the rollout under way", "it did not before the end");
        }
    };
    let under_way = async {
        stage.kubectl(&["get", "pactdep"]).await?;
        stage.why(&object).await
    };
    let (under_way, recorded) = tokio::join!(under_way, recorded);
    under_way.and(recorded)
}

/// A rollout that never finishes is never recorded, and undoing it writes no record either.
pub async fn never_ready(stage: &Stage) -> Played {
    let transcript = stage.transcript;
    transcript.heading(3, "A version that never becomes ready: not recorded, and the operator says why");
    let since = Instant::now();
    let patch = r#"
    {"spec": {"template": {"metadata": {"labels": {"testbed/ready": "never"}}, "spec":
       {"containers": [{"name": "app", "image": "registry.example.com/orders:3.0.0"}]}}}}"#;
    stage.kubectl(&["patch", "deployment", "orders", "--patch", patch]).await?;
    let expected = "the progress deadline of 3.0.0 passes";
    stage
        .follow(&mut Tale::new(since, "orders", "orders"), expected, |sights, _| {
            sights.iter().any(|sight| sight.failed)
        })
        .await?;
    let object = stage.remembered("orders", "RolloutFailed").await?;
    stage.kubectl(&["get", "pactdep"]).await?;
    stage.why(&object).await?;
    stage.nothing_written(since, "3.0.0 is not recorded: pods of 2.0.0 still serve, and 2.0.0 is recorded")?;
    transcript.gap();
    let undone = Instant::now();
    stage.kubectl(&["rollout", "undo", "deployment/orders"]).await?;
    stage
        .follow(&mut Tale::new(undone, "orders", "orders"), "2.0.0 is back", |sights, _| {
            sights.iter().any(|sight| sight.version == "2.0.0" && sight.complete())
        })
        .await?;
    stage.remembered("orders", "Recorded").await?;
    stage.nothing_written(since, "back on 2.0.0, and nothing had to be recorded: the broker was right all the time")
}

/// A rollback of a finished rollout is recorded like any other.
pub async fn roll_back(stage: &Stage) -> Played {
    stage.transcript.heading(4, "A rollback of a finished rollout: recorded like any other");
    let since = Instant::now();
    stage.kubectl(&["rollout", "undo", "deployment/orders", "--to-revision=1"]).await?;
    stage.is_recorded(since, "orders", &["orders"], "1.0.0").await?;
    stage.remembered("orders", "Recorded").await.map(drop)
}

/// Two pacticipants in one Deployment are two records.
pub async fn two_pacticipants(stage: &Stage) -> Played {
    let transcript = stage.transcript;
    transcript.heading(5, "Two pacticipants in one Deployment: two records");
    transcript.output("pact-operator.dev/pacticipant: web-shop, shop-admin");
    let since = Instant::now();
    stage.apply("shopfront.yaml").await?;
    stage.is_recorded(since, "shopfront", &["web-shop", "shop-admin"], "4.2.0").await?;
    for pacticipant in ["web-shop", "shop-admin"] {
        stage.remembered(pacticipant, "Recorded").await?;
    }
    Ok(())
}

/// A version that the broker does not know is reported, and recorded as soon as it is published.
pub async fn version_missing(stage: &Stage) -> Played {
    let transcript = stage.transcript;
    transcript.heading(6, "A version that nobody published: reported, and recorded once it is published");
    let since = Instant::now();
    let mut tale = Tale::new(since, "billing", "billing");
    stage.apply("billing.yaml").await?;
    stage.follow(&mut tale, "the rollout finishes", |sights, _| sights.iter().any(Sight::complete)).await?;
    stage.remembered("billing", "VersionMissing").await?;
    stage.kubectl(&["get", "pactdep"]).await?;
    let said = stage
        .until("an Event on the Deployment", async || {
            let arguments = ["events", "--for", "deployment/billing", "--types=Warning"];
            let said = run_kubectl(stage.control_plane.kubeconfig(), &arguments).await;
            let said = said.map_err(|broken| broken.found)?;
            if said.contains("VersionMissing") { Ok(said) } else { Err(said) }
        })
        .await?;
    transcript.command("kubectl events --for deployment/billing --types=Warning");
    transcript.quote(&said);
    stage.nothing_written(
        since,
        "1.1.0 runs but is not recorded, and the team sees why: the operator invents no version",
    )?;

    transcript.gap();
    transcript.say("Now billing's pipeline publishes 1.1.0. Nothing changes in the cluster.");
    let before = stage.observer.since(since, "billing").len();
    let published = Instant::now();
    publish(stage, "billing", "1.1.0").await?;
    let expected = "billing 1.1.0 is recorded though nothing changed in the cluster";
    let mut tale = Tale::new(published, "billing", "billing");
    stage.follow(&mut tale, expected, |_, writes| !writes.is_empty()).await?;
    let writes = stage.writes(published);
    let found: Vec<_> = writes.iter().map(told).collect();
    promised(found == ["billing 1.1.0 is deployed"], expected, found.join(", "))?;
    let touched = stage.observer.since(since, "billing").len() - before;
    promised(touched == 0, "the Deployment billing is left alone", format!("it changed {touched} times"))?;
    let after = writes[0].at - published;
    transcript.kept(&format!(
        "billing 1.1.0 is recorded {} after it was published: the operator kept asking for it",
        shown(after)
    ));
    stage.remembered("billing", "Recorded").await.map(drop)
}

/// What a pipeline does with `pact-broker create-version`, with curl.
async fn publish(stage: &Stage, pacticipant: &str, version: &str) -> Played {
    let path = format!("/pacticipants/{pacticipant}/versions/{version}");
    stage.transcript.command(&format!("curl -X PUT -H 'Content-Type: application/json' -d '{{}}' $BROKER{path}"));
    let request =
        plain_client().put(format!("{}{path}", stage.broker.url())).header("Content-Type", "application/json");
    let status = request.body("{}").send().await.map(|answer| answer.status().as_u16());
    promised(matches!(status, Ok(201)), "the broker answers 201 (created)", format!("{status:?}"))
}

/// A deleted Deployment is undeployed at the broker after the grace.
pub async fn delete(stage: &Stage) -> Played {
    let transcript = stage.transcript;
    transcript.heading(7, "A Deployment is deleted: it is undeployed at the broker after the grace");
    let since = Instant::now();
    let mut tale = Tale::new(since, "orders", "orders");
    stage.kubectl(&["delete", "deployment", "orders"]).await?;
    stage.follow(&mut tale, "the Deployment goes", |sights, _| sights.iter().any(|sight| sight.gone)).await?;
    let object = stage.remembered("orders", "Orphaned").await?;
    stage.kubectl(&["get", "pactdep"]).await?;
    stage.why(&object).await?;
    let says = stage.broker_says("orders");
    promised(says.as_deref() == Some("1.0.0"), "the record stays during the grace", format!("the broker: {says:?}"))?;
    let expected = "orders is recorded as no longer deployed";
    let (sights, writes) = stage.follow(&mut tale, expected, |_, writes| !writes.is_empty()).await?;
    let found: Vec<_> = writes.iter().map(told).collect();
    promised(found == ["orders 1.0.0 is no longer deployed"], expected, found.join(", "))?;
    let gone = sights.iter().find(|sight| sight.gone).map_or(since, |sight| sight.at);
    let after = writes[0].at.saturating_duration_since(gone);
    // The PactDeployment keeps the time of the deletion in whole seconds.
    let enough = after + Duration::from_secs(1) >= GRACE;
    promised(enough, format!("the grace of {} is waited for", shown(GRACE)), format!("only {}", shown(after)))?;
    transcript.kept(&format!("it is undeployed {} after the Deployment had gone", shown(after)));
    stage.remembered("orders", "Undeployed").await.map(drop)
}

/// Everything that was written at the broker, in order, and the state at the end.
pub async fn curtain(stage: &Stage) -> Played {
    let transcript = stage.transcript;
    transcript.heading(14, "Everything that was written at the broker, in order");
    let writes = stage.broker.writes();
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
    let mut rows: Vec<_> = stage.broker.store().current_in(ENVIRONMENT);
    rows.sort_by(|a, b| a.pacticipant.cmp(&b.pacticipant));
    for row in &rows {
        transcript.output(&format!("{:<10}  {}", row.pacticipant, row.version));
    }
    let rows: Vec<_> = rows.iter().map(|row| format!("{} {}", row.pacticipant, row.version)).collect();
    let wanted = ["billing 1.1.0", "shop-admin 4.2.0", "stock 2.0.0", "web-shop 4.2.0"];
    promised(rows == wanted, wanted.join(", "), rows.join(", "))?;
    transcript.gap();
    stage.kubectl(&["get", "deployments"]).await?;
    stage.kubectl(&["get", "pactenv"]).await?;
    stage.kubectl(&["get", "pactdep", "-o", "wide"]).await.map(drop)
}

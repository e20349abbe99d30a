//! The demo of the gate: what it denies at admission, what it admits, and what it is not called for.

use std::time::Instant;

use kube::Api;
use pact_operator::api::PactEnvironment;
use pact_operator::api::gate::GateMode;

use crate::observer::Sight;
use crate::stage::{ENVIRONMENT, NAMESPACE, Played, Stage, Tale, promised, run_kubectl, show_kubectl};
use testbed::kubectl::kubectl;
use testbed::webhook::{Person, sum};

/// The gate, and a user whose rollouts it can deny.
pub struct GateStage<'a> {
    stage: &'a Stage,
    developer: Person,
}

const CONSUMER: (&str, &str) = ("web-shop", "4.2.0");
const PROVIDER: &str = "stock";

impl<'a> GateStage<'a> {
    /// Creates a developer, and publishes a pact with its results.
    pub async fn set_up(stage: &'a Stage) -> Played<Self> {
        let transcript = stage.transcript;
        transcript.heading(8, "The gate: an admission webhook that audits before it enforces");
        let developer = Person::developer(&stage.control_plane).await;
        run_kubectl(developer.kubeconfig(), &["config", "set-context", "--current", "--namespace", NAMESPACE]).await?;
        transcript.say("It serves with a certificate that it made itself and that the API server trusts.");
        transcript.say(
            "From here on a developer runs kubectl. (The administrator of the steps before holds every right, including \
             the right to bypass the gate.)",
        );
        let store = stage.broker.store();
        store.publish_pact(CONSUMER.0, CONSUMER.1, PROVIDER, "GET /stock answers a number");
        for (version, verified) in [("1.0.0", true), ("2.0.0", false), ("3.0.0", true)] {
            store.publish_version(PROVIDER, version);
            store.verify(CONSUMER.0, CONSUMER.1, PROVIDER, version, verified);
        }
        transcript.say(
            "At the broker: web-shop 4.2.0 has a pact with stock. stock 1.0.0 and 3.0.0 verified it, 2.0.0 failed to.",
        );
        transcript.gap();
        Ok(Self { stage, developer })
    }

    /// Before the gate enforces anything, the environment shows what would be denied.
    pub async fn enforce(&self) -> Played {
        let (stage, transcript) = (self.stage, self.stage.transcript);
        let api = Api::<PactEnvironment>::all(stage.control_plane.client());
        self.all_is_well("Audit").await?;
        stage.kubectl(&["get", "pactenv"]).await?;
        transcript.kept("the mode is Audit unless an admin changes it; none of the versions that run would be denied");
        transcript.gap();
        let patch = r#"{"spec":{"gate":{"mode":"Enforce"}}}"#;
        stage.kubectl(&["patch", "pactenv", ENVIRONMENT, "--type", "merge", "--patch", patch]).await?;
        stage
            .until("the mode Enforce is in force", async || {
                let status = api.get(ENVIRONMENT).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
                let shown = status.mode.map(GateMode::name).unwrap_or_default();
                if shown == "Enforce" { Ok(()) } else { Err(shown.to_owned()) }
            })
            .await
    }

    /// Waits until the environment is in this mode, and everything that runs was checked and would be admitted.
    pub async fn all_is_well(&self, mode: &str) -> Played {
        let api = Api::<PactEnvironment>::all(self.stage.control_plane.client());
        self.stage
            .until(
                &format!("the environment is in the mode {mode}, and nothing that runs would be denied"),
                async || {
                    let status =
                        api.get(ENVIRONMENT).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
                    let shown = status.mode.map(GateMode::name).unwrap_or_default();
                    let done = shown == mode && status.unchecked == 0 && status.would_deny == 0;
                    let found =
                        || format!("{shown}, {} unchecked, {} would be denied", status.unchecked, status.would_deny);
                    if done { Ok(()) } else { Err(found()) }
                },
            )
            .await
    }

    /// A compatible version is admitted and recorded.
    pub async fn compatible(&self) -> Played {
        self.stage.transcript.heading(9, "A compatible version: admitted and recorded");
        let since = Instant::now();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/stock.yaml");
        let said = run_kubectl(self.developer.kubeconfig(), &["apply", "-f", &path.display().to_string()]).await?;
        self.stage.transcript.command("kubectl apply -f examples/demo/stock.yaml");
        self.stage.transcript.output(&said);
        self.stage.is_recorded(since, "stock", &[PROVIDER], "1.0.0").await?;
        self.stage.remembered(PROVIDER, "Recorded").await.map(drop)
    }

    /// An incompatible version is denied, and nothing else happens.
    pub async fn incompatible(&self) -> Played {
        let (stage, transcript) = (self.stage, self.stage.transcript);
        transcript.heading(10, "A version that fails can-i-deploy: denied, and the old pods keep serving");
        let since = Instant::now();
        let arguments = ["set", "image", "deployment/stock", "app=registry.example.com/stock:2.0.0"];
        let said = kubectl(self.developer.kubeconfig(), &arguments).await;
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        transcript.command(&format!("kubectl {}", arguments.join(" ")));
        transcript.quote(&text);
        promised(!said.status.success(), "kubectl fails", "it succeeded")?;
        for part in ["denied the request: stock 2.0.0 may not be deployed to production", "web-shop 4.2.0"] {
            promised(text.contains(part), format!("kubectl prints \"{part}\""), text.clone())?;
        }
        let changed = stage.observer.since(since, "stock");
        promised(changed.is_empty(), "the Deployment is untouched", format!("{} changes", changed.len()))?;
        stage.nothing_written(since, "the rollout never began: 1.0.0 still runs, and is still recorded")?;
        let event = stage
            .until("an Event on the Deployment", async || {
                let arguments = ["events", "--for", "deployment/stock", "--types=Warning"];
                let said = run_kubectl(stage.control_plane.kubeconfig(), &arguments).await;
                let said = said.map_err(|broken| broken.found)?;
                if said.contains("RolloutDenied") { Ok(said) } else { Err(said) }
            })
            .await?;
        transcript.command("kubectl events --for deployment/stock --types=Warning");
        transcript.quote(&event);
        Ok(())
    }

    /// Once the verification is published, the same command is admitted.
    pub async fn verified(&self) -> Played {
        let (stage, transcript) = (self.stage, self.stage.transcript);
        transcript.heading(11, "The verification is published: the same command is admitted");
        transcript
            .say("stock's team fixes what broke the pact; its pipeline verifies 2.0.0 again and publishes a success.");
        transcript.gap();
        stage.broker.store().verify(CONSUMER.0, CONSUMER.1, PROVIDER, "2.0.0", true);
        let published = Instant::now();
        let arguments = ["set", "image", "deployment/stock", "app=registry.example.com/stock:2.0.0"];
        // The gate keeps a no for a second, so that retries do not flood the broker.
        stage
            .until("the same command is admitted", async || {
                let said = kubectl(self.developer.kubeconfig(), &arguments).await;
                if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
            })
            .await?;
        transcript.command(&format!("kubectl {}", arguments.join(" ")));
        stage.is_recorded(published, "stock", &[PROVIDER], "2.0.0").await?;
        stage.remembered(PROVIDER, "Recorded").await.map(drop)
    }

    /// With the broker down, a rollback to the recorded version is admitted.
    pub async fn rollback_without_a_broker(&self) -> Played {
        let (stage, transcript) = (self.stage, self.stage.transcript);
        transcript.heading(12, "The broker is down: a rollback to the recorded version is admitted");
        let since = Instant::now();
        let patch = r#"{"spec": {"template": {"metadata": {"labels": {"testbed/ready": "never"}}, "spec": {"containers": [{"name": "app", "image": "registry.example.com/stock:3.0.0"}]}}}}"#;
        show_kubectl(transcript, self.developer.kubeconfig(), &["patch", "deployment", "stock", "--patch", patch])
            .await?;
        transcript
            .say("3.0.0 was admitted (it is compatible), but its pods do not become ready. Then the broker stops.");
        transcript.gap();
        stage.broker.stop().await;
        let asked = self.answers().await;
        let undone = Instant::now();
        show_kubectl(transcript, self.developer.kubeconfig(), &["rollout", "undo", "deployment/stock"]).await?;
        let mut tale = Tale::new(undone, "stock", PROVIDER);
        let back = |sights: &[Sight]| sights.iter().any(|sight| sight.version == "2.0.0" && sight.complete());
        stage.follow(&mut tale, "2.0.0 is back", |sights, _| back(sights)).await?;
        promised(self.answers().await == asked, "the broker is not asked", "it was asked")?;
        transcript.kept("a rollback to the recorded version needs no answer of the broker");
        stage.broker.restart().await;
        stage.nothing_written(since, "the broker runs again, and its records were right all the time")
    }

    /// The gate is not called for scaling and restarts.
    pub async fn never_in_the_way(&self) -> Played {
        let transcript = self.stage.transcript;
        transcript.heading(13, "Scaling, restarting: the gate is not called");
        let before = self.stage.webhook.reviews().await;
        for arguments in [
            &["scale", "deployment/stock", "--replicas=3"][..],
            &["rollout", "restart", "deployment/stock"],
            &["label", "deployment/stock", "team=stock"],
        ] {
            show_kubectl(transcript, self.developer.kubeconfig(), arguments).await?;
        }
        let calls = self.stage.webhook.reviews().await - before;
        promised(calls == 0, "no admission review", format!("{calls} reviews"))?;
        transcript.kept(&format!("0 admission reviews for these; {before} for all changes of this demo before"));
        Ok(())
    }

    /// How many answers the gate has needed so far.
    async fn answers(&self) -> u64 {
        sum(&self.stage.webhook.metrics().await, "pact_operator_gate_answers_total")
    }
}

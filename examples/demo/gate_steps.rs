//! The demo of the gate: what it denies at admission, what it admits, and what it is not called for.

use std::time::Instant;

use kube::Api;
use pact_operator::api::PactEnvironment;
use pact_operator::api::gate::GateMode;

use crate::observer::Observed;
use crate::set_up::{Demo, ENVIRONMENT, NAMESPACE, Shown, Step, run_kubectl, show_kubectl, verify};
use testbed::kubectl::kubectl;
use testbed::webhook::{Person, sum};

/// The gate, and a user whose rollouts it can deny.
pub struct GateSteps<'a> {
    demo: &'a Demo,
    developer: Person,
}

const CONSUMER: (&str, &str) = ("web-shop", "4.2.0");
const PROVIDER: &str = "stock";

impl<'a> GateSteps<'a> {
    /// Creates a developer, and publishes a pact with its results.
    pub async fn set_up(demo: &'a Demo) -> Step<Self> {
        let transcript = demo.transcript;
        transcript.heading(8, "The gate: an admission webhook that audits before it enforces");
        let developer = Person::developer(&demo.control_plane).await;
        run_kubectl(developer.kubeconfig(), &["config", "set-context", "--current", "--namespace", NAMESPACE]).await?;
        transcript.say("It serves with a certificate that it made itself and that the API server trusts.");
        transcript.say(
            "From here on a developer runs kubectl, who may not bypass the gate. (The gate asks about administrators, too.)",
        );
        let store = demo.broker.store();
        store.publish_pact(CONSUMER.0, CONSUMER.1, PROVIDER, "GET /stock answers a number");
        for (version, verified) in [("1.0.0", true), ("2.0.0", false), ("3.0.0", true)] {
            store.publish_version(PROVIDER, version);
            store.verify(CONSUMER.0, CONSUMER.1, PROVIDER, version, verified);
        }
        transcript.say(
            "At the broker: web-shop 4.2.0 has a pact with stock. stock 1.0.0 and 3.0.0 verified it, 2.0.0 failed to.",
        );
        transcript.gap();
        Ok(Self { demo, developer })
    }

    /// Before the gate enforces anything, the environment shows what would be denied.
    pub async fn enforce(&self) -> Step {
        let (demo, transcript) = (self.demo, self.demo.transcript);
        let api = Api::<PactEnvironment>::all(demo.control_plane.client());
        self.all_is_well("Audit").await?;
        demo.kubectl(&["get", "pactenv"]).await?;
        transcript.kept("the mode is Audit unless an admin changes it; none of the versions that run would be denied");
        transcript.gap();
        let patch = r#"{"spec":{"gate":{"mode":"Enforce"}}}"#;
        demo.kubectl(&["patch", "pactenv", ENVIRONMENT, "--type", "merge", "--patch", patch]).await?;
        demo.until("the mode Enforce is in force", async || {
            let status = api.get(ENVIRONMENT).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let shown = status.mode.map(GateMode::name).unwrap_or_default();
            if shown == "Enforce" { Ok(()) } else { Err(shown.to_owned()) }
        })
        .await
    }

    /// Waits until the environment is in this mode, and everything that runs was checked and would be admitted.
    pub async fn all_is_well(&self, mode: &str) -> Step {
        let api = Api::<PactEnvironment>::all(self.demo.control_plane.client());
        self.demo
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
    pub async fn compatible(&self) -> Step {
        self.demo.transcript.heading(9, "A compatible version: admitted and recorded");
        let since = Instant::now();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/stock.yaml");
        let output = run_kubectl(self.developer.kubeconfig(), &["apply", "-f", &path.display().to_string()]).await?;
        self.demo.transcript.command("kubectl apply -f examples/demo/stock.yaml");
        self.demo.transcript.output(&output);
        self.demo.is_recorded(since, "stock", &[PROVIDER], "1.0.0").await?;
        self.demo.reason_reported(PROVIDER, "Recorded").await.map(drop)
    }

    /// An incompatible version is denied, and nothing else happens.
    pub async fn incompatible(&self) -> Step {
        let (demo, transcript) = (self.demo, self.demo.transcript);
        transcript.heading(10, "A version that fails can-i-deploy: denied, and the old pods keep serving");
        let since = Instant::now();
        let arguments = ["set", "image", "deployment/stock", "app=registry.example.com/stock:2.0.0"];
        let output = kubectl(self.developer.kubeconfig(), &arguments).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        transcript.command(&format!("kubectl {}", arguments.join(" ")));
        transcript.quote(&text);
        verify(!output.status.success(), "kubectl fails", "it succeeded")?;
        for part in ["denied the request: stock 2.0.0 may not be deployed to production", "web-shop 4.2.0"] {
            verify(text.contains(part), format!("kubectl prints \"{part}\""), text.clone())?;
        }
        let changed = demo.observer.since(since, "stock");
        verify(changed.is_empty(), "the Deployment is untouched", format!("{} changes", changed.len()))?;
        demo.nothing_written(since, "the rollout never began: 1.0.0 still runs, and is still recorded")?;
        let event = demo
            .until("an Event on the Deployment", async || {
                let arguments = ["events", "--for", "deployment/stock", "--types=Warning"];
                let output = run_kubectl(demo.control_plane.kubeconfig(), &arguments).await;
                let output = output.map_err(|broken| broken.found)?;
                if output.contains("RolloutDenied") { Ok(output) } else { Err(output) }
            })
            .await?;
        transcript.command("kubectl events --for deployment/stock --types=Warning");
        transcript.quote(&event);
        Ok(())
    }

    /// Once the verification is published, the same command is admitted.
    pub async fn verified(&self) -> Step {
        let (demo, transcript) = (self.demo, self.demo.transcript);
        transcript.heading(11, "The verification is published: the same command is admitted");
        transcript
            .say("stock's team fixes what broke the pact; its pipeline verifies 2.0.0 again and publishes a success.");
        transcript.gap();
        demo.broker.store().verify(CONSUMER.0, CONSUMER.1, PROVIDER, "2.0.0", true);
        let published = Instant::now();
        let arguments = ["set", "image", "deployment/stock", "app=registry.example.com/stock:2.0.0"];
        // The gate keeps a no for a second, so that retries do not flood the broker.
        demo.until("the same command is admitted", async || {
            let output = kubectl(self.developer.kubeconfig(), &arguments).await;
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        })
        .await?;
        transcript.command(&format!("kubectl {}", arguments.join(" ")));
        demo.is_recorded(published, "stock", &[PROVIDER], "2.0.0").await?;
        demo.reason_reported(PROVIDER, "Recorded").await.map(drop)
    }

    /// With the broker down, a rollback to the recorded version is admitted.
    pub async fn rollback_without_a_broker(&self) -> Step {
        let (demo, transcript) = (self.demo, self.demo.transcript);
        transcript.heading(12, "The broker is down: a rollback to the recorded version is admitted");
        let since = Instant::now();
        let patch = r#"{"spec": {"template": {"metadata": {"labels": {"testbed/ready": "never"}}, "spec": {"containers": [{"name": "app", "image": "registry.example.com/stock:3.0.0"}]}}}}"#;
        show_kubectl(transcript, self.developer.kubeconfig(), &["patch", "deployment", "stock", "--patch", patch])
            .await?;
        transcript
            .say("3.0.0 was admitted (it is compatible), but its pods do not become ready. Then the broker stops.");
        transcript.gap();
        demo.broker.stop().await;
        let asked = self.answers().await;
        let undone = Instant::now();
        show_kubectl(transcript, self.developer.kubeconfig(), &["rollout", "undo", "deployment/stock"]).await?;
        let mut shown_so_far = Shown::new(undone, "stock", PROVIDER);
        let back = |states: &[Observed]| states.iter().any(|state| state.version == "2.0.0" && state.complete());
        demo.follow(&mut shown_so_far, "2.0.0 is back", |states, _| back(states)).await?;
        verify(self.answers().await == asked, "the broker is not asked", "it was asked")?;
        transcript.kept("a rollback to the recorded version needs no answer of the broker");
        demo.broker.restart().await;
        demo.nothing_written(since, "the broker runs again, and its records were right all the time")
    }

    /// The gate is not called for scaling and restarts.
    pub async fn never_in_the_way(&self) -> Step {
        let transcript = self.demo.transcript;
        transcript.heading(13, "Scaling, restarting: the gate is not called");
        let before = self.demo.webhook.reviews().await;
        for arguments in [
            &["scale", "deployment/stock", "--replicas=3"][..],
            &["rollout", "restart", "deployment/stock"],
            &["label", "deployment/stock", "team=stock"],
        ] {
            show_kubectl(transcript, self.developer.kubeconfig(), arguments).await?;
        }
        let calls = self.demo.webhook.reviews().await - before;
        verify(calls == 0, "no admission review", format!("{calls} reviews"))?;
        transcript.kept(&format!("0 admission reviews for these; {before} for all changes of this demo before"));
        Ok(())
    }

    /// Somebody who may states that a version passes, and why: it passes, and everybody sees that.
    pub async fn bypass(&self) -> Step {
        let (demo, transcript) = (self.demo, self.demo.transcript);
        transcript.heading(14, "An emergency: somebody who may states which version passes, and why");
        demo.broker.store().verify(CONSUMER.0, CONSUMER.1, PROVIDER, "4.0.0", false);
        let on_call = Person::on_call(&demo.control_plane).await;
        run_kubectl(on_call.kubeconfig(), &["config", "set-context", "--current", "--namespace", NAMESPACE]).await?;
        transcript.say("4.0.0 fails can-i-deploy, and is needed now. Whoever may write the Deployment can state that:");
        transcript.gap();
        let statement = "pact-operator.dev/bypass=4.0.0 stock loses orders, see incident 7";
        show_kubectl(transcript, self.developer.kubeconfig(), &["annotate", "deployment", "stock", statement]).await?;
        let arguments = ["set", "image", "deployment/stock", "app=registry.example.com/stock:4.0.0"];
        let output = kubectl(self.developer.kubeconfig(), &arguments).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let why = text.lines().find(|line| line.contains("pact-operator.dev/bypass does not count"));
        let why = why.filter(|_| !output.status.success()).unwrap_or_default();
        verify(!why.is_empty(), "the statement does not count for the developer", text.clone())?;
        transcript.command(&format!("kubectl {}", arguments.join(" ")));
        transcript.quote(&format!("...\n{why}\n..."));
        transcript.kept("the statement of the developer, who may not bypass the gate, does not count: 4.0.0 is denied");
        transcript.gap();
        transcript.say("The colleague on call holds the verb bypass:");
        transcript.gap();
        let may = ["auth", "can-i", "bypass", "pactenvironments.pact-operator.dev"];
        show_kubectl(transcript, on_call.kubeconfig(), &may).await?;
        let since = Instant::now();
        show_kubectl(transcript, on_call.kubeconfig(), &arguments).await?;
        let event = demo
            .until("an Event on the Deployment", async || {
                let arguments = ["events", "--for", "deployment/stock", "--types=Warning"];
                let output = run_kubectl(demo.control_plane.kubeconfig(), &arguments).await;
                let output = output.map_err(|broken| broken.found)?;
                output.lines().find(|line| line.contains("RolloutBypassed")).map(str::to_owned).ok_or(output)
            })
            .await?;
        transcript.command("kubectl events --for deployment/stock --types=Warning | grep RolloutBypassed");
        transcript.quote(&event);
        demo.is_recorded(since, "stock", &[PROVIDER], "4.0.0").await?;
        let record = demo.reason_reported(PROVIDER, "Recorded").await?;
        let bypassed = "jsonpath={.status.conditions[?(@.type==\"Bypassed\")].message}";
        let output = demo.kubectl(&["get", "pactdep", &record, "-o", bypassed]).await?;
        verify(output.contains("stock loses orders"), "the condition Bypassed gives the reason", output)?;
        let api = Api::<PactEnvironment>::all(demo.control_plane.client());
        demo.until("WOULD-DENY counts stock 4.0.0 and web-shop 4.2.0", async || {
            let status = api.get(ENVIRONMENT).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            if status.would_deny == 2 { Ok(()) } else { Err(format!("{} would be denied", status.would_deny)) }
        })
        .await?;
        transcript.kept("an Event and a condition show it; WOULD-DENY counts both sides of the pact that it breaks");
        Ok(())
    }

    /// How many answers the gate has needed so far.
    async fn answers(&self) -> u64 {
        sum(&self.demo.webhook.metrics().await, "pact_operator_gate_answers_total")
    }
}

//! The set-up of the demo: the cluster, the broker, the operator and its gate, and how the steps observe them.

use std::path::Path;
use std::time::{Duration, Instant};

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use pact_operator::api::PactDeployment;

use crate::observer::{Observed, Observer};
use crate::transcript::{Transcript, shown};
use testbed::chart::{RELEASE, folder, helm};
use testbed::control_plane::ControlPlane;
use testbed::kubectl::kubectl;
use testbed::operator::Operator;
use testbed::standin::{StandIn, Write, WriteKind};
use testbed::webhook::Webhook;

/// The environment in which the demo records, and the namespace that belongs to it.
pub const ENVIRONMENT: &str = "production";
pub const NAMESPACE: &str = "shop";

/// How long anything may take that should happen soon, on a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// How often the transcript looks for changes. The times that it prints are those of the changes.
const POLL: Duration = Duration::from_millis(150);

/// How much later than the operator our own watch may report that a rollout has finished: both read the same stream,
/// each in its own process. A recorder that did not wait for the pods would be early by seconds.
const WATCH_LAG: Duration = Duration::from_millis(500);

/// What was verify and what was found instead.
#[derive(Debug)]
pub struct Broken {
    /// What should have been.
    pub expected: String,
    /// What was.
    pub found: String,
}

/// How a step, or a part of a step, ends: with what it found, or with what is wrong.
pub type Step<T = ()> = Result<T, Broken>;

/// Gives `Ok` when the promise was kept.
pub fn verify(kept: bool, expected: impl Into<String>, found: impl Into<String>) -> Step {
    if kept { Ok(()) } else { Err(Broken { expected: expected.into(), found: found.into() }) }
}

/// What was already printed about a Deployment and the broker since a command.
pub struct Shown<'a> {
    since: Instant,
    deployment: &'a str,
    pacticipant: &'a str,
    states: usize,
    writes: usize,
    last: String,
}

impl<'a> Shown<'a> {
    /// Begins with the command. The records of the pacticipant are shown meanwhile.
    pub fn new(since: Instant, deployment: &'a str, pacticipant: &'a str) -> Self {
        Self { since, deployment, pacticipant, states: 0, writes: 0, last: String::new() }
    }
}

/// The running demo.
pub struct Demo {
    /// The cluster.
    pub control_plane: ControlPlane,
    /// The broker.
    pub broker: StandIn,
    /// The controller's process.
    pub operator: Operator,
    /// The gate's process.
    pub webhook: Webhook,
    /// The states of the Deployments, and when they were reported.
    pub observer: Observer,
    /// Where the demo is printed.
    pub transcript: Transcript,
}

impl Demo {
    /// Shows a kubectl command, runs it and shows its output.
    pub async fn kubectl(&self, arguments: &[&str]) -> Step<String> {
        show_kubectl(self.transcript, self.control_plane.kubeconfig(), arguments).await
    }

    /// `kubectl apply -f` of a file of this demo.
    pub async fn apply(&self, file: &str) -> Step {
        let shown = format!("examples/demo/{file}");
        self.transcript.command(&format!("kubectl apply -f {shown}"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&shown).display().to_string();
        let output = run_kubectl(self.control_plane.kubeconfig(), &["apply", "-f", &path]).await?;
        self.transcript.output(&output);
        Ok(())
    }

    /// The writes of clients at the broker since then.
    pub fn writes(&self, since: Instant) -> Vec<Write> {
        self.broker.writes().into_iter().filter(|write| write.at >= since).collect()
    }

    /// The version that the broker shows now, if any.
    pub fn recorded_version(&self, pacticipant: &str) -> Option<String> {
        self.broker.store().current(ENVIRONMENT, pacticipant).pop().map(|row| row.version)
    }

    /// Prints what happens to a Deployment and at the broker, as it happens, until `enough` is true.
    pub async fn follow(
        &self,
        shown_so_far: &mut Shown<'_>,
        expected: &str,
        enough: impl Fn(&[Observed], &[Write]) -> bool,
    ) -> Step<(Vec<Observed>, Vec<Write>)> {
        loop {
            let (states, writes) =
                (self.observer.since(shown_so_far.since, shown_so_far.deployment), self.writes(shown_so_far.since));
            let over = enough(&states, &writes);
            self.print_new(shown_so_far, &states, &writes);
            if over {
                return Ok((states, writes));
            }
            if shown_so_far.since.elapsed() > SOON {
                let found = states.last().map_or_else(|| "no state of it was reported".to_owned(), Observed::describe);
                let says = self.broker_state(Instant::now(), shown_so_far.pacticipant);
                return Err(Broken {
                    expected: expected.to_owned(),
                    found: format!("after {SOON:?}: {found}; {says}"),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Prints what is new. Of the states of a rollout within one interval, only the last one.
    fn print_new(&self, shown_so_far: &mut Shown<'_>, states: &[Observed], writes: &[Write]) {
        let mut moments: Vec<(Instant, &str, String, String)> = Vec::new();
        // A status that is not about the present spec yet says nothing about this rollout.
        let news = states[shown_so_far.states..].iter().rfind(|state| state.gone || state.progress.observed);
        if let Some(state) = news.filter(|state| state.describe() != shown_so_far.last) {
            shown_so_far.last = state.describe();
            moments.push((
                state.at,
                "cluster",
                state.describe(),
                self.broker_state(state.at, shown_so_far.pacticipant),
            ));
        }
        for write in &writes[shown_so_far.writes..] {
            moments.push((write.at, "broker", describe(write), String::new()));
        }
        (shown_so_far.states, shown_so_far.writes) = (states.len(), writes.len());
        moments.sort_by_key(|moment| moment.0);
        for (at, source, what, broker_state) in moments {
            self.transcript.moment(at - shown_so_far.since, source, &what, &broker_state);
        }
    }

    /// What the broker showed for a pacticipant at that moment.
    fn broker_state(&self, at: Instant, pacticipant: &str) -> String {
        let writes = self.broker.writes();
        let before = writes.iter().rfind(|write| write.at <= at && write.pacticipant == pacticipant);
        match before.filter(|write| write.kind == WriteKind::Deployed) {
            Some(write) => format!("the broker shows {}", write.version),
            None => "the broker shows nothing yet".to_owned(),
        }
    }

    /// Follows a rollout to its end, and verifies that it was recorded once, as soon as it had finished and not before.
    pub async fn is_recorded(&self, since: Instant, deployment: &str, pacticipants: &[&str], version: &str) -> Step {
        let mut shown_so_far = Shown::new(since, deployment, pacticipants[0]);
        let expected = format!("the rollout of {version} finishes, and is recorded as deployed");
        let finished = |states: &[Observed]| {
            states.iter().find(|state| state.version == version && state.complete()).map(|state| state.at)
        };
        let (states, writes) = self
            .follow(&mut shown_so_far, &expected, |states, writes| {
                finished(states).is_some() && writes.len() >= pacticipants.len()
            })
            .await?;
        let mut found: Vec<_> = writes.iter().map(describe).collect();
        let mut wanted: Vec<_> = pacticipants.iter().map(|one| deployed(one, version)).collect();
        found.sort();
        wanted.sort();
        verify(found == wanted, wanted.join(", "), found.join(", "))?;
        let finished = finished(&states).unwrap_or(since);
        for write in &writes {
            let early = finished.saturating_duration_since(write.at);
            let expected = format!("{} only once the rollout has finished", describe(write));
            verify(early <= WATCH_LAG, expected, format!("it was recorded {} before", shown(early)))?;
            let late = write.at.saturating_duration_since(finished);
            let what = &write.pacticipant;
            self.transcript.kept(&format!(
                "{what} {version} is recorded {} after the status output that the rollout is complete, not before",
                shown(late)
            ));
        }
        Ok(())
    }

    /// Verifies that nothing was written at the broker since then.
    pub fn nothing_written(&self, since: Instant, promise: &str) -> Step {
        let found: Vec<_> = self.writes(since).iter().map(describe).collect();
        verify(found.is_empty(), promise, format!("written at the broker: {}", found.join(", ")))?;
        self.transcript.kept(promise);
        Ok(())
    }

    /// Waits until the `PactDeployment` of a pacticipant gives this reason for being (or not being) ready; returns its
    /// name.
    pub async fn reason_reported(&self, pacticipant: &str, reason: &str) -> Step<String> {
        let expected = format!("the PactDeployment of {pacticipant} says {reason}");
        let api = Api::<PactDeployment>::all(self.control_plane.client());
        self.until(&expected, async || {
            let all = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let one = all.into_iter().find(|one| one.spec.pacticipant == pacticipant).ok_or("there is none")?;
            let conditions = one.status.clone().unwrap_or_default().conditions;
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready").ok_or("it has no Ready")?;
            if ready.reason == reason {
                Ok(one.name_any())
            } else {
                Err(format!("{}: {}", ready.reason, ready.message))
            }
        })
        .await
    }

    /// Shows the message of a `PactDeployment`.
    pub async fn why(&self, object: &str) -> Step {
        const MESSAGE: &str = r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#;
        let output = run_kubectl(self.control_plane.kubeconfig(), &["get", "pactdep", object, "-o", MESSAGE]).await?;
        self.transcript.command(&format!("kubectl get pactdep {object} -o '{MESSAGE}'"));
        self.transcript.quote(&output);
        Ok(())
    }

    /// Repeats a question until the answer is `Ok`.
    pub async fn until<T>(&self, expected: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> Step<T> {
        let started = Instant::now();
        loop {
            let found = match ask().await {
                Ok(value) => return Ok(value),
                Err(found) => found,
            };
            verify(started.elapsed() < SOON, expected, format!("after {SOON:?}: {found}"))?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A write at the broker in one line.
pub fn describe(write: &Write) -> String {
    let what = match write.kind {
        WriteKind::Deployed => return deployed(&write.pacticipant, &write.version),
        WriteKind::Undeployed => "no longer deployed",
        WriteKind::Released => "released",
        WriteKind::SupportEnded => "no longer supported",
    };
    format!("{} {} is {what}", write.pacticipant, write.version)
}

fn deployed(pacticipant: &str, version: &str) -> String {
    format!("{pacticipant} {version} is deployed")
}

/// Shows how the chart is installed with these values, and installs it.
pub async fn install(transcript: Transcript, control_plane: &ControlPlane, values: &str) -> Step {
    let file = control_plane.folder().join("values.yaml");
    let written = std::fs::write(&file, values);
    verify(written.is_ok(), "values.yaml is written", format!("{written:?}"))?;
    let command = "helm install pact-operator charts/pact-operator";
    transcript.command(&format!("{command} \\\n    --namespace {RELEASE} --create-namespace --values values.yaml"));
    let (chart, file) = (folder().display().to_string(), file.display().to_string());
    let output = helm(control_plane, &["install", RELEASE, &chart, "--create-namespace", "--values", &file]).await;
    verify(output.status.success(), "helm succeeds", String::from_utf8_lossy(&output.stderr))?;
    // The rest of the output is the chart's notes, for those who install it without values.
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    output.lines().filter(|line| line.starts_with("STATUS: ")).for_each(|line| transcript.output(line));
    Ok(())
}

/// Shows a kubectl command as a person would type it, runs it and shows its output.
pub async fn show_kubectl(transcript: Transcript, kubeconfig: &Path, arguments: &[&str]) -> Step<String> {
    let plain = |argument: &str| argument.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@".contains(c));
    let quoted =
        arguments.iter().map(|one| if plain(one) { (*one).to_owned() } else { format!("'{one}'") }).collect::<Vec<_>>();
    let output = run_kubectl(kubeconfig, arguments).await;
    // Only now, because other code prints what happens meanwhile.
    transcript.command(&format!("kubectl {}", quoted.join(" ")));
    let output = output?;
    transcript.output(&output);
    Ok(output)
}

/// Runs kubectl, which has to succeed.
pub async fn run_kubectl(kubeconfig: &Path, arguments: &[&str]) -> Step<String> {
    let output = kubectl(kubeconfig, arguments).await;
    let found = String::from_utf8_lossy(&output.stderr).into_owned();
    verify(output.status.success(), format!("kubectl {} succeeds", arguments.join(" ")), found)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

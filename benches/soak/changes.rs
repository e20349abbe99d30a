//! The changes of images: how one is sent and answered, and the steady stream of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::Request;
use axum::http::request::Builder;
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use testbed::test_cluster::image;

use crate::clock::Clock;
use crate::world::{CONSUMER, FIRST, World};

/// How many images are changed a second.
const PER_SECOND: u32 = 5;
/// Of so many changes one fails its contract. It has no divisor in common with the number of Deployments, so that it is
/// the turn of each of them.
const ONE_FAILS_IN: usize = 9;
/// How many changes may be under way at once.
const AT_ONCE: usize = 64;
/// How the API server introduces a denial of ours.
const DENIED: &str = "admission webhook \"gate.pact-operator.dev\" denied the request: ";

/// A change of a Deployment's image, and the answer that is right.
#[derive(Clone, Debug)]
pub struct Change {
    /// The Deployment.
    pub app: String,
    /// The new version.
    pub version: String,
    passes: bool,
    rehearsed: bool,
}

/// The answer to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Admitted without a warning, and it was to be admitted.
    Allowed,
    /// Denied for its contract, and it was to be denied.
    Denied,
    /// Anything else, with the API server's words.
    Failed(String),
}

/// A change with its answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// When it was sent, from the start of the run.
    pub sent: Duration,
    /// How long the API server took to answer the client: with all that it does itself.
    pub took: Duration,
    /// The Deployment and the version, for people.
    pub what: String,
    /// The answer.
    pub outcome: Outcome,
}

impl Change {
    /// It is to be admitted when the version passes its contract.
    pub fn new(app: &str, version: &str, passes: bool) -> Self {
        Self { app: app.to_owned(), version: version.to_owned(), passes, rehearsed: false }
    }

    /// As a dry-run: asked about, not carried out.
    pub fn rehearsed(self) -> Self {
        Self { rehearsed: true, ..self }
    }

    /// Sends it.
    pub async fn send(&self, client: &Client, namespace: &str) -> Outcome {
        match self.answer(client, namespace).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error),
        }
    }

    async fn answer(&self, client: &Client, namespace: &str) -> Result<Outcome, String> {
        let containers = json!([{"name": "app", "image": image(&self.version)}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let request = self.request(namespace).body(patch.to_string().into_bytes().into()).expect("a request");
        let answer = client.send(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| format!("the answer was cut off: {error}"))?.to_bytes();
        if head.status.is_success() {
            let warning = head.headers.get("warning").map(|warning| String::from_utf8_lossy(warning.as_bytes()));
            return match warning {
                None if self.passes => Ok(Outcome::Allowed),
                None => Err("admitted though its contract fails".to_owned()),
                Some(warning) => Err(format!("admitted with the warning {warning}")),
            };
        }
        let status: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = status["message"].as_str().unwrap_or_default();
        let ours = head.status == 403 && message.starts_with(DENIED);
        let of_the_contract = message.contains(&self.version) && message.contains(CONSUMER);
        if ours && of_the_contract && !self.passes {
            return Ok(Outcome::Denied);
        }
        Err(format!("{}: {message}", head.status))
    }

    fn request(&self, namespace: &str) -> Builder {
        let dry = if self.rehearsed { "?dryRun=All" } else { "" };
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{}{dry}", self.app);
        Request::patch(path).header("content-type", "application/strategic-merge-patch+json")
    }
}

/// What the stream came to.
pub struct Changes {
    /// Each change, in the order of the answers.
    pub answered: Vec<Answered>,
    /// The version that each Deployment was last changed to.
    pub last: BTreeMap<String, String>,
}

/// Changes one Deployment after the other until the run is over, at a steady rate, and waits for the last answers. On a
/// busy machine late changes are sent later, and none is left out.
pub async fn stream(world: &World, clock: Clock) -> Changes {
    let (client, namespace): (_, Arc<str>) = (world.person.client(), Arc::from(&*world.namespace));
    // The version of each Deployment. It is locked while a change is under way: the changes of one Deployment keep their
    // order.
    let last: Vec<_> = world.apps.iter().map(|_| Arc::new(Turn::new(FIRST.to_owned()))).collect();
    let (permits, answered) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Mutex::new(Vec::new())));
    let mut tick = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    let all = usize::try_from(clock.minutes * 60 * PER_SECOND).expect("a number of changes");
    for number in 1..=all {
        tick.tick().await;
        let permit = Arc::clone(&permits).acquire_owned().await.expect("it is never closed");
        let app = number % world.apps.len();
        let passes = number % ONE_FAILS_IN != 0;
        let change = Change::new(&world.apps[app], &format!("{number}.0.0"), passes);
        world.publish(&change.app, &change.version, passes);
        let (client, namespace) = (client.clone(), Arc::clone(&namespace));
        let (answered, last) = (Arc::clone(&answered), Arc::clone(&last[app]));
        under_way.spawn(async move {
            let mut last = last.lock().await;
            let sent = Instant::now();
            let outcome = change.send(&client, &namespace).await;
            let took = sent.elapsed();
            drop(permit);
            let what = format!("{} {}", change.app, change.version);
            if outcome == Outcome::Allowed {
                *last = change.version;
            }
            let sent = clock.at(sent).unwrap_or_default();
            answered.lock().unwrap().push(Answered { sent, took, what, outcome });
        });
        while let Some(done) = under_way.try_join_next() {
            done.expect("a change does not panic");
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.expect("a change does not panic");
    }
    let answered = std::mem::take(&mut *answered.lock().unwrap());
    let mut versions = BTreeMap::new();
    for (app, last) in world.apps.iter().zip(last) {
        versions.insert(app.clone(), last.lock().await.clone());
    }
    Changes { answered, last: versions }
}

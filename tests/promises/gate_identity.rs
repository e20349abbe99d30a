//! Which version and which pacticipant the gate judges when one of them stays behind in a change, when there are several
//! containers, and when the broker's answer is about something else: cases 82 to 84, 87 and 91.

use pact_operator::api::annotations::{VERSION, VERSION_LABEL};
use serde_json::{Value, json};

use super::gate_setup::{CommandOutput, GateSetup, MappedEnvironment, consumer_of, provider_that_breaks};
use testbed::eventually::eventually;
use testbed::http::plain_client;
use testbed::rollout::Rollout;
use testbed::standin::{Effect, Fault};
use testbed::test_cluster::{SOON, annotated, image};

/// An image that is pinned by a digest alone.
fn pinned(registry: &str, build: &str) -> String {
    format!("{registry}/shop@sha256:{}", build.repeat(64))
}

/// A new environment that enforces, with these rules for versions, over a new namespace.
async fn with_version_rules(setup: &GateSetup, version: Value) -> MappedEnvironment {
    let namespace = setup.cluster.namespace().await;
    let more = json!({"gate": {"mode": "Enforce"}, "version": version});
    let name = setup.cluster.environment(&[&namespace], more).await;
    setup.members_listed(&name).await;
    MappedEnvironment { namespace, name }
}

/// `kubectl patch`: annotations and labels of the Deployment, and the image of its container `app`, in one request.
async fn patch(setup: &GateSetup, namespace: &str, name: &str, metadata: Value, image: &str) -> CommandOutput {
    let containers = json!([{"name": "app", "image": image}]);
    let patch = json!({"metadata": metadata, "spec": {"template": {"spec": {"containers": containers}}}});
    setup.kubectl(namespace, &["patch", &format!("deployment/{name}"), "-p", &patch.to_string()]).await
}

/// Where a Deployment states its version.
struct Source {
    name: &'static str,
    key: &'static str,
    metadata: &'static str,
    warning: &'static str,
    event: &'static str,
}

impl Source {
    /// What states this version, in the metadata of a Deployment.
    fn states(&self, version: &str) -> Value {
        json!({self.metadata: {self.key: version}})
    }

    /// A Deployment of this build that states 1.0.0, applied by the admin.
    async fn running(&self, setup: &GateSetup, environment: &MappedEnvironment) {
        let rollout = annotated(self.name, self.name, "").image(&pinned("registry.example.com", "a"));
        let rollout = rollout.with(|manifest| manifest["metadata"][self.metadata][self.key] = json!("1.0.0"));
        rollout.apply(&setup.cluster.client(), &environment.namespace).await.wait_complete().await;
        let store = setup.cluster.broker.store();
        consumer_of(&setup.cluster.broker, &environment.name, self.name);
        for version in ["1.0.0", "2.0.0"] {
            assert!(store.verify(&format!("web-of-{}", self.name), "7", self.name, version, true));
        }
    }

    /// With a pattern it is denied as a mismatch; without one it is warned about, and the controller reports it.
    async fn stays_while_the_digest_changes(&self, setup: &GateSetup) {
        let (name, another) = (self.name, pinned("registry.example.com", "b"));
        let checked = &with_version_rules(setup, json!({"tagPattern": "^v(?<version>.+)$", "label": "Use"})).await;
        self.running(setup, checked).await;
        let output = patch(setup, &checked.namespace, name, json!({}), &another).await;
        let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
        let key = self.key;
        let says =
            format!("{name} may not be deployed to {}: {key} still says \"1.0.0\", but the image is ", checked.name);
        assert!(denial.starts_with(&says), "{denial}");
        let note = setup.wait_reported(&checked.namespace, name, "RolloutDenied").await;
        assert!(note.starts_with(&says) && note.contains("change both together"), "{note}");
        let logs = setup.webhook.logs();
        let named = |line: &str| line.contains(&checked.namespace) && line.contains("verdict=\"VersionMismatch\"");
        assert!(logs.lines().any(named), "{logs}");

        // The same build from another registry, and another build whose version is stated with it.
        patch(setup, &checked.namespace, name, json!({}), &pinned("mirror.example.com", "a")).await.silent();
        patch(setup, &checked.namespace, name, self.states("2.0.0"), &another).await.silent();

        let unchecked = &with_version_rules(setup, json!({"label": "Use"})).await;
        self.running(setup, unchecked).await;
        let output = patch(setup, &unchecked.namespace, name, json!({}), &another).await;
        assert_eq!((output.code, output.warnings()), (0, vec![self.warning]));
        let note = setup.cluster.wait_event(&unchecked.namespace, name, "VersionAnnotationStale").await;
        assert!(note.starts_with(&format!("the image changed, but {} still says 1.0.0", self.event)), "{note}");
    }
}

#[tokio::test]
async fn case_82_a_digest_that_changes_while_the_annotation_stays_is_denied_or_warned_about_and_reported() {
    let annotation = Source {
        name: "digest-82",
        key: VERSION,
        metadata: "annotations",
        warning: "the image changed, but the annotation pact-operator.dev/version stayed: is it still right?",
        event: "the annotation pact-operator.dev/version",
    };
    let setup = GateSetup::shared().await;
    annotation.stays_while_the_digest_changes(&setup).await;
}

#[tokio::test]
async fn case_83_a_version_label_that_stays_counts_as_the_annotation_does() {
    let label = Source {
        name: "digest-83",
        key: VERSION_LABEL,
        metadata: "labels",
        warning: "the image changed, but the label app.kubernetes.io/version stayed: is it still right?",
        event: "the label app.kubernetes.io/version",
    };
    let setup = GateSetup::shared().await;
    label.stays_while_the_digest_changes(&setup).await;
}

#[tokio::test]
async fn case_84_a_name_that_goes_together_with_the_version_is_judged_with_the_new_one_too() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let (namespace, store) = (&environment.namespace, setup.cluster.broker.store());
    setup.provider_that_breaks(&environment.name, "old-84");
    for version in ["1.0.0", "2.0.0"] {
        store.publish_version("new-84", version);
    }
    let named = |names: &str| json!({"annotations": {"pact-operator.dev/pacticipant": names}});
    for (deployment, before, after) in [("replaced", "old-84", "new-84"), ("removed", "new-84,old-84", "new-84")] {
        setup.running(environment, deployment, before, "1.0.0").await;
        let output = patch(&setup, namespace, deployment, named(after), &image("2.0.0")).await;
        let denial = output.denial().unwrap_or_else(|| panic!("{deployment}: {output:?}"));
        let says = format!("old-84 2.0.0 may not be deployed to {}: it failed to verify the pact", environment.name);
        assert!(denial.starts_with(&says), "{deployment}: {denial}");
    }

    // On purpose: first the annotation, then the image.
    for version in ["1.0.0", "2.0.0"] {
        let output = patch(&setup, namespace, "replaced", named("new-84"), &image(version)).await;
        let judged = output.warnings().iter().all(|warning| warning.starts_with(&format!("new-84 {version} → ")));
        assert!(output.code == 0 && judged, "{version}: {output:?}");
    }
}

#[tokio::test]
async fn case_87_the_default_container_of_the_owner_is_judged_and_recorded() {
    const DEFAULT: &str = "kubectl.kubernetes.io/default-container";
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let namespace = &environment.namespace;
    setup.provider_that_breaks(&environment.name, "two-87");
    assert!(setup.cluster.broker.store().verify("web-of-two-87", "7", "two-87", "3.0.0", true));
    let of_two = |name| annotated(name, "two-87", "1.30.0").container("server", &image("1.0.0"));
    let create = async |rollout: Rollout| {
        let manifest = rollout.manifest().to_string();
        setup.kubectl_reading(namespace, &["create", "--dry-run=server", "-f", "-"], &manifest).await
    };
    for (what, unnamed) in
        [("not named", of_two("unnamed")), ("named wrongly", of_two("unnamed").pod_annotation(DEFAULT, "elsewhere"))]
    {
        let output = create(unnamed).await;
        assert!(output.denial().is_some_and(|it| it.contains("has several containers")), "{what}: {output:?}");
    }

    let named = of_two("two").pod_annotation(DEFAULT, "server");
    let live = named.apply(&setup.cluster.client(), namespace).await;
    live.wait_complete().await;
    setup.cluster.wait_recorded(&environment.name, "two-87", "1.0.0").await;
    let set = async |container: &str, version: &str| {
        let image = format!("{container}={}", image(version));
        setup.kubectl(namespace, &["set", "image", "deployment/two", &image]).await
    };
    set("app", "2.0.0").await.silent();
    let output = set("server", "2.0.0").await;
    let says = format!("two-87 2.0.0 may not be deployed to {}: it failed", environment.name);
    assert!(output.denial().is_some_and(|denial| denial.starts_with(&says)), "{output:?}");
    set("server", "3.0.0").await.silent();
    setup.cluster.wait_recorded(&environment.name, "two-87", "3.0.0").await;
    assert_eq!(setup.cluster.writes(&environment.name, "two-87"), ["Deployed 1.0.0", "Deployed 3.0.0"]);
}

#[tokio::test]
async fn case_91_an_answer_about_something_else_is_not_used_and_what_it_is_about_is_said() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("cached").await;
    let gate = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    let environment = &setup.gated_by("cached", &broker, gate).await;
    for app in ["kept-91", "asked-91"] {
        provider_that_breaks(&broker, &environment.name, app);
        setup.running(environment, app, app, "1.0.0").await;
    }
    // The cache keeps the first answer that came its way, a yes, whatever the query of the next question.
    let question = eventually("the controller's question about kept-91", SOON, async || {
        let asked = broker.requests().into_iter().map(|request| request.path_and_query);
        let mut asked =
            asked.filter(|it| it.starts_with("/matrix?") && it.contains("=kept-91&") && !it.contains("asked-91"));
        asked.next().ok_or_else(|| "it was not asked".to_owned())
    })
    .await;
    let kept = plain_client().get(format!("{}{question}", broker.url())).send().await.unwrap().text().await.unwrap();
    assert!(kept.contains("\"deployable\":true"), "{kept}");
    broker.faults().add(Fault::new(Effect::Kept { body: kept }).path("^/matrix"));

    let output = setup.set_version(&environment.namespace, "asked-91", "2.0.0", &[]).await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    let about =
        "the broker's answer is about something else: it has web-of-kept-91 7 and kept-91, and not asked-91 2.0.0";
    let says = format!("asked-91 2.0.0 could not be checked for {}: {about}", environment.name);
    assert!(denial.starts_with(&says), "{denial}");
    let note = setup.wait_reported(&environment.namespace, "asked-91", "RolloutDenied").await;
    assert!(note.starts_with(&says) && note.contains("Does a cache in front of it leave out the query?"), "{note}");
    let logs = setup.webhook.logs();
    let named = |line: &str| line.contains(&environment.namespace) && line.contains("verdict=\"BrokerUnavailable\"");
    assert!(logs.lines().any(named), "{logs}");

    broker.faults().clear();
    let failed = format!("asked-91 2.0.0 may not be deployed to {}: it failed to verify the pact", environment.name);
    eventually("the broker's own answer to count", SOON, async || {
        let output = setup.set_version(&environment.namespace, "asked-91", "2.0.0", &[]).await;
        if output.denial().is_some_and(|it| it.starts_with(&failed)) { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
}

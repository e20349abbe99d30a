//! `pact-operator why`: the smallest way to a yes, by a broker alone and by what a cluster says.

use std::{collections::BTreeSet, path::Path};

use crate::objects::Objects as _;
use pact_operator::api::PactBroker;
use serde_json::{Value, json};

use super::{
    check::verb,
    gate_setup::GateSetup,
    people_verbs::{self, Said, said},
};
use testbed::{
    eventually::eventually,
    process::free_port,
    standin::{Auth, Options, StandIn},
    test_cluster::{SOON, TestCluster, annotated},
};

/// A shop in production: orders 1.9.0 serves web-shop 4.2.0 and app 3.1.0, and uses stock 7.
async fn shop() -> StandIn {
    let broker = StandIn::start_with(Options { seed_example_environments: true, ..Options::default() }).await;
    let store = broker.store();
    for (consumer, versions) in [("web-shop", &["4.2.0", "4.3.0", "4.4.0"][..]), ("app", &["3.1.0", "3.2.0"])] {
        for version in versions {
            store.publish_pact(consumer, version, "orders", &format!("what {consumer} {version} expects"));
        }
    }
    for version in ["1.9.0", "1.9.1", "2.0.0", "2.1.0", "2.2.0", "3.0.0"] {
        store.publish_pact("orders", version, "stock", "what orders expects");
    }
    store.publish_version("stock", "7");
    assert!(store.verify("orders", "1.9.0", "stock", "7", true));
    let results = [
        // (orders, what of web-shop and app it passes, what it fails)
        ("1.9.0", &["web-shop 4.2.0", "web-shop 4.3.0", "app 3.1.0", "app 3.2.0"][..], &[][..]),
        ("1.9.1", &["web-shop 4.2.0", "app 3.1.0"], &[]),
        ("2.0.0", &["web-shop 4.3.0", "app 3.1.0"], &["web-shop 4.2.0"]),
        ("2.1.0", &["web-shop 4.2.0"], &[]),
        ("2.2.0", &["web-shop 4.4.0", "app 3.1.0"], &["web-shop 4.2.0", "web-shop 4.3.0"]),
        ("3.0.0", &["app 3.1.0"], &["web-shop 4.2.0", "web-shop 4.3.0", "web-shop 4.4.0"]),
    ];
    for (orders, passes, fails) in results {
        for (all, passed) in [(passes, true), (fails, false)] {
            for consumer in all {
                let (name, version) = consumer.split_once(' ').unwrap();
                assert!(store.verify(name, version, "orders", orders, passed));
            }
        }
    }
    for (name, version) in [("web-shop", "4.2.0"), ("app", "3.1.0"), ("orders", "1.9.0"), ("stock", "7")] {
        store.record_deployment(name, version, "production", None);
    }
    broker
}

async fn why(broker: &StandIn, version: &str, more: &[&str]) -> Said {
    let url = broker.url();
    let arguments = ["orders", version, "--to-environment", "production", "-b", &url, "--retries", "0"];
    verb("why", &[&arguments, more].concat(), &[("KUBECONFIG", "/no/such/file")], "").await
}

/// Shows these words, on lines that fit.
#[track_caller]
fn shows(said: &Said, code: i32, wanted: &[&str]) {
    people_verbs::shows(said, code, wanted);
    let too_wide = said.out.lines().find(|line| line.chars().count() > 100 && !line.contains("http"));
    assert!(too_wide.is_none(), "{too_wide:?}");
}

#[tokio::test]
async fn the_order_the_missing_verification_or_what_fails_is_said_with_the_newest_deployable_version() {
    let broker = shop().await;
    shows(
        &why(&broker, "2.0.0", &[]).await,
        1,
        &[
            "orders 2.0.0 → production: No",
            "because it failed to verify the pact of web-shop 4.2.0",
            "1. web-shop 4.3.0 (now 4.2.0)",
            "2. orders 2.0.0 (now 1.9.0)",
            "instead orders 1.9.1 is the newest version that may be deployed now",
        ],
    );
    shows(
        &why(&broker, "2.1.0", &[]).await,
        1,
        &[
            "orders 2.1.0 → production: Unknown",
            "missing orders 2.1.0 has to verify the pact of app 3.1.0",
            "the pipeline of orders runs that",
            "once that succeeds, it is a yes",
        ],
    );
    shows(
        &why(&broker, "2.2.0", &[]).await,
        1,
        &[
            "1. web-shop 4.4.0 (now 4.2.0) together with orders 2.2.0 (now 1.9.0)",
            "passes only together",
            "the gate judges each alone",
        ],
    );
    shows(
        &why(&broker, "3.0.0", &[]).await,
        1,
        &[
            "none with what is published",
            "with web-shop 4.4.0: Failed: web-shop 4.4.0 → orders 3.0.0",
            "web-shop 4.3.0: Failed: web-shop 4.3.0 → orders 3.0.0",
            "looked at 6 versions of orders, 2 of web-shop",
        ],
    );
    shows(
        &why(&broker, "9.9.9", &[]).await,
        1,
        &["VersionMissing", "publish its pacts or verification results with exactly 9.9.9", "instead orders 1.9.1"],
    );
    shows(&why(&broker, "1.9.1", &[]).await, 0, &["orders 1.9.1 → production: Yes", "do nothing: it may be deployed"]);
    // Whoever follows the steps gets there.
    broker.store().record_deployment("web-shop", "4.3.0", "production", None);
    shows(&why(&broker, "2.0.0", &[]).await, 0, &["orders 2.0.0 → production: Yes"]);
}

#[tokio::test]
async fn programs_get_the_same_as_json_and_as_yaml() {
    let broker = shop().await;
    let said = why(&broker, "2.0.0", &["-o", "json"]).await;
    let document: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err));
    let one = &document["environments"][0];
    assert_eq!((said.code, &document["deployable"], &one["verdict"]), (Some(1), &json!(false), &json!("No")));
    let step = |name: &str, version: &str| json!([{"pacticipant": name, "version": version}]);
    assert_eq!(one["way"]["steps"], json!([step("web-shop", "4.3.0"), step("orders", "2.0.0")]));
    assert_eq!(one["way"]["newestDeployable"], json!("1.9.1"));
    assert_eq!(one["way"]["lookedAt"]["ownVersions"], json!(6));
    let said = why(&broker, "2.0.0", &["-o", "yaml"]).await;
    let yaml: Value = serde_yaml_ng::from_str(&said.out).unwrap();
    assert_eq!(yaml, document);
}

/// A provider that breaks as many consumers as there are: what is asked stays bounded.
#[tokio::test]
async fn a_broker_is_asked_a_few_times_however_much_fails() {
    let broker = StandIn::start_with(Options { seed_example_environments: true, ..Options::default() }).await;
    let store = broker.store();
    for number in 0..30 {
        let consumer = format!("consumer-{number}");
        for version in 1..40 {
            store.publish_pact(&consumer, &version.to_string(), "orders", "what it expects");
        }
        store.record_deployment(&consumer, "1", "production", None);
    }
    for version in 1..40 {
        store.publish_version("orders", &version.to_string());
    }
    assert!(store.verify("consumer-0", "1", "orders", "39", false));
    let said = why(&broker, "39", &[]).await;
    shows(&said, 1, &["looked at 20 versions of orders, 4 of", "not at other versions of"]);
    let requests: Vec<_> = broker.requests().into_iter().map(|request| request.path_and_query).collect();
    // The question and what is live; then, for orders and four others, their versions, and a matrix; one of all together.
    assert!(requests.len() <= 4 + 2 * 5 + 1 + 1, "{}: {requests:#?}", requests.len());
    assert!(requests.iter().all(|path| path.len() < 4_000), "{requests:#?}");
    assert!(requests.iter().collect::<BTreeSet<_>>().len() + 1 >= requests.len(), "one twice: {requests:#?}");
}

#[tokio::test]
async fn what_cannot_be_told_is_one_sentence_with_a_remedy_and_ends_with_2() {
    let broker = shop().await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let asked = ["orders", "2.0.0", "--to-environment", "production", "--retries", "0"];
    let run = async |more: &[&str], variables: &[(&str, &str)]| {
        verb("why", &[&asked, more].concat(), &[&[("KUBECONFIG", "/no/such/file")], variables].concat(), "").await
    };
    let dead = run(&["-b", &nobody], &[]).await;
    shows(&dead, 2, &["BrokerUnavailable", "do look whether the broker answers"]);
    broker.set_auth(Some(Auth::Bearer("planted-token".into())));
    let refused = run(&["-b", &broker.url()], &[("PACT_BROKER_TOKEN", "planted-other")]).await;
    shows(&refused, 2, &["Unauthorized", "do give credentials that the broker takes in PACT_BROKER_TOKEN"]);
    assert!(!refused.out.contains("planted") && !refused.err.contains("planted"), "{}{}", refused.out, refused.err);
    broker.set_auth(None);
    let nowhere = ["orders", "2.0.0", "--to-environment", "nowhere", "-b", &broker.url()];
    let nowhere = verb("why", &nowhere, &[], "").await;
    shows(&nowhere, 2, &["EnvironmentMissing", "do correct the name"]);
    let ghost = ["ghost", "1", "--to-environment", "production", "-b", &broker.url()];
    shows(&verb("why", &ghost, &[], "").await, 1, &["PacticipantUnknown", "do publish its pacts"]);
    let without = run(&[], &[]).await;
    assert!(
        without.code == Some(2) && without.err.contains("give --broker-base-url"),
        "{}{}",
        without.out,
        without.err
    );
    assert_eq!((without.err.lines().count(), without.out.as_str()), (1, ""), "{}", without.err);
    let token = run(&[], &[("PACT_BROKER_TOKEN", "planted")]).await;
    assert!(token.code == Some(2) && !token.err.contains("planted"), "{}", token.err);
    for arguments in
        [&["orders"][..], &["orders", " "], &["orders", "1", "--to-environment", "my env"], &["a", "1", "-o", "x"]]
    {
        let usage = verb("why", arguments, &[], "").await;
        assert_eq!(usage.code, Some(64), "{arguments:?}: {}{}", usage.out, usage.err);
    }
}

#[tokio::test]
async fn a_cluster_says_which_broker_is_asked_what_is_ignored_and_what_runs_besides() {
    let setup = GateSetup::shared().await;
    let admin = setup.cluster.control_plane.kubeconfig();
    let ignoring = json!({"mode": "Enforce", "ignore": [{"pacticipant": "old-of-asked", "reason": "it goes"}]});
    let environment = &setup.gated(ignoring).await;
    let name = environment.name.as_str();
    setup.provider_that_breaks(name, "asked");
    let store = setup.cluster.broker.store();
    store.publish_pact("web-of-asked", "8", "asked", "what it expects now");
    for version in ["1.0.0", "2.0.0"] {
        assert!(store.verify("web-of-asked", "8", "asked", version, true));
    }
    store.publish_pact("old-of-asked", "1", "asked", "what nobody needs");
    assert!(store.verify("old-of-asked", "1", "asked", "2.0.0", false));
    store.record_deployment("old-of-asked", "1", name, None);
    let asked = async |version: &str, more: &[&str]| {
        said(admin, &[&["why", "asked", version, "--to-environment", name], more].concat(), "").await
    };
    // web-of-asked 8 needs a version of it, and none is there yet; 2.0.0 breaks web-of-asked 7, which is.
    shows(
        &asked("2.0.0", &[]).await,
        1,
        &[
            &format!("(PactEnvironment {name}, its gate is on Enforce)"),
            "1. asked 1.0.0 (not there yet)",
            "2. web-of-asked 8 (now 7)",
            "3. asked 2.0.0 (now 1.0.0)",
        ],
    );
    // One that the broker does not know has a pact with nobody, and hides nothing.
    annotated("ghost", "ghost-of-asked", "1").apply(&setup.cluster.client(), &environment.namespace).await;
    setup.cluster.wait_condition(name, "ghost-of-asked", ("Ready", "False", "PacticipantMissing")).await;
    shows(&asked("2.0.0", &[]).await, 1, &["2. web-of-asked 8 (now 7)", "3. asked 2.0.0 (now 1.0.0)"]);
    // A consumer that is on its way and not recorded counts, too.
    store.publish_pact("late", "1", "asked", "what late expects");
    annotated("late", "late", "1").never_ready().apply(&setup.cluster.client(), &environment.namespace).await;
    eventually("what rolls out to count", SOON, async || {
        let said = asked("1.0.0", &[]).await;
        let wanted = said.out.contains("asked 1.0.0 has to verify the pact of late 1");
        if wanted { Ok(()) } else { Err(said.out + &said.err) }
    })
    .await;
    assert_eq!(setup.cluster.recorded(name, "late"), None);

    let elsewhere = said(admin, &["why", "asked", "1.0.0", "--to-environment", "no-such"], "").await;
    assert!(elsewhere.code == Some(2) && elsewhere.err.contains("name one of them"), "{}", elsewhere.err);
    let refused = said(setup.developer.kubeconfig(), &["why", "asked", "1.0.0"], "").await;
    assert!(refused.code == Some(2) && refused.err.contains("cannot list"), "{}{}", refused.out, refused.err);
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    let nowhere = said(Path::new("/no/such/kubeconfig"), &["why", "asked", "1.0.0"], "").await;
    assert!(nowhere.code == Some(2) && nowhere.err.contains("KUBECONFIG"), "{}", nowhere.err);
}

#[tokio::test]
async fn a_yes_that_the_gate_denies_is_none() {
    let setup = GateSetup::shared().await;
    let admin = setup.cluster.control_plane.kubeconfig();
    setup.cluster.broker.store().publish_version("alone-of-why", "1.0.0");
    for (action, code, wanted) in
        [("Warn", 0, "nothing: it may be deployed"), ("Deny", 1, "denied its gate requires evidence")]
    {
        let environment = setup.gated(json!({"mode": "Enforce", "actions": {"yesVacuous": action}})).await;
        let asked = ["why", "alone-of-why", "1.0.0", "--to-environment", &environment.name];
        let said = said(admin, &asked, "").await;
        let text = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("YesVacuous") && text.contains(wanted), "{}{}", said.out, said.err);
        assert_eq!(said.code, Some(code), "{}", said.out);
    }
}

#[tokio::test]
async fn a_broker_is_reached_with_the_secrets_that_its_pact_broker_names() {
    let cluster = TestCluster::shared().await;
    let admin = cluster.control_plane.kubeconfig();
    let broker = shop().await;
    broker.set_auth(Some(Auth::Bearer("planted-token".into())));
    cluster.secret("why-token", json!({"token": "planted-token"})).await;
    let spec = json!({"url": broker.url(), "auth": {"bearer": {"secretRef": {"name": "why-token"}}}});
    cluster.apply::<PactBroker>("PactBroker", "why-closed", spec).await;
    let namespace = cluster.namespace().await;
    let more = json!({"brokerRef": {"name": "why-closed"}, "environment": "production"});
    cluster.map("why-production", &[&namespace], more).await;
    let asked = async |more: &[&str]| {
        let own = ["why", "orders", "2.0.0", "--to-environment", "production", "--retries", "0"];
        said(admin, &[&own, more].concat(), "").await
    };
    shows(&asked(&[]).await, 1, &["(PactEnvironment why-production", "1. web-shop 4.3.0 (now 4.2.0)"]);
    // One address is not that of two brokers.
    cluster.environment(&[&cluster.namespace().await], json!({})).await;
    for verb in [&["why", "orders", "2.0.0"][..], &["matrix"]] {
        let both = said(admin, &[verb, &["-b", &broker.url()]].concat(), "").await;
        assert_eq!((both.code, both.err.lines().count()), (Some(64), 1), "{}{}", both.out, both.err);
        assert!(both.err.contains("several brokers") && both.err.contains("production at why-closed"), "{}", both.err);
    }
    let elsewhere = asked(&["--operator-namespace", "default"]).await;
    shows(&elsewhere, 2, &["PactBroker why-closed", "is default the operator's namespace?", "give --broker-base-url"]);
    assert!(!elsewhere.out.contains("planted"), "{}", elsewhere.out);
}

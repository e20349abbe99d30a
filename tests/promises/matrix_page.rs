//! `pact-operator matrix`: the whole picture, by a cluster and its broker, or by a broker alone.

use std::path::Path;

use serde_json::{Value, json};

use super::{gate_setup::GateSetup, people_verbs::said};
use crate::objects::Objects as _;
use testbed::{
    eventually::eventually,
    process::free_port,
    standin::{Auth, StandIn},
    test_cluster::{SOON, annotated},
};

/// `web 7 → api 1: failing` for each pair.
fn pairs(document: &Value) -> Vec<String> {
    let pairs =
        document["environments"].as_array().into_iter().flatten().flat_map(|it| it["pairs"].as_array().unwrap());
    let text = |pair: &Value, name: &str| pair[name].as_str().unwrap_or("-").to_owned();
    let shown = pairs.map(|pair| {
        let [consumer, number, provider, version, state] =
            ["consumer", "consumerVersion", "provider", "providerVersion", "state"].map(|name| text(pair, name));
        format!("{consumer} {number} → {provider} {version}: {state}")
    });
    shown.collect()
}

fn json_of(out: &str, err: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|_| panic!("{out}{err}"))
}

/// How often the broker's matrix was asked for.
fn matrices(broker: &StandIn) -> usize {
    broker.requests().iter().filter(|request| request.path_and_query.starts_with("/matrix")).count()
}

#[tokio::test]
async fn a_failing_an_unverified_a_verified_and_a_rolling_out_pair_appear() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Audit"})).await;
    let (name, namespace) = (&environment.name, &environment.namespace);
    let admin = setup.cluster.control_plane.kubeconfig();
    let broker = &setup.cluster.broker;
    let store = broker.store();
    for (provider, version, verified) in [
        ("whole-breaks", "1.0.0", Some(false)),
        ("whole-waits", "1.0.0", None),
        ("whole-works", "1.0.0", Some(true)),
        ("whole-works", "2.0.0", Some(true)),
    ] {
        store.publish_pact("whole-web", "7", provider, "what it expects");
        store.publish_version(provider, version);
        verified.map(|verified| store.verify("whole-web", "7", provider, version, verified));
    }
    for (pacticipant, version) in [("whole-web", "7"), ("whole-breaks", "1.0.0"), ("whole-waits", "1.0.0")] {
        setup.running(environment, pacticipant, pacticipant, version).await;
    }
    setup.running(environment, "whole-works", "whole-works", "1.0.0").await;
    for pacticipant in ["whole-web", "whole-breaks", "whole-waits", "whole-works"] {
        setup.cluster.wait_condition(name, pacticipant, ("Ready", "True", "Recorded")).await;
    }
    // Beside them a version whose pods never become ready.
    let arriving = annotated("arriving", "whole-works", "2.0.0").never_ready();
    arriving.apply(&setup.cluster.client(), namespace).await;

    let matrix = async |more: &[&str]| said(admin, &[&["matrix", "--environment", name], more].concat(), "").await;
    eventually("the four pairs to appear", SOON, async || {
        let found = matrix(&["-o", "json"]).await;
        let found = pairs(&json_of(&found.out, &found.err));
        let wanted = [
            "whole-web 7 → whole-breaks 1.0.0: failing",
            "whole-web 7 → whole-waits 1.0.0: unverified",
            "whole-web 7 → whole-works 2.0.0: rolling-out",
            "whole-web 7 → whole-works 1.0.0: verified",
        ];
        if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;

    let table = matrix(&[]).await;
    let words = table.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "1 pair is failing, 1 not verified",
        "rolling out whole-web 7 whole-works 2.0.0",
        "failing whole-web 7 whole-breaks",
    ] {
        assert!(words.contains(part), "{part:?} is missing in\n{}{}", table.out, table.err);
    }
    let failing = matrix(&["--state", "failing", "-a", "whole-breaks", "-o", "json"]).await;
    assert_eq!(pairs(&json_of(&failing.out, &failing.err)), ["whole-web 7 → whole-breaks 1.0.0: failing"]);

    let verified = matrix(&["--state", "verified"]).await;
    for part in ["1 pair is failing, 1 not verified", "1 of its 4 pairs shown"] {
        assert!(verified.out.contains(part), "{part:?} is missing in\n{}{}", verified.out, verified.err);
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whole.html");
    let written = matrix(&["--html", file.to_str().unwrap()]).await;
    assert!(written.code == Some(0) && written.out.contains("written to"), "{}{}", written.out, written.err);
    let page = std::fs::read_to_string(&file).unwrap();
    for part in ["state failing", "state unverified", "state rolling-out", "state verified", "whole-breaks"] {
        assert!(page.contains(part), "{part:?} is missing in the page");
    }

    // Credentials are not sent to where a PactBroker says, and nobody is shown what they may not list.
    let planted = matrix(&["--broker-token", "planted-token"]).await;
    assert!(planted.code == Some(2) && planted.err.contains("no address but the one that is named"), "{}", planted.err);
    assert!(!planted.out.contains("planted") && !planted.err.contains("planted"), "{}{}", planted.out, planted.err);
    let refused = said(setup.developer.kubeconfig(), &["matrix"], "").await;
    assert!(refused.code == Some(2) && refused.err.contains("cannot list"), "{}{}", refused.out, refused.err);
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);

    // The broker answers nobody: what the operator knew of the pairs is left, and said to be that.
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let remembered = matrix(&["-o", "json", "--broker-base-url", &nobody, "--retries", "0"]).await;
    let document = json_of(&remembered.out, &remembered.err);
    assert_eq!(remembered.code, Some(0), "{}", remembered.err);
    assert!(document["environments"][0]["notice"].as_str().unwrap().contains("the operator knew last"), "{document}");
    let found = pairs(&document);
    assert!(found.contains(&"whole-web 7 → whole-breaks 1.0.0: failing".to_owned()), "{found:?}");
}

#[tokio::test]
async fn a_broker_alone_shows_what_it_has_in_as_few_requests_as_thirties_of_versions() {
    let broker = StandIn::start().await;
    let store = broker.store();
    store.add_environment("many", false);
    for number in 0..65 {
        let consumer = format!("app-{number}");
        store.publish_pact(&consumer, "1", "hub", &consumer);
        store.verify(&consumer, "1", "hub", "1", number != 64);
        store.record_deployment(&consumer, "1", "many", None);
    }
    store.record_deployment("hub", "1", "many", None);
    let nowhere = Path::new("/no/such/kubeconfig");
    let asked = ["matrix", "--broker-base-url", &broker.url(), "--environment", "many", "-o", "json"];
    let found = said(nowhere, &asked, "").await;
    let document = json_of(&found.out, &found.err);
    assert_eq!((found.code, pairs(&document).len(), matrices(&broker)), (Some(0), 65, 3), "{}", found.err);
    assert_eq!(pairs(&document)[0], "app-64 1 → hub 1: failing");
    assert_eq!(document["headline"], "hub 1 fails the pact of app-64 1 in many");
    let written: Vec<_> =
        broker.requests().iter().filter(|it| it.method != "GET").map(|it| it.path_and_query.clone()).collect();
    assert!(written.is_empty(), "{written:?}");

    let missing = said(nowhere, &["matrix", "-b", &broker.url(), "--environment", "nowhere"], "").await;
    assert!(missing.code == Some(2) && missing.out.contains("no environment named nowhere"), "{}", missing.out);
    broker.set_auth(Some(Auth::Bearer("planted-right".into())));
    let wrong = said(nowhere, &[&asked[..], &["--broker-token", "planted-wrong"]].concat(), "").await;
    let document = json_of(&wrong.out, &wrong.err);
    assert_eq!((wrong.code, &document["environments"][0]["known"]), (Some(2), &json!(false)), "{}", wrong.err);
    assert!(!wrong.out.contains("planted") && !wrong.err.contains("planted"), "{}{}", wrong.out, wrong.err);

    let unnamed = said(nowhere, &["matrix"], "").await;
    assert!(unnamed.code == Some(2) && unnamed.err.contains("--environment"), "{}", unnamed.err);
    assert_eq!(unnamed.err.lines().count(), 1, "{}", unnamed.err);
    let usage = said(nowhere, &["matrix", "--no-cluster"], "").await;
    assert!(usage.code == Some(64) && usage.err.contains("--environment"), "{}", usage.err);
}

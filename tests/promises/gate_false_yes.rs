//! Where the official command line, or the broker itself, says yes although a verification failed or is missing, the
//! operator does not.

use pact_operator::decide::{Ignored, PairResult, Question, Verdict};

use super::broker_under_test::{broker, environment, pacticipant, version};
use testbed::http::plain_client;
use testbed::pact_cli::{CommandOutput, pact_broker};
use testbed::standin::{StandIn, encoded};

fn question(p: &str, v: &str) -> Question {
    Question {
        pacticipant: pacticipant(p),
        version: version(v),
        environment: environment("test"),
        ignore: Vec::new(),
        in_flight: pact_operator::api::gate::InFlight::default(),
    }
}

fn command_line(standin: &StandIn, p: &str, v: &str) -> CommandOutput {
    pact_broker(standin, &["can-i-deploy", "--pacticipant", p, "--version", v, "--to-environment", "test"])
}

/// The answer of the broker's own resource.
async fn deployable(standin: &StandIn, p: &str, v: &str) -> serde_json::Value {
    let asked = format!("pacticipant={}&version={}&environment=test", encoded(p), encoded(v));
    let url = format!("{}/can-i-deploy?{asked}", standin.url());
    let answer: serde_json::Value = plain_client().get(url).send().await.unwrap().json().await.unwrap();
    answer["summary"]["deployable"].clone()
}

#[tokio::test]
async fn failures_beyond_the_hundredth_row_are_a_no() {
    let standin = StandIn::start().await;
    let store = standin.store();
    for number in 0..105 {
        let consumer = format!("consumer-{number}");
        store.publish_pact(&consumer, "1", "hub", &consumer);
        store.record_deployment(&consumer, "1", "test", None);
    }
    for number in 0..105 {
        // The oldest consumers are those that the limit drops.
        assert!(store.verify(&format!("consumer-{number}"), "1", "hub", "1", number >= 3));
    }
    command_line(&standin, "hub", "1").expect(0, &["Computer says yes"]);

    let judgement = broker(&standin.url()).can_i_deploy(&question("hub", "1")).await;
    assert_eq!(judgement.verdict, Verdict::No);
    let failed: Vec<_> = judgement.failing().map(|pair| (pair.result, pair.consumer.as_str())).collect();
    let expected = ["consumer-0", "consumer-1", "consumer-2"].map(|consumer| (PairResult::Failed, consumer));
    assert_eq!(failed, expected);
    assert_eq!(judgement.pairs.len(), 105);
}

#[tokio::test]
async fn a_live_provider_version_that_never_verified_is_unknown_and_named() {
    let standin = StandIn::start().await;
    let store = standin.store();
    store.publish_pact("mobile", "4", "mapi", "pact");
    store.record_deployment("mapi", "4", "test", Some("blue"));
    store.record_deployment("mapi", "5", "test", Some("green"));
    assert!(store.verify("mobile", "4", "mapi", "5", true));
    assert_eq!(deployable(&standin, "mobile", "4").await, true);
    command_line(&standin, "mobile", "4").expect(0, &["Computer says yes"]);

    let judgement = broker(&standin.url()).can_i_deploy(&question("mobile", "4")).await;
    assert_eq!(judgement.verdict, Verdict::Unknown);
    let failing: Vec<_> = judgement.failing().map(|pair| (pair.result, pair.provider_version.clone())).collect();
    assert_eq!(failing, [(PairResult::Unverified, Some(version("4")))]);

    // Released versions are live, too.
    store.undeploy("mapi", "test", Some("blue"));
    assert_eq!(broker(&standin.url()).can_i_deploy(&question("mobile", "4")).await.verdict, Verdict::Yes);
    store.record_release("mapi", "3", "test");
    assert_eq!(deployable(&standin, "mobile", "4").await, true);
    assert_eq!(broker(&standin.url()).can_i_deploy(&question("mobile", "4")).await.verdict, Verdict::Unknown);
}

#[tokio::test]
async fn a_version_hidden_behind_an_ignored_one_is_unknown() {
    let standin = StandIn::start().await;
    let store = standin.store();
    store.publish_pact("mobile", "4", "mapi", "pact");
    store.record_deployment("mapi", "4", "test", Some("blue"));
    store.record_deployment("mapi", "5", "test", Some("green"));
    assert!(store.verify("mobile", "4", "mapi", "5", false));
    let ignore = vec![Ignored { pacticipant: pacticipant("mapi"), version: Some(version("5")) }];
    let ignoring = Question { ignore, ..question("mobile", "4") };
    let broker = broker(&standin.url());
    assert_eq!(broker.matrix(&ignoring).await.unwrap().deployable, Some(true), "what failed is ignored, 4 is hidden");
    assert_eq!(broker.can_i_deploy(&ignoring).await.verdict, Verdict::Unknown);
    assert_eq!(broker.can_i_deploy(&question("mobile", "4")).await.verdict, Verdict::No);
}

#[tokio::test]
async fn among_many_providers_the_hidden_version_is_found_with_one_read_of_each_list() {
    let standin = StandIn::start().await;
    let store = standin.store();
    for number in 0..12 {
        let provider = format!("provider {number}");
        store.publish_pact("app", "1", &provider, "pact");
        store.record_deployment(&provider, "1", "test", None);
        assert!(store.verify("app", "1", &provider, "1", true));
        // Rows of other pacticipants, which do not matter here.
        store.record_deployment(&format!("stranger {number}"), "1", "test", None);
    }
    let broker = broker(&standin.url());
    assert_eq!(broker.can_i_deploy(&question("app", "1")).await.verdict, Verdict::Yes);
    assert_eq!(standin.requests().len(), 4, "the matrix, the environment, what is deployed, what is supported");
    store.record_release("provider 11", "0", "test");
    assert_eq!(deployable(&standin, "app", "1").await, true);
    let judgement = broker.can_i_deploy(&question("app", "1")).await;
    assert_eq!(judgement.verdict, Verdict::Unknown);
    let failing: Vec<_> = judgement.failing().map(|pair| pair.provider.as_str()).collect();
    assert_eq!(failing, ["provider 11"]);
}

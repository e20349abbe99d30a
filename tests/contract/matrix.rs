//! What the client needs of the matrix: a part of the operator's pact with the broker (see [`mod@super::pact`]).

use pact_consumer::builders::{RequestBuilder, ResponseBuilder};
use pact_consumer::prelude::*;
use pact_operator::broker::{Broker, BrokerError};
use pact_operator::decide::{Evidence, Ignored, LiveVersions, PairResult, Question, Verdict, judge};
use serde_json::{Value, json};

use super::client::{environment, pacticipant, version};
use super::pact::{AWKWARD, Contract, State, deployed, hal, known, test_environment};

const DEPLOYED: &str = "de910bed-0000-4000-8000-000000000003";

/// A consumer version that published a pact with the pacticipant orders.
fn pact(consumer: &str, version: &str) -> State {
    ("a pact", json!({ "consumer": consumer, "version": version, "provider": "orders" }))
}

/// A result of orders 2 for that pact.
fn verification(consumer: &str, version: &str, success: bool) -> State {
    let pact = json!({ "consumer": consumer, "version": version, "provider": "orders", "by": "2", "success": success });
    ("a verification", pact)
}

fn question(p: &str, v: &str) -> Question {
    Question {
        pacticipant: pacticipant(p),
        version: version(v),
        environment: environment("test"),
        ignore: Vec::new(),
        in_flight: pact_operator::api::gate::InFlight::default(),
    }
}

fn ignoring(p: &str, v: &str) -> Question {
    let ignore = vec![Ignored { pacticipant: pacticipant("orders"), version: Some(version("2")) }];
    Question { ignore, ..question(p, v) }
}

fn asks(question: &Question) -> impl FnOnce(&mut RequestBuilder) {
    let mut query = vec![
        ("q[][pacticipant]", question.pacticipant.to_string()),
        ("q[][version]", question.version.to_string()),
        ("latestby", "cvpv".to_owned()),
        ("environment", question.environment.to_string()),
        ("limit", "100000".to_owned()),
    ];
    for ignored in &question.ignore {
        query.push(("ignore[][pacticipant]", ignored.pacticipant.to_string()));
        query.extend(ignored.version.iter().map(|version| ("ignore[][version]", version.to_string())));
    }
    move |request| {
        request.get().path("/matrix");
        for (name, value) in query {
            request.query_param(name, value);
        }
    }
}

/// An answer: whether deployable; success, failed and unknown; the rows.
fn answers(
    deployable: impl Into<Value>,
    counts: [u64; 3],
    rows: Vec<JsonPattern>,
) -> impl FnOnce(&mut ResponseBuilder) {
    let [success, failed, unknown] = counts;
    let deployable: Value = deployable.into();
    let summary = json!({ "deployable": deployable, "success": success, "failed": failed, "unknown": unknown });
    hal(200, json_pattern!({ "summary": summary, "matrix": JsonPattern::Array(rows) }))
}

fn row(consumer: &str, number: &str, result: Option<bool>) -> JsonPattern {
    let provider_version = result.map(|_| json!({ "number": "2" }));
    let result = result.map(|success| json!({ "success": success }));
    json_pattern!({
        "consumer": { "name": consumer, "version": { "number": number } },
        "provider": { "name": "orders", "version": json!(provider_version) },
        "verificationResult": json!(result)
    })
}

/// A broker's answer to a question about something unknown; only its sentence names what is unknown.
fn refuses(sentence: &'static str) -> impl FnOnce(&mut ResponseBuilder) {
    move |response| {
        let errors = json_pattern!({ "errors": each_like!(json!({ "detail": sentence })) });
        response.status(400).json_body(errors);
        response.content_type(term!("^application/problem\\+json(;.*)?$", "application/problem+json;charset=utf-8"));
    }
}

pub(crate) fn matrix(contract: &mut Contract) {
    let orders = [test_environment(), known("orders", "2"), deployed(DEPLOYED, "orders", "2", None)];
    let with = |more: &[State]| [orders.as_slice(), more].concat();
    contract.add(
        "a question about a version that is verified, with names that must be encoded",
        &with(&[pact(AWKWARD, AWKWARD), verification(AWKWARD, AWKWARD, true)]),
        asks(&question(AWKWARD, AWKWARD)),
        answers(true, [1, 0, 0], vec![row(AWKWARD, AWKWARD, Some(true))]),
    );
    let failed = with(&[pact("web", "1"), verification("web", "1", false)]);
    contract.add(
        "a question about a version whose verification failed",
        &failed,
        asks(&question("web", "1")),
        answers(false, [0, 1, 0], vec![row("web", "1", Some(false))]),
    );
    let left_out = json_pattern!({
        "consumer": { "name": "web", "version": { "number": "1" } },
        "provider": { "name": "orders", "version": { "number": "2" } },
        "verificationResult": { "success": false },
        "ignored": true
    });
    contract.add(
        "a question about a version whose failed verification is ignored",
        &failed,
        asks(&ignoring("web", "1")),
        answers(true, [0, 0, 0], vec![left_out]),
    );
    contract.add(
        "a question about a version that is not verified",
        &with(&[pact("web", "2")]),
        asks(&question("web", "2")),
        answers(Value::Null, [0, 0, 1], vec![row("web", "2", None)]),
    );
    contract.add(
        "a question about a version that is not there",
        &[test_environment(), known("web", "1")],
        asks(&question("web", "9")),
        answers(false, [0, 0, 0], Vec::new()),
    );
    contract.add(
        "a question about a pacticipant that is not there",
        &[test_environment()],
        asks(&question("ghost", "1")),
        refuses("Pacticipant ghost not found"),
    );
    contract.add(
        "a question about an environment that is not there",
        &[known("web", "1")],
        asks(&Question { environment: environment("nowhere"), ..question("web", "1") }),
        refuses("Environment with name 'nowhere' does not exist"),
    );
}

pub(crate) async fn ask_matrix(broker: &Broker) {
    for (question, verdict, result) in [
        (question(AWKWARD, AWKWARD), Verdict::Yes, Some(PairResult::Verified)),
        (question("web", "1"), Verdict::No, Some(PairResult::Failed)),
        (ignoring("web", "1"), Verdict::YesVacuous, None),
        (question("web", "2"), Verdict::Unknown, Some(PairResult::Unverified)),
        (question("web", "9"), Verdict::VersionMissing, None),
    ] {
        let matrix = broker.matrix(&question).await.unwrap();
        let judgement = judge(&question, &Evidence::of_broker(&matrix, &LiveVersions::default()));
        let judged = (judgement.verdict, judgement.pairs.first().map(|pair| pair.result));
        assert_eq!(judged, (verdict, result), "{question}");
    }
    let nowhere = Question { environment: environment("nowhere"), ..question("web", "1") };
    for (question, message) in [(question("ghost", "1"), "ghost not found"), (nowhere, "does not exist")] {
        let error = broker.matrix(&question).await.unwrap_err();
        assert!(matches!(error, BrokerError::Rejected { status: 400, .. }), "{error:?}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

//! The client reads a real broker's answers to 386 questions as the truth, also where the broker's own verdict was
//! wrong.
//!
//! `tests/matrix/answers.jsonl.gz` holds the questions, the bodies as they were recorded, the answer of the broker's
//! own `/can-i-deploy`, and the truth by definition: from what was published, verified, deployed and released.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use pact_operator::decide::{Evidence, LiveVersions, Question, judge};
use serde::Deserialize;
use serde_json::{Value, json};

use super::broker_under_test::{broker, environment, pacticipant, version};

#[derive(Clone, Deserialize)]
struct Named {
    pacticipant: String,
    version: String,
    environment: String,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    question: Named,
    truth: String,
    can_i_deploy: String,
    currently_deployed: Value,
    currently_supported: Value,
    matrix: Value,
}

fn corpus() -> Vec<Recorded> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix/answers.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The question whose bodies are served.
type Current = Arc<Mutex<Option<Recorded>>>;

/// A broker that knows only what was recorded about the current question.
async fn serve(State(current): State<Current>, uri: Uri, Query(query): Query<Vec<(String, String)>>) -> Response {
    let recorded = current.lock().unwrap().clone().unwrap();
    let Named { pacticipant, version, environment } = &recorded.question;
    let query: BTreeMap<_, _> = query.into_iter().collect();
    let parameter = |name: &str| query.get(name).map(String::as_str);
    let body = match uri.path() {
        "/matrix" => {
            let asked = ["q[][pacticipant]", "q[][version]", "environment", "latestby", "limit"].map(parameter);
            let expected = [pacticipant.as_str(), version, environment, "cvpv", "100000"].map(Some);
            assert_eq!(asked, expected, "{uri}");
            recorded.matrix
        }
        "/environments" => {
            assert_eq!(parameter("name"), Some(environment.as_str()));
            json!({"_embedded": {"environments": [{"uuid": "e", "name": environment, "production": false}]}})
        }
        "/environments/e/deployed-versions/currently-deployed" => {
            of_pacticipant(recorded.currently_deployed, "deployedVersions", parameter("pacticipant"))
        }
        "/environments/e/released-versions/currently-supported" => {
            of_pacticipant(recorded.currently_supported, "releasedVersions", parameter("pacticipant"))
        }
        _ => return StatusCode::IM_A_TEAPOT.into_response(),
    };
    ([(header::CONTENT_TYPE, "application/hal+json")], body.to_string()).into_response()
}

fn of_pacticipant(mut list: Value, of: &str, pacticipant: Option<&str>) -> Value {
    let rows = list["_embedded"][of].as_array_mut().unwrap();
    rows.retain(|row| pacticipant.is_none_or(|wanted| row["_embedded"]["pacticipant"]["name"] == wanted));
    list
}

#[tokio::test]
async fn every_recorded_answer_is_read_as_the_truth() {
    let current = Current::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = broker(&format!("http://{}", listener.local_addr().unwrap()));
    let router = Router::new().fallback(serve).with_state(Arc::clone(&current));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let corpus = corpus();
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut broker_erred, mut rows_alone_erred) = (Vec::new(), Vec::new());
    for recorded in &corpus {
        *current.lock().unwrap() = Some(recorded.clone());
        let Named { pacticipant: p, version: v, environment: e } = &recorded.question;
        let question = Question {
            pacticipant: pacticipant(p),
            version: version(v),
            environment: environment(e),
            ignore: Vec::new(),
            in_flight: pact_operator::api::gate::InFlight::default(),
        };
        let judgement = broker.can_i_deploy(&question).await;
        assert_eq!(judgement.verdict.name(), recorded.truth, "{question}: {judgement:?}");
        *verdicts.entry(recorded.truth.clone()).or_default() += 1;
        if recorded.can_i_deploy != recorded.truth {
            broker_erred.push(question.to_string());
        }
        let matrix = broker.matrix(&question).await.unwrap();
        if judge(&question, &Evidence::of_broker(&matrix, &LiveVersions::default())).verdict.name() != recorded.truth {
            rows_alone_erred.push(question.to_string());
        }
    }
    assert_eq!(corpus.len(), 386);
    let counts = ["Yes", "YesVacuous", "No", "Unknown"].map(|verdict| verdicts[verdict]);
    assert_eq!(counts, [107, 71, 94, 114]);
    assert_eq!(broker_erred.len(), 6, "the broker's own false yes: {broker_erred:?}");
    assert_eq!(rows_alone_erred, broker_erred, "what the rows alone do not show");
}

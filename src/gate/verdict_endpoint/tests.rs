//! What is a question, and who may ask it, of an API server that answers as a test wants. What is answered is among the
//! promises.

use std::{collections::BTreeMap, convert::Infallible};

use http_body_util::BodyExt;
use kube::{Client, client::Body as KubeBody};
use serde_json::Value;

use super::*;
use crate::api::names::Version;

/// A question in a line.
fn line(question: Result<Question, String>) -> String {
    let Question { asked, environment } = match question {
        Ok(question) => question,
        Err(problem) => return problem,
    };
    let sought = match &asked.sought {
        crate::decide::admission::Sought::Version(version) => format!("version {}", Version::as_str(version)),
        crate::decide::admission::Sought::Image(image) => format!("image {image}"),
    };
    format!("{} {sought} in {:?} of {:?}", asked.pacticipant, environment, asked.namespace)
}

#[test]
fn a_query_is_read_word_by_word_and_an_unknown_word_is_refused() {
    for (query, expected) in [
        ("pacticipant=orders&version=2&environment=prod", r#"orders version 2 in Some("prod") of None"#),
        ("version=2&pacticipant=orders&namespace=shop&timeout=5s", r#"orders version 2 in None of Some("shop")"#),
        (
            "pacticipant=order+service%2Fv%2B&image=reg.test:5000/orders:2.0.0+b1&namespace=shop",
            r#"order service/v+ image reg.test:5000/orders:2.0.0+b1 in None of Some("shop")"#,
        ),
        ("pacticipant=orders&version=1.0%2B7&environment=prod", r#"orders version 1.0+7 in Some("prod") of None"#),
        ("pacticipant=%E6%B3%A8&version=2&environment=prod", r#"注 version 2 in Some("prod") of None"#),
        ("", "which pacticipant? Say pacticipant, version or image, and namespace or environment or both"),
        ("pacticipant=&version=2", "which pacticipant?"),
        ("pacticipant=orders&environment=prod", "which version of orders?"),
        ("pacticipant=orders&version=2&image=orders:2&environment=prod", "not both"),
        ("pacticipant=orders&version=2", "in which environment?"),
        ("pacticipant=orders&version=2&enviroment=prod", "unknown word"),
        ("pacticipant=orders&pacticipant=stock&version=2&environment=prod", "pacticipant is there twice"),
        ("pacticipant=%FF&version=2&environment=prod", "pacticipant is not UTF-8"),
        ("pacticipant=orders&version=2&namespace=%3Fx", "is no name of a namespace"),
        ("pacticipant=orders&version=2&namespace=shop/secrets/x", "is no name of a namespace"),
        ("pacticipant=orders&version=2&namespace=..", "is no name of a namespace"),
        ("pacticipant=orders&version=2&namespace=-shop", "is no name of a namespace"),
        ("pacticipant=orders&version=2&namespace=Shop", "is no name of a namespace"),
        ("pacticipant=orders&version=2&namespace=a-1", r#"in None of Some("a-1")"#),
    ] {
        let read = line(Question::of_query(query));
        assert!(read.contains(expected), "{query}: {read}");
    }
}

#[test]
fn a_body_has_the_same_words() {
    for (body, expected) in [
        (r#"{"pacticipant": "orders", "version": "2", "environment": "prod"}"#, r#"orders version 2 in Some("prod")"#),
        (r#"{"pacticipant": "orders", "version": "2", "cluster": "x"}"#, "the body is no question: unknown field"),
        (r#"["orders", "2", null, null, "prod"]"#, "the body is no question: invalid type: sequence"),
        ("orders", "the body is no question"),
        ("", "the body is no question"),
    ] {
        let read = line(Question::of_body(body.as_bytes()));
        assert!(read.contains(expected), "{body}: {read}");
    }
}

/// Callers over an API server that answers each `TokenReview` with this status, and each question about rights with this.
fn callers(audiences: &[&str], token: Value, allowed: bool) -> Callers {
    let server = tower::service_fn(move |request: axum::http::Request<KubeBody>| {
        let status =
            if request.uri().path().ends_with("tokenreviews") { token.clone() } else { json!({"allowed": allowed}) };
        async move {
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let mut object: Value = serde_json::from_slice(&sent).unwrap();
            object["status"] = status;
            Ok::<_, Infallible>(axum::http::Response::new(KubeBody::from(object.to_string().into_bytes())))
        }
    });
    Callers::new(Client::new(server, "default"), audiences.iter().map(ToString::to_string).collect())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test]
async fn a_token_counts_when_the_api_server_knows_it_and_it_is_for_us() {
    let known =
        |audiences: &[&str]| json!({"authenticated": true, "audiences": audiences, "user": {"username": "argo"}});
    for (audiences, answer, header, expected) in [
        (&[][..], known(&["https://kubernetes.default.svc"]), "Bearer t", Ok("argo")),
        (&[], known(&[]), "bearer  t", Ok("argo")),
        (&["pact"], known(&["pact"]), "Bearer t", Ok("argo")),
        // Nobody looked at the audience.
        (&["pact"], known(&[]), "Bearer t", Err(StatusCode::UNAUTHORIZED)),
        (&["pact"], known(&["other"]), "Bearer t", Err(StatusCode::UNAUTHORIZED)),
        (&[], json!({"authenticated": false, "error": "expired"}), "Bearer t", Err(StatusCode::UNAUTHORIZED)),
        (&[], json!({"user": {"username": "argo"}}), "Bearer t", Err(StatusCode::UNAUTHORIZED)),
        (&[], json!({}), "Bearer t", Err(StatusCode::UNAUTHORIZED)),
        (&[], known(&[]), "Basic t", Err(StatusCode::UNAUTHORIZED)),
        (&[], known(&[]), "Bearer ", Err(StatusCode::UNAUTHORIZED)),
        (&[], known(&[]), "", Err(StatusCode::UNAUTHORIZED)),
    ] {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, header.parse().unwrap())]);
        let found = callers(audiences, answer.clone(), true).known(&headers, soon()).await;
        let found = found.map(|user| user.username).map_err(|refusal| refusal.status());
        assert_eq!(found.as_deref().map_err(|status| *status), expected, "{audiences:?} {answer} {header:?}");
    }
}

#[tokio::test]
async fn a_caller_without_the_right_to_one_of_the_environments_is_refused() {
    let user = crate::decide::admission::User { username: "argo".into(), extra: BTreeMap::new(), ..Default::default() };
    let objects = ["production".to_owned(), "staging".to_owned()];
    assert!(callers(&[], json!({}), true).may_ask(&user, &objects, soon()).await.is_ok());
    let refusal = callers(&[], json!({}), false).may_ask(&user, &objects, soon()).await.unwrap_err();
    assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
    let said = refusal.to_string();
    assert!(said.starts_with("argo may not ask about all of this"), "{said}");
    // Whether there is anything to ask about is not said either.
    let refusal = callers(&[], json!({}), false).may_ask(&user, &[], soon()).await.unwrap_err();
    assert_eq!(refusal.to_string(), said);
}

#[tokio::test]
async fn a_token_that_is_known_is_looked_up_once_and_one_that_is_made_up_each_time() {
    let lookups = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let server = tower::service_fn(move |request: axum::http::Request<KubeBody>| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let mut object: Value = serde_json::from_slice(&sent).unwrap();
            let known = object["spec"]["token"] == "good";
            object["status"] = json!({"authenticated": known, "user": {"username": "argo"}});
            Ok::<_, Infallible>(axum::http::Response::new(KubeBody::from(object.to_string().into_bytes())))
        }
    });
    let callers = Callers::new(Client::new(server, "default"), Vec::new());
    let ask = async |token: &str| {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
        callers.known(&headers, soon()).await.is_ok()
    };
    for (token, known, asked) in [("good", true, 1), ("good", true, 1), ("bad", false, 2), ("bad", false, 3)] {
        assert_eq!(ask(token).await, known, "{token}");
        assert_eq!(lookups.load(std::sync::atomic::Ordering::Relaxed), asked, "{token}");
    }
}

#[test]
fn a_hook_names_a_canary_and_says_nothing_of_what_it_sent_when_it_does_not() {
    let sent = |name: &str, namespace: &str, metadata: Value| {
        json!({"name": name, "namespace": namespace, "phase": "Progressing", "checksum": "c", "metadata": metadata})
            .to_string()
    };
    for (body, expected) in [
        (sent("shop", "web", json!({"token": "t"})), Ok(())),
        (sent("shop.v2", "web", Value::Null), Ok(())),
        (sent("shop", "web", json!({"mode": "Enforce"})), Ok(())),
        (sent("shop", "web", json!({"mode": "Audit", "token": "secret-text"})), Err("metadata.mode")),
        (sent("", "web", Value::Null), Err("names no Canary")),
        (sent("shop", "", Value::Null), Err("names no Canary")),
        (sent("../secrets", "web", Value::Null), Err("names no Canary")),
        (sent("shop", "web/x", Value::Null), Err("names no Canary")),
        (
            r#"{"name": "shop", "namespace": "web", "metadata": {"token": ["secret-text"]}}"#.to_owned(),
            Err("not what Flagger sends"),
        ),
        ("secret-text".to_owned(), Err("not what Flagger sends")),
    ] {
        match (flagger::Payload::read(body.as_bytes()), expected) {
            (Ok(_), Ok(())) => {}
            (Err(problem), Err(said)) => {
                assert!(problem.contains(said) && !problem.contains("secret-text"), "{body}: {problem}");
            }
            (read, _) => panic!("{body}: {:?}", read.map(drop)),
        }
    }
}

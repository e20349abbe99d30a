use std::fmt::Write as _;

use super::*;

fn redactor() -> Redactor {
    let mut redactor = Redactor::default();
    redactor.hide("s3cret");
    redactor
}

/// The reason of the error for an answer, or `Ok` / `NotFound`, and its text.
fn read(status: u16, content_type: &str, body: &str) -> (&'static str, String) {
    let content_type = Some(content_type.to_owned()).filter(|kind| !kind.is_empty());
    let redirect = (300..400).contains(&status).then(|| "https://login.example.com".to_owned());
    let body = body.as_bytes().to_vec();
    let response = Response { status, content_type, redirect, body, ..Response::default() };
    match classify(Operation::Undeploy, response, &redactor()) {
        Ok(Answer::Found(_)) => ("Ok", String::new()),
        Ok(Answer::NotFound) => ("NotFound", String::new()),
        Err(error) => (error.reason().as_str(), error.to_string()),
    }
}

const HAL: &str = "application/hal+json;charset=utf-8";
const PROBLEM: &str = "application/problem+json;charset=utf-8";
const PLAIN_JSON: &str = "application/json;charset=utf-8";

#[test]
fn every_kind_of_answer_is_distinguished() {
    let html = "<html>\n\n  <title>Sign in</title> s3cret";
    for (status, content_type, body, expected, says) in [
        (200, HAL, "{}", "Ok", ""),
        (201, "Application/JSON", "{}", "Ok", ""),
        (200, "text/html", html, "NotABroker", "<html> <title>Sign in</title> [redacted]"),
        (200, "text/plain", "{}", "NotABroker", "text/plain"),
        (200, "", "{}", "NotABroker", "no content type"),
        (204, "", "", "NotABroker", "an empty body"),
        (302, "", "", "Redirected", "https://login.example.com"),
        (400, "text/plain", "", "Unauthorized", "another kind"),
        (400, HAL, r#"{"errors":{"name":["is s3cret"]}}"#, "RequestRejected", "name is [redacted]"),
        (400, HAL, r#"{"errors":["Pacticipant ghost not found"]}"#, "RequestRejected", "ghost not found"),
        (
            400,
            PROBLEM,
            r#"{"title":"V","errors":[{"detail":"is missing","pointer":"/a"}]}"#,
            "RequestRejected",
            "/a is missing",
        ),
        (400, HAL, r#"{"error":"JSON::ParserError - x"}"#, "RequestRejected", "ParserError"),
        (400, "text/html", html, "NotABroker", "HTTP 400"),
        (401, "text/plain", "", "Unauthorized", "read-only"),
        (401, "text/html", html, "Unauthorized", "HTTP 401"),
        (403, "text/html", html, "Forbidden", "permission"),
        (404, PLAIN_JSON, r#"{"error":"The requested document was not found on this server."}"#, "NotFound", ""),
        (404, PROBLEM, r#"{"title":"404 Not Found","status":404}"#, "NotFound", ""),
        (404, "text/html", html, "NotABroker", "HTTP 404"),
        (404, "text/plain", "default backend - 404", "NotABroker", "default backend"),
        (404, "", "", "NotABroker", "an empty body"),
        (404, PLAIN_JSON, r#"{"message":"no Route matched"}"#, "NotABroker", "no Route"),
        (405, "", "", "RequestRejected", "HTTP 405"),
        (415, HAL, "", "RequestRejected", "HTTP 415"),
        (422, PROBLEM, r#"{"title":"Validation errors"}"#, "RequestRejected", "Validation errors"),
        (429, "text/html", html, "RateLimited", "less often"),
        (408, "", "", "BrokerUnavailable", "HTTP 408"),
        (500, HAL, r#"{"error":{"message":"m","reference":"DcXp"}}"#, "BrokerUnavailable", "reference DcXp"),
        (
            500,
            PROBLEM,
            r#"{"title":"Server error","detail":"logged s3cret"}"#,
            "BrokerUnavailable",
            "logged [redacted]",
        ),
        (502, "text/html", html, "BrokerUnavailable", "HTTP 502"),
        (600, HAL, "{}", "NotABroker", "HTTP 600"),
    ] {
        let (reason, text) = read(status, content_type, body);
        assert_eq!(reason, expected, "{status} {content_type} {body}: {text}");
        assert!(text.contains(says), "{status} {content_type} {body}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_redirect_without_a_target_is_no_broker() {
    let response = Response { status: 304, ..Response::default() };
    let error = classify(Operation::Probe, response, &redactor()).unwrap_err();
    assert_eq!(error.reason().as_str(), "NotABroker");
}

#[test]
fn an_answer_of_another_shape_is_quoted_in_short() {
    let body = format!(r#"{{"name":"s3cret{}"}}"#, "x\\u0007".repeat(500)).into_bytes();
    let response = Response { status: 200, content_type: Some(HAL.to_owned()), body, ..Response::default() };
    let Ok(Answer::Found(document)) = classify(Operation::Probe, response, &redactor()) else { panic!("not found") };
    let error = document.read::<Vec<u8>>().unwrap_err();
    let text = error.to_string();
    assert!(error.reason().as_str() == "NotABroker" && text.contains("JSON of another shape"), "{text}");
    assert!(text.contains("[redacted]") && !text.contains("s3cret") && text.len() < 400, "{} {text}", text.len());
}

#[test]
fn texts_are_cut_and_hold_no_control_characters() {
    assert_eq!(short("abc", 3), "abc");
    assert_eq!(short("abcd", 3), "ab…");
    assert_eq!(short("a\n\u{1b}[31mb", 80), "a\\n\\u{1b}[31mb");
    assert_eq!(short("äöü", 3), "äöü");
}

#[test]
fn every_text_is_short_enough_for_a_condition() {
    let mut all = String::new();
    for status in [200, 302, 400, 401, 403, 404, 405, 429, 500] {
        let (reason, text) = read(status, "text/html; charset=utf-8", &"<p>long ".repeat(100));
        let _ = writeln!(all, "{} {reason}: {text}", text.chars().count());
        assert!(text.chars().count() <= 260, "{all}");
    }
}

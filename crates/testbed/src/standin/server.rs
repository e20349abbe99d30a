//! The HTTP side: reads a request, applies faults and authentication, asks the resources, writes the answer.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, stream};
use serde_json::json;

use super::answer::{Answer, Errors, HAL};
use super::faults::{Effect, Faults};
use super::hal::Links;
use super::log::{LoggedRequest, RequestLog};
use super::routes::{Call, dispatch, query_of, wants_problem_json};
use super::store::Store;
use super::{Auth, VERSION};

/// The largest body that is read; a pact is rarely a tenth of it.
const MAX_BODY: usize = 32 << 20;
const FLOOD_CHUNK: usize = 1 << 16;

/// The state that a stop and a restart keep.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) requests: RequestLog,
    pub(super) auth: Mutex<Option<Auth>>,
    pub(super) path_prefix: String,
    pub(super) base_url: Mutex<Option<String>>,
}

/// Serves one request.
pub(super) async fn serve(shared: Arc<Shared>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else { return respond(&Answer::bare(413)) };
    let path_and_query = head.uri.path_and_query().map_or_else(|| "/".to_owned(), |uri| uri.as_str().to_owned());
    let method = head.method.as_str().to_owned();
    let number = shared.requests.arrived(LoggedRequest {
        at: Instant::now(),
        method: method.clone(),
        path_and_query: path_and_query.clone(),
        headers: head.headers.clone(),
        body: String::from_utf8_lossy(&body).into_owned(),
        status: None,
    });
    let plan = shared.faults.plan(&method, &path_and_query);
    let _thread = shared.faults.thread().await;
    if !plan.delay_before.is_zero() {
        tokio::time::sleep(plan.delay_before).await;
    }
    let empty_lists = plan.instead == Some(Effect::EmptyLists);
    let asked = Asked { method: &method, path_and_query: &path_and_query, headers: &head.headers, body: &body };
    let acts = plan.act_first || empty_lists || plan.instead.is_none();
    let answer = acts.then(|| shared.answer(&asked, empty_lists));
    if !plan.delay_after.is_zero() {
        tokio::time::sleep(plan.delay_after).await;
    }
    let response = match (plan.instead, answer) {
        (None | Some(Effect::EmptyLists | Effect::Delay(_)), Some(answer)) => respond(&answer),
        (Some(Effect::CutBody), Some(answer)) => cut(&answer),
        (Some(Effect::Hang), _) => std::future::pending().await,
        (Some(effect), _) => replaced(effect, &asked, &shared.links(&head.headers)),
        (None, None) => respond(&Answer::bare(500)),
    };
    shared.requests.answered(number, response.status().as_u16());
    response
}

struct Asked<'a> {
    method: &'a str,
    path_and_query: &'a str,
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

impl Shared {
    /// The base URL that the caller dialled.
    fn dialled(&self, headers: &HeaderMap) -> String {
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        format!("http://{host}{}", self.path_prefix)
    }

    fn links(&self, headers: &HeaderMap) -> Links {
        let configured = self.base_url.lock().unwrap().clone();
        Links::new(&configured.unwrap_or_else(|| self.dialled(headers)))
    }

    fn answer(&self, asked: &Asked<'_>, empty_lists: bool) -> Answer {
        if let Some(refused) = self.refused(asked) {
            return refused;
        }
        let links = self.links(asked.headers);
        let errors = Errors { problem_json: wants_problem_json(asked.headers), links: links.clone() };
        let (path, query) = asked.path_and_query.split_once('?').unwrap_or((asked.path_and_query, ""));
        let inside = path.strip_prefix(&self.path_prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let (Some(path), Some(mut decoded)) = (inside, query_of(query)) else {
            return if inside.is_none() { errors.not_found() } else { errors.server_error() };
        };
        let Ok(body) = std::str::from_utf8(asked.body) else { return errors.server_error() };
        let state = &mut self.store.state();
        for (name, value) in &mut decoded {
            if name == "pacticipant" || name.ends_with("[pacticipant]") {
                *value = state.spelled(value).to_owned();
            }
        }
        let call = Call {
            method: asked.method,
            headers: asked.headers,
            query: decoded,
            raw_query: if asked.path_and_query.contains('?') { format!("?{query}") } else { String::new() },
            raw_path: path,
            body,
            json: serde_json::from_str(body).ok(),
            links,
            dialled: self.dialled(asked.headers),
            errors,
            empty_lists,
        };
        dispatch(&call, state)
    }

    /// The answer of the layer in front of the broker to wrong credentials.
    fn refused(&self, asked: &Asked<'_>) -> Option<Answer> {
        let auth = self.auth.lock().unwrap();
        let required = auth.as_ref()?;
        let given = asked.headers.get("authorization").and_then(|value| value.to_str().ok());
        let plain = |status| Answer { from_api: false, ..Answer::typed(status, "text/plain", Vec::new()) };
        let unauthorised = || plain(401).header("www-authenticate", "Basic realm=\"Restricted area\"");
        let basic = |user: &str, pass: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{pass}")));
        match required {
            Auth::Bearer(token) => (given != Some(&format!("Bearer {token}"))).then(|| plain(401)),
            // A broker with basic authentication does not even try another scheme.
            _ if given.is_some_and(|given| !given.starts_with("Basic ")) => Some(plain(400)),
            Auth::Basic { user, pass } => (given != Some(&basic(user, pass))).then(unauthorised),
            Auth::ReadOnly { user, pass } => {
                let reads = matches!(asked.method, "GET" | "HEAD" | "OPTIONS");
                (!reads || given != Some(&basic(user, pass))).then(unauthorised)
            }
        }
    }
}

fn respond(answer: &Answer) -> Response<Body> {
    let body = answer.body.clone();
    head(answer).body(Body::from(body)).expect("a status and headers of our own")
}

fn head(answer: &Answer) -> axum::http::response::Builder {
    let mut head = Response::builder().status(answer.status);
    if let Some(content_type) = answer.content_type {
        head = head.header("content-type", content_type);
    }
    if answer.from_api {
        head =
            head.header("x-pact-broker-version", VERSION).header("cache-control", "no-cache").header("vary", "Accept");
    }
    for (name, value) in &answer.headers {
        head = head.header(*name, value);
    }
    head
}

/// The whole head, half of the body, and the end of the connection.
fn cut(answer: &Answer) -> Response<Body> {
    let half = Bytes::from(answer.body[..answer.body.len() / 2].to_vec());
    let end = async {
        // The half must be on the wire before the connection goes, or nothing would arrive at all.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    let parts = stream::iter([Ok(half)]).chain(stream::once(end));
    let head = head(answer).header("content-length", answer.body.len());
    head.body(Body::from_stream(parts)).expect("a status and headers of our own")
}

fn replaced(effect: Effect, asked: &Asked<'_>, links: &Links) -> Response<Body> {
    let outside = |answer: Answer| respond(&Answer { from_api: false, ..answer });
    match effect {
        Effect::Status { status, retry_after } => {
            let errors = Errors { problem_json: wants_problem_json(asked.headers), links: links.clone() };
            let answer = if status == 500 { errors.server_error() } else { Answer::bare(status) };
            let answer = match retry_after {
                Some(wait) => answer.header("retry-after", wait),
                None => answer,
            };
            respond(&answer)
        }
        Effect::Redirect { status, location } => outside(Answer::bare(status).header("location", location)),
        Effect::Echo { status, json } => {
            let text = credentials(asked.headers);
            let said = json!({"errors": {&text: [&text]}, "error": {"message": text, "reference": text}}).to_string();
            let (kind, body) = if json { (HAL, said) } else { ("text/html", text) };
            respond(&Answer::typed(status, kind, body.into_bytes()))
        }
        Effect::Kept { body } => respond(&Answer::typed(200, HAL, body.into_bytes())),
        Effect::Flood { bytes } => {
            let chunks = usize::try_from(bytes).unwrap_or(usize::MAX) / FLOOD_CHUNK;
            let chunk = Bytes::from(vec![b' '; FLOOD_CHUNK]);
            let parts = stream::iter((0..=chunks).map(move |_| Ok::<_, io::Error>(chunk.clone())));
            let head = Response::builder().header("content-type", "application/hal+json");
            head.body(Body::from_stream(parts)).expect("headers of our own")
        }
        _ => {
            let page = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>";
            outside(Answer::typed(200, "text/html;charset=utf-8", page.to_vec()))
        }
    }
}

/// What a request says of itself, decoded first: an answer may be shortened before it is shown.
fn credentials(headers: &HeaderMap) -> String {
    let mut texts = Vec::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let basic = value.strip_prefix("Basic ").and_then(|encoded| STANDARD.decode(encoded).ok());
        texts.extend(basic.map(|decoded| String::from_utf8_lossy(&decoded).into_owned()));
        if name == "authorization" || name.as_str().starts_with("x-") {
            texts.push(format!("{name}: {value}"));
        }
    }
    texts.join(" ")
}

//! Sends one announcement to one sink.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER},
    redirect,
};

use super::{
    endpoint::Endpoint,
    outcome::{Outcome, outcome},
    template::Template,
};
use crate::{
    broker::{chain, pause::retry_after},
    decide::announcement::{CdEvent, Sink, Subject, cdevent, described},
};

/// How long a sink may take to answer with a status.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// How long the rest of an answer may take: its status has said all.
const REST: Duration = Duration::from_millis(500);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(50);
/// How much of an answer is read, so that its connection can be used again. What it says is not needed.
const READ: usize = 64 << 10;
/// The media type of a CDEvent. See <https://cdevents.dev/docs/cloudevents-binding/>.
const CDEVENTS: &str = "application/cdevents+json; charset=utf-8";
/// What is encoded in the value of a header of a CloudEvent. See
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values>.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// One sink, and how it is reached.
#[derive(Debug)]
pub struct SinkSettings {
    /// Which one.
    pub sink: Sink,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is sent; a sink of CDEvents needs none.
    pub template: Template,
}

/// The URL at which an announcement was taken last since this process started. It may change at any time.
#[derive(Default)]
pub(super) struct TakenAt(Mutex<Option<Url>>);

impl TakenAt {
    fn is(&self, url: &Url) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(url)
    }

    fn set(&self, url: Url) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(url);
    }
}

/// A client for sinks: no redirects, since a request may carry credentials; the proxy of the environment's variables.
///
/// # Errors
/// When the TLS library refuses to start.
pub(super) fn client(user_agent: &str) -> Result<Client, reqwest::Error> {
    let builder = || {
        Client::builder()
            .user_agent(user_agent)
            .redirect(redirect::Policy::none())
            .referer(false)
            .pool_idle_timeout(IDLE)
            .connect_timeout(CONNECT)
    };
    // An image without certificate authorities must still reach a sink that needs none.
    builder().build().or_else(|_| builder().tls_certs_only(Vec::new()).build())
}

impl SinkSettings {
    /// Delivers an announcement, in no more than the time that is `left`.
    pub(super) async fn post(
        &self,
        client: &Client,
        subject: &Subject<'_>,
        left: Duration,
        taken: &TakenAt,
    ) -> Outcome {
        let (url, headers) = match self.endpoint.read() {
            Ok(read) => read,
            Err(error) => return Outcome::Again { why: error.to_string(), pause: None },
        };
        let request = client.post(url.clone()).headers(headers);
        let request = match self.sink {
            Sink::CdEvents => cdevent(subject).map(|event| binary(request, &event)),
            Sink::Webhook => match self.template.render(&described(subject)) {
                Ok(body) => body.map(|body| request.header(CONTENT_TYPE, "application/json").body(body)),
                Err(error) => return Outcome::Unmakeable { why: format!("the template: {error}") },
            },
        };
        let Some(request) = request else { return Outcome::LeftOut };
        let response = match tokio::time::timeout(LIMIT.min(left), request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Outcome::Again { why: chain(&error.without_url()), pause: None },
            Err(_) => return Outcome::Again { why: "it does not answer in time".to_owned(), pause: None },
        };
        let outcome = outcome(response.status().as_u16(), pause(response.headers()), taken.is(&url));
        if outcome == Outcome::Delivered {
            taken.set(url);
        }
        rest_of(response).await;
        outcome
    }
}

/// A CDEvent in its structured mode, as a CloudEvent in the binary mode of HTTP.
fn binary(request: RequestBuilder, event: &CdEvent) -> RequestBuilder {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    request
        .header("ce-specversion", "1.0")
        .header("ce-id", encoded(&event.id))
        .header("ce-source", encoded(&event.source))
        .header("ce-type", encoded(&event.type_))
        .header("ce-subject", encoded(&event.subject))
        .header("ce-time", encoded(&event.time))
        .header(CONTENT_TYPE, CDEVENTS)
        .body(event.body.to_string())
}

/// Reads the rest of an answer, if it comes soon. Who has a request has it, however slowly it says more.
pub(super) async fn rest_of(response: Response) {
    drop(tokio::time::timeout(REST, drain(response)).await);
}

/// Reads an answer to its end, if that is not far.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > READ {
            return;
        }
    }
}

/// How long it wants to be left alone, if it says so.
pub(super) fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    retry_after(text(RETRY_AFTER)?, text(DATE), SystemTime::now())
}

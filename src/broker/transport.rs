//! Sends one request: waits for a slot, keeps its deadline, limits what it reads, and classifies the answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Body, Client, Method};
use serde_json::Value;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};
use url::Url;

use super::answer::{Answer, Response, classify};
use super::client::{build, chain};
use super::config::{BaseUrl, BrokerConfig, ConfigError};
use super::error::{BrokerError, TransportFault};
use super::operation::Operation;
use super::pause::{Pause, retry_after};
use super::permitted::{Permission, PermittedBody};
use super::secret::Redactor;
use super::turns::Turns;
use crate::api::names::quoted;

/// How much of an answer is read. The deployed versions of 200 pacticipants are 95 kB: this is enough for some 60,000.
pub const LONGEST_ANSWER: usize = 32 << 20;

/// How much of an error's body is read; the rest adds nothing.
const LONGEST_ERROR: usize = 64 << 10;

/// Called for every request: the operation, its result (`Ok`, `NotFound`, or the error's reason; `Paused` and `Busy`
/// when nothing was sent), and its duration without the wait for a slot.
pub type Observer = Arc<dyn Fn(&'static str, &'static str, Duration) + Send + Sync>;

/// The request to send.
pub(super) struct Request<'a> {
    pub(super) operation: Operation,
    pub(super) method: Method,
    pub(super) segments: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<(&'static str, Value)>,
}

/// How a request is sent.
pub(super) struct Sending<'a> {
    /// What permits writes; `None`: nothing has to.
    pub(super) writes: Option<&'a Permission>,
    /// Who is told.
    pub(super) observer: Option<&'a Observer>,
    /// Whether it waits while others do.
    pub(super) gives_way: bool,
}

/// The media type of a `POST`'s body; any other is answered with 415.
pub(super) const JSON: &str = "application/json";
/// The media type of a `PATCH`'s body; any other is answered with 415.
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

impl<'a> Request<'a> {
    pub(super) fn get(operation: Operation, segments: &'a [&'a str]) -> Self {
        Self { operation, method: Method::GET, segments, query: &[], body: None }
    }

    pub(super) fn post(operation: Operation, segments: &'a [&'a str], body: Value) -> Self {
        Self { operation, method: Method::POST, segments, query: &[], body: Some((JSON, body)) }
    }

    pub(super) fn patch(operation: Operation, segments: &'a [&'a str], body: Value) -> Self {
        Self { operation, method: Method::PATCH, segments, query: &[], body: Some((MERGE_PATCH, body)) }
    }

    pub(super) fn with(mut self, query: &'a [(&'a str, &'a str)]) -> Self {
        self.query = query;
        self
    }
}

/// The connection to one broker, shared by all callers.
pub(super) struct Transport {
    client: Client,
    base: BaseUrl,
    redactor: Redactor,
    turns: Turns,
    pause: Pause,
    timeout: Duration,
}

impl Transport {
    pub(super) fn new(config: BrokerConfig) -> Result<Self, ConfigError> {
        if config.concurrency == 0 {
            return Err(ConfigError::Setting {
                what: "concurrency",
                problem: "is 0; at least 1 request must be allowed",
            });
        }
        if config.request_timeout.is_zero() {
            return Err(ConfigError::Setting { what: "request timeout", problem: "is 0; give it at least a second" });
        }
        let (client, redactor) = build(&config)?;
        let turns = Turns::new(config.concurrency);
        let (base, timeout, pause) = (config.base_url, config.request_timeout, Pause::new(config.longest_pause));
        Ok(Self { client, base, redactor, turns, pause, timeout })
    }

    pub(super) fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Sends a request, a write only if it is permitted, and classifies its answer.
    pub(super) async fn send(
        &self,
        request: Request<'_>,
        Sending { writes, observer, gives_way }: Sending<'_>,
    ) -> Result<Answer, BrokerError> {
        let operation = request.operation;
        let observe = |outcome, took| {
            if let Some(observer) = observer {
                observer(operation.name(), outcome, took);
            }
        };
        let Some(url) = self.base.at(request.segments, request.query) else {
            let dots = request.segments.iter().find(|segment| matches!(**segment, "." | ".."));
            return Err(BrokerError::Unaddressable { operation, name: quoted(dots.copied().unwrap_or_default()) });
        };
        if gives_way {
            self.turns.give_way().await;
        }
        let _slot = match self.slot(operation).await {
            Ok(slot) => slot,
            Err(error) => {
                observe(if error.retry_after().is_some() { "Paused" } else { "Busy" }, Duration::ZERO);
                return Err(error);
            }
        };
        let started = Instant::now();
        let answer = match timeout(self.timeout, self.exchange(&request, writes, url)).await {
            Ok(Ok(mut response)) => {
                response.retry_after = response.retry_after.map(|wait| self.pause.limited(wait));
                if let Some(wait) = response.retry_after.filter(|_| matches!(response.status, 429 | 503)) {
                    self.pause.ask(Instant::now(), wait);
                }
                classify(operation, response, &self.redactor)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(BrokerError::Transport {
                operation,
                fault: TransportFault::Timeout,
                cause: format!("{}s passed", self.timeout.as_secs_f32()),
            }),
        };
        let outcome = match &answer {
            Ok(Answer::Found(_)) => "Ok",
            Ok(Answer::NotFound) => "NotFound",
            Err(error) => error.reason().as_str(),
        };
        observe(outcome, started.elapsed());
        tracing::debug!(broker = %self.base, operation = operation.name(), outcome, "asked the broker");
        answer
    }

    /// Waits for a free slot, unless the broker asked for a pause, before or meanwhile.
    async fn slot(&self, operation: Operation) -> Result<SemaphorePermit<'_>, BrokerError> {
        let paused = || match self.pause.left(Instant::now()) {
            Some(left) => Err(BrokerError::RateLimited { retry_after: Some(left) }),
            None => Ok(()),
        };
        paused()?;
        let Ok(Some(slot)) = timeout(self.timeout, self.turns.take()).await else {
            return Err(BrokerError::Busy { operation, waited: self.timeout });
        };
        paused()?;
        Ok(slot)
    }

    async fn exchange(
        &self,
        request: &Request<'_>,
        writes: Option<&Permission>,
        url: Url,
    ) -> Result<Response, BrokerError> {
        let operation = request.operation;
        let failed = |fault, error: reqwest::Error| {
            let cause = self.redactor.clean(&chain(&error.without_url()));
            BrokerError::Transport { operation, fault, cause }
        };
        let mut response = match self.attempt(request, writes, url.clone()).await {
            // The server closed a kept connection just as it was used again. Reading twice does no harm; a caller must
            // determine by reading whether a write arrived.
            Err(error) if request.method == Method::GET && fault(&error) == TransportFault::Closed => {
                self.attempt(request, writes, url).await
            }
            first => first,
        }
        .map_err(|error| failed(fault(&error), error))?;
        let status = response.status();
        let head = head(status.as_u16(), response.headers(), &self.base);
        if status.is_redirection() {
            return Ok(head);
        }
        let limit = if status.is_success() { LONGEST_ANSWER } else { LONGEST_ERROR };
        let too_large = BrokerError::TooLarge { operation, limit };
        let announced = response.content_length().unwrap_or_default();
        if status.is_success() && announced > limit as u64 {
            return Err(too_large);
        }
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
                Ok(Some(_)) if status.is_success() => return Err(too_large),
                Err(error) if status.is_success() => return Err(failed(TransportFault::BodyCut, error)),
                // For an error, the status is enough.
                Ok(_) | Err(_) => return Ok(Response { body, ..head }),
            }
        }
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        writes: Option<&Permission>,
        url: Url,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let mut builder = self.client.request(request.method.clone(), url);
        if let Some((media_type, body)) = &request.body {
            builder = builder.header(CONTENT_TYPE, *media_type);
            builder = builder.body(Body::wrap(PermittedBody::new(body.to_string(), writes.cloned())));
        }
        builder.send().await
    }
}

fn head(status: u16, headers: &HeaderMap, base: &BaseUrl) -> Response {
    let text =
        |value: Option<&reqwest::header::HeaderValue>| value.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let date = text(headers.get(DATE));
    Response {
        status,
        content_type: text(headers.get(CONTENT_TYPE)),
        broker_version: text(headers.get("x-pact-broker-version")),
        retry_after: text(headers.get(RETRY_AFTER))
            .and_then(|value| retry_after(&value, date.as_deref(), SystemTime::now())),
        redirect: text(headers.get(LOCATION)).and_then(|location| base.origin_of(&location)),
        body: Vec::new(),
    }
}

/// The point at which a request failed whose answer did not begin.
fn fault(error: &reqwest::Error) -> TransportFault {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if is_tls(cause) {
            return TransportFault::Tls;
        }
        if error.is_connect() && cause.to_string().starts_with("dns error") {
            return TransportFault::Dns;
        }
        source = cause.source();
    }
    match error {
        _ if error.is_timeout() => TransportFault::Timeout,
        _ if error.is_connect() => TransportFault::Connect,
        _ => TransportFault::Closed,
    }
}

/// Whether rustls failed. Its error is wrapped in I/O errors, which leave out their content when asked for a source.
fn is_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    let held = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause.is::<rustls::Error>() || held.is_some_and(|held| is_tls(held))
}

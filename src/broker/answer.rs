//! What a broker's response means: pure functions of status, headers and body.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::BrokerError;
use super::operation::Operation;
use super::secret::Redactor;

/// How much is quoted of a response that is not a broker's, in characters.
const EXCERPT: usize = 80;

/// How much of a body is searched for an excerpt: removing secrets must not cost more than reading the body did.
const LOOKED_AT: usize = 16 * 1024;

/// A response, read as far as necessary.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) broker_version: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// The target of a redirect: scheme, host and port.
    pub(super) redirect: Option<String>,
    pub(super) body: Vec<u8>,
}

/// The broker's own answer to a request that it understood.
#[derive(Debug)]
pub(super) enum Answer {
    /// 2xx with JSON.
    Found(Document),
    /// 404 with a broker's JSON. It does not say whether the version, the pacticipant or the environment is missing.
    NotFound,
}

/// A JSON document.
#[derive(Debug)]
pub(super) struct Document {
    operation: Operation,
    body: Vec<u8>,
    redactor: Redactor,
    pub(super) broker_version: Option<String>,
}

impl Document {
    /// Reads the document as the expected type.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, BrokerError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.other_shape(&short(&self.redactor.clean(&error.to_string()), EXCERPT)))
    }

    /// The error for JSON that is not an answer of a broker.
    pub(super) fn other_shape(&self, problem: &str) -> BrokerError {
        let answered = format!("JSON of another shape ({problem}): {}", excerpt(&self.body, &self.redactor));
        BrokerError::NotABroker { operation: self.operation, answered }
    }
}

/// The meaning of a response. Only the HTTP status counts, not a status inside a document (the two can differ).
pub(super) fn classify(operation: Operation, response: Response, redactor: &Redactor) -> Result<Answer, BrokerError> {
    let Response { status, retry_after, redirect, body, content_type, broker_version } = response;
    let json = content_type.as_deref().is_some_and(is_json);
    let not_a_broker = || {
        let kind = content_type
            .as_deref()
            .map_or_else(|| "no content type".to_owned(), |kind| short(&redactor.clean(kind), 40));
        let answered = format!("HTTP {status} with {kind}: {}", excerpt(&body, redactor));
        BrokerError::NotABroker { operation, answered }
    };
    match status {
        200..300 if json => Ok(Answer::Found(Document { operation, body, redactor: redactor.clone(), broker_version })),
        300..400 if let Some(to) = redirect => Err(BrokerError::Redirected { operation, to: redactor.clean(&to) }),
        400 if body.is_empty() => Err(BrokerError::Unauthorized { operation, status }),
        401 => Err(BrokerError::Unauthorized { operation, status }),
        403 => Err(BrokerError::Forbidden { operation }),
        404 if json && message(&body, redactor).is_some() => Ok(Answer::NotFound),
        429 => Err(BrokerError::RateLimited { retry_after }),
        408 | 500..600 => {
            let reference = if json { reference(&body, redactor) } else { None };
            Err(BrokerError::Server { operation, status, reference, retry_after })
        }
        400..500 if status != 404 && body.is_empty() => {
            Err(BrokerError::Rejected { operation, status, message: "it did not say why".to_owned() })
        }
        400..500 if status != 404 && json => {
            let message = message(&body, redactor).unwrap_or_else(|| excerpt(&body, redactor));
            Err(BrokerError::Rejected { operation, status, message })
        }
        _ => Err(not_a_broker()),
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The message of an error body, in one of a broker's four formats; `None` for any other format.
fn message(body: &[u8], redactor: &Redactor) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let parts: Vec<String> = match (document.get("errors"), document.get("error")) {
        (Some(Value::Object(fields)), _) => {
            fields.iter().map(|(field, value)| format!("{field} {}", texts(value))).collect()
        }
        (Some(Value::Array(all)), _) => all
            .iter()
            .map(|one| match one {
                Value::String(text) => text.clone(),
                problem => format!("{} {}", text(problem, "pointer"), text(problem, "detail")),
            })
            .collect(),
        (_, Some(Value::String(text))) => vec![text.clone()],
        (_, Some(error @ Value::Object(_))) => vec![text(error, "message")],
        _ => {
            let title = document.get("title").and_then(Value::as_str)?;
            vec![title.to_owned(), text(&document, "detail")]
        }
    };
    let parts: Vec<_> = parts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    Some(short(&redactor.clean(&parts.join("; ")), EXCERPT))
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> String {
    match value {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

/// The reference under which the broker logged its failure, or the beginning of its message.
fn reference(body: &[u8], redactor: &Redactor) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    if let Some(reference) = document.get("error").and_then(|error| error.get("reference")).and_then(Value::as_str) {
        return Some(format!("reference {}", short(&redactor.clean(reference), 40)));
    }
    message(body, redactor).map(|message| short(&message, 60))
}

/// The beginning of a body, escaped, without secrets.
fn excerpt(body: &[u8], redactor: &Redactor) -> String {
    if body.is_empty() {
        return "an empty body".to_owned();
    }
    let text = String::from_utf8_lossy(body.get(..LOOKED_AT).unwrap_or(body));
    let text = redactor.clean(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    format!("\"{}\"", short(&text, EXCERPT))
}

/// The beginning of a text, without control characters, at most this many characters.
pub(super) fn short(text: &str, limit: usize) -> String {
    let escaped = text.chars().flat_map(|char| {
        let (raw, escaped) = if char.is_control() { (None, Some(char.escape_default())) } else { (Some(char), None) };
        raw.into_iter().chain(escaped.into_iter().flatten())
    });
    let mut short: String = escaped.take(limit + 1).collect();
    if short.chars().count() > limit {
        short = short.chars().take(limit.saturating_sub(1)).collect();
        short.push('…');
    }
    short
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

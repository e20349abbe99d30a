//! `POST /gate`: the way in and out, bounded in size, in time and in number.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::FutureExt;
use http_body_util::BodyExt;
use k8s_openapi::jiff::Timestamp;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tracing::{debug, error};

use super::{Gate, admission_review, deadline::budget};
use crate::decide::admission::{Answer, Review};
use operator_kit::tls_server::ArrivedAt;

/// The longest body that is read, in bytes: two objects of 3 MiB, which is what the API server takes, and their frame.
pub const LONGEST_BODY: usize = 7 << 20;
/// How many bytes of bodies are held at once; more requests wait their turn. A usual review has 20 KB.
const BODIES: usize = 64 << 20;
/// The unit in which room for bodies is counted, in bytes.
const PAGE: usize = 16 << 10;

/// The routes of the gate.
pub(super) fn router(gate: Arc<Gate>) -> Router {
    let served = Served { gate, pages: Arc::new(Semaphore::new(BODIES / PAGE)) };
    Router::new().route("/gate", post(review)).fallback(elsewhere).with_state(served)
}

#[derive(Clone)]
struct Served {
    gate: Arc<Gate>,
    pages: Arc<Semaphore>,
}

async fn elsewhere() -> Response {
    (StatusCode::NOT_FOUND, "only POST /gate is answered here\n").into_response()
}

async fn review(State(served): State<Served>, request: Request) -> Response {
    // The TLS server knows when the head came; elsewhere, in tests, it has just come.
    let arrived = request.extensions().get::<ArrivedAt>().map_or_else(Instant::now, |arrived| arrived.0);
    let deadline = arrived + budget(request.uri().query());
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        served.gate.metrics.malformed();
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "an AdmissionReview comes as application/json\n").into_response();
    }
    let review = match timeout_at(deadline, read(&served, &head.headers, body)).await {
        Ok(Ok(review)) => review,
        Ok(Err(refused)) => {
            served.gate.metrics.malformed();
            return refused;
        }
        Err(_) => {
            served.gate.metrics.malformed();
            return (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n").into_response();
        }
    };
    let uid = review.uid.clone();
    // What we have not thought of must not take the connection down, nor be a denial.
    let answer = AssertUnwindSafe(served.gate.admit(review, deadline)).catch_unwind().await.unwrap_or_else(|_| {
        error!(uid, "judging a review panicked, which is a defect; it is admitted");
        Answer::allow_with("not checked with Pact: the operator has a defect, please report it")
    });
    served.gate.metrics.answered(&answer, arrived.elapsed());
    let body = Body::from(admission_review::write(&answer, &uid));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Reads the body and what is in it. Room is taken as its bytes arrive, not as they are announced: a peer that only
/// announces takes none from the others. It is held until the body is read.
async fn read(served: &Served, headers: &HeaderMap, mut body: Body) -> Result<Review, Response> {
    let too_large = || {
        let text = format!("the body has more than {} MiB\n", LONGEST_BODY >> 20);
        (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LONGEST_BODY) {
        return Err(too_large());
    }
    let (mut bytes, mut held, mut permits) = (Vec::new(), 0, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                debug!(%error, "a body was cut off");
                return Err((StatusCode::BAD_REQUEST, "the body was cut off\n").into_response());
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > LONGEST_BODY {
            return Err(too_large());
        }
        let wanted = (bytes.len() + data.len()).div_ceil(PAGE);
        if wanted > held {
            let more = u32::try_from(wanted - held).unwrap_or(u32::MAX);
            let Ok(taken) = served.pages.acquire_many(more).await else {
                return Err(StatusCode::SERVICE_UNAVAILABLE.into_response());
            };
            permits.push(taken);
            held = wanted;
        }
        bytes.extend_from_slice(&data);
    }
    admission_review::read(&bytes, Timestamp::now())
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())
}

/// The API server sends `application/json`; parameters such as a charset are fine.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

//! `POST /gate` and `POST /gate/SECRET`, and the same below `/hold` for the mutating webhook: the way in and out, bounded in
//! size, in time and in number.

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
use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use super::{Gate, admission_review, deadline::budget, metrics::outcome};
use crate::decide::admission::{Answer, Review};
use operator_kit::{
    body_budget::{BodyBudget, BodyError, BodyLimits},
    review_path::Caller,
    tls_server::ArrivedAt,
    traces,
};

/// The longest body that is read, in bytes: two objects of 3 MiB, which is what the API server takes, and their frame.
pub const LONGEST_BODY: usize = 7 << 20;
/// How many bytes of bodies are held at once; more wait their turn. A usual review has 20 KB, and is held for as long as it
/// takes to arrive and to be read. There is room for the longest, and for many short ones beside it.
const BODIES: BodyLimits =
    BodyLimits { total: LONGEST_BODY + (3 << 20), longest: LONGEST_BODY, reserved: 2 << 20, short: 256 << 10 };

/// The routes of the gate.
pub(super) fn router(gate: Arc<Gate>) -> Router {
    let served = Served { gate, bodies: BodyBudget::new(BODIES) };
    let review = || post(review);
    // Without a path in its configuration, an API server calls `/`.
    let routes = Router::new().route("/", review()).route("/gate", review()).route("/gate/{secret}", review());
    let routes = routes.route("/hold", post(hold)).route("/hold/{secret}", post(hold));
    routes.fallback(elsewhere).with_state(served)
}

/// Which of the two webhooks the API server calls.
#[derive(Clone, Copy)]
enum Called {
    Validating,
    Mutating,
}

#[derive(Clone)]
struct Served {
    gate: Arc<Gate>,
    bodies: BodyBudget,
}

impl Served {
    async fn answer(
        &self,
        review: Review,
        webhook: Called,
        caller: Caller,
        deadline: Instant,
        arrived: Instant,
    ) -> Answer {
        let uid = review.uid.clone();
        traced(&review);
        let answer = async {
            match webhook {
                Called::Validating => self.gate.answer(review, caller, deadline).await,
                Called::Mutating => self.gate.hold(review, caller, deadline).await,
            }
        };
        // What we have not thought of must not take the connection down, nor be a denial.
        let answering = AssertUnwindSafe(answer).catch_unwind();
        let answer = answering.await.unwrap_or_else(|_| {
            error!(uid, "judging a review panicked, which is a defect; it is admitted");
            Answer::allow_with("not checked with Pact: the operator has a defect, please report it")
        });
        match (webhook, caller) {
            (Called::Validating, Caller::Known | Caller::Unverifiable) => {
                self.gate.metrics.answered(&answer, arrived.elapsed());
            }
            (Called::Validating, Caller::Stranger) => self.gate.metrics.answered_stranger(),
            // Its request comes to the other webhook, too, and is counted there.
            (Called::Mutating, _) => {}
        }
        traces::add("pact.outcome", outcome(&answer));
        answer
    }
}

/// What the span of a review says of it.
fn traced(review: &Review) {
    if traces::current_trace().is_some() {
        traces::add("k8s.admission.uid", review.uid.clone());
        traces::add("k8s.namespace.name", review.namespace.clone());
        traces::add("k8s.object.kind", review.kind.kind.clone());
        traces::add("k8s.object.name", review.object_name().to_owned());
        traces::add("k8s.admission.dry_run", review.dry_run);
    }
}

async fn elsewhere() -> Response {
    (StatusCode::NOT_FOUND, "only POST /gate and POST /hold are answered here\n").into_response()
}

async fn review(State(served): State<Served>, request: Request) -> Response {
    respond(served, Called::Validating, request).await
}

async fn hold(State(served): State<Served>, request: Request) -> Response {
    respond(served, Called::Mutating, request).await
}

async fn respond(served: Served, webhook: Called, request: Request) -> Response {
    // The TLS server knows when the head came; elsewhere, in tests, it has just come.
    let arrived = request.extensions().get::<ArrivedAt>().map_or_else(Instant::now, |arrived| arrived.0);
    let deadline = arrived + budget(request.uri().query());
    let (head, body) = request.into_parts();
    let caller = served.gate.review_path.caller(head.uri.path());
    if !is_json(&head.headers) {
        served.gate.metrics.malformed();
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "an AdmissionReview comes as application/json\n").into_response();
    }
    let review = match timeout_at(deadline, read(&served.bodies, &head.headers, body)).await {
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
    let answering = Box::pin(served.answer(review, webhook, caller, deadline, arrived));
    let answer = match caller {
        Caller::Known | Caller::Unverifiable => {
            let parent = head.headers.get(traces::TRACEPARENT).and_then(|value| value.to_str().ok());
            served.gate.traces.answer("admission review", parent, answering).await
        }
        // No trace is of anybody's making.
        Caller::Stranger => answering.await,
    };
    let body = Body::from(admission_review::write(&answer, &uid));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Reads the body and what is in it. The body holds its room until then.
async fn read(bodies: &BodyBudget, headers: &HeaderMap, body: Body) -> Result<Review, Response> {
    let body = bodies.collect(headers, body).await.map_err(|error| match error {
        BodyError::TooLong => {
            let text = format!("the body has more than {} MiB\n", LONGEST_BODY >> 20);
            (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
        }
        BodyError::CutOff => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        BodyError::Stalled => (StatusCode::REQUEST_TIMEOUT, format!("{error}\n")).into_response(),
    })?;
    admission_review::read(&body, Timestamp::now())
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

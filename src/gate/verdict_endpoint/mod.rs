//! `GET` and `POST /v1/can-i-deploy`: the gate's verdict for tools that ask before they act, such as Argo Rollouts'
//! analyses; and the whole picture ([`mod@matrix`]). On a port of its own, off unless it is asked for, and read-only: it leaves
//! no Event, counts no decision and admits nothing. The hooks of Flagger ([`mod@flagger`]) are answered in Flagger's own way.
//!
//! Whoever is known and holds the right gets status 200 and JSON whatever the verdict is: tools throw the body of any other
//! answer away (docs/contributing/progressive-delivery.md). What is no question gets 400, and a defect of ours 500.

mod answer;
mod caller;
mod canary;
mod flagger;
mod matrix;
mod question;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{FutureExt, future::join_all};
use k8s_openapi::jiff::Timestamp;
use operator_kit::{
    body_budget::{BodyBudget, BodyLimits},
    tls_server::ArrivedAt,
    traces,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

pub use self::flagger::HookCallers;
use self::{
    answer::Check,
    caller::{Callers, Refusal},
    flagger::Hooks,
    matrix::Picture,
    question::Question,
};
use super::{Gate, deadline::budget};
use crate::{
    broker::fair_queue::{Caller, Urgency},
    decide::{
        Finding,
        admission::{Cause, Known, Unclear, asked, claimants},
    },
    workload::{NamespaceMapping, Whereabouts},
};

/// The longest body that is read, in bytes: a question names one application.
const LONGEST_BODY: usize = 64 << 10;
/// How many bytes of bodies are held at once; more wait their turn.
const BODIES: BodyLimits = BodyLimits { total: 1 << 20, longest: LONGEST_BODY, reserved: 128 << 10, short: 16 << 10 };
/// How long it may take to find out who asks, and again how long whether they may.
const RIGHTS_LIMIT: Duration = Duration::from_secs(2);

/// Who is answered at the verdict endpoint.
#[derive(Clone, Debug, Default)]
pub struct VerdictSettings {
    /// The audiences for one of which a token must be made; for the API server itself where there are none.
    pub audiences: Vec<String>,
    /// Whose hooks of Flagger are answered; nobody's where there is nothing.
    pub flagger: Option<HookCallers>,
}

/// The routes.
pub(super) fn router(gate: Arc<Gate>, settings: VerdictSettings) -> Router {
    let callers = Callers::new(gate.cluster.client.clone(), settings.audiences);
    let hooks = settings.flagger.map(Hooks::new);
    let (bodies, picture) = (BodyBudget::new(BODIES), Picture::default());
    let served = Arc::new(Served { gate, callers, bodies, picture, hooks });
    let routes = Router::new()
        .route("/v1/can-i-deploy", get(can_i_deploy).post(can_i_deploy))
        .route("/v1/flagger/{hook}", post(flagger::hook))
        .route("/v1/matrix", get(matrix::matrix));
    routes.fallback(elsewhere).with_state(served)
}

struct Served {
    gate: Arc<Gate>,
    callers: Callers,
    bodies: BodyBudget,
    picture: Picture,
    hooks: Option<Hooks>,
}

async fn elsewhere() -> Response {
    refused(StatusCode::NOT_FOUND, "only /v1/can-i-deploy (GET and POST) and GET /v1/matrix are answered here")
}

async fn can_i_deploy(State(served): State<Arc<Served>>, request: Request) -> Response {
    let deadline = arrived_at(&request) + budget(request.uri().query());
    unless_defective(served.answer(request, deadline)).await
}

/// When the head of a request came, as the TLS server knows.
fn arrived_at(request: &Request) -> Instant {
    request.extensions().get::<ArrivedAt>().map_or_else(Instant::now, |arrived| arrived.0)
}

/// What we have not thought of must not look like an answer.
async fn unless_defective(answering: impl Future<Output = Response>) -> Response {
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        error!("answering a question panicked, which is a defect");
        refused(StatusCode::INTERNAL_SERVER_ERROR, "the operator has a defect, please report it")
    })
}

impl Served {
    async fn answer(&self, request: Request, deadline: Instant) -> Response {
        match self.told(request, deadline).await {
            Ok(document) => {
                self.gate.metrics.told(document["deployable"].as_bool());
                Json(document).into_response()
            }
            Err(response) => {
                self.gate.metrics.refused();
                response
            }
        }
    }

    /// The document of an answer, or the response to what gets none.
    async fn told(&self, request: Request, deadline: Instant) -> Result<Value, Response> {
        let (head, body) = request.into_parts();
        let limit = || deadline.min(Instant::now() + RIGHTS_LIMIT);
        // Nothing of a stranger is read.
        let caller = self.callers.known(&head.headers, limit()).await.map_err(Refusal::into_response)?;
        let question = self.question(&head.method, &head.uri, &head.headers, body, deadline).await?;
        let whereabouts = self.whereabouts(&question);
        let objects: Vec<_> = whereabouts.iter().map(|(object, _)| object.clone()).collect();
        let may_ask = self.callers.may_ask(&caller, &objects, limit()).await;
        may_ask.map_err(Refusal::into_response)?;
        // Only now: no trace is of a stranger's making.
        let parent = head.headers.get(traces::TRACEPARENT).and_then(|value| value.to_str().ok());
        let answering = async {
            let checks = self.checks(&question, whereabouts, deadline).await;
            let document = answer::document(&question, &checks);
            traces::add("pact.outcome", document["verdict"].as_str().unwrap_or_default().to_owned());
            document
        };
        let document = self.gate.traces.answer("verdict request", parent, answering).await;
        info!(
            user = caller.username,
            pacticipant = question.asked.pacticipant.as_str(),
            verdict = document["verdict"].as_str(),
            reason = document["reason"].as_str(),
            "a tool asked"
        );
        Ok(document)
    }

    async fn question(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Body,
        deadline: Instant,
    ) -> Result<Question, Response> {
        let bad = |problem: String| refused(StatusCode::BAD_REQUEST, &problem);
        if *method != Method::POST {
            return Question::of_query(uri.query().unwrap_or_default()).map_err(bad);
        }
        let body = match timeout_at(deadline, self.bodies.collect(headers, body)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(bad(error.to_string())),
            Err(_) => return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
        };
        Question::of_body(&body).map_err(bad)
    }

    /// The environments that are asked about: where the namespace lies, or the one that is named. Nothing is read for it: a
    /// namespace that no watch has reported is mostly none.
    fn whereabouts(&self, question: &Question) -> Vec<(String, Option<Unclear>)> {
        let index = self.gate.cluster.index();
        let environments = index.environments();
        let whereabouts = match &question.asked.namespace {
            Some(namespace) => index
                .mapping(namespace)
                .map_or_else(|| environments.whereabouts_without_labels(namespace), Whereabouts::from),
            None => NamespaceMapping::Mapped(environments.objects()).into(),
        };
        let is_meant = |object: &str| {
            let Some(name) = question.environment.as_deref() else { return true };
            object == name
                || environments.rules(object).is_some_and(|it| it.environment_ref.environment.as_str() == name)
        };
        let meant = claimants(&whereabouts).filter(|(object, _)| is_meant(object));
        meant.map(|(object, unclear)| (object.to_owned(), unclear)).collect()
    }

    async fn checks(
        &self,
        question: &Question,
        whereabouts: Vec<(String, Option<Unclear>)>,
        deadline: Instant,
    ) -> Vec<Check> {
        let checks = whereabouts.into_iter().map(|(object, unclear)| self.check(question, object, unclear, deadline));
        join_all(checks).await
    }

    async fn check(&self, question: &Question, object: String, unclear: Option<Unclear>, deadline: Instant) -> Check {
        let (known, owned) = {
            let (index, recorded) = (self.gate.cluster.index(), self.gate.cluster.recorded());
            let policy = index.environments().get(&object);
            let known = policy.and_then(|policy| {
                let recorded = |at: &_, pacticipant: &_| recorded.of(at, pacticipant);
                asked(&question.asked, policy, unclear, recorded, Timestamp::now())
            });
            (
                known,
                index
                    .environments()
                    .rules(&object)
                    .is_some_and(|rules| question.asked.leaves_owners_out(&rules.owners)),
            )
        };
        match known {
            None => Check::Unreadable(object),
            Some(Known::Recorded(open)) => Check::Recorded(open.subject, owned),
            Some(Known::Finding(finding)) => Check::Found { finding, link: None, owned },
            Some(Known::Ask(open, about)) => {
                let namespace = question.asked.namespace.clone().unwrap_or_default();
                let caller = Caller { urgency: Urgency::Asked, namespace };
                let broker = open.subject.environment_ref.broker.clone();
                let (judgement, _) = self.gate.ask(&broker, &about, caller, deadline).await;
                let finding = Finding { asked: Some(about), ..open.finding(Cause::Judged(judgement)) };
                let link = self.gate.link(&finding);
                Check::Found { finding: Box::new(finding), link, owned }
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let response = refused(self.status(), &self.to_string());
        match self {
            Self::NoToken | Self::UnknownToken => ([(header::WWW_AUTHENTICATE, "Bearer")], response).into_response(),
            Self::NoRight { .. } | Self::NotAsked { .. } | Self::Busy => response,
        }
    }
}

/// An answer that is no verdict. It lacks `deployable`, so that no tool takes it for one.
fn refused(status: StatusCode, problem: &str) -> Response {
    (status, Json(json!({"error": problem}))).into_response()
}

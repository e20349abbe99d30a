//! `POST /v1/flagger/HOOK`: the hooks of a Canary's analysis, off unless they are asked for.
//!
//! Flagger sends no header of its own, and writes the address of a hook, with all that is in it, into its log and into an
//! Event when a connection fails. So a token comes in the body, in the hook's `metadata`. Flagger looks at the status; it
//! keeps the body for pre-rollout only (docs/verdict-endpoint.md#flagger).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use operator_kit::body_budget::{BodyBudget, BodyLimits};
use serde::Deserialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

use super::{
    RIGHTS_LIMIT, Served, arrived_at,
    caller::Refusal,
    canary::{Advised, Asked, NoAdvice},
    question::is_namespace,
    unless_defective,
};
use crate::{
    decide::admission::{CanaryHook, User, claimants},
    gate::deadline::budget,
};

/// Not yet; for the rollback hook: no reason to roll back. Neither a 5xx, which Flagger may repeat at once, nor a status
/// that says that the question was wrong.
const NOT_MET: StatusCode = StatusCode::PRECONDITION_FAILED;
/// What somebody without a token is told.
const WITHHELD: &str = "not yet: the reason, if there is one, is in an Event on the Canary";
/// How many bytes of bodies are held at once. A body is read before it is known who sends it.
const BODIES: BodyLimits = BodyLimits { total: 256 << 10, longest: 16 << 10, reserved: 64 << 10, short: 4 << 10 };
/// How many who send no token are answered at once.
const STRANGERS: usize = 4;
/// How long one more waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookCallers {
    /// Whoever sends a token and holds the verb `ask`.
    Known,
    /// Whoever asks. Without a token the answer gives no reason.
    Anybody,
}

/// What answering hooks needs.
pub(super) struct Hooks {
    callers: HookCallers,
    bodies: BodyBudget,
    strangers: Semaphore,
}

impl Hooks {
    pub(super) fn new(callers: HookCallers) -> Self {
        Self { callers, bodies: BodyBudget::new(BODIES), strangers: Semaphore::new(STRANGERS) }
    }
}

/// What Flagger sends, as far as it is looked at. There is a token in it: it is never printed.
#[derive(Deserialize)]
pub(super) struct Payload {
    name: String,
    namespace: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

impl Payload {
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        // An error of serde's may quote what it has read.
        let payload: Self =
            serde_json::from_slice(body).map_err(|_| "the body is not what Flagger sends".to_owned())?;
        let is_name = |name: &str| name.len() <= 253 && name.split('.').all(is_namespace);
        if !is_namespace(&payload.namespace) || !is_name(&payload.name) {
            return Err("the body names no Canary by name and namespace".to_owned());
        }
        match payload.word("mode") {
            None | Some("Enforce") => Ok(payload),
            Some(_) => Err("metadata.mode of a hook is Enforce, or left out".to_owned()),
        }
    }

    /// A word of the hook's `metadata`.
    fn word(&self, name: &str) -> Option<&str> {
        self.metadata.as_ref()?.get(name).map(String::as_str).filter(|word| !word.is_empty())
    }
}

/// Answers a hook.
pub(super) async fn hook(State(served): State<Arc<Served>>, Path(hook): Path<String>, request: Request) -> Response {
    let deadline = arrived_at(&request) + budget(request.uri().query());
    unless_defective(served.hook(&hook, request, deadline)).await
}

impl Served {
    async fn hook(&self, name: &str, request: Request, deadline: Instant) -> Response {
        let (Some(hooks), Some(hook)) = (&self.hooks, CanaryHook::named(name)) else {
            return said(StatusCode::NOT_FOUND, "there is no such hook here");
        };
        match self.advised(hooks, hook, request, deadline).await {
            Ok((passes, why)) => {
                self.gate.metrics.told(Some(passes));
                said(if passes { StatusCode::OK } else { NOT_MET }, &why)
            }
            Err(response) => {
                self.gate.metrics.refused();
                response
            }
        }
    }

    /// Whether the hook passes, and why.
    async fn advised(
        &self,
        hooks: &Hooks,
        hook: CanaryHook,
        request: Request,
        deadline: Instant,
    ) -> Result<(bool, String), Response> {
        let (head, body) = request.into_parts();
        let bad = |problem: &str| said(StatusCode::BAD_REQUEST, problem);
        let payload = match timeout_at(deadline, hooks.bodies.collect(&head.headers, body)).await {
            Ok(Ok(body)) => Payload::read(&body).map_err(|problem| bad(&problem))?,
            Ok(Err(error)) => return Err(bad(&error.to_string())),
            Err(_) => return Err(said(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
        };
        let user = self.flagger(hooks, &payload, deadline).await.map_err(|refusal| {
            let remedy = "metadata.token of the hook holds a ServiceAccount's token";
            said(refusal.status(), &format!("{refusal}; {remedy}"))
        })?;
        let _turn = match &user {
            Some(_) => None,
            None => match timeout(PATIENCE, hooks.strangers.acquire()).await {
                Ok(Ok(turn)) => Some(turn),
                Ok(Err(_)) | Err(_) => return Err(said(StatusCode::SERVICE_UNAVAILABLE, WITHHELD)),
            },
        };
        let whereabouts = self.gate.whereabouts(&payload.namespace, deadline).await;
        if let Some(user) = &user {
            let objects: Vec<_> = claimants(&whereabouts).map(|(object, _)| object.to_owned()).collect();
            let limit = deadline.min(Instant::now() + RIGHTS_LIMIT);
            let may_ask = self.callers.may_ask(user, &objects, limit).await;
            may_ask.map_err(|refusal| said(refusal.status(), &refusal.to_string()))?;
        }
        let asked = Asked {
            hook,
            namespace: &payload.namespace,
            name: &payload.name,
            enforced: payload.word("mode").is_some(),
            user: user.as_ref().map(|user| user.username.as_str()),
        };
        match (self.gate.advise(asked, &whereabouts, deadline).await, user.is_some()) {
            (Ok(Advised { advice, why }), true) => Ok((hook.passes(advice), why)),
            (Ok(Advised { advice, .. }), false) => {
                let passes = hook.passes(advice);
                Ok((passes, if passes { "passed" } else { WITHHELD }.to_owned()))
            }
            // Whether a Canary is there is told to nobody who is not known.
            (Err(_), false) => Ok((false, WITHHELD.to_owned())),
            (Err(error @ NoAdvice::Missing(_)), true) => Err(said(StatusCode::NOT_FOUND, &error.to_string())),
            (Err(error @ NoAdvice::Unread(_)), true) => Err(said(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())),
        }
    }

    /// Who sends a payload; `None` for somebody who sends no token and need not.
    async fn flagger(&self, hooks: &Hooks, payload: &Payload, deadline: Instant) -> Result<Option<User>, Refusal> {
        let limit = deadline.min(Instant::now() + RIGHTS_LIMIT);
        match (payload.word("token"), hooks.callers) {
            (Some(token), _) => self.callers.holder(token, limit).await.map(Some),
            (None, HookCallers::Anybody) => Ok(None),
            (None, HookCallers::Known) => Err(Refusal::NoToken),
        }
    }
}

/// An answer in a line: Flagger puts the body of some into its Events.
fn said(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

//! `GET /v1/matrix`: the whole picture, as a page for people or as JSON, for whoever may ask about every environment.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{RIGHTS_LIMIT, Served, refused};
use crate::{
    broker::EnvironmentMatrix,
    decide::{GateRules, LiveVersions},
    gate::Gate,
    overview::{
        Environment, Overview,
        build::{self, Facts, Known},
        document, page,
    },
    workload::EnvironmentRef,
};

/// How long a picture is shown to others: it costs each broker several requests for each environment.
const LIVES: Duration = Duration::from_secs(30);
/// How long it may take to make one: less than any request may.
const LIMIT: Duration = Duration::from_secs(25);

/// The picture that was made last, and when. Whoever comes while one is made waits for it.
#[derive(Default)]
pub(super) struct Picture(Mutex<Option<(Instant, Arc<Overview>)>>);

impl Picture {
    async fn of(&self, gate: &Gate) -> Arc<Overview> {
        let mut last = self.0.lock().await;
        if let Some((made, overview)) = last.as_ref().filter(|(made, _)| made.elapsed() < LIVES) {
            tracing::debug!(age = made.elapsed().as_secs(), "the picture is shown again");
            return Arc::clone(overview);
        }
        let overview = Arc::new(gate.overview().await);
        *last = Some((Instant::now(), Arc::clone(&overview)));
        overview
    }
}

/// Answers with a page, or with JSON where that is accepted and HTML is not.
pub(super) async fn matrix(State(served): State<Arc<Served>>, request: Request) -> Response {
    let limit = || Instant::now() + RIGHTS_LIMIT;
    let headers = request.headers();
    let allowed = async {
        let caller = served.callers.known(headers, limit()).await?;
        served.callers.may_ask(&caller, &[], limit()).await
    };
    if let Err(refusal) = allowed.await {
        served.gate.metrics.refused();
        return refusal.into_response();
    }
    let Ok(overview) = timeout_at(Instant::now() + LIMIT, served.picture.of(&served.gate)).await else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the brokers did not answer in time: ask again");
    };
    if wants_json(headers) {
        let document: Value = document(&overview);
        return axum::Json(document).into_response();
    }
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], page(&overview))
        .into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.contains("application/json") && !accepted.contains("text/html")
}

impl Gate {
    /// What is live in each environment, and every pair of it, by what the brokers say now.
    async fn overview(&self) -> Overview {
        let rules: Vec<(EnvironmentRef, GateRules)> = {
            let index = self.cluster.index();
            let environments = index.environments();
            let policies = environments
                .objects()
                .into_iter()
                .filter_map(|object| environments.get(&object)?.as_ref().ok().cloned());
            policies.map(|policy| (policy.rules.environment_ref, policy.gate)).collect()
        };
        let made = rules.iter().map(|(at, rules)| self.environment(at, rules));
        Overview::of(Timestamp::now(), join_all(made).await)
    }

    async fn environment(&self, at: &EnvironmentRef, rules: &GateRules) -> Environment {
        let address = self.cluster.brokers.public_url(&at.broker);
        let running = |recorded: &LiveVersions| self.cluster.recorded().running_beside(at, recorded);
        let asked = match self.cluster.brokers.get(&at.broker) {
            Err(why) => Err(format!("PactBroker {}: {}", at.broker, why.message)),
            // Whoever asks can ask again.
            Ok(broker) => match broker.environment_matrix(&at.environment, running, &|_, _| None).await {
                Ok(Some(matrix)) => Ok(matrix),
                Ok(None) => Err(format!("the broker has no environment named {}", at.environment)),
                Err(error) => Err(error.to_string()),
            },
        };
        let nothing = (LiveVersions::default(), Vec::new(), BTreeSet::new());
        let (recorded, unrecorded, unknown, known) = match &asked {
            Ok(EnvironmentMatrix { recorded, unrecorded, rows, unreadable, unknown }) => {
                (recorded, unrecorded, unknown, Known::Rows { rows, unreadable: *unreadable })
            }
            Err(why) => (&nothing.0, &nothing.1, &nothing.2, Known::Nothing { why: why.clone() }),
        };
        build::environment(&Facts {
            environment: &at.environment,
            broker: Some(&at.broker),
            address: address.as_deref(),
            recorded,
            unrecorded,
            unknown,
            rules,
            known,
            now: Timestamp::now(),
        })
    }
}

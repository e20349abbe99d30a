//! The plain HTTP port for the kubelet and Prometheus: `/readyz`, `/livez`, `/metrics`.

mod listener;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::liveness::Liveness;
use super::metrics;
use super::readiness::Readiness;
use listener::Bounded;

/// How long a request may take to arrive, and its answer to be taken.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How many connections are served at the same time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;
/// How long requests in flight may take to end at shutdown.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Renders the metrics; [`metrics::Metrics::render`] is one.
pub type Render = Arc<dyn Fn() -> Result<String, fmt::Error> + Send + Sync>;

/// What the probes answer from.
#[derive(Clone)]
pub struct Probes {
    /// `/readyz`: 200, or 503 with the pending gates.
    pub readiness: Readiness,
    /// `/livez`: 200, or 503 when the loop has stopped.
    pub liveness: Liveness,
    /// `/metrics`: OpenMetrics text.
    pub metrics: Render,
}

/// The probes' server, bound but not serving yet.
#[derive(Debug)]
pub struct ProbeServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why the probes cannot be served.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The address cannot be bound.
    #[error("cannot listen on {address} for probes and metrics: {source}. Choose another address or a free port")]
    Bind {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl ProbeServer {
    /// Binds `address`; with port 0 the system chooses a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> Result<Self, ProbeError> {
        let failed = |source| ProbeError::Bind { address, source };
        let listener = crate::listen::listen(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address it listens on: with the real port, also when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then finishes the requests in flight, for at most two seconds. Stop it last: while the
    /// process drains, `/readyz` must report the shutdown and `/livez` must answer.
    pub async fn serve(self, probes: Probes, stop: CancellationToken) {
        self.serve_within(probes, stop, REQUEST_LIMIT).await;
    }

    async fn serve_within(self, probes: Probes, stop: CancellationToken, limit: Duration) {
        let router = Router::new()
            .route("/readyz", get(readyz))
            .route("/livez", get(livez))
            .route("/metrics", get(render))
            .with_state(probes);
        let listener = Bounded::new(self.listener, MAX_CONNECTIONS, limit);
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let drained = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN_LIMIT).await;
        };
        tokio::select! {
            served = serving => if let Err(error) = served {
                warn!(%error, "the server for probes and metrics ended");
            },
            () = drained => {}
        }
    }
}

async fn readyz(State(probes): State<Probes>) -> Response {
    let pending = probes.readiness.pending();
    if pending.is_empty() {
        return "ok\n".into_response();
    }
    let body = pending.iter().fold("not ready\n".to_owned(), |body, pending| format!("{body}{pending}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn livez(State(probes): State<Probes>) -> Response {
    match probes.liveness.silent_for() {
        None => "ok\n".into_response(),
        Some(silence) => {
            let body = format!("the main loop has not turned for {} s\n", silence.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn render(State(probes): State<Probes>) -> Response {
    match (probes.metrics)() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot render the metrics: {error}\n")).into_response()
        }
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { readiness, liveness, metrics: _ } = self;
        f.debug_struct("Probes").field("readiness", readiness).field("liveness", liveness).finish_non_exhaustive()
    }
}

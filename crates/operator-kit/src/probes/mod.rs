//! The plain HTTP port for the kubelet and Prometheus: `/readyz`, `/livez`, `/metrics`.
//!
//! Any pod may reach this port, so its answers depend neither on other connections nor on the rest of the process: each
//! connection has one request and a short time, old connections give way to new ones, and a thread of their own serves
//! them.

mod scrape;
#[cfg(test)]
mod tests;
mod visits;

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
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::liveness::Liveness;
use super::metrics;
use super::readiness::Readiness;
use crate::listen::Kept;
use crate::open_files;
use crate::slots::SlotLimits;
use scrape::Scrape;
use visits::Limits;

/// How many connections are open at the same time, where as many files can be.
pub const MAX_CONNECTIONS: usize = 1536;
/// What the system keeps: more connections than come at once, and little for each.
const KEPT: Kept = Kept { connections: 4096, bytes: 16 << 10 };
const LIMITS: Limits = Limits {
    // One source may have all of them, because it displaces only its own.
    slots: SlotLimits { total: MAX_CONNECTIONS, per_source: MAX_CONNECTIONS, grace: Duration::from_millis(250) },
    request: Duration::from_secs(5),
    drain: Duration::from_secs(2),
};

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
    pub fn bind(address: SocketAddr) -> Result<Self, ProbeError> {
        let failed = |source| ProbeError::Bind { address, source };
        let listener = crate::listen::listen(address, KEPT).map_err(failed)?;
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
        // Where few files can be open, the rest of the process needs them as well.
        let most = usize::try_from(open_files::limit() / 4).unwrap_or(usize::MAX).min(MAX_CONNECTIONS);
        let slots = SlotLimits { total: most, per_source: most, ..LIMITS.slots };
        self.serve_within(probes, stop, Limits { slots, ..LIMITS }).await;
    }

    async fn serve_within(self, probes: Probes, stop: CancellationToken, limits: Limits) {
        // Dropping this future ends the thread as well.
        let dropped = CancellationToken::new();
        let _dropped = dropped.clone().drop_guard();
        let serving = async move {
            tokio::select! {
                () = self.visited(probes, limits, stop) => {}
                () = dropped.cancelled() => {}
            }
        };
        // On a thread of its own: however much the others have to do, the system gives it its share of a processor.
        let thread = tokio::task::spawn_blocking(|| {
            runtime::Builder::new_current_thread().enable_all().build().map(|own| own.block_on(serving))
        });
        match thread.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(%error, "probes and metrics cannot be served"),
            Err(error) => error!(%error, "the server for probes and metrics ended"),
        }
    }

    async fn visited(self, probes: Probes, limits: Limits, stop: CancellationToken) {
        let scrape = Scrape::new(Arc::clone(&probes.metrics));
        let router = Router::new()
            .route("/readyz", get(readyz))
            .route("/livez", get(livez))
            .with_state(probes)
            .route("/metrics", get(render))
            .with_state(scrape);
        // The listener belongs to the caller's runtime until now.
        let listener = self.listener.into_std().and_then(TcpListener::from_std);
        match listener {
            Ok(listener) => visits::serve(listener, router, limits, stop).await,
            Err(error) => error!(%error, "probes and metrics cannot be served"),
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

async fn render(State(scrape): State<Scrape>) -> Response {
    match scrape.text().await {
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

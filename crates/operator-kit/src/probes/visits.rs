//! Serves each connection one request, within a short time, and makes room for the next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::listen::is_the_peers;
use crate::slots::{Occupant, SlotLimits, Slots};

/// The largest head of a request: far more than a kubelet or Prometheus sends.
const MAX_HEAD: usize = 16 << 10;
/// The pause after the system refused to accept, mostly because of too few file descriptors.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) slots: SlotLimits,
    /// How long a connection may take from its first moment to the last byte of the answer taken.
    pub(super) request: Duration,
    /// How long requests in flight may take to end at shutdown.
    pub(super) drain: Duration,
}

/// A connection, which is nothing but the wait for its only request and for its answer to be taken. The handlers answer
/// at once, so the oldest connection has waited for the longest time.
struct Visit {
    began: Instant,
}

impl Occupant for Visit {
    fn quiet_since(&self, _now: Instant) -> Option<Instant> {
        Some(self.began)
    }
}

/// Serves until `stop`.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let (slots, visits) = (Slots::new(limits.slots), TaskTracker::new());
    let mut http = http1::Builder::new();
    // One request for each connection: nobody keeps one.
    http.keep_alive(false).header_read_timeout(None).max_buf_size(MAX_HEAD);
    // Dropping this future ends all of them.
    let ended = CancellationToken::new();
    let _ended = ended.clone().drop_guard();
    let accepting = async {
        loop {
            // Always accepted: a probe never waits in the system's queue.
            let (stream, peer) = accept(&listener).await;
            let Ok(slot) = slots.take(peer.ip(), Arc::new(Visit { began: Instant::now() })) else { continue };
            let answering = answer(stream, http.clone(), router.clone());
            let ended = ended.clone();
            visits.spawn(async move {
                tokio::select! {
                    // First what has arrived is looked at.
                    biased;
                    answered = timeout(limits.request, answering) => if answered.is_err() {
                        debug!(%peer, "a connection for probes or metrics took too long");
                    },
                    () = slot.wanted() => debug!(%peer, "a connection for probes or metrics gave way to another one"),
                    () = ended.cancelled() => {}
                }
                drop(slot);
            });
            // Whoever has come is looked at before many others come.
            yield_now().await;
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    visits.close();
    // A probe that is cut off at the end costs nothing.
    drop(timeout(limits.drain, visits.wait()).await);
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_the_peers(&error) => {}
            // Without a pause this loop would spin.
            Err(error) => {
                warn!(%error, "could not accept a connection for probes or metrics");
                sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

/// Answers the request of a connection. Until its first byte is there, a connection costs next to no memory.
async fn answer(stream: TcpStream, http: http1::Builder, router: Router) {
    if stream.peek(&mut [0]).await.is_err() {
        return;
    }
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Boxed, because most connections of a neighbour never get here.
    if let Err(error) = Box::pin(connection).await {
        debug!(%error, "a connection for probes or metrics failed");
    }
}

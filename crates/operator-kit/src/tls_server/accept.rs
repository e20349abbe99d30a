//! Accepts connections while slots are free, and shuts down gracefully.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::client_authentication::Clients;
use super::connection::ConnectionHandler;
use super::connection_state::ConnectionState;
use super::counts::CutReason;
use super::{TlsServer, TlsServerCounts};
use crate::listen::{Kept, is_the_peers};
use crate::slots::{NoPlace, Occupant, Slot, SlotLimits, Slots};

/// What the system keeps for the listener: as many connections as there are slots, and enough of a body to fill the
/// network.
pub(super) const KEPT: Kept = Kept { connections: 1024, bytes: 128 << 10 };

/// Serves until `drain`, then shuts down; `configure` makes the TLS settings from the current client authorities.
pub(super) async fn serve(
    server: TlsServer,
    router: Router,
    configure: impl Fn(Option<&Clients>) -> Arc<ServerConfig>,
    leaving: CancellationToken,
    drain: CancellationToken,
) {
    let TlsServer { listener, settings, clients, counts, .. } = server;
    let slots = Slots::new(SlotLimits {
        total: settings.max_connections.max(1),
        per_source: settings.max_connections_per_source.max(1),
        grace: settings.grace,
    });
    let (configured, tls) = watch::channel(configure(clients.as_ref()));
    let connections = Connections {
        handler: Arc::new(ConnectionHandler::new(&settings, router, leaving, drain.clone(), counts.clone())),
        tls,
        tasks: TaskTracker::new(),
        cut: CancellationToken::new(),
        counts,
    };
    // Dropping this future cuts all connections.
    let _cut = connections.cut.clone().drop_guard();
    let mut acceptor = Acceptor { listener, waiting: None, pause: settings.accept_error_pause, failing: false };
    let accepting = async {
        loop {
            let (stream, peer) = acceptor.next(&connections.counts).await;
            let state = connections.handler.state();
            match slots.take(peer.ip(), Arc::<ConnectionState>::clone(&state)) {
                Ok(slot) => connections.admit(stream, peer, state, Some(slot)),
                Err(NoPlace::Source) => {
                    connections.counts.end(CutReason::Source);
                    debug!(%peer, "refused a connection: its source has as many requests under way as it may");
                }
                Err(NoPlace::Full) => {
                    acceptor.waiting = Some((stream, peer));
                    slots.room().await;
                }
            }
        }
    };
    let following = async {
        if let Some(mut clients) = clients {
            loop {
                clients.changed().await;
                configured.send_replace(configure(Some(&clients)));
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = drain.cancelled() => {}
        () = accepting => {}
        () = following => {}
    }
    if let Some((stream, peer)) = acceptor.waiting {
        connections.admit(stream, peer, connections.handler.state(), None);
    }
    let waiting = admit_all_that_wait(acceptor.listener, &connections);
    info!(open = connections.tasks.len(), waiting, "no longer accepting connections; finishing what is under way");
    connections.tasks.close();
    if timeout(settings.drain_limit, connections.tasks.wait()).await.is_err() {
        let open = connections.tasks.len();
        warn!(open, limit = ?settings.drain_limit, "cutting connections that did not end within the drain limit");
        connections.cut.cancel();
        connections.tasks.wait().await;
    }
}

/// The open connections, each a task.
struct Connections {
    handler: Arc<ConnectionHandler>,
    tls: watch::Receiver<Arc<ServerConfig>>,
    tasks: TaskTracker,
    cut: CancellationToken,
    counts: TlsServerCounts,
}

impl Connections {
    fn admit(&self, stream: TcpStream, peer: SocketAddr, state: Arc<ConnectionState>, slot: Option<Slot>) {
        let (handler, tls, cut, counts) =
            (Arc::clone(&self.handler), Arc::clone(&self.tls.borrow()), self.cut.clone(), self.counts.clone());
        let open = Open::new(counts.open.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                // First what has arrived is looked at: a connection whose next request is here is not given up.
                biased;
                () = handler.serve(stream, peer, tls, Arc::clone(&state)) => {}
                () = cut.cancelled() => counts.end(CutReason::Drain),
                () = given_up(slot.as_ref(), &state) => {
                    counts.end(CutReason::Displaced);
                    debug!(%peer, "an idle or stalled connection gave way to another one");
                }
            }
            drop((open, slot));
        });
    }
}

/// Waits until another connection wants this slot, and nothing is under way on this one.
async fn given_up(slot: Option<&Slot>, state: &ConnectionState) {
    let Some(slot) = slot else { return std::future::pending().await };
    loop {
        slot.wanted().await;
        // What the system has received by now is looked at before the answer.
        yield_now().await;
        if state.quiet_since(Instant::now()).is_some() {
            return;
        }
        slot.stays();
    }
}

/// Counts a connection for as long as it lives, also when its task panics.
struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Acceptor {
    listener: TcpListener,
    /// One that has been accepted and for which there was no place.
    waiting: Option<(TcpStream, SocketAddr)>,
    pause: Duration,
    failing: bool,
}

impl Acceptor {
    /// The next connection. No connection is lost when this future is dropped.
    async fn next(&mut self, counts: &TlsServerCounts) -> (TcpStream, SocketAddr) {
        if let Some(waiting) = self.waiting.take() {
            return waiting;
        }
        loop {
            let error = match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.failing = false;
                    return (stream, peer);
                }
                Err(error) => error,
            };
            counts.accept_errors.inc();
            if is_the_peers(&error) {
                debug!(%error, "a connection went before it was accepted");
                continue;
            }
            // Mostly "too many open files": without a pause this loop would spin. One warning for a row of failures.
            if self.failing {
                debug!(%error, "still cannot accept connections");
            } else {
                warn!(%error, pause = ?self.pause, "cannot accept connections; trying again until it works");
            }
            self.failing = true;
            sleep(self.pause).await;
        }
    }
}

/// Accepts the connections that wait in the system's queue, and closes the listener. The system has established them:
/// their clients consider themselves connected, and closing the listener would reset them. They take no slots: all
/// slots may be in use, and the queue is short. At most as many as the queue holds, so that a flood of clients cannot
/// delay the shutdown. Returns their number.
fn admit_all_that_wait(listener: TcpListener, connections: &Connections) -> u32 {
    // The system is asked directly: tokio would answer from its last known state.
    let Ok(listener) = listener.into_std() else { return 0 };
    let accept = || {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>((TcpStream::from_std(stream)?, peer))
    };
    let mut admitted = 0;
    while admitted < KEPT.connections {
        match accept() {
            Ok((stream, peer)) => connections.admit(stream, peer, connections.handler.state(), None),
            Err(error) if is_the_peers(&error) => continue,
            Err(_) => break,
        }
        admitted += 1;
    }
    admitted
}

//! Accepts connections while slots are free, and shuts down gracefully.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::client_authentication::Clients;
use super::connection::ConnectionHandler;
use super::counts::CutReason;
use super::{TlsServer, TlsServerCounts};

/// The length of the system's queue for the listener: tokio requests this length.
const QUEUE: usize = 1024;

/// Serves until `drain`, then shuts down; `configure` makes the TLS settings from the current client authorities.
pub(super) async fn serve(
    server: TlsServer,
    router: Router,
    configure: impl Fn(Option<&Clients>) -> Arc<ServerConfig>,
    leaving: CancellationToken,
    drain: CancellationToken,
) {
    let TlsServer { listener, settings, clients, counts, .. } = server;
    let slots = Arc::new(Semaphore::new(settings.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
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
    let mut acceptor = Acceptor { listener, slots, pause: settings.accept_error_pause, failing: false };
    let accepting = async {
        loop {
            let (stream, peer, slot) = acceptor.next(&connections.counts).await;
            connections.admit(stream, peer, Some(slot));
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
    fn admit(&self, stream: TcpStream, peer: SocketAddr, slot: Option<OwnedSemaphorePermit>) {
        let (handler, tls, cut, counts) =
            (Arc::clone(&self.handler), Arc::clone(&self.tls.borrow()), self.cut.clone(), self.counts.clone());
        let open = Open::new(counts.open.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = handler.serve(stream, peer, tls) => {}
                () = cut.cancelled() => counts.end(CutReason::Drain),
            }
            drop((open, slot));
        });
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
    slots: Arc<Semaphore>,
    pause: Duration,
    failing: bool,
}

impl Acceptor {
    /// The next connection, once a slot is free. No connection is lost when this future is dropped.
    async fn next(&mut self, counts: &TlsServerCounts) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                // The semaphore is never closed; if it were, no more connections would be accepted.
                return std::future::pending().await;
            };
            let error = match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.failing = false;
                    return (stream, peer, slot);
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

/// Whether the peer caused the error by leaving, so that the next connection is not affected.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Accepts the connections that wait in the system's queue, and closes the listener. The system has established them:
/// their clients consider themselves connected, and closing the listener would reset them. They take no slots: all
/// slots may be in use, and the queue is short. At most as many as the queue holds, so that a flood of clients cannot
/// delay the shutdown. Returns their number.
fn admit_all_that_wait(listener: TcpListener, connections: &Connections) -> usize {
    // The system is asked directly: tokio would answer from its last known state.
    let Ok(listener) = listener.into_std() else { return 0 };
    let accept = || {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>((TcpStream::from_std(stream)?, peer))
    };
    let mut admitted = 0;
    while admitted < QUEUE {
        match accept() {
            Ok((stream, peer)) => connections.admit(stream, peer, None),
            Err(error) if is_the_peers(&error) => continue,
            Err(_) => break,
        }
        admitted += 1;
    }
    admitted
}

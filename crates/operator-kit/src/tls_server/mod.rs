//! An HTTPS server that limits every wait for a peer and loses no request when it shuts down.
//!
//! Every connection has a slot, and every slot is freed: the handshake, the head of a request, the whole request and
//! the time between requests each have a limit. When all slots are taken, idle and stalled connections give way to new
//! ones. Connections have a maximum age, so that clients which keep one
//! connection spread over the replicas again. At the end the server drains: see [`TlsServer::serve`].

mod accept;
mod client_authentication;
mod connection;
mod connection_state;
mod counts;
mod exchange;
#[cfg(test)]
mod tests;
mod tracked_stream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::{ConfigBuilder, WantsVerifier, crypto};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use client_authentication::Clients;

pub use client_authentication::ClientAuthentication;
pub use counts::{CutReason, TlsServerCounts};
pub use exchange::ArrivedAt;

/// The limits of connections. The defaults suit a webhook that an API server calls.
#[derive(Clone, Debug)]
pub struct TlsServerSettings {
    /// How long a TLS handshake may take. 10 s: as long as the API server gives it.
    pub handshake_limit: Duration,
    /// How long the head of a request may take, from its first byte on. 5 s.
    pub header_limit: Duration,
    /// How long a request may take from the first byte of its head to the last byte of the answer taken. 31 s: a
    /// little more than an API server waits for a webhook at the longest.
    pub request_limit: Duration,
    /// How long a connection may stay open without a request, also before the first one: clients keep connections that
    /// they opened and did not need. 2 min: longer than the 90 s of the API server, so that the client closes first and
    /// never sends into a connection that is just being closed.
    pub idle_limit: Duration,
    /// How many connections are open at the same time. When another one comes, the one that has been idle or stalled
    /// for the longest time is closed; where each has a request under way, more wait in the system's queue. 1024: each
    /// request in flight has its own connection, an API server has by default at most 600 in flight, and those that wait
    /// for a service that hangs must leave slots for the rest.
    pub max_connections: usize,
    /// How many of them may come from one address. 768: all calls of an API server come from one, and behind a proxy
    /// those of several.
    pub max_connections_per_source: usize,
    /// How long a connection may be idle or stalled before it is closed for any other; until then, only for one from its
    /// own source or from a source that has fewer such connections. 1 s: enough for a handshake and a head.
    pub grace: Duration,
    /// The maximum age of a connection, give or take a tenth: then an answer asks its client for a new one. 5 min.
    pub max_connection_age: Duration,
    /// How long an idle connection stays open in the drain, for a request that may be in flight. 2 s.
    pub linger: Duration,
    /// How long connections may take to end once the drain has begun. 32 s: enough for every request.
    pub drain_limit: Duration,
    /// The pause after the system refused to accept, mostly because of too few file descriptors. 250 ms.
    pub accept_error_pause: Duration,
    /// Which clients to serve; all if `None`.
    pub client_authentication: Option<ClientAuthentication>,
}

impl Default for TlsServerSettings {
    fn default() -> Self {
        Self {
            handshake_limit: Duration::from_secs(10),
            header_limit: Duration::from_secs(5),
            request_limit: Duration::from_secs(31),
            idle_limit: Duration::from_mins(2),
            max_connections: 1024,
            max_connections_per_source: 768,
            grace: Duration::from_secs(1),
            max_connection_age: Duration::from_mins(5),
            linger: Duration::from_secs(2),
            drain_limit: Duration::from_secs(32),
            accept_error_pause: Duration::from_millis(250),
            client_authentication: None,
        }
    }
}

impl TlsServerSettings {
    /// With as few connections as it takes to leave `others` of so many open files to the rest of the process.
    #[must_use]
    pub fn within(mut self, open_files: u64, others: usize) -> Self {
        let files = usize::try_from(open_files).unwrap_or(usize::MAX);
        // Where there are too few for both, the rest of the process gets half.
        let most = files.saturating_sub(others).max(files / 2);
        if most < self.max_connections {
            self.max_connections_per_source = (most * 3 / 4).max(1);
            self.max_connections = most;
        }
        self
    }
}

/// Why the server cannot start.
#[derive(Debug, Error)]
pub enum TlsServerError {
    /// The address cannot be bound.
    #[error("cannot listen on {address} for HTTPS: {source}. Choose another address or a free port")]
    Bind {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The authorities of clients cannot be read.
    #[error("cannot read {} for the authorities of clients: {source}. Mount the bundle there or name another file", path.display())]
    ReadBundle {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not a bundle of certificates.
    #[error("{} holds no authorities of clients: {problem}. It has to hold PEM certificates", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// The problem of its content.
        problem: String,
    },
    /// The TLS library refuses its own defaults: a fault of the build.
    #[error("cannot set TLS up: {0}. Build with the ring provider and TLS 1.2 and 1.3")]
    Tls(#[from] rustls::Error),
}

/// An HTTPS server, bound but not serving yet.
#[derive(Debug)]
pub struct TlsServer {
    listener: TcpListener,
    address: SocketAddr,
    settings: TlsServerSettings,
    versions: ConfigBuilder<ServerConfig, WantsVerifier>,
    clients: Option<Clients>,
    counts: TlsServerCounts,
}

impl TlsServer {
    /// Binds `address`; with port 0 the system chooses a free one. From now on the system queues connections, so bind
    /// when serving is near.
    ///
    /// # Errors
    /// When the address cannot be bound, or the bundle of the client authentication cannot be read or used.
    pub async fn bind(address: SocketAddr, settings: TlsServerSettings) -> Result<Self, TlsServerError> {
        let versions = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let clients = match settings.client_authentication.clone() {
            Some(authentication) => Some(Clients::read(authentication).await?),
            None => None,
        };
        let failed = |source| TlsServerError::Bind { address, source };
        let listener = crate::listen::listen(address, accept::KEPT).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, settings, versions, clients, counts: TlsServerCounts::default() })
    }

    /// The address it listens on: with the real port, also when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counts of this server, to be registered.
    #[must_use]
    pub fn counts(&self) -> TlsServerCounts {
        self.counts.clone()
    }

    /// Serves `router` over HTTP/1.1 until `drain` is cancelled, and then until the work in flight has ended, for at
    /// most the drain limit. `certificates` is consulted at each handshake; a client for which it has no certificate is
    /// refused. Requests carry the extensions [`ArrivedAt`] and `ConnectInfo<SocketAddr>`.
    ///
    /// Cancel `leaving` when the process becomes unready: from then on each answer carries `Connection: close`, so that
    /// clients open their next connections to other replicas. New connections are still served.
    ///
    /// Cancel `drain` only when no new client is sent here any more: wait until the unreadiness has spread. Then
    /// connections in the system's queue are still accepted, and the listener closes. Each request that was sent before
    /// its sender could know is answered. A connection without a request closes after the linger time. A request that
    /// arrives at that very moment is lost, because HTTP/1.1 cannot announce the end of an idle connection; so the more
    /// time lies between the two, the fewer connections are left that a client may still use.
    ///
    /// Dropping the future ends all connections at once.
    pub async fn serve(
        self,
        router: Router,
        certificates: Arc<dyn ResolvesServerCert>,
        leaving: CancellationToken,
        drain: CancellationToken,
    ) {
        let versions = self.versions.clone();
        let configure = move |clients: Option<&Clients>| {
            let builder = match clients {
                Some(clients) => versions.clone().with_client_cert_verifier(clients.verifier()),
                None => versions.clone().with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(Arc::clone(&certificates));
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            // A resumed session would use neither a new certificate nor a new bundle of authorities.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            Arc::new(config)
        };
        accept::serve(self, router, configure, leaving, drain).await;
    }
}

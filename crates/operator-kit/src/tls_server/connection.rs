//! One connection from its handshake to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::TlsServerSettings;
use super::counts::{TlsServerCounts, Why};
use super::exchange::Exchange;
use super::ledger::{Ledger, Limits, Protocol, Standing};
use super::watched::Watched;
use crate::backoff::{entropy, fraction};

/// The largest head of a request: far more than an API server or Prometheus sends.
const MAX_HEAD: u32 = 32 << 10;

/// What all connections have in common.
pub(super) struct Host {
    router: Router,
    limits: Limits,
    handshake_limit: Duration,
    max_age: Duration,
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
    drain: CancellationToken,
    counts: TlsServerCounts,
}

impl Host {
    pub(super) fn new(
        settings: &TlsServerSettings,
        router: Router,
        drain: CancellationToken,
        counts: TlsServerCounts,
    ) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        // The ledger measures heads, from their first byte on; hyper's own limit would count idle time as well.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.max_concurrent_streams)
            .max_header_list_size(MAX_HEAD)
            .keep_alive_interval(settings.ping_interval)
            .keep_alive_timeout(settings.ping_limit);
        Self {
            router,
            limits: Limits {
                header: settings.header_limit,
                request: settings.request_limit,
                idle: settings.idle_limit,
                linger: settings.linger,
            },
            handshake_limit: settings.handshake_limit,
            max_age: settings.max_connection_age,
            http1: builder.clone().http1_only(),
            http2: builder.http2_only(),
            drain,
            counts,
        }
    }

    /// Serves one connection until it ends.
    pub(super) async fn serve(&self, tcp: TcpStream, peer: SocketAddr, tls: Arc<ServerConfig>) {
        // Without it, a small answer may wait for the peer's delayed acknowledgement.
        if let Err(error) = tcp.set_nodelay(true) {
            debug!(%peer, %error, "cannot switch the gathering of small packets off");
        }
        match timeout(self.handshake_limit, TlsAcceptor::from(tls).accept(tcp).into_fallible()).await {
            Ok(Ok(stream)) => self.converse(stream, peer).await,
            // Port scanners and plain HTTP, mostly: no reason to wake anybody.
            Ok(Err((error, tcp))) => {
                self.counts.end(Why::Refused);
                debug!(%peer, %error, "a TLS handshake failed");
                part(tcp, self.limits.linger).await;
            }
            Err(_) => {
                self.counts.end(Why::Handshake);
                debug!(%peer, "a TLS handshake took too long");
            }
        }
    }

    async fn converse(&self, stream: TlsStream<TcpStream>, peer: SocketAddr) {
        let (protocol, builder) = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => (Protocol::Http2, &self.http2),
            _ => (Protocol::Http1, &self.http1),
        };
        let ledger = Arc::new(Ledger::new(self.limits, protocol));
        let exchange = Exchange::new(self.router.clone(), Arc::clone(&ledger), peer, self.counts.clone());
        let (stream, rest) = Watched::new(stream, Arc::clone(&ledger));
        match self.watch(builder.serve_connection(TokioIo::new(stream), exchange), &ledger).await {
            Ok(ended) => {
                if let Err(error) = ended {
                    debug!(%peer, %error, "a connection failed");
                }
                if let Some(stream) = rest.take() {
                    part(stream.into_inner().0, self.limits.linger).await;
                }
            }
            Err(why) => {
                self.counts.end(why);
                debug!(%peer, ?why, "a connection was cut");
            }
        }
    }

    /// Drives a connection and holds it to its limits. `Err`: it was cut, and why.
    async fn watch<C: GracefulConnection>(&self, connection: C, ledger: &Ledger) -> Result<C::Output, Why> {
        let mut connection = pin!(connection);
        let mut alarm = pin!(sleep(Duration::ZERO));
        let mut ageing = pin!(sleep(self.age()));
        let mut draining = pin!(self.drain.cancelled());
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Ok(ended));
                }
                // A future is not polled again once it has ended: closing begins once.
                if !ledger.is_closing()
                    && (draining.as_mut().poll(cx).is_ready() || ageing.as_mut().poll(cx).is_ready())
                    && ledger.begin_closing()
                    && ledger.protocol() == Protocol::Http2
                {
                    // GOAWAY loses no request: what is on its way is served. HTTP/1 knows nothing of the kind, hyper
                    // would close an idle connection into the face of the next request. So there the next answer
                    // says `Connection: close`, and only who stays silent for a while is closed.
                    connection.as_mut().graceful_shutdown();
                    ledger.told();
                    continue;
                }
                match ledger.standing(Instant::now()) {
                    Standing::Cut(why) => return Poll::Ready(Err(why)),
                    Standing::Close => {
                        connection.as_mut().graceful_shutdown();
                        ledger.told();
                    }
                    Standing::Fine(until) => {
                        // Only an earlier deadline moves the alarm; after a later one it asks again when it rings.
                        if alarm.is_elapsed() || until < alarm.deadline() {
                            alarm.as_mut().reset(until);
                        }
                        if alarm.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                }
            }
        })
        .await
    }

    /// Between nine and eleven tenths of the age asked for, so that connections made together do not end together.
    fn age(&self) -> Duration {
        self.max_age.mul_f64(0.9).saturating_add(fraction(self.max_age / 5, entropy()))
    }
}

/// Lets the peer read what it was told at the end, for at most this long. A socket that is closed on bytes that nobody
/// has read resets the connection; then the peer's next write fails, and it or a proxy on the way gives up what it has
/// not read yet. That is answers, for an HTTP/2 client goes on sending until it has read the GOAWAY; and the reason of a
/// refusal, for in TLS 1.3 a client sends its request before it can know that its certificate is not wanted.
async fn part(mut tcp: TcpStream, limit: Duration) {
    let mut ignored = [0; 4096];
    let parting = async {
        tcp.shutdown().await?;
        while tcp.read(&mut ignored).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whatever becomes of it: it is over.
    drop(timeout(limit, parting).await);
}

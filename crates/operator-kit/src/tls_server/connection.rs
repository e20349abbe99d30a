//! One connection from its handshake to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::TlsServerSettings;
use super::connection_state::{ConnectionState, Limits, NextStep};
use super::counts::{CutReason, TlsServerCounts};
use super::exchange::Exchange;
use super::tracked_stream::TrackedStream;
use crate::backoff::{entropy, fraction};

/// The largest head of a request: far more than an API server or Prometheus sends.
const MAX_HEAD: usize = 32 << 10;

type Connection = http1::Connection<TokioIo<TrackedStream<Box<TlsStream<TcpStream>>>>, Exchange>;

/// The parts that all connections share.
pub(super) struct ConnectionHandler {
    router: Router,
    limits: Limits,
    handshake_limit: Duration,
    max_age: Duration,
    http: http1::Builder,
    leaving: CancellationToken,
    drain: CancellationToken,
    counts: TlsServerCounts,
}

impl ConnectionHandler {
    pub(super) fn new(
        settings: &TlsServerSettings,
        router: Router,
        leaving: CancellationToken,
        drain: CancellationToken,
        counts: TlsServerCounts,
    ) -> Self {
        let mut http = http1::Builder::new();
        // The connection state limits heads, from their first byte on; hyper's own limit would count idle time as well.
        http.header_read_timeout(None).max_buf_size(MAX_HEAD);
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
            http,
            leaving,
            drain,
            counts,
        }
    }

    /// The state of a connection that has just come.
    pub(super) fn state(&self) -> Arc<ConnectionState> {
        Arc::new(ConnectionState::new(self.limits))
    }

    /// Serves one connection until it ends.
    pub(super) async fn serve(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        tls: Arc<ServerConfig>,
        state: Arc<ConnectionState>,
    ) {
        // Each part is boxed, so that a connection that waits for a request holds no room for its handshake.
        if let Some(stream) = Box::pin(self.handshake(tcp, peer, tls)).await {
            Box::pin(self.serve_http(stream, peer, state)).await;
        }
    }

    async fn handshake(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        tls: Arc<ServerConfig>,
    ) -> Option<Box<TlsStream<TcpStream>>> {
        // Without TCP_NODELAY, a small answer may wait for the peer's delayed acknowledgement.
        if let Err(error) = tcp.set_nodelay(true) {
            debug!(%peer, %error, "cannot switch the gathering of small packets off");
        }
        match timeout(self.handshake_limit, TlsAcceptor::from(tls).accept(tcp).into_fallible()).await {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            // Mostly port scanners and plain HTTP: not worth a warning.
            Ok(Err((error, tcp))) => {
                self.counts.end(CutReason::Refused);
                debug!(%peer, %error, "a TLS handshake failed");
                Box::pin(await_close(tcp, self.limits.linger)).await;
            }
            Err(_) => {
                self.counts.end(CutReason::Handshake);
                debug!(%peer, "a TLS handshake took too long");
            }
        }
        None
    }

    async fn serve_http(&self, stream: Box<TlsStream<TcpStream>>, peer: SocketAddr, state: Arc<ConnectionState>) {
        state.established();
        let age = sleep(self.age());
        self.await_request(&stream, &state).await;
        let exchange = Exchange::new(self.router.clone(), Arc::clone(&state), peer);
        let (stream, handle) = TrackedStream::new(stream, Arc::clone(&state));
        let connection = Box::pin(self.http.serve_connection(TokioIo::new(stream), exchange));
        match self.drive(connection, &state, age).await {
            Ok(ended) => {
                if let Err(error) = ended {
                    debug!(%peer, %error, "a connection failed");
                }
                if let Some(stream) = handle.take() {
                    Box::pin(await_close(stream.into_inner().0, self.limits.linger)).await;
                }
            }
            Err(why) => {
                self.counts.end(why);
                debug!(%peer, ?why, "a connection was cut");
            }
        }
    }

    /// Waits until something has arrived or a limit is reached. HTTP has buffers of 16 KiB for each connection; until
    /// then one costs half of that in all.
    async fn await_request(&self, stream: &TlsStream<TcpStream>, state: &ConnectionState) {
        let ((tcp, tls), mut byte) = (stream.get_ref(), [0]);
        // Else a request has arrived together with the end of the handshake.
        while tls.wants_read() {
            let NextStep::Wait(until) = state.next_step(Instant::now()) else { return };
            tokio::select! {
                _ = tcp.peek(&mut byte) => return,
                () = self.drain.cancelled(), if !state.is_draining() => state.begin_draining(),
                () = sleep_until(until) => {}
            }
        }
    }

    /// Drives a connection and applies its limits. `Err`: it was cut, and why.
    async fn drive(
        &self,
        mut connection: Pin<Box<Connection>>,
        state: &ConnectionState,
        age: Sleep,
    ) -> Result<hyper::Result<()>, CutReason> {
        let mut alarm = pin!(sleep(Duration::ZERO));
        let mut ageing = pin!(age);
        let mut leaving = pin!(self.leaving.cancelled());
        let mut draining = pin!(self.drain.cancelled());
        poll_fn(|cx| {
            loop {
                // A future must not be polled after it has ended, so each of the two acts once. hyper's graceful
                // shutdown would close an idle connection at once, while the next request may be in flight. So an
                // answer carries `Connection: close`, and only in the drain a connection that receives no request is
                // closed after a while.
                if !state.is_closing() && (leaving.as_mut().poll(cx).is_ready() || ageing.as_mut().poll(cx).is_ready())
                {
                    state.begin_closing();
                }
                if !state.is_draining() && draining.as_mut().poll(cx).is_ready() {
                    state.begin_draining();
                }
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Ok(ended));
                }
                match state.next_step(Instant::now()) {
                    NextStep::Cut(why) => return Poll::Ready(Err(why)),
                    NextStep::Close => {
                        connection.as_mut().graceful_shutdown();
                        state.begin_shutdown();
                    }
                    NextStep::Wait(until) => {
                        // Only an earlier deadline resets the timer; a later one is read when the timer fires.
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

    /// Between nine and eleven tenths of the configured age, so that connections opened together do not end together.
    fn age(&self) -> Duration {
        self.max_age.mul_f64(0.9).saturating_add(fraction(self.max_age / 5, entropy()))
    }
}

/// Lets the peer read the last answer, for at most this long. A socket that is closed with unread bytes resets the
/// connection; then the peer's next write fails, and the peer or a proxy on the way discards what it has not read yet.
/// That would lose an answer, if the client sent more before it read `Connection: close`. It would also lose the reason
/// of a refusal, for in TLS 1.3 a client sends its request before it can know that its certificate is refused.
async fn await_close(mut tcp: TcpStream, limit: Duration) {
    let mut ignored = [0; 4096];
    let reading = async {
        tcp.shutdown().await?;
        while tcp.read(&mut ignored).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // The result does not matter: the connection ends here.
    drop(timeout(limit, reading).await);
}

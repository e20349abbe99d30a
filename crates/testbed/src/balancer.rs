//! A plain TCP balancer that follows only the readiness of its backends, as a Service with its endpoints does.
//!
//! New connections go in turn to the backends whose `/readyz` answered 200 at the last probe; established connections
//! stay open when their backend becomes unready. It runs on a runtime of its own, so that the tests' runtime is not its
//! bottleneck.
#![allow(clippy::expect_used, clippy::missing_panics_doc, clippy::must_use_candidate, reason = "for tests")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// The time between two probes of a backend's readiness.
const PERIOD: Duration = Duration::from_millis(50);
/// How long one probe waits for the answer: the default of a readiness probe.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so many probes in a row without an answer, a backend counts as not ready: this, too, is the default of a
/// readiness probe. With fewer, a busy machine would leave clients without any backend.
const SILENT: u32 = 3;

/// A backend: where connections can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where its connections go.
    pub address: SocketAddr,
    /// The plain HTTP URL that answers 200 while it is ready, e.g. `http://127.0.0.1:8080/readyz`.
    pub readyz: String,
}

/// A running balancer. Dropping it cuts all its connections.
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Shared {
    backends: Mutex<Vec<Watched>>,
    turn: AtomicUsize,
    /// How many connections were accepted.
    accepted: AtomicUsize,
    /// How many connections found no ready backend, or were refused by theirs.
    turned_away: AtomicUsize,
    /// Whether the client's connection is closed when a backend refuses it, instead of going to the next backend.
    strict: AtomicBool,
}

/// A backend under observation, until it is dropped.
struct Watched {
    backend: Backend,
    /// Whether it was ready at the last probe.
    ready: Arc<AtomicBool>,
    watching: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Balancer {
    /// Starts one on a free port of 127.0.0.1. No backend counts as ready before its first probe.
    pub async fn start(backends: Vec<Backend>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("balancer")
            .enable_all()
            .build()
            .expect("threads for the balancer");
        let listening = runtime.spawn(async { TcpListener::bind(("127.0.0.1", 0)).await });
        let listener = listening.await.expect("no panic while binding").expect("a free port");
        let balancer = Self {
            address: listener.local_addr().expect("a bound socket has an address"),
            shared: Arc::default(),
            runtime: Some(runtime),
        };
        balancer.set_backends(backends);
        balancer.runtime().spawn(accept(listener, Arc::clone(&balancer.shared)));
        balancer
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the backends. A backend that was there before keeps its readiness; connections to a removed backend stay
    /// open.
    pub fn set_backends(&self, backends: Vec<Backend>) {
        let mut known = self.shared.backends();
        let mut before = std::mem::take(&mut *known);
        for backend in backends {
            let kept = before.iter().position(|watched| watched.backend == backend);
            known.push(kept.map_or_else(|| self.observe(backend), |kept| before.swap_remove(kept)));
        }
    }

    /// The addresses of the backends that were ready at the last probe.
    pub fn ready(&self) -> Vec<SocketAddr> {
        self.shared.ready()
    }

    /// From now on the balancer closes a connection that its backend refuses, instead of trying the next backend: a
    /// Service tries only one backend, too.
    pub fn be_strict(&self) {
        self.shared.strict.store(true, Ordering::SeqCst);
    }

    /// How many connections clients have opened so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections have found no ready backend, or were refused by theirs, and were closed for it.
    pub fn turned_away(&self) -> usize {
        self.shared.turned_away.load(Ordering::SeqCst)
    }

    fn observe(&self, backend: Backend) -> Watched {
        let ready = Arc::new(AtomicBool::new(false));
        let watching = self.runtime().spawn(watch(backend.readyz.clone(), Arc::clone(&ready))).abort_handle();
        Watched { backend, ready, watching }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken at the end only")
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn backends(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> Vec<SocketAddr> {
        let backends = self.backends();
        let ready = backends.iter().filter(|watched| watched.ready.load(Ordering::SeqCst));
        ready.map(|watched| watched.backend.address).collect()
    }
}

/// Probes one backend again and again.
async fn watch(readyz: String, ready: Arc<AtomicBool>) {
    let mut silent = 0;
    loop {
        if let Ok(answer) = timeout(PATIENCE, is_ready(&readyz)).await {
            silent = 0;
            ready.store(answer, Ordering::SeqCst);
        } else {
            silent += 1;
            if silent >= SILENT {
                ready.store(false, Ordering::SeqCst);
            }
        }
        sleep(PERIOD).await;
    }
}

/// One probe, over a connection of its own and without a client library: it must be cheap.
async fn is_ready(url: &str) -> bool {
    let rest = url.strip_prefix("http://").expect("a plain HTTP URL");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    let Ok(mut stream) = TcpStream::connect(authority).await else { return false };
    let mut answer = Vec::new();
    if stream.write_all(request.as_bytes()).await.is_err() || stream.read_to_end(&mut answer).await.is_err() {
        return false;
    }
    answer.starts_with(b"HTTP/1.1 200")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(forward(client, Arc::clone(&shared)));
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Connects a client to the next ready backend that accepts the connection. Without one, the client's connection is
/// closed.
async fn forward(mut client: TcpStream, shared: Arc<Shared>) {
    let ready = shared.ready();
    let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
    let guesses = if shared.strict.load(Ordering::SeqCst) { ready.len().min(1) } else { ready.len() };
    for number in 0..guesses {
        let Ok(mut backend) = TcpStream::connect(ready[(turn + number) % ready.len()]).await else { continue };
        for stream in [&client, &backend] {
            // Without it, small answers may wait for a delayed acknowledgement.
            let _ = stream.set_nodelay(true);
        }
        // The end of one direction is passed on, and the other direction stays open.
        let _ = copy_bidirectional(&mut client, &mut backend).await;
        return;
    }
    shared.turned_away.fetch_add(1, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;
    use crate::eventually::eventually;

    const GENEROUS: Duration = Duration::from_secs(10);

    /// A backend that reads a connection to its end and answers with its own name.
    struct Named {
        backend: Backend,
        ready: Arc<AtomicBool>,
        accepted: Arc<AtomicUsize>,
        serving: AbortHandle,
    }

    async fn named(name: &'static str) -> Named {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&accepted);
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut heard = String::new();
                    stream.read_to_string(&mut heard).await.unwrap();
                    stream.write_all(format!("{name} heard {heard}").as_bytes()).await.unwrap();
                });
            }
        });
        let ready = Arc::new(AtomicBool::new(true));
        let answered = Arc::clone(&ready);
        let readyz = move || {
            let ready = answered.load(Ordering::SeqCst);
            async move { if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } }
        };
        let probes = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let readyz_url = format!("http://{}/readyz", probes.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(probes, Router::new().route("/readyz", get(readyz))).await });
        Named { backend: Backend { address, readyz: readyz_url }, ready, accepted, serving: serving.abort_handle() }
    }

    async fn finish(mut stream: TcpStream) -> String {
        stream.write_all(b"it").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        // A connection that was closed unread may end in an error.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn ask(balancer: &Balancer) -> String {
        finish(TcpStream::connect(balancer.address()).await.unwrap()).await
    }

    async fn ready_are(balancer: &Balancer, expected: &[&Named]) {
        let expected: Vec<SocketAddr> = expected.iter().map(|named| named.backend.address).collect();
        let ask = async || if balancer.ready() == expected { Ok(()) } else { Err(format!("{:?}", balancer.ready())) };
        eventually("the ready backends", GENEROUS, ask).await;
    }

    #[tokio::test]
    async fn the_balancer_follows_readiness_and_leaves_established_connections_alone() {
        let (one, two) = (named("one").await, named("two").await);
        let balancer = Balancer::start(vec![one.backend.clone(), two.backend.clone()]).await;
        ready_are(&balancer, &[&one, &two]).await;
        let mut heard = [ask(&balancer).await, ask(&balancer).await];
        heard.sort();
        assert_eq!(heard, ["one heard it", "two heard it"], "in turn, each half closed by the client first");

        let mut established =
            [TcpStream::connect(balancer.address()).await, TcpStream::connect(balancer.address()).await];
        for stream in &mut established {
            stream.as_mut().unwrap().write_all(b"before, ").await.unwrap();
        }
        let joined = async || match [&one, &two].map(|named| named.accepted.load(Ordering::SeqCst)) {
            [2, 2] => Ok(()),
            accepted => Err(format!("{accepted:?}")),
        };
        eventually("both to be joined to their backends", GENEROUS, joined).await;
        one.ready.store(false, Ordering::SeqCst);
        ready_are(&balancer, &[&two]).await;
        for _ in 0..4 {
            assert_eq!(ask(&balancer).await, "two heard it");
        }
        let [first, second] = established;
        let mut heard = [finish(first.unwrap()).await, finish(second.unwrap()).await];
        heard.sort();
        assert_eq!(heard, ["one heard before, it", "two heard before, it"]);

        two.ready.store(false, Ordering::SeqCst);
        ready_are(&balancer, &[]).await;
        assert_eq!(ask(&balancer).await, "", "closed, since none is ready");
    }

    #[tokio::test]
    async fn the_balancer_skips_a_backend_that_refuses_and_forgets_one_that_is_removed() {
        let (gone, there) = (named("gone").await, named("there").await);
        let balancer = Balancer::start(vec![gone.backend.clone(), there.backend.clone()]).await;
        ready_are(&balancer, &[&gone, &there]).await;
        gone.serving.abort();
        let refused =
            async || TcpStream::connect(gone.backend.address).await.map_or(Ok(()), |_| Err("open".to_owned()));
        eventually("the listener to be gone", GENEROUS, refused).await;
        for _ in 0..4 {
            assert_eq!(ask(&balancer).await, "there heard it");
        }
        balancer.be_strict();
        let mut heard = [ask(&balancer).await, ask(&balancer).await];
        heard.sort();
        assert_eq!(heard, ["", "there heard it"], "one guess each, in turn");
        balancer.set_backends(vec![there.backend.clone()]);
        assert_eq!(balancer.ready(), [there.backend.address], "known already, so ready at once");
        let address = balancer.address();
        drop(balancer);
        let refused = async || TcpStream::connect(address).await.map_or(Ok(()), |_| Err("open".to_owned()));
        eventually("the balancer to be gone", GENEROUS, refused).await;
    }
}

//! The stand-in broker: a small in-memory implementation of the Pact Broker's HTTP API, as observed on 2.120.0, for
//! the resources that the operator and the official `pact` command line use.
//!
//! It answers as the real broker does, including its errors and traps. Where the real broker was not observed, it
//! answers 404. It runs on a runtime of its own, so that it can be stopped with every connection cut and come back on
//! the same port with its state kept, and so that the tests' runtime is not its bottleneck.
#![allow(dead_code, reason = "each of the programs that include this module uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test double that cannot go on should say so loudly"
)]
#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "for tests"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::serve::ListenerExt;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

mod answer;
mod clock;
mod contracts;
mod deployments;
mod environments;
mod faults;
mod hal;
mod index;
mod log;
mod matrix;
mod releases;
mod routes;
mod server;
mod store;
mod verdict;
mod versions;
mod webhooks;

pub use faults::{EACH, Effect, Fault, Faults, THREADS};
pub use hal::encoded;
pub use log::{LoggedRequest, Write, WriteKind};
pub use store::{Row, Store};

use server::Shared;

/// The version that the stand-in claims to be: the one whose behaviour was observed.
pub const VERSION: &str = "2.120.0";

/// The credentials that a stand-in asks for.
#[derive(Clone)]
pub enum Auth {
    /// A broker's own basic authentication.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        pass: String,
    },
    /// Basic authentication with a user that may only read: writes are answered 401.
    ReadOnly {
        /// The user's name.
        user: String,
        /// The password.
        pass: String,
    },
    /// A bearer token, as `PactFlow` has it.
    Bearer(String),
}

/// How a stand-in is to run.
#[derive(Clone, Default)]
pub struct Options {
    /// The port; a free one by default.
    pub port: Option<u16>,
    /// The address to listen on; 127.0.0.1 by default.
    pub bind: Option<IpAddr>,
    /// Serve below this path, e.g. `/broker`, as behind an ingress.
    pub path_prefix: Option<String>,
    /// The credentials to ask for; none by default.
    pub auth: Option<Auth>,
    /// The base of the links in bodies, e.g. a public address that clients must not follow; by default what the
    /// caller dialled.
    pub base_url_in_links: Option<String>,
    /// Begin with the environments `test` and `production`, as a broker with example data does.
    pub seed_example_environments: bool,
}

/// A running stand-in broker. Dropping it stops it.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Mutex<Running>,
}

enum Running {
    /// Serving on these threads.
    Yes(Runtime),
    /// Stopped: the port is bound, so that no other process gets it, but the stand-in does not listen on it.
    No(TcpSocket),
    /// Between the two.
    Changing,
}

impl StandIn {
    /// Starts one on a free port of the loopback interface, without environments or credentials.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts one.
    pub async fn start_with(options: Options) -> Self {
        let prefix = options.path_prefix.as_deref().unwrap_or_default().trim_matches('/').to_owned();
        let shared = Shared {
            store: Store::default(),
            faults: Faults::default(),
            requests: log::RequestLog::default(),
            auth: Mutex::new(options.auth),
            path_prefix: if prefix.is_empty() { prefix } else { format!("/{prefix}") },
            base_url: Mutex::new(options.base_url_in_links),
        };
        if options.seed_example_environments {
            shared.store.add_environment("test", false);
            shared.store.add_environment("production", true);
        }
        let bind = options.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let socket = bound(SocketAddr::new(bind, options.port.unwrap_or(0)));
        let stand_in = Self {
            address: socket.local_addr().expect("a bound socket has an address"),
            shared: Arc::new(shared),
            running: Mutex::new(Running::No(socket)),
        };
        stand_in.restart().await;
        stand_in
    }

    /// Where clients reach it, path prefix included, without a slash at the end. Where it listens on every
    /// interface, the loopback address is named.
    pub fn url(&self) -> String {
        let ip = self.address.ip();
        let ip = if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip };
        format!("http://{}{}", SocketAddr::new(ip, self.address.port()), self.shared.path_prefix)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// An outage: open connections are cut, new ones refused. What it knows is kept.
    pub async fn stop(&self) {
        let runtime = match self.change(Running::Changing) {
            Running::Yes(runtime) => runtime,
            other => {
                self.change(other);
                return;
            }
        };
        let stopping = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        stopping.await.expect("the stand-in's runtime ends");
        self.change(Running::No(bound(self.address)));
    }

    /// The end of an outage: it listens on the same port again. Does nothing while it runs.
    pub async fn restart(&self) {
        let socket = match self.change(Running::Changing) {
            Running::No(socket) => socket,
            other => {
                self.change(other);
                return;
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("stand-in-broker")
            .enable_all()
            .build()
            .expect("threads for the stand-in");
        let shared = Arc::clone(&self.shared);
        let app = Router::new().fallback(move |request: Request| server::serve(Arc::clone(&shared), request));
        let listening = runtime.spawn(async move { socket.listen(4096) });
        let listener = listening.await.expect("no panic while binding").expect("the stand-in's port");
        let listener = listener.tap_io(|connection| {
            // Without it, small answers may wait for the client's delayed acknowledgement.
            let _ = connection.set_nodelay(true);
        });
        runtime.spawn(async move { axum::serve(listener, app).await });
        self.change(Running::Yes(runtime));
    }

    fn change(&self, to: Running) -> Running {
        std::mem::replace(&mut self.running.lock().unwrap(), to)
    }

    /// The credentials asked for from now on (the rotation of a secret); with `None` no credentials are needed.
    pub fn set_auth(&self, auth: Option<Auth>) {
        *self.shared.auth.lock().unwrap() = auth;
    }

    /// The base of the links in bodies from now on.
    pub fn set_base_url_in_links(&self, base: Option<String>) {
        *self.shared.base_url.lock().unwrap() = base;
    }

    /// The state, to seed and read.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// What can go wrong between a client and this broker.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// All requests, oldest first; at most the last 200,000 requests.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.requests.all()
    }

    /// How many of the kept requests satisfy `matches`.
    pub fn count_requests(&self, matches: impl Fn(&LoggedRequest) -> bool) -> usize {
        self.shared.requests.count(matches)
    }

    /// Forgets what was asked so far.
    pub fn clear_requests(&self) {
        self.shared.requests.clear();
    }

    /// The changes that clients made over HTTP, oldest first.
    pub fn writes(&self) -> Vec<Write> {
        self.shared.store.state().writes.clone()
    }

    /// Forgets the changes made so far; the rows stay.
    pub fn clear_writes(&self) {
        self.shared.store.state().writes.clear();
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Running::Yes(runtime) = self.change(Running::Changing) {
            runtime.shutdown_background();
        }
    }
}

/// Binds an address without listening on it. The port of a socket that was just closed may take a moment.
fn bound(address: SocketAddr) -> TcpSocket {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
        socket.set_reuseaddr(true).expect("an option of every socket");
        match socket.bind(address) {
            Ok(()) => return socket,
            Err(error) if Instant::now() > deadline => panic!("the stand-in cannot have {address}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

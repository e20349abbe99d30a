//! What a neighbour in the cluster may do to the gate's ports without a right to anything.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use testbed::eventually::eventually;
use testbed::test_cluster::SOON;

/// How long a body is said to be, and how much of it comes.
const ANNOUNCED: usize = 7 << 20;
const SENT: usize = 69 * (1 << 20) / 10;
/// How many requests are sent by a peer that reads no answer: more than the system takes answers for it.
const UNREAD: usize = 5_000;
/// How many handshakes a neighbour does at once: more would only make the machine slow.
const HANDSHAKES: usize = 8;

/// A neighbour's connections. Dropping it ends them.
pub struct Attack {
    target: Target,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Target {
    gate: SocketAddr,
    probes: SocketAddr,
    roots: Arc<RootCertStore>,
    sources: usize,
    handshakes: Arc<Semaphore>,
    /// How many connections were opened, or refused.
    opened: Arc<AtomicUsize>,
}

impl Attack {
    /// From this many addresses. The first one is also the API server's, as behind a proxy.
    pub fn new(gate: SocketAddr, probes: SocketAddr, roots: RootCertStore, sources: usize) -> Self {
        let (roots, handshakes) = (Arc::new(roots), Arc::new(Semaphore::new(HANDSHAKES)));
        let target = Target { gate, probes, roots, sources, handshakes, opened: Arc::default() };
        Self { target, tasks: JoinSet::new() }
    }

    /// Opens TLS connections that send nothing, and returns when all have been open.
    pub async fn idle(&mut self, count: usize) {
        let before = self.target.opened.load(Ordering::SeqCst);
        self.spawn(count, Target::idle);
        self.opened(before + count).await;
    }

    /// Opens connections to the port of the probes that send nothing.
    pub async fn idle_probes(&mut self, count: usize) {
        let before = self.target.opened.load(Ordering::SeqCst);
        self.spawn(count, Target::idle_probe);
        self.opened(before + count).await;
    }

    /// Sends long bodies that stall before their end; each begins again as soon as it is cut off.
    pub fn stalled_bodies(&mut self, count: usize) {
        self.spawn(count, Target::stalled_bodies);
    }

    /// Sends requests and reads no answer.
    pub fn deaf(&mut self, count: usize) {
        self.spawn(count, Target::deaf);
    }

    /// Whether one connection could carry many requests at once.
    pub async fn is_served_http2(&self) -> bool {
        self.target.tls(0, b"h2", None).await.is_ok()
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&mut self, count: usize, one: fn(Target, usize) -> F) {
        for number in 0..count {
            self.tasks.spawn(one(self.target.clone(), number));
        }
    }

    async fn opened(&self, count: usize) {
        eventually(format!("{count} connections to be open"), SOON, async || {
            let opened = self.target.opened.load(Ordering::SeqCst);
            if opened >= count { Ok(()) } else { Err(format!("{opened}")) }
        })
        .await;
    }
}

impl Target {
    /// Connects from one of the sources.
    async fn tcp(&self, number: usize, to: SocketAddr, buffer: Option<u32>) -> io::Result<TcpStream> {
        let last = u8::try_from(1 + number % self.sources).expect("fewer than 255 sources");
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0).into())?;
        socket.connect(to).await
    }

    async fn tls(&self, number: usize, protocol: &[u8], buffer: Option<u32>) -> io::Result<TlsStream<TcpStream>> {
        let _one = self.handshakes.acquire().await.expect("it is never closed");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("its own defaults")
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = self.tcp(number, self.gate, buffer).await?;
        let name = ServerName::from(self.gate.ip());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn idle(self, number: usize) {
        let stream = self.tls(number, b"http/1.1", None).await;
        self.opened.fetch_add(1, Ordering::SeqCst);
        if let Ok(mut stream) = stream {
            // Until the gate closes it.
            drop(stream.read(&mut [0]).await);
        }
    }

    async fn idle_probe(self, number: usize) {
        let stream = self.tcp(number, self.probes, None).await;
        self.opened.fetch_add(1, Ordering::SeqCst);
        if let Ok(mut stream) = stream {
            drop(stream.read(&mut [0]).await);
        }
    }

    async fn stalled_bodies(self, number: usize) {
        loop {
            drop(self.stalled_body(number).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn stalled_body(&self, number: usize) -> io::Result<()> {
        let mut stream = self.tls(number, b"http/1.1", None).await?;
        let head = "POST /gate?timeout=30s HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\n";
        stream.write_all(format!("{head}content-length: {ANNOUNCED}\r\n\r\n").as_bytes()).await?;
        let piece = vec![b' '; 16 << 10];
        for _ in 0..SENT / piece.len() {
            stream.write_all(&piece).await?;
        }
        stream.flush().await?;
        // Until the gate has cut it off.
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }

    async fn deaf(self, number: usize) {
        let Ok(mut stream) = self.tls(number, b"http/1.1", Some(4 << 10)).await else { return };
        for _ in 0..UNREAD {
            if stream.write_all(b"GET /gate HTTP/1.1\r\nhost: gate\r\n\r\n").await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

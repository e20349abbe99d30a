//! The server over real connections.

mod clients;
mod displaced;
mod drain;
mod limits;
mod protocols;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path};
use axum::routing::{get, post};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// Far longer than any step of these tests takes.
const GENEROUS: Duration = Duration::from_secs(20);
const BIG: usize = 32 << 20;
/// The offer of a client that prefers HTTP/2, as those of Go and Rust do.
const BOTH: &[&str] = &["h2", "http/1.1"];

/// Signs certificates.
struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    fn issue(&self, common_name: &str, dns: &str) -> Identity {
        let mut params = CertificateParams::new([dns.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Identity { certificate, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }

    fn server(&self) -> Arc<CertifiedKey> {
        let Identity { certificate, key } = self.issue("server", "localhost");
        let provider = crypto::ring::default_provider();
        Arc::new(CertifiedKey::from_der(vec![certificate], key, &provider).unwrap())
    }

    /// The settings of a client that trusts this authority.
    fn client(&self, alpn: &[&str], identity: Option<Identity>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(Identity { certificate, key }) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// A resolver whose certificate can be replaced.
#[derive(Debug)]
struct Replaceable(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Replaceable {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap()))
    }
}

struct Served {
    address: SocketAddr,
    authority: Authority,
    certificates: Arc<Replaceable>,
    leaving: CancellationToken,
    drain: CancellationToken,
    counts: TlsServerCounts,
    /// How many requests reached the router.
    handled: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

/// Limits that no test reaches by accident.
fn generous() -> TlsServerSettings {
    TlsServerSettings {
        handshake_limit: GENEROUS,
        header_limit: GENEROUS,
        request_limit: GENEROUS,
        idle_limit: GENEROUS,
        linger: Duration::from_millis(300),
        ..TlsServerSettings::default()
    }
}

async fn serve(settings: TlsServerSettings) -> Served {
    let authority = Authority::new("authority of the server");
    let certificates = Arc::new(Replaceable(Mutex::new(authority.server())));
    let server = TlsServer::bind(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let (address, counts, handled) = (server.address(), server.counts(), Arc::<AtomicU64>::default());
    let (leaving, drain) = (CancellationToken::new(), CancellationToken::new());
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Replaceable>::clone(&certificates);
    let server = tokio::spawn(server.serve(router(&handled), resolver, leaving.clone(), drain.clone()));
    Served { address, authority, certificates, leaving, drain, counts, handled, server }
}

fn router(handled: &Arc<AtomicU64>) -> Router {
    let handled = Arc::clone(handled);
    let count = axum::middleware::from_fn(move |request: axum::extract::Request, next: axum::middleware::Next| {
        handled.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    });
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
    let took = |Extension(ArrivedAt(at)): Extension<ArrivedAt>, _body: Bytes| async move {
        at.elapsed().as_millis().to_string()
    };
    let sleep = |Path(millis): Path<u64>| async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        "slept"
    };
    Router::new()
        .route("/", get(async || "ok"))
        .route("/peer", get(peer))
        .route("/took", post(took))
        .route("/big", get(async || vec![b'.'; BIG]))
        .route("/sleep/{millis}", get(sleep).post(sleep))
        .layer(count)
}

impl Served {
    /// A connection after its handshake.
    async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_as(self.authority.client(&["http/1.1"], None)).await.unwrap()
    }

    async fn connect_as(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        self.connect_from(1, config).await
    }

    /// The same from 127.0.0.`last`.
    async fn connect_from(&self, last: u8, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, last], 0).into())?;
        let stream = socket.connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// A client that does not retry, pools its connections and would prefer HTTP/2.
    fn client(&self) -> reqwest::Client {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.authority.client(BOTH, None))
            .resolve("localhost", self.address)
            .no_proxy()
            .retry(reqwest::retry::never())
            .timeout(GENEROUS)
            .build()
            .unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    async fn ended(self) {
        tokio::time::timeout(GENEROUS, self.server).await.expect("it ends").unwrap();
    }
}

/// Waits for `what`, with a limit, so that a failing test does not hang.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(GENEROUS, what).await.expect("the server does it in a while")
}

/// Sends a GET over HTTP/1.1 and reads its answer: the head, and the body.
async fn ask(stream: &mut TlsStream<TcpStream>, path: &str) -> io::Result<(String, String)> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
    answer(stream).await
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> io::Result<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return Ok((head.clone(), body.to_owned()));
            }
        }
        if soon(stream.read_buf(&mut bytes)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Waits until the server has ended this connection, and returns what it sent before.
async fn end(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    // An error also is an end: of a connection that was cut.
    let _ = soon(stream.read_to_end(&mut rest)).await;
    rest
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(GENEROUS, waiting).await.is_ok(), "waited in vain for {what}");
}

//! The floor of every webhook: one that reads the body and answers yes. A process of its own, with the TLS server and
//! the threads of the real one.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::post;
use operator_kit::tls_server::{TlsServer, TlsServerSettings};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_util::sync::CancellationToken;

use testbed::certificates::authority;
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::process::{Process, free_port};

/// The argument that makes the bench's own program this webhook.
pub const ARGUMENT: &str = "always-yes";

/// A running webhook that always says yes. Dropping it kills it.
pub struct AlwaysYes {
    /// Where it is called.
    pub url: String,
    /// Its certificate authority, as PEM.
    pub authority: String,
    process: Process,
}

impl AlwaysYes {
    /// Starts one and waits until it listens.
    pub async fn start(control_plane: &ControlPlane) -> Self {
        let (authority, issuer) = authority("always yes");
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let folder = control_plane.folder();
        let (certificate_file, key_file) = (folder.join("always-yes.crt"), folder.join("always-yes.key"));
        std::fs::write(&certificate_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(ARGUMENT).arg(&address).arg(certificate_file).arg(key_file);
        let process = Process::start(ARGUMENT, folder, &command);
        eventually("the webhook that always says yes to listen", Duration::from_mins(1), async || {
            tokio::net::TcpStream::connect(&address).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Self { url: format!("https://{address}/gate"), authority, process }
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }
}

/// The process that [`AlwaysYes::start`] starts.
pub async fn serve(arguments: &[String]) {
    let [address, certificate, key] = arguments else { panic!("ADDRESS CERTIFICATE KEY") };
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let identity = CertifiedKey::from_der(vec![certificate], key, &default_provider()).unwrap();
    let server = TlsServer::bind(address.parse().unwrap(), TlsServerSettings::default()).await.unwrap();
    let router = Router::new().route("/gate", post(yes));
    let never = CancellationToken::new();
    server.serve(router, Arc::new(SingleCertAndKey::from(identity)), never.clone(), never).await;
}

/// The answer has to carry the request's uid. The API server writes it first, so that nothing has to be parsed.
async fn yes(body: Bytes) -> impl IntoResponse {
    const KEY: &[u8] = br#""uid":""#;
    let begin = body.windows(KEY.len()).position(|window| window == KEY).map_or(0, |at| at + KEY.len());
    let uid: Vec<u8> = body[begin..].iter().copied().take_while(|byte| *byte != b'"').collect();
    let answer = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{}","allowed":true}}}}"#,
        String::from_utf8_lossy(&uid)
    );
    ([(header::CONTENT_TYPE, "application/json")], answer)
}

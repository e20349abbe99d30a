//! TLS: own authorities in addition to the system's, a client certificate, and the explicit way around it all.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use pact_operator::broker::{Broker, BrokerError, ClientCertificate, ConfigError, TlsSettings, TransportFault};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::broker_under_test::config;

struct Authority {
    pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    fn client_certificate(&self) -> ClientCertificate {
        let (certificate, key) = self.issue("pact-operator");
        ClientCertificate { cert_pem: certificate.pem().into_bytes(), key_pem: key.serialize_pem().into_bytes() }
    }
}

/// A broker's index behind TLS for `localhost`; asks for a certificate of `clients`, where there is one.
fn serve(authority: &Authority, clients: Option<&Authority>) -> String {
    let (certificate, key) = authority.issue("localhost");
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                head.push(byte[0]);
            }
            let body = r#"{"_links":{"pb:environments":{}}}"#;
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/hal+json\r\ncontent-length";
            // A handshake that failed has ended the connection.
            let _ = write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).and_then(|()| stream.flush());
        }
    });
    format!("https://localhost:{port}")
}

/// The url of a broker behind TLS whose authority is unknown.
pub(crate) fn own_authority() -> String {
    serve(&Authority::new("own"), None)
}

fn broker(url: &str, tls: TlsSettings) -> Broker {
    let mut config = config(url);
    config.tls = tls;
    Broker::new(config).unwrap()
}

async fn refused(url: &str, tls: TlsSettings) {
    let error = broker(url, tls).probe().await.unwrap_err();
    // A server that refuses our certificate after the handshake (TLS 1.3) may close before its alert is read.
    assert!(
        matches!(&error, BrokerError::Transport { fault: TransportFault::Tls | TransportFault::Closed, .. }),
        "{error:?}"
    );
    assert!(error.to_string().len() < 420, "{error}");
}

fn trusting(authorities: &[&Authority]) -> TlsSettings {
    let bundle = authorities.iter().map(|authority| authority.pem.as_str()).collect::<Vec<_>>().join("\n# next\n");
    TlsSettings { ca_bundle_pem: Some(bundle.into_bytes()), ..TlsSettings::default() }
}

#[tokio::test]
async fn an_own_authority_is_trusted_when_its_certificate_is_given() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let url = serve(&own, None);
    let error = broker(&url, TlsSettings::default()).probe().await.unwrap_err();
    assert!(matches!(&error, BrokerError::Transport { fault: TransportFault::Tls, .. }), "{error:?}");
    assert!(error.to_string().contains("UnknownIssuer") && error.to_string().contains("CA bundle"), "{error}");
    refused(&url, trusting(&[&other])).await;
    broker(&url, trusting(&[&own])).probe().await.unwrap();
    broker(&url, trusting(&[&other, &own])).probe().await.unwrap();
    broker(&url, TlsSettings { insecure_skip_verify: true, ..TlsSettings::default() }).probe().await.unwrap();
    // The authority is right, the name is not.
    refused(&url.replace("localhost", "127.0.0.1"), trusting(&[&own])).await;
}

#[tokio::test]
async fn a_client_certificate_is_sent_to_a_server_that_asks_for_one() {
    let (own, clients) = (Authority::new("own"), Authority::new("clients"));
    let url = serve(&own, Some(&clients));
    refused(&url, trusting(&[&own])).await;
    let wrong = TlsSettings { client_certificate: Some(own.client_certificate()), ..trusting(&[&own]) };
    refused(&url, wrong).await;
    let right = TlsSettings { client_certificate: Some(clients.client_certificate()), ..trusting(&[&own]) };
    broker(&url, right).probe().await.unwrap();
}

#[test]
fn certificates_that_cannot_work_are_refused_before_anything_is_sent() {
    let own = Authority::new("own");
    let (mine, theirs) = (own.client_certificate(), own.client_certificate());
    let ca = |pem: &str| TlsSettings { ca_bundle_pem: Some(pem.as_bytes().to_vec()), ..TlsSettings::default() };
    let client = |cert_pem: &[u8], key_pem: &[u8]| TlsSettings {
        client_certificate: Some(ClientCertificate { cert_pem: cert_pem.to_vec(), key_pem: key_pem.to_vec() }),
        ..TlsSettings::default()
    };
    let cut = own.pem.replace("-----END", "-----ENDE");
    let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (tls, says) in [
        (ca(""), "no certificate"),
        (ca("not PEM"), "no certificate"),
        (ca(&cut), "CA bundle"),
        (ca(&format!("{}{wrong}", own.pem)), "certificate 2"),
        (client(b"", &mine.key_pem), "tls.crt holds no certificate"),
        (client(&mine.cert_pem, b""), "tls.key holds no key"),
        (client(&mine.cert_pem, &mine.cert_pem), "tls.key holds no key"),
        (client(&mine.cert_pem, &theirs.key_pem), "belong together"),
    ] {
        let mut config = config("https://localhost");
        config.tls = tls;
        let shown = format!("{config:?}");
        let error = Broker::new(config).unwrap_err();
        assert!(matches!(error, ConfigError::CaBundle { .. } | ConfigError::ClientCertificate { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        let key = String::from_utf8(mine.key_pem.clone()).unwrap();
        let key = key.lines().nth(1).unwrap();
        assert!(!format!("{shown} {error} {error:?}").contains(key));
    }
}

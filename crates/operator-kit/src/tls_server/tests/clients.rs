//! Clients that have to present a certificate.

use super::*;

const NAME: &str = "kube-apiserver";

struct Bundle {
    folder: tempfile::TempDir,
    known: Authority,
}

impl Bundle {
    fn new() -> Self {
        let bundle = Self { folder: tempfile::tempdir().unwrap(), known: Authority::new("clients") };
        bundle.write(&bundle.known.pem);
        bundle
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    fn write(&self, pem: &str) {
        std::fs::write(self.path(), pem).unwrap();
    }

    fn settings(&self, names: &[&str]) -> TlsServerSettings {
        let authentication = ClientAuthentication {
            bundle: self.path(),
            accepted_names: names.iter().map(|&name| name.to_owned()).collect(),
            poll: Duration::from_millis(20),
        };
        TlsServerSettings { client_authentication: Some(authentication), ..generous() }
    }
}

/// Whether a client with this certificate gets an answer. If not, it must not get a byte of HTTP either.
async fn is_served(served: &Served, identity: Option<Identity>) -> bool {
    // In TLS 1.3 the client has finished its handshake before the server checks its certificate.
    let Ok(mut stream) = served.connect_as(served.authority.client(&["http/1.1"], identity)).await else {
        return false;
    };
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let got = String::from_utf8(end(&mut stream).await).unwrap();
    assert!(got.is_empty() || got.starts_with("HTTP/1.1 200"), "{got}");
    !got.is_empty()
}

#[tokio::test]
async fn only_certificates_of_known_authorities_with_a_known_name_pass() {
    let bundle = Bundle::new();
    let served = serve(bundle.settings(&["somebody else", NAME])).await;
    let stranger = Authority::new("clients");
    for (identity, passes) in [
        (Some(bundle.known.issue(NAME, "a.example")), true),
        (Some(bundle.known.issue("a", NAME)), true),
        (Some(bundle.known.issue("a", "kube-apiserver.example")), false),
        (Some(stranger.issue(NAME, NAME)), false),
        (None, false),
    ] {
        assert_eq!(is_served(&served, identity).await, passes);
    }
    until("the counts", || served.counts.ended(CutReason::Refused) == 3).await;
    assert_eq!(served.handled.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn without_names_every_certificate_of_the_authorities_passes() {
    let bundle = Bundle::new();
    let served = serve(bundle.settings(&[])).await;
    assert!(is_served(&served, Some(bundle.known.issue("a", "b"))).await);
    assert!(!is_served(&served, None).await);
}

#[tokio::test]
async fn a_new_bundle_applies_to_the_next_handshakes_and_a_bad_one_changes_nothing() {
    let bundle = Bundle::new();
    let served = serve(bundle.settings(&[NAME])).await;
    let next = Authority::new("the next clients");
    bundle.write("no certificates");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(is_served(&served, Some(bundle.known.issue(NAME, "a"))).await, "as before");
    bundle.write(&next.pem);
    let waiting = async { while !is_served(&served, Some(next.issue(NAME, "a"))).await {} };
    tokio::time::timeout(GENEROUS, waiting).await.expect("the new authority is known");
    assert!(!is_served(&served, Some(bundle.known.issue(NAME, "a"))).await, "the old one no longer");
}

#[tokio::test]
async fn a_bundle_that_cannot_be_used_is_named_with_the_remedy() {
    let bundle = Bundle::new();
    let bind =
        async || TlsServer::bind(([127, 0, 0, 1], 0).into(), bundle.settings(&[])).await.unwrap_err().to_string();
    bundle.write("# empty");
    let text = bind().await;
    assert!(text.contains("ca.crt holds no authorities of clients") && text.contains("PEM"), "{text}");
    std::fs::remove_file(bundle.path()).unwrap();
    let text = bind().await;
    assert!(text.contains("cannot read") && text.contains("ca.crt") && text.contains("Mount"), "{text}");
}

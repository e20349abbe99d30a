//! The protocols, the certificate in use, and what a handler learns about a request.

use super::*;

#[tokio::test]
async fn a_client_that_offers_http2_as_well_is_served_http1() {
    let served = serve(generous()).await;
    let answer = served.client().get(served.url("/")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_11));
    assert_eq!(answer.text().await.unwrap(), "ok");
    for offered in [BOTH, &["http/1.1"]] {
        let mut stream = served.connect_as(served.authority.client(offered, None)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "{offered:?}");
        assert!(ask(&mut stream, "/").await.unwrap().0.starts_with("http/1.1 200"), "{offered:?}");
    }
    let mut silent = served.connect_as(served.authority.client(&[], None)).await.unwrap();
    assert!(ask(&mut silent, "/").await.unwrap().0.starts_with("http/1.1 200"), "HTTP/1.1 where nothing is agreed");
    for other in ["h2", "spdy/3"] {
        let other = served.connect_as(served.authority.client(&[other], None)).await;
        assert!(other.is_err(), "nothing in common");
    }
    until("the refusals to be counted", || served.counts.ended(CutReason::Refused) == 2).await;
}

#[tokio::test]
async fn the_last_answer_carries_connection_close_and_the_end_follows() {
    let served = serve(generous()).await;
    let mut stream = served.connect().await;
    let (head, _) = ask(&mut stream, "/").await.unwrap();
    assert!(!head.contains("connection: close"), "not while it serves: {head}");
    served.drain.cancel();
    let (head, body) = ask(&mut stream, "/").await.unwrap();
    assert!(head.starts_with("http/1.1 200") && head.contains("\r\nconnection: close") && body == "ok", "{head}");
    let mut rest = Vec::new();
    assert_eq!(soon(stream.read_to_end(&mut rest)).await.unwrap(), 0, "an end in good order, not a cut");
    drop(stream);
    served.ended().await;
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let served = serve(generous()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(served.authority.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut stream = served.connect_as(config).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(ask(&mut stream, "/").await.unwrap().1, "ok");
    }
}

#[tokio::test]
async fn the_next_handshake_uses_a_replaced_certificate_and_an_old_connection_continues() {
    let served = serve(generous()).await;
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    // One configuration for all: with tickets it would resume its session.
    let config = served.authority.client(&["http/1.1"], None);
    let mut old = served.connect_as(config.clone()).await.unwrap();
    assert_eq!(ask(&mut old, "/").await.unwrap().1, "ok");
    let replacement = served.authority.server();
    *served.certificates.0.lock().unwrap() = Arc::clone(&replacement);
    let mut new = served.connect_as(config).await.unwrap();
    assert_eq!(shown(&new), replacement.cert[0]);
    assert_ne!(shown(&old), replacement.cert[0]);
    for stream in [&mut old, &mut new] {
        assert_eq!(ask(stream, "/").await.unwrap().1, "ok");
    }
}

#[tokio::test]
async fn a_handler_knows_the_peer_and_when_the_request_began_to_arrive() {
    let served = serve(generous()).await;
    let mut stream = served.connect().await;
    let local = stream.get_ref().0.local_addr().unwrap().to_string();
    assert_eq!(ask(&mut stream, "/peer").await.unwrap().1, local);
    let pause = Duration::from_millis(100);
    stream.write_all(b"POST /took HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    tokio::time::sleep(pause).await;
    stream.write_all(b"content-length: 2\r\n\r\n1").await.unwrap();
    tokio::time::sleep(pause).await;
    stream.write_all(b"2").await.unwrap();
    let took: u64 = answer(&mut stream).await.unwrap().1.parse().unwrap();
    assert!(took >= 190, "head and body both took 100 ms, the handler counts {took} ms");
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_remedy() {
    let first = TlsServer::bind(([127, 0, 0, 1], 0).into(), generous()).await.unwrap();
    let text = TlsServer::bind(first.address(), generous()).await.unwrap_err().to_string();
    assert!(text.contains(&first.address().to_string()) && text.contains("free port"), "{text}");
}

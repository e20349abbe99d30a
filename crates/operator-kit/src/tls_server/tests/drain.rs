//! The shutdown: no request is lost.

use super::*;

/// The results of the clients of one kind.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    answered: AtomicU64,
    errors: Mutex<Vec<String>>,
}

impl Tally {
    fn error(&self, error: impl Into<String>) {
        self.errors.lock().unwrap().push(error.into());
    }
}

/// Sends requests over one connection after the other until the server accepts none; reconnects only where it may.
async fn ask_alone(served: &Served, tally: &Tally, pause: Duration) {
    loop {
        let mut stream = match served.connect_as(served.authority.client(&["http/1.1"], None)).await {
            Ok(stream) => stream,
            // No request was sent. The connection may have been in the system's queue when the listener closed.
            Err(error) if served.drain.is_cancelled() => {
                assert!(matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset));
                return;
            }
            Err(error) => return tally.error(error.to_string()),
        };
        loop {
            tally.sent.fetch_add(1, Ordering::SeqCst);
            match ask(&mut stream, "/sleep/1").await {
                Ok((head, _)) if head.starts_with("http/1.1 200") => {
                    tally.answered.fetch_add(1, Ordering::SeqCst);
                    if head.contains("connection: close") {
                        break;
                    }
                }
                Ok((head, _)) => return tally.error(head),
                Err(error) => return tally.error(error.to_string()),
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Sends requests over the pooled connections of a client until the server accepts none.
async fn ask_pooled(client: reqwest::Client, url: String, stopped: CancellationToken, tally: Arc<Tally>) {
    loop {
        tally.sent.fetch_add(1, Ordering::SeqCst);
        let error = match client.get(&url).send().await {
            Ok(answer) if answer.status().is_success() && answer.version() == reqwest::Version::HTTP_11 => {
                tally.answered.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            Ok(answer) => return tally.error(answer.status().as_str()),
            Err(error) => error,
        };
        tally.sent.fetch_sub(1, Ordering::SeqCst);
        if error.is_connect() && stopped.is_cancelled() {
            return;
        }
        return tally.error(format!("{error:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_no_request() {
    let served = Arc::new(serve(generous()).await);
    let (alone, pooled) = (Arc::new(Tally::default()), Arc::new(Tally::default()));
    let mut clients = Vec::new();
    for number in 0..8 {
        let (served, tally) = (Arc::clone(&served), Arc::clone(&alone));
        // Some at full speed, some with a pause: those have connections that are idle at times.
        let pause = Duration::from_millis(number / 2);
        clients.push(tokio::spawn(async move { ask_alone(&served, &tally, pause).await }));
    }
    for _ in 0..8 {
        let client = served.client();
        for path in ["/", "/sleep/1", "/sleep/3"] {
            let (client, url, stopped) = (client.clone(), served.url(path), served.drain.clone());
            clients.push(tokio::spawn(ask_pooled(client, url, stopped, Arc::clone(&pooled))));
        }
    }
    let busy = || [&alone, &pooled].iter().all(|tally| tally.answered.load(Ordering::SeqCst) >= 500);
    until("the clients to be at full speed", busy).await;
    served.drain.cancel();
    for client in clients {
        tokio::time::timeout(GENEROUS, client).await.expect("each client ends").unwrap();
    }
    for (name, tally) in [("alone", &alone), ("pooled", &pooled)] {
        assert_eq!(*tally.errors.lock().unwrap(), Vec::<String>::new(), "{name}");
        assert_eq!(tally.sent.load(Ordering::SeqCst), tally.answered.load(Ordering::SeqCst), "{name}");
    }
    let answered = alone.answered.load(Ordering::SeqCst) + pooled.answered.load(Ordering::SeqCst);
    assert_eq!(served.handled.load(Ordering::SeqCst), answered, "each once");
    Arc::into_inner(served).expect("all clients are gone").ended().await;
}

#[tokio::test]
async fn a_leaving_server_ends_each_connection_with_its_answer_and_serves_new_ones() {
    let served = serve(generous()).await;
    let (mut used, mut idle) = (served.connect().await, served.connect().await);
    for stream in [&mut used, &mut idle] {
        let (head, _) = ask(stream, "/").await.unwrap();
        assert!(!head.contains("connection: close"), "{head}");
    }
    served.leaving.cancel();
    let (head, _) = ask(&mut used, "/").await.unwrap();
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close"), "{head}");
    assert_eq!(end(&mut used).await, b"");
    let (head, _) = ask(&mut served.connect().await, "/").await.unwrap();
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close"), "{head}");
    // Longer than an idle connection stays open in the drain.
    tokio::time::sleep(2 * generous().linger).await;
    let (head, _) = ask(&mut idle, "/").await.expect("it is still open");
    assert!(head.contains("connection: close"), "{head}");
    served.drain.cancel();
    served.ended().await;
}

#[tokio::test]
async fn a_request_under_way_is_finished_and_an_idle_connection_closed_after_the_linger_time() {
    let served = serve(generous()).await;
    let (mut busy, mut idle) = (served.connect().await, served.connect().await);
    ask(&mut idle, "/").await.unwrap();
    busy.write_all(b"GET /sleep/600 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until("the request to be under way", || served.handled.load(Ordering::SeqCst) == 2).await;
    served.drain.cancel();
    until("no listener", || std::net::TcpStream::connect(served.address).is_err()).await;
    let (head, body) = ask(&mut idle, "/").await.expect("a request that was on its way is answered");
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close") && body == "ok", "{head}");
    let (head, body) = answer(&mut busy).await.unwrap();
    assert!(head.contains("connection: close") && body == "slept", "{head}");
    served.ended().await;
}

#[tokio::test]
async fn an_idle_client_does_not_delay_the_shutdown() {
    let served = serve(TlsServerSettings { drain_limit: GENEROUS, ..generous() }).await;
    let mut idle = served.connect().await;
    ask(&mut idle, "/").await.unwrap();
    let client = served.client();
    client.get(served.url("/")).send().await.unwrap();
    // A peer that never reads, and does not close when it is closed.
    let mut deaf = served.connect().await;
    deaf.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until("its answer", || served.handled.load(Ordering::SeqCst) == 3).await;
    until("three connections", || served.counts.open() == 3).await;
    let began = std::time::Instant::now();
    served.drain.cancel();
    let counts = served.counts.clone();
    served.ended().await;
    assert!(began.elapsed() < GENEROUS / 2);
    assert_eq!((counts.open(), counts.ended(CutReason::Drain), counts.ended(CutReason::Idle)), (0, 0, 0));
    assert_eq!(end(&mut idle).await, b"");
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_limit_is_cut() {
    let served = serve(TlsServerSettings { drain_limit: Duration::from_millis(200), ..generous() }).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /sleep/60000 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until("the request to be under way", || served.handled.load(Ordering::SeqCst) == 1).await;
    served.drain.cancel();
    assert_eq!(end(&mut stream).await, b"");
    assert_eq!(served.counts.ended(CutReason::Drain), 1);
    served.ended().await;
}

#[tokio::test]
async fn connections_that_wait_in_the_systems_queue_are_served_at_the_end() {
    let served = serve(TlsServerSettings { max_connections: 1, ..generous() }).await;
    let mut first = served.connect().await;
    first.write_all(b"GET /sleep/1000 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until("its request to be under way", || served.handled.load(Ordering::SeqCst) == 1).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            // Established by the system; the server has not accepted it yet.
            let stream = std::net::TcpStream::connect(served.address).unwrap();
            stream.set_nonblocking(true).unwrap();
            TcpStream::from_std(stream).unwrap()
        })
        .collect();
    served.drain.cancel();
    for stream in waiting {
        let config = Arc::new(served.authority.client(&["http/1.1"], None));
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = soon(TlsConnector::from(config).connect(name, stream)).await.unwrap();
        assert_eq!(ask(&mut stream, "/").await.unwrap().1, "ok");
    }
    served.ended().await;
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let served = serve(generous()).await;
    let mut stream = served.connect().await;
    ask(&mut stream, "/").await.unwrap();
    served.server.abort();
    assert_eq!(end(&mut stream).await, b"");
    until("the connection to be gone", || served.counts.open() == 0).await;
}

#[tokio::test]
async fn a_client_may_send_until_it_has_read_the_last_answer() {
    let served = serve(TlsServerSettings { linger: GENEROUS, ..generous() }).await;
    let mut stream = served.connect().await;
    ask(&mut stream, "/").await.unwrap();
    stream.write_all(b"GET /sleep/100 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until("the request to be under way", || served.handled.load(Ordering::SeqCst) == 2).await;
    served.drain.cancel();
    soon(stream.get_ref().0.peek(&mut [0])).await.expect("the answer is there, and the end follows it");
    // The client sends before it has read `Connection: close`. A failed write would make it discard the rest.
    for _ in 0..20 {
        stream.write_all(&[b'x'; 1024]).await.expect("the server reads to the end");
        stream.flush().await.expect("the server reads to the end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (head, body) = answer(&mut stream).await.expect("what was answered arrives");
    assert!(head.contains("connection: close") && body == "slept", "{head}");
    drop(stream);
    let began = std::time::Instant::now();
    served.ended().await;
    assert!(began.elapsed() < GENEROUS / 2, "the server does not wait for a client that has left");
}

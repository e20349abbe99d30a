//! More connections than slots: what is idle or stalled gives way, and a request under way never does.

use std::time::Instant;

use super::*;

/// A little longer than a connection may make no progress before it counts as stalled.
const STALLED: Duration = Duration::from_millis(600);
const TWO_OF_FOUR: TlsServerSettings = TlsServerSettings { max_connections: 4, max_connections_per_source: 2, ..ALL };
const ALL: TlsServerSettings = TlsServerSettings {
    handshake_limit: GENEROUS,
    header_limit: GENEROUS,
    request_limit: GENEROUS,
    idle_limit: GENEROUS,
    max_connections: 3,
    max_connections_per_source: 3,
    grace: GENEROUS,
    max_connection_age: GENEROUS,
    linger: GENEROUS,
    drain_limit: GENEROUS,
    accept_error_pause: GENEROUS,
    client_authentication: None,
};

impl Served {
    async fn from(&self, last: u8) -> TlsStream<TcpStream> {
        self.connect_from(last, self.authority.client(&["http/1.1"], None)).await.unwrap()
    }

    /// A connection over which this was sent.
    async fn sent(&self, last: u8, request: &str) -> TlsStream<TcpStream> {
        let mut stream = self.from(last).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }

    async fn displaced(&self, count: u64) {
        until("connections to give way", || self.counts.ended(CutReason::Displaced) == count).await;
    }

    /// That somebody who comes from elsewhere is served at once.
    async fn serves_another(&self) {
        let began = Instant::now();
        assert_eq!(ask(&mut self.from(9).await, "/").await.unwrap().1, "ok");
        assert!(began.elapsed() < GENEROUS / 4, "{:?}", began.elapsed());
    }
}

#[test]
fn case_109_connections_leave_open_files_to_the_rest_of_the_process() {
    for (files, connections, per_source) in
        [(u64::MAX, 1024, 768), (4096, 1024, 768), (1500, 750, 562), (1300, 650, 487), (64, 32, 24), (0, 0, 1)]
    {
        let settings = TlsServerSettings::default().within(files, 1000);
        assert_eq!(
            (settings.max_connections, settings.max_connections_per_source),
            (connections, per_source),
            "{files}"
        );
    }
}

#[tokio::test]
async fn case_109_silent_peers_give_way_long_before_their_limit() {
    let served = serve(ALL).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    until("all slots to be taken", || served.counts.open() == 3).await;
    let mut good = served.connect().await;
    assert_eq!(ask(&mut good, "/").await.unwrap().1, "ok");
    assert_eq!(end(&mut silent[0]).await, b"", "the first one that came");
    served.displaced(1).await;
    // The good peer keeps its slot while others come and go.
    for more in 2..8 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
        served.displaced(more).await;
        assert_eq!(ask(&mut good, "/").await.unwrap().1, "ok");
        until("no more than slots", || served.counts.open() == 3).await;
    }
}

#[tokio::test]
async fn case_109_the_connection_that_was_idle_for_the_longest_time_gives_way() {
    let served = serve(ALL).await;
    let mut idle = [served.from(1).await, served.from(1).await, served.from(1).await];
    ask(&mut idle[0], "/").await.unwrap();
    served.serves_another().await;
    assert_eq!(end(&mut idle[1]).await, b"", "it has not been used");
    for used in [0, 2] {
        assert_eq!(ask(&mut idle[used], "/").await.expect("it is still open").1, "ok");
    }
}

#[tokio::test]
async fn case_109_a_request_under_way_keeps_its_connection_and_others_wait() {
    let served = serve(ALL).await;
    let mut working = Vec::new();
    for last in 1..=2 {
        working.push(served.sent(last, "GET /sleep/1500 HTTP/1.1\r\nhost: localhost\r\n\r\n").await);
    }
    // A body that is complete, though its connection is as silent as one whose body stalls.
    let posted = "POST /sleep/1500 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nbody";
    working.push(served.sent(3, posted).await);
    until("all to be under way", || served.handled.load(Ordering::SeqCst) == 3).await;
    tokio::time::sleep(STALLED).await;
    let began = Instant::now();
    served.serves_another().await;
    assert!(began.elapsed() >= STALLED, "it waited until one was finished: {:?}", began.elapsed());
    for stream in &mut working {
        let (head, body) = answer(stream).await.expect("an answer");
        assert!(head.starts_with("http/1.1 200") && body == "slept", "{head}");
    }
}

#[tokio::test]
async fn case_109_heads_and_bodies_that_stall_and_answers_that_nobody_reads_give_way() {
    for request in [
        "GET / HTTP/1.1\r\nhost: loc",
        "POST /took HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nhalf",
        "GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let served = serve(ALL).await;
        let mut stalled = Vec::new();
        for last in 1..=3 {
            stalled.push(served.sent(last, request).await);
        }
        until("all slots to be taken", || served.counts.open() == 3).await;
        tokio::time::sleep(STALLED).await;
        served.serves_another().await;
        served.displaced(1).await;
    }
}

#[tokio::test]
async fn case_109_one_source_leaves_room_to_others() {
    let served = serve(TWO_OF_FOUR).await;
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(served.from(1).await);
    }
    served.displaced(8).await;
    until("two to be left", || served.counts.open() == 2).await;
    // All the reviews of one source are under way: one more is refused, and one from elsewhere is served.
    for stream in &mut idle[8..] {
        stream.write_all(b"GET /sleep/1000 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    }
    until("both to be under way", || served.handled.load(Ordering::SeqCst) == 2).await;
    assert!(served.connect_from(1, served.authority.client(&["http/1.1"], None)).await.is_err());
    assert_eq!(served.counts.ended(CutReason::Source), 1);
    served.serves_another().await;
    for stream in &mut idle[8..] {
        assert_eq!(answer(stream).await.expect("an answer").1, "slept");
    }
}

#[tokio::test]
async fn case_109_http2_is_not_offered_so_a_connection_has_one_request_at_a_time() {
    let served = serve(ALL).await;
    assert!(served.connect_as(served.authority.client(&["h2"], None)).await.is_err());
    // As many requests as fit into a connection at once, unread.
    let request = "GET /sleep/20 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stream = served.sent(1, &request.repeat(50)).await;
    until("the first to be under way", || served.handled.load(Ordering::SeqCst) > 0).await;
    assert!(served.handled.load(Ordering::SeqCst) < 3, "one after the other");
    for _ in 0..3 {
        assert_eq!(answer(&mut stream).await.unwrap().1, "slept");
    }
}

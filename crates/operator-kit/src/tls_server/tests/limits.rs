//! Slow and silent peers: each connection reaches a limit, and its slot is freed.

use std::time::Instant;

use super::*;

const SHORT: Duration = Duration::from_millis(300);

/// The server ends `stream` no sooner than `limit` after `began`, and counts it as `why`.
async fn is_cut(served: &Served, stream: &mut (impl AsyncReadExt + Unpin), began: Instant, why: CutReason) {
    end(stream).await;
    assert!(began.elapsed() >= SHORT, "not before the limit: {:?}", began.elapsed());
    until("the count", || served.counts.ended(why) == 1).await;
    until("the slot", || served.counts.open() == 0).await;
}

/// Sends `piece` again and again until the server ends the connection.
async fn trickle(stream: &mut TlsStream<TcpStream>, piece: &[u8]) {
    let trickling = async {
        loop {
            let mut byte = [0];
            tokio::select! {
                // The end of the connection is detected by reading; writes may still succeed for a while.
                read = stream.read(&mut byte) => if read.unwrap_or(0) == 0 { return },
                () = tokio::time::sleep(SHORT / 10) => {}
            }
            if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(GENEROUS, trickling).await.expect("the server ends it");
}

#[tokio::test]
async fn a_peer_that_is_silent_after_it_connected_is_cut_at_the_handshake_limit() {
    let served = serve(TlsServerSettings { handshake_limit: SHORT, ..generous() }).await;
    let began = Instant::now();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    is_cut(&served, &mut stream, began, CutReason::Handshake).await;
}

#[tokio::test]
async fn a_peer_without_a_request_after_the_handshake_is_closed_at_the_idle_limit() {
    let served = serve(TlsServerSettings { idle_limit: SHORT, ..generous() }).await;
    for offered in [&["http/1.1"], BOTH] {
        let began = Instant::now();
        let mut stream = served.connect_as(served.authority.client(offered, None)).await.unwrap();
        end(&mut stream).await;
        assert!(began.elapsed() >= SHORT, "not before the limit");
        until("the slot", || served.counts.open() == 0).await;
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_also_when_it_is_not_the_first() {
    let served = serve(TlsServerSettings { header_limit: SHORT, ..generous() }).await;
    let mut stream = served.connect().await;
    ask(&mut stream, "/").await.unwrap();
    let began = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    trickle(&mut stream, b"x").await;
    is_cut(&served, &mut stream, began, CutReason::Header).await;
}

#[tokio::test]
async fn a_body_that_trickles_in_is_cut_at_the_request_limit() {
    let served = serve(TlsServerSettings { request_limit: SHORT, ..generous() }).await;
    let mut stream = served.connect().await;
    let began = Instant::now();
    stream.write_all(b"POST /took HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
    trickle(&mut stream, b"x").await;
    is_cut(&served, &mut stream, began, CutReason::Request).await;
}

#[tokio::test]
async fn a_late_handler_ends_its_connection_and_not_the_others_of_its_client() {
    let served = serve(TlsServerSettings { request_limit: 2 * SHORT, ..generous() }).await;
    let client = served.client();
    client.get(served.url("/")).send().await.unwrap();
    let late = tokio::spawn(client.get(served.url("/sleep/60000")).send());
    until("the late one to begin", || served.handled.load(Ordering::SeqCst) == 2).await;
    tokio::time::sleep(SHORT).await;
    // In flight at the moment the other one fails.
    let timely = client.get(served.url("/sleep/400")).send().await.unwrap();
    assert_eq!(timely.text().await.unwrap(), "slept");
    assert!(late.await.unwrap().is_err());
    until("the slot", || served.counts.open() == 1).await;
    assert_eq!(served.counts.ended(CutReason::Request), 1);
    assert!(client.get(served.url("/")).send().await.unwrap().status().is_success());
    assert_eq!(served.counts.open(), 1, "on the connection that the timely one had");
}

#[tokio::test]
async fn a_peer_that_takes_no_answer_is_cut_at_the_request_limit() {
    let served = serve(TlsServerSettings { request_limit: 2 * SHORT, ..generous() }).await;
    let mut stream = served.connect().await;
    let began = Instant::now();
    stream.write_all(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until("the cut", || served.counts.open() == 0).await;
    assert!(began.elapsed() >= 2 * SHORT, "not before the limit");
    assert_eq!(served.counts.ended(CutReason::Request) + served.counts.ended(CutReason::Answer), 1);
    assert!(end(&mut stream).await.len() < BIG);
}

#[tokio::test]
async fn an_idle_connection_is_closed_gracefully() {
    let served = serve(TlsServerSettings { idle_limit: SHORT, ..generous() }).await;
    let mut stream = served.connect().await;
    let client = served.client();
    client.get(served.url("/")).send().await.unwrap();
    // A request may take longer than the idle limit: a connection with a request is not idle.
    assert_eq!(ask(&mut stream, "/sleep/500").await.unwrap().1, "slept");
    let began = Instant::now();
    assert_eq!(end(&mut stream).await, b"");
    assert!(began.elapsed() >= SHORT, "not before the limit");
    until("both slots", || served.counts.open() == 0).await;
    assert_eq!(served.counts.ended(CutReason::Idle), 0, "neither had to be cut");
    assert!(client.get(served.url("/")).send().await.unwrap().status().is_success(), "a new connection");
}

#[tokio::test]
async fn an_old_connection_is_replaced_and_no_request_fails() {
    let served = serve(TlsServerSettings { max_connection_age: SHORT, ..generous() }).await;
    let client = served.client();
    let began = Instant::now();
    let (mut connections, mut stream) = (0, served.connect().await);
    while began.elapsed() < 6 * SHORT {
        let answer = client.get(served.url("/peer")).send().await.unwrap();
        assert!(answer.status().is_success());
        let (head, _) = ask(&mut stream, "/").await.unwrap();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        if head.contains("connection: close") {
            assert_eq!(end(&mut stream).await, b"");
            connections += 1;
            stream = served.connect().await;
        }
    }
    assert!((3..=7).contains(&connections), "{connections} connections in 6 times their age");
}

#[tokio::test]
async fn an_old_connection_that_is_idle_is_left_open_and_its_next_answer_is_the_last() {
    let served = serve(TlsServerSettings { max_connection_age: SHORT, ..generous() }).await;
    let mut streams = [served.connect().await, served.connect().await];
    let (head, _) = ask(&mut streams[0], "/").await.unwrap();
    assert!(!head.contains("connection: close"), "{head}");
    // Older than the maximum age, and idle for longer than the linger time.
    tokio::time::sleep(2 * SHORT + generous().linger).await;
    for stream in &mut streams {
        let (head, _) = ask(stream, "/").await.expect("it is still open, used or not");
        assert!(head.starts_with("http/1.1 200") && head.contains("connection: close"), "{head}");
    }
}

#[tokio::test]
async fn a_dead_peer_is_closed_at_the_idle_limit() {
    let settings = TlsServerSettings { header_limit: 10 * GENEROUS, idle_limit: SHORT, ..generous() };
    let served = serve(settings).await;
    // It neither reads nor closes, like a peer whose machine has failed.
    let mut dead = served.connect().await;
    dead.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let client = served.client();
    let working = tokio::spawn(client.get(served.url("/sleep/1500")).send());
    until("both to be there", || served.handled.load(Ordering::SeqCst) == 2).await;
    until("the dead one to be gone", || served.counts.open() == 1).await;
    assert!(working.await.unwrap().is_ok(), "one that is at work stays");
    assert_eq!(served.counts.ended(CutReason::Idle), 0, "the dead one was closed, not cut");
}

#[tokio::test]
async fn too_few_file_descriptors_pause_accepting() {
    const CHILD: &str = "TLS_SERVER_TEST_WITH_FEW_FILES";
    if std::env::var_os(CHILD).is_none() {
        // In a process of its own, since the limit applies to the whole process.
        let (_, module) = module_path!().split_once("::").unwrap();
        let test = format!("{module}::too_few_file_descriptors_pause_accepting");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\""]).arg(std::env::current_exe().unwrap());
        let output = command.arg(test).env(CHILD, "yes").output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
        return;
    }
    let served = serve(TlsServerSettings { accept_error_pause: Duration::from_millis(20), ..generous() }).await;
    // Blocking, so that the server accepts nothing in between: at the end no descriptor is left for it.
    let mut taken = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect(served.address) {
        taken.push(stream);
    }
    until("two pauses", || served.counts.accept_errors.get() >= 2).await;
    assert_eq!(served.counts.open(), 0);
    drop(taken);
    let mut good = served.connect().await;
    assert_eq!(ask(&mut good, "/").await.unwrap().1, "ok");
    // Without the pause it would have failed thousands of times.
    assert!(served.counts.accept_errors.get() < 100, "{}", served.counts.accept_errors.get());
}

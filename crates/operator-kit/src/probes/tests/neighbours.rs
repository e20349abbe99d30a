//! Probes beside other connections: how many there are and what they do does not matter.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::ops::Range;

use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::*;

/// How long a probe may take. The kubelet gives up after five seconds.
const PROBED: Duration = Duration::from_secs(1);

/// What a neighbour sends before it waits.
const NOTHING: &str = "";
const HALF_A_HEAD: &str = "GET /livez HTTP/1.1\r\nHost: prob";
const KEPT: &str = "GET /livez HTTP/1.1\r\nHost: probe\r\nConnection: keep-alive\r\n\r\n";
const HALF_A_BODY: &str = "POST /livez HTTP/1.1\r\nHost: probe\r\nContent-Length: 1000000\r\n\r\nhalf";
const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nHost: probe\r\n\r\n";

/// Opens connections from these addresses of 127.0.0.0/24, sends this over each of them, and reads nothing. The probes
/// come from 127.0.0.1.
async fn neighbours(to: SocketAddr, count: usize, sources: Range<u8>, request: &'static str) -> Vec<TcpStream> {
    let mut opening = JoinSet::new();
    for last in sources.cycle().take(count) {
        opening.spawn(async move {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(4 << 10)?;
            socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
            let mut stream = socket.connect(to).await?;
            stream.write_all(request.as_bytes()).await?;
            Ok::<_, io::Error>(stream)
        });
    }
    // One that was closed at once is of no use to the neighbour.
    opening.join_all().await.into_iter().filter_map(Result::ok).collect()
}

/// Probes again and again while something else goes on, and once after it; gives the longest time that one took.
async fn probed<T>(address: SocketAddr, other: impl Future<Output = T>) -> (T, Duration) {
    let mut slowest = Duration::ZERO;
    let mut probe = async || {
        for path in ["/livez", "/readyz", "/metrics"] {
            let began = Instant::now();
            let answer = get(address, path).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            slowest = slowest.max(began.elapsed());
        }
    };
    let mut other = std::pin::pin!(other);
    let done = loop {
        tokio::select! {
            done = &mut other => break done,
            () = probe() => {}
        }
    };
    probe().await;
    (done, slowest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_108_a_probe_is_answered_within_a_second_whatever_others_keep_open() {
    crate::open_files::raise(4_096);
    for request in [NOTHING, HALF_A_HEAD, KEPT, HALF_A_BODY, SCRAPE] {
        for (count, sources) in [(64, 1..2), (64, 1..51), (1_024, 1..2), (1_024, 1..51)] {
            // Longer than what the system takes for a neighbour that does not read.
            let text: Render = Arc::new(|| Ok("#".repeat(256 << 10)));
            let served = serve_metrics(Liveness::default(), Limits { request: GENEROUS, ..LIMITS }, text);
            let (held, slowest) =
                probed(served.address, neighbours(served.address, count, sources.clone(), request)).await;
            assert!(slowest < PROBED, "{slowest:?} beside {count} from {sources:?} that send {request:?}");
            drop(held);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_108_more_connections_than_there_are_places_displace_each_other_and_no_probe() {
    crate::open_files::raise(4_096);
    let few = Limits { slots: SlotLimits { total: 64, per_source: 64, grace: GENEROUS }, ..LIMITS };
    for (request, sources) in [(NOTHING, 2..3), (NOTHING, 2..52), (HALF_A_HEAD, 2..52)] {
        let served = serve_metrics(Liveness::default(), few, Arc::new(|| Ok(String::new())));
        let (held, slowest) = probed(served.address, neighbours(served.address, 1_024, sources, request)).await;
        assert!(slowest < PROBED, "{slowest:?} beside {request:?}");
        drop(held);
    }
}

#[tokio::test]
async fn case_108_a_connection_ends_with_its_answer() {
    let served = serve(Liveness::default(), GENEROUS);
    for path in ["/livez", "/readyz", "/metrics", "/nothing"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: keep-alive\r\n\r\n");
        let answer = exchange(served.address, &request).await;
        assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn case_108_a_peer_that_reads_no_answer_is_cut_off_after_the_limit() {
    let limit = Duration::from_millis(300);
    let text: Render = Arc::new(|| Ok("#".repeat(8 << 20)));
    let served = serve_metrics(Liveness::default(), Limits { request: limit, ..LIMITS }, text);
    let mut deaf = neighbours(served.address, 1, 1..2, SCRAPE).await.remove(0);
    tokio::time::sleep(2 * limit).await;
    let mut read = Vec::new();
    drop(tokio::time::timeout(GENEROUS, deaf.read_to_end(&mut read)).await.expect("the server closes"));
    assert!(read.len() < 8 << 20, "all of {} bytes", read.len());
}

/// Probes as the kubelet does, outside of the process.
fn get_blocking(address: SocketAddr) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(GENEROUS)).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: probe\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer, began.elapsed())
}

#[tokio::test]
async fn case_108_a_probe_does_not_wait_for_the_rest_of_the_process() {
    let served = serve(Liveness::default(), GENEROUS);
    // The first one starts the thread.
    assert!(get(served.address, "/livez").await.starts_with("HTTP/1.1 200"));
    let address = served.address;
    let kubelet = std::thread::spawn(move || get_blocking(address));
    // Nothing else of this process gets a turn.
    std::thread::sleep(2 * PROBED);
    let (answer, took) = kubelet.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && took < PROBED, "{took:?}: {answer}");
}

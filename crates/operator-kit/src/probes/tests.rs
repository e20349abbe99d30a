//! The probes over real connections.

mod neighbours;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::metrics::Metrics;

const GENEROUS: Duration = Duration::from_secs(20);

struct Served {
    address: SocketAddr,
    readiness: Readiness,
    shutdown: CancellationToken,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

fn serve(liveness: Liveness, limit: Duration) -> Served {
    let metrics = Metrics::new("some_operator", vec![("version", "1".to_owned())]);
    serve_metrics(liveness, Limits { request: limit, ..LIMITS }, Arc::new(move || metrics.render()))
}

fn serve_metrics(liveness: Liveness, limits: Limits, metrics: Render) -> Served {
    let (shutdown, stop) = (CancellationToken::new(), CancellationToken::new());
    let readiness = Readiness::new(shutdown.clone());
    let server = ProbeServer::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = server.address();
    let probes = Probes { readiness: readiness.clone(), liveness, metrics };
    let server = tokio::spawn(server.serve_within(probes, stop.clone(), limits));
    Served { address, readiness, shutdown, stop, server }
}

/// Sends these bytes and reads until the server closes the connection.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(GENEROUS, stream.read_to_string(&mut answer)).await.expect("the server closes").unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn readyz_names_what_is_pending_until_all_is_passed_and_again_at_shutdown() {
    let served = serve(Liveness::default(), GENEROUS);
    let gate = served.readiness.gate("caches");
    let answer = get(served.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready\ncaches: waiting\n"), "{answer}");
    gate.pass();
    let answer = get(served.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    served.shutdown.cancel();
    let answer = get(served.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("shutting down"), "{answer}");
}

#[tokio::test]
async fn livez_follows_the_heartbeat_and_nothing_else() {
    let heart = Liveness::new(Duration::ZERO);
    let served = serve(heart, GENEROUS);
    let _closed = served.readiness.gate("never passed");
    tokio::time::sleep(Duration::from_millis(2)).await;
    let answer = get(served.address, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("has not turned for"), "{answer}");
    let alive = serve(Liveness::default(), GENEROUS);
    let _closed = alive.readiness.gate("never passed");
    assert!(get(alive.address, "/livez").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn metrics_are_open_metrics_and_other_paths_are_not_found() {
    let served = serve(Liveness::default(), GENEROUS);
    let answer = get(served.address, "/metrics").await;
    assert!(answer.contains("some_operator_build_info{version=\"1\"} 1\n"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{answer}");
    assert!(get(served.address, "/").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_though_bytes_trickle_in() {
    let limit = Duration::from_millis(300);
    let served = serve(Liveness::default(), limit);
    let began = Instant::now();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let trickle = async {
        while stream.write_all(b"GET").await.is_ok() {
            tokio::time::sleep(limit / 10).await;
        }
    };
    tokio::time::timeout(GENEROUS, trickle).await.expect("the server closes");
    assert!(began.elapsed() >= limit, "not before the limit");
}

#[tokio::test]
async fn idle_connections_free_their_slots() {
    let served = serve(Liveness::default(), Duration::from_millis(300));
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    assert!(get(served.address, "/livez").await.starts_with("HTTP/1.1 200"), "served once the idle ones are cut off");
    drop(idle);
}

#[tokio::test]
async fn it_serves_until_stopped_and_does_not_wait_for_idle_connections() {
    let served = serve(Liveness::default(), 4 * GENEROUS);
    served.shutdown.cancel();
    assert!(get(served.address, "/livez").await.starts_with("HTTP/1.1 200"), "alive while it drains");
    let half = TcpStream::connect(served.address).await.unwrap();
    half.writable().await.unwrap();
    half.try_write(b"GET /livez HTTP/1.1\r\n").unwrap();
    served.stop.cancel();
    tokio::time::timeout(GENEROUS, served.server).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_remedy() {
    let first = ProbeServer::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let text = ProbeServer::bind(first.address()).unwrap_err().to_string();
    assert!(text.contains(&first.address().to_string()) && text.contains("free port"), "{text}");
}

//! One plain HTTP GET, for the operator's probes and metrics.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// GETs `http://ADDRESS/PATH` and gives status and body. Never goes through a proxy.
///
/// # Errors
/// The reason in words, also when there is no whole answer within 5 s.
pub async fn get(address: &str, path: &str) -> Result<(u16, String), String> {
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange(address, path)).await;
    let answer = answer.map_err(|_| format!("http://{address}{path} did not answer within 5 s"))?;
    let answer = answer.map_err(|error| format!("http://{address}{path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("an answer without a status")?;
    Ok((status, body.to_owned()))
}

/// HTTP/1.0, so that the answer is neither chunked nor kept alive.
async fn exchange(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

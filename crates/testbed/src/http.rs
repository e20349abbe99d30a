//! A plain HTTP client for tests that speak to a server directly.
#![allow(clippy::expect_used, clippy::missing_panics_doc, clippy::must_use_candidate, reason = "for tests")]

use std::sync::OnceLock;
use std::time::Duration;

/// A client without pooled connections (each request opens a connection of its own), proxies or redirects. It is made
/// once, since making one reads the system's certificates.
pub fn plain_client() -> reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        // Another test may have installed the provider already; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client without TLS settings")
    });
    made.clone()
}

/// GETs `http://ADDRESS/PATH` and gives status and body.
///
/// # Errors
/// The reason as text; also when no complete answer arrives within 5 s.
pub async fn get(address: &str, path: &str) -> Result<(u16, String), String> {
    let url = format!("http://{address}{path}");
    let failed = |error: reqwest::Error| format!("{url}: {error}");
    let answer = plain_client().get(&url).timeout(Duration::from_secs(5)).send().await.map_err(failed)?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await.map_err(failed)?))
}

/// The text of `/metrics` at an `address:port`.
///
/// # Panics
/// When it does not answer with 200.
pub async fn metrics(address: &str) -> String {
    match get(address, "/metrics").await {
        Ok((200, text)) => text,
        other => panic!("/metrics: {other:?}"),
    }
}

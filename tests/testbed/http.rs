//! A plain HTTP client for tests that speak to a server directly.
#![allow(clippy::expect_used, clippy::missing_panics_doc, clippy::must_use_candidate, reason = "for tests")]

use std::time::Duration;

/// A client without pooled connections (each request meets the server as it is now), proxies or redirects.
pub fn plain_client() -> reqwest::Client {
    // Another test may have been first; the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client without TLS settings")
}

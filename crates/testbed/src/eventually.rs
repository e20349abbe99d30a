//! Waiting until a condition holds, and checking that it goes on holding.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Asks again every 20 ms (50 ms after the first second) until the answer is `Ok`, and gives its value.
///
/// # Panics
/// After `timeout`, with what was waited for and the last reason why it was not so. Inside
/// [`crate::namespace::with_namespace`] the objects, Events and logs follow.
pub async fn eventually<T>(
    what: impl Display,
    timeout: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    loop {
        let reason = match ask().await {
            Ok(value) => return value,
            Err(reason) => reason,
        };
        let waited = started.elapsed();
        assert!(waited < timeout, "waited {:.1} s for {what}; at last: {reason}", waited.as_secs_f64());
        let pause = if waited < Duration::from_secs(1) { 20 } else { 50 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// Checks every 20 ms that the answer stays `Ok` for all of `time`: for what must not happen.
///
/// # Panics
/// At the first `Err`, with its reason and when it came.
pub async fn always(what: impl Display, time: Duration, mut ask: impl AsyncFnMut() -> Result<(), String>) {
    let started = Instant::now();
    loop {
        if let Err(reason) = ask().await {
            panic!("{what}: no longer so after {:.1} s: {reason}", started.elapsed().as_secs_f64());
        }
        if started.elapsed() >= time {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

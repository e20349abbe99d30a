//! How many certificates each webhook has served.

use std::collections::BTreeSet;
use std::time::Duration;

use testbed::webhook::{Webhook, sum};

use crate::clock::Clock;

/// The end of the certificate that is served, which differs for each certificate.
const NOT_AFTER: &str = "pact_operator_gate_certificate_not_after_timestamp_seconds";
/// How often it is read.
const EVERY: Duration = Duration::from_secs(5);
/// The two minutes between two certificates, with the time until the webhook's next check, in seconds.
const BETWEEN: u32 = 130;

/// How many times each webhook has replaced its certificate until the run is over.
pub async fn rotations(webhooks: &[(String, String)], clock: Clock) -> Vec<(String, usize)> {
    let mut seen: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); webhooks.len()];
    while clock.elapsed() < clock.length() {
        for ((_, address), seen) in webhooks.iter().zip(&mut seen) {
            if let Ok((200, metrics)) = testbed::http::get(address, "/metrics").await {
                seen.insert(sum(&metrics, NOT_AFTER));
            }
        }
        clock.wait((clock.elapsed() + EVERY).min(clock.length())).await;
    }
    let names = webhooks.iter().map(|(name, _)| name.clone());
    names.zip(seen.iter().map(|seen| seen.len().saturating_sub(1))).collect()
}

/// How many there must be at least in a run.
pub fn expected(clock: Clock) -> usize {
    usize::try_from(clock.minutes * 60 / BETWEEN).expect("a number of certificates")
}

/// The name of each webhook, and where its metrics are.
pub fn addresses(webhooks: &[Webhook]) -> Vec<(String, String)> {
    webhooks.iter().map(|one| (one.name().to_owned(), one.probe_address().to_owned())).collect()
}

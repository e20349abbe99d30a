//! How long an answer may take: the API server says how long it waits, and ours has to be there before.

use std::time::Duration;

/// What the API server waits when it does not say (the default of `timeoutSeconds` in `admissionregistration/v1`).
const DEFAULT: Duration = Duration::from_secs(10);
/// What it waits at the longest: `timeoutSeconds` goes up to 30. Whoever says more is no API server.
const LONGEST: Duration = Duration::from_secs(30);
/// The least and the most that is left for sending the answer.
const RESERVE: std::ops::RangeInclusive<Duration> = Duration::from_millis(400)..=Duration::from_secs(2);

/// How long we may take for a call whose query is this: `timeout=10s`, as the API server appends it, 30 s at most, less
/// a reserve of a fifth (0.4 s at least, 2 s at most) for the network and a machine that is busy.
#[must_use]
pub fn budget(query: Option<&str>) -> Duration {
    let stated = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("timeout="));
    let timeout = stated.and_then(go_duration).filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT);
    let reserve = (timeout / 5).clamp(*RESERVE.start(), *RESERVE.end());
    timeout.saturating_sub(reserve)
}

/// A duration as Go writes it: `10s`, `1m30s`, `500ms`, `1.5s`; [`LONGEST`] where it is longer. See
/// <https://pkg.go.dev/time#Duration.String>.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "%C2%B5s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number * seconds;
        rest = &rest[unit..];
    }
    // More digits than there are numbers for are infinity, which is longer as well.
    Duration::try_from_secs_f64(total.min(LONGEST.as_secs_f64())).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_api_servers_timeout_less_a_reserve_is_the_budget() {
        for (query, budgeted) in [
            (None, 8_000),
            (Some("timeout=10s"), 8_000),
            (Some("timeout=30s"), 28_000),
            (Some("timeout=5s"), 4_000),
            (Some("timeout=1s"), 600),
            (Some("x=1&timeout=3s"), 2_400),
            (Some("timeout=29s"), 27_000),
            (Some("timeout=1.5s"), 1_100),
            (Some("timeout=500ms"), 100),
            (Some("timeout=soon"), 8_000),
            (Some("timeout="), 8_000),
            (Some("timeout=0s"), 8_000),
            (Some("timeout=-1s"), 8_000),
        ] {
            assert_eq!(budget(query), Duration::from_millis(budgeted), "{query:?}");
        }
    }

    #[test]
    fn case_111_no_timeout_is_longer_than_the_longest_that_an_api_server_has() {
        let (longest, default) = (28_000, 8_000);
        for (timeout, budgeted) in [
            ("31s".to_owned(), longest),
            ("1m0s".to_owned(), longest),
            ("24h".to_owned(), longest),
            ("9999999999999999999s".to_owned(), longest),
            ("99999999999999999999999h".to_owned(), longest),
            (format!("{}s", "9".repeat(400)), longest),
            (format!("1s{}h", "9".repeat(400)), longest),
            (format!("1.{}s", "0".repeat(400)), 600),
            (format!("0.{}1s", "0".repeat(400)), default),
            ("1ns".to_owned(), 0),
            ("-9999999999999999999s".to_owned(), default),
            ("-1s".to_owned(), default),
            ("+5s".to_owned(), default),
            ("NaN".to_owned(), default),
            ("NaNs".to_owned(), default),
            ("infs".to_owned(), default),
            ("1e300s".to_owned(), default),
            ("1.2.3s".to_owned(), default),
            ("5".to_owned(), default),
            ("5d".to_owned(), default),
            ("s".to_owned(), default),
        ] {
            let query = format!("timeout={timeout}");
            assert_eq!(budget(Some(&query)), Duration::from_millis(budgeted), "{query}");
        }
    }

    /// What is nearly a duration, and often one.
    const DURATION: &str = r"([-+]?([0-9]{0,30}(\.[0-9]{0,30})?(h|m|s|ms|us|µs|ns|d|)){0,4}|NaN|inf)s?";

    proptest! {
        #[test]
        fn case_111_no_query_makes_it_panic_or_wait_for_longer(query in ".*", duration in DURATION) {
            for query in [query.clone(), format!("timeout={query}"), format!("timeout={duration}")] {
                let budget = budget(Some(&query));
                prop_assert!(budget <= Duration::from_secs(28), "{query}: {budget:?}");
                // What a request's deadline is made of.
                let _ = tokio::time::Instant::now() + budget;
            }
        }
    }
}

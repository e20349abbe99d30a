//! Certificates: every row of the plan, any interleaving of replicas, the formats, and which certificates are accepted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::authority::Authority;

mod forms;
mod interleavings;
mod rows;
mod trusting;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const NAME: &str = "test authority";

/// A time, counted from the start of the tests' clock.
fn at(after: Duration) -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000) + after
}

fn authority(made: Duration, life: Duration) -> Authority {
    Authority::create(NAME, at(made), life).unwrap()
}

//! The election: every row of its decision, any interleaving of its participants, each of its requests.

use std::time::Duration;

use super::Terms;

mod interleavings;
mod leading;
mod requests;
mod rows;

const SECOND: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    Terms { duration: 15 * SECOND, renew_every: 5 * SECOND, act_for: 10 * SECOND, patience: Duration::ZERO }
}

//! How much the memory of each role has grown.

use crate::clock::Clock;
use crate::memory::{Memory, Role, Sample};

/// How much more may be resident in the last minute than in the one that ended the first third of the run.
pub const MOST: f64 = 0.02;

/// Medians over a minute of samples, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// In the minute that ended the first third.
    pub third: u64,
    /// In the minute that ended the second third.
    pub two_thirds: u64,
    /// In the last minute.
    pub end: u64,
}

impl Growth {
    /// Of this figure of the samples.
    ///
    /// # Errors
    /// When a role has no sample in one of the minutes: its process did not run.
    pub fn of(memory: &Memory, clock: Clock, role: Role, figure: impl Fn(&Sample) -> u64) -> Result<Self, String> {
        let median = |minute| {
            let median = memory.median(role, minute, &figure);
            median.ok_or_else(|| format!("no {} ran in minute {minute}", role.name()))
        };
        let third = clock.first_third();
        let two_thirds = (2 * third).min(clock.minutes);
        Ok(Self { third: median(third)?, two_thirds: median(two_thirds)?, end: median(clock.minutes)? })
    }

    /// From the first third to the end, as a part of what it was: 0.02 is 2 %.
    pub fn part(&self) -> f64 {
        self.end as f64 / self.third as f64 - 1.0
    }

    /// From the second third to the end. Where this is much less than half of [`Self::part`], the curve flattens.
    pub fn late_part(&self) -> f64 {
        self.end as f64 / self.two_thirds as f64 - 1.0
    }
}

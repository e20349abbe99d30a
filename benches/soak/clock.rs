//! The time of a run, in minutes from its start.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// The length of a run whose memory is judged and which is written down, in minutes.
pub const FULL_MINUTES: u32 = 30;

/// When a run began and how long it is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    /// Its length in minutes.
    pub minutes: u32,
}

impl Clock {
    /// Starts now.
    pub fn start(minutes: u32) -> Self {
        assert!(minutes >= 1, "a run takes a minute or more");
        Self { began: Instant::now(), minutes }
    }

    /// Whether the run has the full length or more.
    pub fn is_full(&self) -> bool {
        self.minutes >= FULL_MINUTES
    }

    /// How far the run is.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How far the run was at that moment; `None` before it.
    pub fn at(&self, moment: Instant) -> Option<Duration> {
        moment.checked_duration_since(self.began)
    }

    /// The length of the run.
    pub fn length(&self) -> Duration {
        Duration::from_secs(u64::from(self.minutes) * 60)
    }

    /// Waits until the run is so far.
    pub async fn wait(&self, until: Duration) {
        sleep_until((self.began + until).into()).await;
    }

    /// The first of the two minutes whose memory is compared: the one at the end of the first third.
    pub fn first_third(&self) -> u32 {
        (self.minutes / 3).max(1)
    }
}

/// The minute in which something happened, from 1: the second 0 is in minute 1.
pub fn minute(elapsed: Duration) -> u32 {
    u32::try_from(elapsed.as_secs() / 60).expect("a run of hours") + 1
}

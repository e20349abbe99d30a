//! How much is measured.

use std::time::Duration;

/// The numbers of one run.
pub struct Sizes {
    /// How often the measured and its floors take turns.
    pub turns: usize,
    /// How long each turn is.
    pub turn: Duration,
    /// How many reviews are under way at once when the webhook is called directly.
    pub direct: &'static [usize],
    /// How many clients the API server has.
    pub clients: &'static [usize],
    /// Uncached questions, one after the other.
    pub uncached: usize,
    /// Equal questions at once.
    pub equal: usize,
    /// Questions without an answer.
    pub unanswered: usize,
    /// Cached reviews in a second that go on meanwhile.
    pub rate: u32,
    /// How long they are measured without and with those questions.
    pub steady: Duration,
    /// `PactDeployment`s, and as many namespaces.
    pub known: &'static [usize],
}

impl Sizes {
    /// What `benches/RESULTS.md` shows.
    pub fn full() -> Self {
        Self {
            turns: 5,
            turn: Duration::from_millis(1_200),
            direct: &[1, 16, 64],
            clients: &[1, 16, 100],
            uncached: 100,
            equal: 500,
            unanswered: 1_000,
            rate: 300,
            steady: Duration::from_secs(12),
            known: &[1_000, 10_000],
        }
    }

    /// Enough to see that the measurements work.
    pub fn quick() -> Self {
        Self {
            turns: 2,
            turn: Duration::from_millis(500),
            direct: &[1, 16],
            clients: &[1, 4],
            uncached: 8,
            equal: 50,
            unanswered: 300,
            rate: 50,
            steady: Duration::from_secs(10),
            known: &[50, 200],
        }
    }
}

//! The gate's ratios of `make bench-quick`.

use std::time::Duration;

use crate::report::ratios::{self, Ratios};
use crate::setup::Setup;
use crate::sizes::Sizes;
use crate::{direct, uncached};

const PARTS: [&str; 2] = ["reviews", "questions"];
/// How many new questions are asked in a run.
const QUESTIONS: usize = 30;

/// Compares them with those that are checked in, or writes them anew.
///
/// # Errors
/// What became much worse.
pub async fn measure(update: bool) -> Result<(), String> {
    let setup = Setup::new().await;
    let sizes = Sizes { turns: 4, turn: Duration::from_secs(1), ..Sizes::quick() };
    let mut run = 0;
    let part = async |part: &str| {
        run += 1;
        if part == "reviews" { reviews(&setup, &sizes).await } else { questions(&setup, run).await }
    };
    if update {
        ratios::update(&PARTS, part).await;
        return Ok(());
    }
    ratios::compare(&PARTS, part).await
}

/// Remembered verdicts, 16 at once, beside the webhook that always says yes.
async fn reviews(setup: &Setup, sizes: &Sizes) -> Ratios {
    let (time, cpu) = direct::beside_floor(setup, 16, sizes).await;
    Ratios::from([
        ("gate: CPU of a review".to_owned(), cpu),
        ("gate: time for each review, 16 at once".to_owned(), time),
    ])
}

async fn questions(setup: &Setup, run: usize) -> Ratios {
    let asked = uncached::requests_per_question(setup, run, QUESTIONS).await;
    Ratios::from([("gate: broker requests of a question".to_owned(), asked)])
}

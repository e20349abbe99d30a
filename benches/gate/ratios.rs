//! The gate's ratios of `make bench-quick`.

use std::time::Duration;

use crate::report::asked::judge_ratios;
use crate::report::ratios::Ratios;
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
    let sizes = Sizes { turns: 4, turn: Duration::from_secs(1), ..Sizes::quick() };
    // A cluster for each: what was admitted is on its way, and would be asked about, too.
    let part = async |part: &str| {
        let setup = Setup::new().await;
        if part == "reviews" { reviews(&setup, &sizes).await } else { questions(&setup).await }
    };
    judge_ratios(update, &PARTS, part).await
}

/// Remembered verdicts, 16 at once, beside the webhook that always says yes.
async fn reviews(setup: &Setup, sizes: &Sizes) -> Ratios {
    let (time, cpu) = direct::beside_floor(setup, 16, sizes).await;
    Ratios::from([
        ("gate: CPU of a review".to_owned(), cpu),
        ("gate: time for each review, 16 at once".to_owned(), time),
    ])
}

/// New questions, one after the other.
async fn questions(setup: &Setup) -> Ratios {
    let asked = uncached::requests_per_question(setup, QUESTIONS).await;
    Ratios::from([("gate: broker requests of a question".to_owned(), asked)])
}

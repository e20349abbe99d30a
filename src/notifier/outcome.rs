//! What an answer of a sink means for the announcement. Pure.

use std::time::Duration;

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// The template makes nothing of it: nothing is sent.
    LeftOut,
    /// It is tried again.
    Again {
        /// Why.
        why: String,
        /// How long the sink wants to be left alone, if it said so.
        pause: Option<Duration>,
    },
    /// The sink will never take this announcement.
    Refused {
        /// Why.
        why: String,
    },
    /// The template makes no JSON of it.
    Unmakeable {
        /// Why.
        why: String,
    },
}

/// What a status means. Only where it says that the content itself is bad, another try is without sense: all else may be
/// mended at the sink, or in the operator's settings. And only a sink that `takes` others knows what is bad: one that never
/// took any may be something else altogether, such as a port that speaks TLS.
pub(super) fn outcome(status: u16, pause: Option<Duration>, takes: bool) -> Outcome {
    let again = |why: String| Outcome::Again { why, pause };
    match status {
        200..=299 => Outcome::Delivered,
        300..=399 => again(format!("it answers {status}: it is elsewhere; give the URL that it redirects to")),
        400 | 413 | 415 | 422 if takes => Outcome::Refused { why: format!("it answers {status}") },
        400 | 413 | 415 | 422 => again(format!(
            "it answers {status}, and took nothing since the start: is its URL right, and does it take what is sent?"
        )),
        401 | 403 => {
            again(format!("it answers {status}: it does not take the credentials; look at the Secret of the sink"))
        }
        404 | 405 | 410 => again(format!("it answers {status}: nothing takes announcements there; look at its URL")),
        429 => again("it answers 429: too many requests".to_owned()),
        _ => again(format!("it answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_the_content_is_bad_of_a_sink_that_takes_others_ends_the_tries() {
        for takes in [true, false] {
            for status in [200, 201, 202, 204] {
                assert_eq!(outcome(status, None, takes), Outcome::Delivered, "{status}");
            }
            for status in [400, 413, 415, 422] {
                let refused = matches!(outcome(status, None, takes), Outcome::Refused { .. });
                assert_eq!(refused, takes, "{status}");
            }
            for status in [301, 308, 401, 403, 404, 405, 408, 410, 425, 429, 500, 502, 503, 504, 599] {
                let pause = Some(Duration::from_secs(7));
                let outcome = outcome(status, pause, takes);
                assert!(matches!(outcome, Outcome::Again { pause: said, .. } if said == pause), "{status}");
            }
        }
    }
}

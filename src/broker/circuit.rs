//! Whether a failed broker is asked again yet. Pure: the caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

/// How many failures in a row open the circuit.
const FAILURES: u32 = 3;
/// How long the circuit stays open at first; the time doubles after each failed try.
const FIRST_REST: Duration = Duration::from_secs(1);
/// How long the circuit stays open at most: admissions are not checked for that long after the broker has recovered.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Closed while the broker answers; open while it is not asked; half open while one question tries it.
#[derive(Debug)]
pub(super) struct Circuit<Q> {
    failures: u32,
    /// The question that failed last: if the broker cannot answer one question that is repeated, the others must still
    /// be asked.
    last: Option<Q>,
    rest: Option<Rest>,
}

impl<Q> Default for Circuit<Q> {
    fn default() -> Self {
        Self { failures: 0, last: None, rest: None }
    }
}

#[derive(Debug)]
struct Rest {
    until: Instant,
    /// A question is in flight that tries the broker.
    trying: bool,
    cause: String,
}

impl<Q: PartialEq> Circuit<Q> {
    /// Whether a question may be sent now; otherwise why not. The caller must report its result.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), String> {
        match &mut self.rest {
            Some(rest) if rest.trying || now < rest.until => Err(format!(
                "it failed {} times in a row and is left alone for some seconds ({})",
                self.failures, rest.cause
            )),
            Some(rest) => {
                rest.trying = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A question was answered, whatever the answer.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// A question was not answered.
    pub(super) fn failed(&mut self, now: Instant, question: Q, cause: &str) {
        match &self.rest {
            None if self.last.as_ref() == Some(&question) => return,
            // Sent before the circuit opened: many failures at once prove no more than three.
            Some(rest) if !rest.trying => return,
            _ => {}
        }
        self.last = Some(question);
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            let doubled = FIRST_REST.saturating_mul(1 << (self.failures - FAILURES).min(8));
            let until = now + doubled.min(LONGEST_REST);
            self.rest = Some(Rest { until, trying: false, cause: cause.to_owned() });
        }
    }

    /// A question was abandoned before its result was known.
    pub(super) fn given_up(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_after_three_failures_lets_one_try_and_closes_when_that_is_answered() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        for question in 0..2 {
            assert!(circuit.admit(start).is_ok());
            circuit.failed(start, question, "no connection");
        }
        assert!(circuit.admit(start).is_ok(), "two failures are not enough");
        circuit.failed(start, 2, "no connection");
        let refused = circuit.admit(start).unwrap_err();
        assert!(refused.contains("3 times") && refused.contains("no connection"), "{refused}");
        assert!(circuit.admit(start + SECOND / 2).is_err());
        assert!(circuit.admit(start + SECOND).is_ok(), "one tries");
        assert!(circuit.admit(start + SECOND).is_err(), "and only one");
        circuit.failed(start + SECOND, 2, "no connection");
        assert!(circuit.admit(start + 2 * SECOND).is_err(), "the rest has doubled");
        assert!(circuit.admit(start + 3 * SECOND).is_ok());
        circuit.answered();
        assert!(circuit.admit(start + 3 * SECOND).is_ok());
        assert!(circuit.admit(start + 3 * SECOND).is_ok());
    }

    #[test]
    fn simultaneous_failures_do_not_prolong_the_rest_and_failed_tries_double_it_up_to_a_bound() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        for question in 0..1_000 {
            circuit.failed(start, question, "x");
        }
        let mut now = start + SECOND;
        for rest in [2, 4, 8, 10, 10] {
            assert!(circuit.admit(now).is_ok(), "it is tried again, at last before a rest of {rest} s");
            circuit.failed(now, 7, "x");
            assert!(circuit.admit(now + rest * SECOND - SECOND / 2).is_err(), "{rest} s");
            now += rest * SECOND;
        }
    }

    #[test]
    fn failures_count_only_in_a_row_and_the_rest_is_bounded() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        for _ in 0..10 {
            circuit.failed(start, 1, "x");
            circuit.failed(start, 2, "x");
            circuit.answered();
        }
        assert!(circuit.admit(start).is_ok());
        for question in 0..1_000 {
            circuit.failed(start, question, "x");
        }
        assert!(circuit.admit(start + LONGEST_REST).is_ok());
    }

    #[test]
    fn an_abandoned_try_allows_the_next() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        for question in 0..3 {
            circuit.failed(start, question, "x");
        }
        assert!(circuit.admit(start + SECOND).is_ok());
        circuit.given_up();
        assert!(circuit.admit(start + SECOND).is_ok());
    }

    #[test]
    fn one_question_that_the_broker_cannot_answer_does_not_open_the_circuit() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        for _ in 0..100 {
            circuit.failed(start, "the one", "HTTP 500");
        }
        assert!(circuit.admit(start).is_ok());
    }
}

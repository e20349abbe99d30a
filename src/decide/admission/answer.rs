//! What the API server gets for a review.

use super::{Bypass, Decision, Finding, Notice, Outcome, Unjudged};
use crate::decide::messages;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The text of the denial; `None` admits.
    pub denied: Option<String>,
    /// What is shown to whoever asked.
    pub warnings: Vec<String>,
    /// What the API server's audit log keeps, by a name without prefix.
    pub audit: Vec<(&'static str, String)>,
    /// What is changed in the object: operations of a JSON patch. Only the mutating webhook may.
    pub patch: Vec<serde_json::Value>,
}

impl Answer {
    /// Admitted without warnings.
    #[must_use]
    pub fn allow() -> Self {
        Self::default()
    }

    /// Admitted with one warning.
    #[must_use]
    pub fn allow_with(warning: impl AsRef<str>) -> Self {
        Self { warnings: vec![messages::warning(warning.as_ref())], ..Self::default() }
    }

    /// Denied without a question.
    #[must_use]
    pub fn deny(text: String) -> Self {
        Self { denied: Some(text), ..Self::default() }
    }

    /// Admitted without a question.
    #[must_use]
    pub fn unjudged(why: &Unjudged) -> Self {
        Self { warnings: why.warning().into_iter().collect(), ..Self::default() }
    }

    /// Admitted, with what there is to notice.
    #[must_use]
    pub fn noticed(notices: &[Notice]) -> Self {
        Self { warnings: notices.iter().map(Notice::warning).take(messages::WARNINGS).collect(), ..Self::default() }
    }

    /// The answer that a decision comes to. `link` gives the address of the matrix of a finding, if there is one.
    #[must_use]
    pub fn decided(decision: &Decision, notices: &[Notice], link: impl Fn(&Finding) -> Option<String>) -> Self {
        let denied = (decision.outcome == Outcome::Denied).then(|| messages::denial(decision, link));
        let mut warnings = Vec::new();
        // A statement that does not count is left unsaid where nothing depends on it.
        if decision.outcome != Outcome::Allowed || matches!(decision.bypass, Bypass::Counts(_)) {
            warnings.extend(messages::bypass(&decision.bypass));
        }
        warnings.extend(messages::warnings(decision));
        warnings.extend(messages::cautions(decision));
        warnings.extend(notices.iter().map(Notice::warning));
        warnings.truncate(messages::WARNINGS);
        let verdict = decision.findings.first().map(|finding| ("verdict", finding.cause.name().to_owned()));
        let bypassed = match &decision.bypass {
            Bypass::Counts(it) => Some(("bypass", messages::one_line(&format!("{} {}", it.version, it.reason)))),
            Bypass::Unstated | Bypass::Ineffective(_) => None,
        };
        Self { denied, warnings, audit: verdict.into_iter().chain(bypassed).collect(), patch: Vec::new() }
    }

    /// What a decision comes to for somebody who is not known to be the API server: whether, and not why.
    #[must_use]
    pub fn withheld(decision: &Decision) -> Self {
        match decision.outcome {
            Outcome::Allowed => Self::allow(),
            Outcome::Warned => Self::allow_with(messages::withheld()),
            Outcome::Denied => Self::deny(messages::withheld().to_owned()),
        }
    }

    /// The same answer, with the gate's greeting first.
    #[must_use]
    pub fn greeting(mut self) -> Self {
        self.warnings.insert(0, messages::greeting());
        self.warnings.truncate(messages::WARNINGS);
        self
    }
}

//! Conditions as the Kubernetes API conventions define them: `lastTransitionTime` changes only when the status changes.
//! See <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md>.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// The longest message that the operator writes, in bytes: people read a status in a terminal.
const OUR_MAX_MESSAGE_BYTES: usize = 1_024;

/// The status of a condition, as the API writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}

impl Truth {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

/// The wanted content of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition's type.
    pub type_: &'static str,
    /// Its status.
    pub truth: Truth,
    /// Its reason, CamelCase.
    pub reason: &'static str,
    /// Its message, for people.
    pub message: String,
}

impl Finding {
    /// Makes a finding.
    #[must_use]
    pub fn new(
        type_: &'static str,
        truth: impl Into<Truth>,
        reason: impl Into<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, truth: truth.into(), reason: reason.into(), message: message.into() }
    }
}

/// The conditions after `findings`, which list every condition that the object is to have: the others are dropped. A
/// condition whose status did not change keeps its time.
#[must_use]
pub fn conditions(
    before: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .iter()
        .map(|finding| {
            let status = finding.truth.as_str();
            let since = before
                .iter()
                .find(|old| old.type_ == finding.type_ && old.status == status)
                .map_or(Time(now), |old| old.last_transition_time.clone());
            Condition {
                type_: finding.type_.to_owned(),
                status: status.to_owned(),
                reason: finding.reason.to_owned(),
                message: truncated(&finding.message, OUR_MAX_MESSAGE_BYTES),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// Whether the list holds a condition of that type with status `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == type_ && condition.status == "True")
}

/// At most the first `limit` bytes of a text, cut at a character.
#[must_use]
pub fn truncated(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_changes_only_when_the_status_changes() {
        let first = conditions(&[], &[Finding::new("Ready", false, "A", "a")], Some(1), at(1));
        let same = conditions(&first, &[Finding::new("Ready", false, "B", "b")], Some(2), at(2));
        assert_eq!((same[0].last_transition_time.0, same[0].reason.as_str()), (at(1), "B"));
        assert_eq!(same[0].observed_generation, Some(2));
        let flipped = conditions(&same, &[Finding::new("Ready", true, "C", "")], Some(2), at(3));
        assert_eq!(flipped[0].last_transition_time.0, at(3));
    }

    #[test]
    fn a_condition_without_a_finding_is_dropped() {
        let first = conditions(&[], &[Finding::new("Mixed", true, "A", "")], None, at(1));
        assert!(conditions(&first, &[], None, at(2)).is_empty());
    }

    #[test]
    fn messages_are_cut_at_a_character() {
        let long = "ä".repeat(2_000);
        let cut = truncated(&long, 1_023);
        assert!(cut.len() <= 1_023 && cut.ends_with('…'), "{}", cut.len());
    }
}

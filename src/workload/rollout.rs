//! How far a rollout is.

use std::fmt;

use k8s_openapi::jiff::Timestamp;

/// How far the rollout of a workload is, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Every pod asked for runs the newest template and is available, and none of an older one is left.
    Complete,
    /// No pods are asked for and none are left: it stays recorded, and a template change at zero is finished at once
    /// (case 31).
    ScaledToZero,
    /// Something is still missing; never an error by itself.
    Progressing {
        /// What is missing, for people.
        message: String,
    },
    /// All is there, but pods that were replaced still end. The broker must not say that the old version is gone while
    /// it still answers.
    Terminating {
        /// When waiting ends at the latest, even if pods still hang.
        until: Timestamp,
        /// How many pods still end.
        remaining: i32,
    },
    /// Somebody has only a part of the pods updated for as long as they want: both versions are live, and nothing is
    /// recorded until the rest follows.
    Mixed {
        /// What keeps them apart, for people.
        message: String,
    },
    /// Paused by a person or a tool: nothing is recorded until it goes on (case 26).
    Paused,
    /// The controller gave up for now, mostly `ProgressDeadlineExceeded`. It may still finish later (case 25).
    Failed {
        /// What the controller says.
        message: String,
    },
    /// The object is being deleted.
    Deleting,
}

impl RolloutState {
    /// Whether this is the moment to record: nothing is missing and nothing old is left.
    #[must_use]
    pub fn finished(&self) -> bool {
        matches!(self, Self::Complete | Self::ScaledToZero)
    }

    /// The same state at a later moment at which nothing else was observed: the wait for pods that end is over in time.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        match self {
            Self::Terminating { until, .. } if now >= until => Self::Complete,
            other => other,
        }
    }

    /// The state in one word, as a status shows it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::ScaledToZero => "ScaledToZero",
            Self::Progressing { .. } => "Progressing",
            Self::Terminating { .. } => "Terminating",
            Self::Mixed { .. } => "Mixed",
            Self::Paused => "Paused",
            Self::Failed { .. } => "Failed",
            Self::Deleting => "Deleting",
        }
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::ScaledToZero => f.write_str("scaled to zero"),
            Self::Progressing { message } => write!(f, "progressing: {message}"),
            Self::Terminating { until, remaining } => {
                write!(f, "complete but for {remaining} pods that still end, waited for until {until} at the latest")
            }
            Self::Mixed { message } => write!(f, "mixed: {message}"),
            Self::Paused => f.write_str("paused"),
            Self::Failed { message } => write!(f, "failed: {message}"),
            Self::Deleting => f.write_str("being deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_pods_that_end_is_over_when_its_time_is_and_nothing_else_changes_with_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let terminating = RolloutState::Terminating { until: at(30), remaining: 2 };
        assert_eq!(terminating.clone().at(at(29)), terminating);
        assert_eq!(terminating.clone().at(at(30)), RolloutState::Complete);
        assert_eq!(terminating.at(at(31)), RolloutState::Complete);
        let (progressing, failed) =
            (RolloutState::Progressing { message: String::new() }, RolloutState::Failed { message: String::new() });
        let mixed = RolloutState::Mixed { message: String::new() };
        for state in
            [RolloutState::ScaledToZero, RolloutState::Paused, RolloutState::Deleting, progressing, failed, mixed]
        {
            assert_eq!(state.clone().at(Timestamp::MAX), state);
        }
    }
}

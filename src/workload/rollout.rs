//! The state of a rollout.

use std::fmt;

use k8s_openapi::jiff::Timestamp;

/// The state of a workload's rollout, for any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// No pod of an older template is left, and the newest one has been available as a whole: now, or once before.
    Complete,
    /// No pods are requested and none are left: the version stays recorded, and a template change at zero replicas is
    /// finished at once (case 31).
    ScaledToZero,
    /// Something is still missing; never an error by itself.
    Progressing {
        /// What is missing, for people.
        message: String,
    },
    /// Complete, but replaced pods are still terminating. The broker must not report the old version as
    /// gone while it still answers.
    Terminating {
        /// When waiting ends at the latest, even if pods still hang.
        until: Timestamp,
        /// How many pods are still terminating.
        remaining: i32,
    },
    /// Only a part of the pods is updated, for an unlimited time and on purpose: both versions are live, and nothing is
    /// recorded until the others are updated.
    Mixed {
        /// Why both versions run, for people.
        message: String,
    },
    /// Paused by a person or a tool before it had finished: nothing is recorded until it continues (case 26).
    Paused,
    /// The controller gave up for now, mostly `ProgressDeadlineExceeded`. It may still finish later (case 25).
    Failed {
        /// The message of the controller.
        message: String,
    },
    /// The object is being deleted.
    Deleting,
}

impl RolloutState {
    /// Whether the version may be recorded now: nothing is missing and no old pod is left.
    #[must_use]
    pub fn finished(&self) -> bool {
        matches!(self, Self::Complete | Self::ScaledToZero)
    }

    /// The same state at a later time without a new observation: waiting for terminating pods may have ended.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        match self {
            Self::Terminating { until, .. } if now >= until => Self::Complete,
            other => other,
        }
    }

    /// Whether the name of a state, as a status shows it, is one of a rollout that is not finished.
    #[must_use]
    pub fn named_in_flight(name: &str) -> bool {
        !matches!(name, "Complete" | "ScaledToZero" | "Terminating" | "Deleting")
    }

    /// Whether a workload in the state of this name, as a status shows it, runs nothing and is not about to: it has no
    /// pods, and its rollout does not go on by itself.
    #[must_use]
    pub fn named_idle(name: &str, without_pods: bool) -> bool {
        name == "ScaledToZero" || (without_pods && !matches!(name, "Progressing" | "Mixed" | "Terminating"))
    }

    /// The name of the state, as a status shows it.
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
    fn only_waiting_for_terminating_pods_changes_with_time() {
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

//! What keeps the gate from knowing whether, or how, an environment judges a workload. It is treated as a broker that
//! cannot be asked: the action is that of `brokerUnavailable` (case 77).

use std::fmt;

/// Why it is not known what an environment says about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// The namespace's labels could not be read, and the environment selects by label.
    NamespaceUnread,
    /// The `PactEnvironment` cannot be followed, and never could since this process started.
    BrokenEnvironment {
        /// What is wrong with it.
        problem: String,
    },
    /// Several `PactEnvironment`s claim the namespace, and not each of them allows that.
    Conflicted {
        /// Their names.
        claimants: Vec<String>,
    },
}

impl Unclear {
    /// As metrics and log lines have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NamespaceUnread => "NamespaceUnread",
            Self::BrokenEnvironment { .. } => "InvalidEnvironment",
            Self::Conflicted { .. } => "Conflicted",
        }
    }

    /// What to do about it, as a sentence.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NamespaceUnread => {
                "Apply it again: mostly the namespace is known a moment later. If not, the platform team has to look at the \
                 log of pact-operator-webhook."
            }
            Self::BrokenEnvironment { .. } => {
                "The platform team has to correct the PactEnvironment: kubectl get pactenv."
            }
            Self::Conflicted { .. } => {
                "The platform team has to leave the namespace to one PactEnvironment, or write overlap: Allow in each."
            }
        }
    }
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamespaceUnread => {
                f.write_str("the labels of the namespace could not be read, so it may lie in the environment")
            }
            Self::BrokenEnvironment { problem } => write!(f, "the PactEnvironment cannot be followed: {problem}"),
            Self::Conflicted { claimants } => write!(f, "the namespace is claimed by {}", claimants.join(", ")),
        }
    }
}

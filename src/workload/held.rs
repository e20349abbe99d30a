//! What the annotation of a held workload says: `pact-operator.dev/held: "<version> by=<environment>,… <since>"`, and what was
//! reported since. See docs/contributing/hold.md.

use std::{collections::BTreeSet, fmt};

use k8s_openapi::jiff::Timestamp;

use super::{Workload, WorkloadKind};
use crate::api::names::Version;

/// What begins the names of the environments, between version and time. The time and what was reported stay at the end, where
/// a reader that knows of no names finds them.
const BY: &str = "by=";

/// A hold: the workload is paused until its version may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The version that waits.
    pub version: Version,
    /// The `PactEnvironment`s that hold it; none where nobody noted them.
    pub by: BTreeSet<String>,
    /// Since when, in whole seconds.
    pub since: Timestamp,
    /// What was reported of it, after which it stays paused until that changes.
    pub told: Option<Told>,
}

/// What was reported of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// Its deadline passed.
    Overdue,
    /// The answer is no.
    Refused,
}

impl Told {
    /// As the annotation and metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overdue => "Overdue",
            Self::Refused => "Refused",
        }
    }
}

impl Held {
    /// A hold that begins now.
    #[must_use]
    pub fn begin(version: Version, by: BTreeSet<String>, now: Timestamp) -> Self {
        let since = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self { version, by, since, told: None }
    }

    /// Reads the annotation; `None` when it says something else. A version may hold spaces, so it is read from its end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, last) = text.trim().rsplit_once(' ')?;
        let told = [Told::Overdue, Told::Refused].into_iter().find(|told| told.name() == last);
        let (version, since) = if told.is_some() { rest.rsplit_once(' ')? } else { (rest, last) };
        let noted = version.rsplit_once(' ').and_then(|(version, last)| Some((version, last.strip_prefix(BY)?)));
        let (version, names) = noted.unwrap_or((version, ""));
        let by = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Some(Self { version: Version::parse(version).ok()?, by, since: since.parse().ok()?, told })
    }

    /// The hold of a workload. It is one only while the workload is paused: a person who resumes it ends it.
    #[must_use]
    pub fn of(workload: &Workload) -> Option<Self> {
        let text = workload.annotations.held.as_deref().filter(|_| workload.paused)?;
        Self::parse(text)
    }

    /// Whether workloads of a kind can be held: they have a pause that keeps the old pods, and makes no new one. That of Argo
    /// Rollouts does not hold; docs/contributing/hold.md says what it does.
    #[must_use]
    pub const fn is_possible(kind: WorkloadKind) -> bool {
        matches!(kind, WorkloadKind::Deployment)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version)?;
        for (index, name) in self.by.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { " by=" } else { "," })?;
        }
        write!(f, " {}", self.since)?;
        self.told.map_or(Ok(()), |told| write!(f, " {}", told.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let now: Timestamp = "2026-05-01T10:00:00.75Z".parse().unwrap();
        let by = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let begun = Held::begin(Version::parse("2.0.0").unwrap(), by(&["production"]), now);
        assert_eq!(begun.to_string(), "2.0.0 by=production 2026-05-01T10:00:00Z");
        for told in [None, Some(Told::Overdue), Some(Told::Refused)] {
            for version in ["2.0.0", "a version of words", "Refused", "1 Overdue", "by=1"] {
                for by in [by(&[]), by(&["production"]), by(&["production", "shop.everything"])] {
                    let held = Held { version: Version::parse(version).unwrap(), by, told, ..begun.clone() };
                    assert_eq!(Held::parse(&held.to_string()), Some(held));
                }
            }
        }
        // As it was written before environments were noted.
        let noted = Held::parse("2.0.0 2026-05-01T10:00:00Z Overdue").unwrap();
        assert_eq!(noted, Held { by: by(&[]), told: Some(Told::Overdue), ..begun });
    }

    #[test]
    fn what_somebody_else_wrote_is_no_hold() {
        for text in
            ["", " ", "2.0.0", "2.0.0 soon", "2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z Refused", "2 Refused"]
        {
            assert_eq!(Held::parse(text), None, "{text:?}");
        }
    }
}

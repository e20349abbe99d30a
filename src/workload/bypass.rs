//! The statement by which a workload passes the gate: `pact-operator.dev/bypass: "<version> <reason>"` (case 73).
//!
//! It names one version, so it ends by itself with the next one. The API server compares it first, in a matchCondition of
//! the chart (`charts/pact-operator/templates/_gate.tpl`); what that condition accepts is accepted here, too.

use thiserror::Error;

use super::{ImageReference, Workload, version::chosen_container};
use crate::api::{
    annotations::BYPASS,
    names::{NameError, Version},
};

/// A version that may pass the gate unasked, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BypassStatement {
    /// The only version that it is about.
    pub version: Version,
    /// Why, in the words of who wrote it; never empty.
    pub reason: String,
}

/// Why an annotation is no statement.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StatementError {
    /// Nothing but white space.
    #[error("it is empty: write \"VERSION REASON\"")]
    Empty,
    /// A version, and nothing after it.
    #[error("it gives no reason: write \"{version} REASON\"")]
    NoReason {
        /// What stands there.
        version: Version,
    },
    /// It begins with something that is no version.
    #[error("{0}: write \"VERSION REASON\"")]
    NoVersion(#[source] NameError),
}

impl BypassStatement {
    /// Reads the value of the annotation: a version, white space, and a reason.
    ///
    /// # Errors
    /// When one of the two is missing.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(StatementError::Empty);
        }
        let (version, reason) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let version = Version::parse(version).map_err(StatementError::NoVersion)?;
        match reason.trim() {
            "" => Err(StatementError::NoReason { version }),
            reason => Ok(Self { version, reason: reason.to_owned() }),
        }
    }

    /// The statement of a workload; `None` when it makes none.
    ///
    /// # Errors
    /// When its annotation is no statement.
    pub fn of(workload: &Workload) -> Result<Option<Self>, StatementError> {
        workload.annotations.bypass.as_deref().map(Self::parse).transpose()
    }

    /// Whether it is about what the workload runs: the version that the environment's rules find in it (`resolved`), or
    /// the one that is evident without them, which is all that the API server can compare.
    #[must_use]
    pub fn covers(&self, workload: &Workload, resolved: Option<&Version>) -> bool {
        resolved == Some(&self.version) || evident_version(workload).as_deref() == Some(self.version.as_str())
    }
}

/// The version that a workload shows without anybody's rules: its annotation, or else the whole tag of the container that
/// counts. `latest` is never a version: a statement about it would never end.
fn evident_version(workload: &Workload) -> Option<String> {
    let text = match workload.annotations.version.as_deref() {
        Some(stated) => Some(stated.trim().to_owned()),
        None => ImageReference::parse(&chosen_container(workload).ok()?.image).tag,
    };
    text.filter(|text| !text.eq_ignore_ascii_case("latest"))
}

/// Why an annotation does not count, as a clause: `pact-operator.dev/bypass does not count: …`.
#[must_use]
pub fn does_not_count(why: &impl std::fmt::Display) -> String {
    format!("{BYPASS} does not count: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Container, PactAnnotations, RolloutState, WorkloadKind, WorkloadRef};

    fn workload(version: Option<&str>, container: Option<&str>, images: &[&str]) -> Workload {
        Workload {
            reference: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".into(), name: "orders".into() },
            uid: String::new(),
            generation: 1,
            annotations: PactAnnotations {
                pacticipant: Some("orders".into()),
                container: container.map(Into::into),
                version: version.map(Into::into),
                ..PactAnnotations::default()
            },
            version_label: None,
            default_container: None,
            stray_keys: Box::default(),
            paused: false,
            at_zero: false,
            without_pods: false,
            containers: images
                .iter()
                .enumerate()
                .map(|(number, image)| Container { name: format!("c{number}"), image: (*image).into() })
                .collect(),
            rollout: RolloutState::Complete,
            deleting: false,
            controlled: false,
            canary_owner: None,
            revisions: None,
            jobs: Box::default(),
        }
    }

    #[test]
    fn a_statement_is_a_version_and_a_reason() {
        for text in ["2.0.0 the shop is down", "  2.0.0   the shop is down\n", "2.0.0\tthe shop is down"] {
            let statement = BypassStatement::parse(text).unwrap();
            assert_eq!(
                (statement.version.as_str(), statement.reason.as_str()),
                ("2.0.0", "the shop is down"),
                "{text:?}"
            );
        }
        assert_eq!(BypassStatement::parse(" \n"), Err(StatementError::Empty));
        let version = Version::parse("2.0.0").unwrap();
        assert_eq!(BypassStatement::parse("2.0.0  "), Err(StatementError::NoReason { version }));
        assert!(matches!(BypassStatement::parse(&format!("{} x", "v".repeat(300))), Err(StatementError::NoVersion(_))));
    }

    #[test]
    fn it_covers_the_version_that_would_run_and_no_other() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let digest = digest.as_str();
        let statement = BypassStatement::parse("2.0.0 why").unwrap();
        for (version, container, images, resolved, covered) in [
            (None, None, &["reg:5000/orders:2.0.0"][..], None, true),
            (None, None, &["reg:5000/orders:2.0.0@DIGEST"], None, true),
            (None, None, &["reg:5000/orders:12.0.0"], None, false),
            (None, None, &["reg:5000/orders@DIGEST"], None, false),
            (Some("2.0.0"), None, &["reg:5000/orders@DIGEST"], None, true),
            (Some("1.0.0"), None, &["reg:5000/orders:2.0.0"], None, false),
            (None, None, &["orders:2.0.0", "proxy:2.0.0"], None, false),
            (None, Some("c0"), &["orders:2.0.0", "proxy:1"], None, true),
            (None, Some("c1"), &["orders:2.0.0", "proxy:1"], None, false),
            // What only the rules of an environment find: a tagPattern, a label.
            (None, None, &["orders:v2.0.0-abc"], Some("2.0.0"), true),
            (None, None, &["orders:v2.0.0-abc"], Some("2.0.1"), false),
        ] {
            let images: Vec<_> = images.iter().map(|image| image.replace("DIGEST", digest)).collect();
            let images: Vec<_> = images.iter().map(String::as_str).collect();
            let resolved = resolved.map(|text| Version::parse(text).unwrap());
            let workload = workload(version, container, &images);
            assert_eq!(statement.covers(&workload, resolved.as_ref()), covered, "{version:?} {container:?} {images:?}");
        }
        let latest = BypassStatement::parse("latest for ever").unwrap();
        assert!(!latest.covers(&workload(None, None, &["orders:latest"]), None));
    }

    #[test]
    fn a_workload_states_it_in_its_annotation() {
        let mut stated = workload(None, None, &["orders:2.0.0"]);
        assert_eq!(BypassStatement::of(&stated), Ok(None));
        stated.annotations.bypass = Some("2.0.0 why".into());
        assert_eq!(BypassStatement::of(&stated).unwrap().unwrap().reason, "why");
        stated.annotations.bypass = Some(String::new());
        assert_eq!(BypassStatement::of(&stated), Err(StatementError::Empty));
    }
}

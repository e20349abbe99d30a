//! Which environments a namespace belongs to.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::{Expression, Selector, SelectorExt};
use thiserror::Error;

use crate::api::names::quoted;

/// Which namespaces an environment claims: named ones, those whose labels match, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceSelector {
    names: BTreeSet<String>,
    /// A selector without requirements matches nothing here.
    labels: Selector,
    everything: bool,
}

/// Why a label selector is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// An operator that is none of the four.
    #[error(
        "the namespace selector's operator {quoted} for the key {key} is unknown: use In, NotIn, Exists or DoesNotExist"
    )]
    UnknownOperator {
        /// The label's key, quoted.
        key: String,
        /// The operator, quoted.
        quoted: String,
    },
    /// `In` or `NotIn` without a value.
    #[error("the namespace selector's operator {operator} for the key {key} needs at least one value: add it")]
    ValuesMissing {
        /// The label's key, quoted.
        key: String,
        /// The operator.
        operator: &'static str,
    },
    /// `Exists` or `DoesNotExist` with values.
    #[error("the namespace selector's operator {operator} for the key {key} takes no values: remove them, or use In")]
    ValuesForbidden {
        /// The label's key, quoted.
        key: String,
        /// The operator.
        operator: &'static str,
    },
}

impl NamespaceSelector {
    /// Reads a selector from a custom resource. A namespace matches when it is named **or** its labels match all of the
    /// selector's `matchLabels` **and** `matchExpressions`. Unlike in Kubernetes an empty selector matches nothing:
    /// only `everything` claims every namespace, so that it cannot happen by mistake.
    ///
    /// # Errors
    /// When an operator is unknown or has values where it takes none, or none where it needs some.
    pub fn parse(
        names: impl IntoIterator<Item = String>,
        selector: Option<&LabelSelector>,
        everything: bool,
    ) -> Result<Self, SelectorError> {
        let mut labels = Selector::default();
        if let Some(selector) = selector {
            labels = selector.match_labels.clone().unwrap_or_default().into_iter().collect();
            for requirement in selector.match_expressions.iter().flatten() {
                labels.extend(expression(requirement)?);
            }
        }
        Ok(Self { names: names.into_iter().collect(), labels, everything })
    }

    /// The namespaces that are claimed by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether a namespace is claimed.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.is_named(name) || (self.selects_by_label() && self.labels.matches(labels))
    }

    /// Whether a namespace is claimed whatever its labels are.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.everything || self.names.contains(name)
    }

    /// Whether labels may make a namespace one that is claimed.
    #[must_use]
    pub fn selects_by_label(&self) -> bool {
        !self.labels.selects_all()
    }
}

/// A requirement in kube's type. kube's own conversion would accept `In` without values and `Exists` with some.
fn expression(requirement: &LabelSelectorRequirement) -> Result<Expression, SelectorError> {
    let key = requirement.key.clone();
    let values: BTreeSet<String> = requirement.values.iter().flatten().cloned().collect();
    let some = |operator| {
        let missing = SelectorError::ValuesMissing { key: quoted(&key), operator };
        if values.is_empty() { Err(missing) } else { Ok(()) }
    };
    let none = |operator| {
        let forbidden = SelectorError::ValuesForbidden { key: quoted(&key), operator };
        if values.is_empty() { Ok(()) } else { Err(forbidden) }
    };
    match requirement.operator.as_str() {
        "In" => some("In").map(|()| Expression::In(key, values)),
        "NotIn" => some("NotIn").map(|()| Expression::NotIn(key, values)),
        "Exists" => none("Exists").map(|()| Expression::Exists(key)),
        "DoesNotExist" => none("DoesNotExist").map(|()| Expression::DoesNotExist(key)),
        unknown => Err(SelectorError::UnknownOperator { key: quoted(&key), quoted: quoted(unknown) }),
    }
}

/// The namespaces that one `PactEnvironment` claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentClaim {
    /// The name of the `PactEnvironment` object.
    pub name: String,
    /// The namespaces it claims.
    pub selector: NamespaceSelector,
    /// Whether it shares them with other environments that allow it too.
    pub overlap_allowed: bool,
}

/// The environments of a namespace. The names are those of `PactEnvironment` objects, in the order of the claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceMapping {
    /// No environment claims it: the operator ignores the namespace.
    Unmapped,
    /// It belongs to these; never empty.
    Mapped(Vec<String>),
    /// These claim it and not all of them allow an overlap: nothing is recorded for it (case 41).
    Conflicted(Vec<String>),
}

/// Where a namespace lies, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The environments that claim it for certain.
    pub mapping: NamespaceMapping,
    /// Those that select by label and may claim it, too, because its labels could not be read (case 77).
    pub possible: Vec<String>,
}

impl From<NamespaceMapping> for Whereabouts {
    fn from(mapping: NamespaceMapping) -> Self {
        Self { mapping, possible: Vec::new() }
    }
}

/// The environments of a namespace.
#[must_use]
pub fn environments_of(
    namespace: &str,
    labels: &BTreeMap<String, String>,
    claims: &[EnvironmentClaim],
) -> NamespaceMapping {
    mapping(&claims.iter().filter(|claim| claim.selector.matches(namespace, labels)).collect::<Vec<_>>())
}

/// The environments of a namespace whose labels could not be read.
#[must_use]
pub fn whereabouts_without_labels(namespace: &str, claims: &[EnvironmentClaim]) -> Whereabouts {
    let (sure, unsure): (Vec<_>, Vec<_>) = claims.iter().partition(|claim| claim.selector.is_named(namespace));
    let possible = unsure.into_iter().filter(|claim| claim.selector.selects_by_label());
    Whereabouts { possible: possible.map(|claim| claim.name.clone()).collect(), mapping: mapping(&sure) }
}

fn mapping(claiming: &[&EnvironmentClaim]) -> NamespaceMapping {
    let names = claiming.iter().map(|claim| claim.name.clone()).collect();
    match claiming {
        [] => NamespaceMapping::Unmapped,
        [_] => NamespaceMapping::Mapped(names),
        several if several.iter().all(|claim| claim.overlap_allowed) => NamespaceMapping::Mapped(names),
        _ => NamespaceMapping::Conflicted(names),
    }
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;

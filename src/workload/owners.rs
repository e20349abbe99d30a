//! Which namespaces may speak for a pacticipant (cases 102 and 103).

use std::collections::BTreeSet;

use thiserror::Error;

use super::glob::Globs;
use crate::api::{environment::OwnerRule, names::Pacticipant};

/// The rules of a `PactEnvironment` about who owns which pacticipants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pacticipants: Globs,
    namespaces: Vec<String>,
}

/// Whether a namespace may speak for a pacticipant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// No rule names the pacticipant: each namespace may.
    Unruled,
    /// A rule names the namespace for it.
    Owned,
    /// Rules name others for it.
    NotOwned(NotOwned),
}

/// A namespace speaks for a pacticipant that is owned by others.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("namespace {namespace} does not own it, {}", but(owners))]
pub struct NotOwned {
    /// The pacticipant.
    pub pacticipant: Pacticipant,
    /// The namespace.
    pub namespace: String,
    /// The namespaces that own it, by name.
    pub owners: Vec<String>,
}

impl Owners {
    /// The rules as written.
    #[must_use]
    pub fn new(rules: &[OwnerRule]) -> Self {
        let rules = rules
            .iter()
            .map(|rule| Rule { pacticipants: Globs::new(&rule.pacticipants), namespaces: rule.namespaces.clone() });
        Self(rules.collect())
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a namespace may speak for a pacticipant: all rules that match it count together.
    #[must_use]
    pub fn ownership(&self, pacticipant: &Pacticipant, namespace: &str) -> Ownership {
        let mut matching = self.0.iter().filter(|rule| rule.pacticipants.matching(pacticipant.as_str()).is_some());
        let Some(first) = matching.next() else { return Ownership::Unruled };
        let owners: BTreeSet<&String> = first.namespaces.iter().chain(matching.flat_map(|it| &it.namespaces)).collect();
        if owners.iter().any(|owner| *owner == namespace) {
            return Ownership::Owned;
        }
        Ownership::NotOwned(NotOwned {
            pacticipant: pacticipant.clone(),
            namespace: namespace.to_owned(),
            owners: owners.into_iter().cloned().collect(),
        })
    }

    /// Why a namespace may not speak for a pacticipant, if so.
    #[must_use]
    pub fn objection(&self, pacticipant: &Pacticipant, namespace: &str) -> Option<NotOwned> {
        match self.ownership(pacticipant, namespace) {
            Ownership::NotOwned(problem) => Some(problem),
            Ownership::Unruled | Ownership::Owned => None,
        }
    }
}

/// Who owns it, as the end of a sentence.
fn but(owners: &[String]) -> String {
    const SHOWN: usize = 3;
    match owners {
        [] => "nobody does".to_owned(),
        [one] => format!("only {one} does"),
        [first @ .., last] if owners.len() <= SHOWN => format!("only {} and {last} do", first.join(", ")),
        _ => format!("only {} and {} more do", owners[..SHOWN].join(", "), owners.len() - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(rules: &[(&[&str], &[&str])]) -> Owners {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let rules = rules.iter().map(|(pacticipants, namespaces)| OwnerRule {
            pacticipants: texts(pacticipants),
            namespaces: texts(namespaces),
        });
        Owners::new(&rules.collect::<Vec<_>>())
    }

    fn ownership(owners: &Owners, pacticipant: &str, namespace: &str) -> String {
        match owners.ownership(&Pacticipant::parse(pacticipant).unwrap(), namespace) {
            Ownership::Unruled => "each may".into(),
            Ownership::Owned => "owned".into(),
            Ownership::NotOwned(problem) => {
                assert_eq!((problem.pacticipant.as_str(), problem.namespace.as_str()), (pacticipant, namespace));
                problem.to_string()
            }
        }
    }

    #[test]
    fn cases_102_and_103_the_namespaces_of_all_rules_that_match_may_speak_for_a_pacticipant() {
        let owners = owners(&[
            (&["orders", "Shop *"], &["shop"]),
            (&["orders-*"], &["shop", "shop-eu"]),
            (&["orders-eu"], &["europe"]),
        ]);
        for (pacticipant, namespace, expected) in [
            ("billing", "anywhere", "each may"),
            ("orders", "shop", "owned"),
            ("orders", "shop-eu", "namespace shop-eu does not own it, only shop does"),
            ("Orders", "shop", "owned"),
            ("ORDERS", "bank", "namespace bank does not own it, only shop does"),
            ("my orders", "bank", "each may"),
            ("Shop Web", "shop", "owned"),
            ("Shop Web", "Shop", "namespace Shop does not own it, only shop does"),
            ("orders-us", "shop-eu", "owned"),
            ("orders-us", "europe", "namespace europe does not own it, only shop and shop-eu do"),
            ("orders-eu", "europe", "owned"),
            ("orders-eu", "shop", "owned"),
            ("orders-eu", "bank", "namespace bank does not own it, only europe, shop and shop-eu do"),
        ] {
            assert_eq!(ownership(&owners, pacticipant, namespace), expected, "{pacticipant} in {namespace}");
        }
    }

    #[test]
    fn a_rule_for_everything_leaves_nothing_free_and_many_owners_are_counted() {
        let owners = owners(&[(&["*"], &["e", "d", "c", "b", "a"])]);
        assert_eq!(ownership(&owners, "anything", "c"), "owned");
        assert_eq!(ownership(&owners, "anything", "z"), "namespace z does not own it, only a, b, c and 2 more do");
        assert!(!owners.is_empty() && Owners::default().is_empty());
        assert_eq!(ownership(&Owners::default(), "anything", "z"), "each may");
    }

    #[test]
    fn a_rule_that_names_nobody_leaves_its_pacticipants_to_nobody() {
        // The schema refuses such a rule.
        let owners = owners(&[(&["orders"], &[])]);
        assert_eq!(ownership(&owners, "orders", "shop"), "namespace shop does not own it, nobody does");
    }
}

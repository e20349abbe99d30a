//! Whether the namespaces that a `PactEnvironment` claims exist (case 116).

use std::collections::BTreeSet;

use super::{Reason, near_miss::nearest};
use crate::{api::condition::Finding, workload::NamespaceSelector};

/// How many missing namespaces a message names.
const SHOWN: usize = 3;

/// The condition `NamespacesFound`, given the names of all namespaces and how many of them the environment claims. It does
/// not change `Ready`: namespaces are often created after their environment.
pub fn found<'a>(claim: &NamespaceSelector, existing: impl Iterator<Item = &'a str>, claimed: usize) -> Finding {
    let (named, existing): (BTreeSet<_>, BTreeSet<_>) = (claim.names().collect(), existing.collect());
    let missing: Vec<_> = named.difference(&existing).copied().collect();
    let message = match missing.as_slice() {
        [] if claimed == 0 => "no namespace has the labels that spec.namespaces.selector asks for".to_owned(),
        [] => return Finding::new("NamespacesFound", true, Reason::NamespacesExist, "each named namespace exists"),
        missing => {
            // A namespace that is named already is not what the other name means.
            let others: Vec<_> = existing.difference(&named).copied().collect();
            absent(missing, &others)
        }
    };
    Finding::new("NamespacesFound", false, Reason::NamespaceMissing, message)
}

fn absent(missing: &[&str], others: &[&str]) -> String {
    let shown: Vec<_> = missing
        .iter()
        .take(SHOWN)
        .map(|name| match nearest(name, others.iter().copied()) {
            Some(near) => format!("{name} (did you mean {near}?)"),
            None => (*name).to_owned(),
        })
        .collect();
    let more = match missing.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (plural, verb) = if missing.len() == 1 { ("", "does") } else { ("s", "do") };
    format!("the namespace{plural} {}{more} {verb} not exist", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::Truth;

    fn condition(names: &[&str], existing: &[&str], claimed: usize) -> (Truth, String) {
        let claim = NamespaceSelector::parse(names.iter().map(|&name| name.to_owned()), None, false).unwrap();
        let condition = found(&claim, existing.iter().copied(), claimed);
        (condition.truth, condition.message)
    }

    #[test]
    fn case_116_a_named_namespace_that_does_not_exist_is_said_with_the_near_miss() {
        for (names, existing, claimed, message) in [
            (&["shop"][..], &["shop", "bank"][..], 1, Ok("each named namespace exists")),
            (&[], &["shop"], 1, Ok("each named namespace exists")),
            (&["shpo"], &["shop", "bank"], 0, Err("the namespace shpo (did you mean shop?) does not exist")),
            (&["web"], &["shop"], 0, Err("the namespace web does not exist")),
            (&["shop", "shop1"], &["shop"], 1, Err("the namespace shop1 does not exist")),
            (
                &["a", "bnak", "c", "d", "e"],
                &["bank"],
                0,
                Err("the namespaces a, bnak (did you mean bank?), c and 2 more do not exist"),
            ),
            (&[], &["shop"], 0, Err("no namespace has the labels that spec.namespaces.selector asks for")),
        ] {
            let expected = match message {
                Ok(message) => (Truth::True, message.to_owned()),
                Err(message) => (Truth::False, message.to_owned()),
            };
            assert_eq!(condition(names, existing, claimed), expected, "{names:?} of {existing:?}");
        }
    }
}

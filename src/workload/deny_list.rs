//! Texts that are never versions.

use super::glob::Globs;
use crate::api::environment::DEFAULT_DENIED_VERSIONS;

/// Globs of texts that are never versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyList(Globs);

impl Default for DenyList {
    /// [`DEFAULT_DENIED_VERSIONS`].
    fn default() -> Self {
        Self::new(DEFAULT_DENIED_VERSIONS)
    }
}

impl DenyList {
    /// A list of globs. An empty list denies nothing (`latest` and digests are still never versions).
    pub fn new<T: AsRef<str>>(globs: impl IntoIterator<Item = T>) -> Self {
        Self(Globs::new(globs))
    }

    /// The first glob that denies a text.
    #[must_use]
    pub fn denies(&self, text: &str) -> Option<&str> {
        self.0.matching(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_17_dirty_and_local_builds_are_denied_whatever_their_case() {
        let list = DenyList::default();
        for denied in ["dev", "MAIN", "Stable", "1.2.3-dirty", "0.0.0-SNAPSHOT", "latest-alpine", "alpine-latest"] {
            assert!(list.denies(denied).is_some(), "{denied}");
        }
        for allowed in ["1.2.3", "main-4f2a9c1", "developer", "dirty-1", "v1", "4f2a9c1", "1.2.3-dev.4"] {
            assert_eq!(list.denies(allowed), None, "{allowed}");
        }
    }
}

//! Texts that are never versions.

use wildmatch::WildMatch;

use crate::api::environment::DEFAULT_DENIED_VERSIONS;

/// Globs of texts that are never versions: `*` is any text, `?` any one character, case is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyList(Vec<String>);

impl Default for DenyList {
    /// [`DEFAULT_DENIED_VERSIONS`].
    fn default() -> Self {
        Self::new(DEFAULT_DENIED_VERSIONS)
    }
}

impl DenyList {
    /// A list of globs. Surrounding white space and empty globs are dropped. An empty list denies nothing (`latest` and
    /// digests are still never versions).
    pub fn new<T: AsRef<str>>(globs: impl IntoIterator<Item = T>) -> Self {
        let globs = globs.into_iter().map(|glob| glob.as_ref().trim().to_lowercase());
        Self(globs.filter(|glob| !glob.is_empty()).collect())
    }

    /// The first glob that denies a text.
    #[must_use]
    pub fn denies(&self, text: &str) -> Option<&str> {
        let text = text.to_lowercase();
        self.0.iter().find(|glob| WildMatch::new(glob).matches(&text)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

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

    #[test]
    fn globs_know_stars_and_question_marks() {
        for (glob, text, matches) in [
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("?", "ö", true),
            ("?", "", false),
            ("pr-*", "PR-12", true),
            ("pr-*", "xpr-12", false),
            ("a**", "a", true),
            ("*", "team/shop", true),
            ("team?shop", "team/shop", true),
            // Special characters of other globs are plain characters here.
            ("[ab]", "a", false),
            ("[ab]", "[AB]", true),
            ("{a,b}", "a", false),
            (r"\*", r"\anything", true),
            (r"\*", "*", false),
        ] {
            assert_eq!(DenyList::new([glob]).denies(text).is_some(), matches, "{glob} against {text}");
        }
        assert_eq!(DenyList::new(["", "  "]).denies(""), None, "an empty glob is dropped");
        let slow = "a*".repeat(60);
        assert_eq!(DenyList::new([slow + "b"]).denies(&"a".repeat(255)), None);
    }

    proptest! {
        /// The oracle is the same glob as a regular expression.
        #[test]
        fn globs_match_as_their_regular_expression_does(glob in "[ab*?]{1,8}", text in "[ab]{0,10}") {
            let regex = format!("^{}$", glob.replace('*', ".*").replace('?', "."));
            let expected = Regex::new(&regex).unwrap().is_match(&text);
            prop_assert_eq!(DenyList::new([&glob]).denies(&text).is_some(), expected);
        }

        #[test]
        fn no_text_makes_a_glob_panic(glob in ".{0,60}", text in ".{0,60}") {
            let _ = DenyList::new([&glob]).denies(&text);
        }
    }
}

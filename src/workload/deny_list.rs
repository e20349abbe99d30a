//! Texts that are never versions.

use crate::api::environment::DEFAULT_DENIED_VERSIONS;

/// Globs of texts that are never versions: `*` is any text, `?` any one character, case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyList(Vec<String>);

impl Default for DenyList {
    /// [`DEFAULT_DENIED_VERSIONS`].
    fn default() -> Self {
        Self::new(DEFAULT_DENIED_VERSIONS)
    }
}

impl DenyList {
    /// A list of globs. White space around them is dropped, and so are empty ones. An empty list denies nothing (`latest`
    /// and digests are never versions even so).
    pub fn new<T: AsRef<str>>(globs: impl IntoIterator<Item = T>) -> Self {
        let globs = globs.into_iter().map(|glob| glob.as_ref().trim().to_lowercase());
        Self(globs.filter(|glob| !glob.is_empty()).collect())
    }

    /// The first glob that denies a text.
    #[must_use]
    pub fn denies(&self, text: &str) -> Option<&str> {
        let text: Vec<char> = text.to_lowercase().chars().collect();
        self.0.iter().find(|glob| glob_matches(glob, &text)).map(String::as_str)
    }
}

/// Matches without recursion: after a mismatch only the latest star takes one more character, so that no glob is slow.
fn glob_matches(glob: &str, text: &[char]) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = text.get(in_text) {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(expected) if *expected == '?' || expected == character => {
                at += 1;
                in_text += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    in_text = taken + 1;
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|rest| *rest == '*')
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
        ] {
            assert_eq!(DenyList::new([glob]).denies(text).is_some(), matches, "{glob} against {text}");
        }
        assert_eq!(DenyList::new(["", "  "]).denies(""), None, "an empty glob is nobody's wish");
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

//! Texts with wildcards, as people write them into a `PactEnvironment`.

use wildmatch::WildMatch;

/// A list of globs: `*` is any text, `?` any one character, case is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globs(Vec<String>);

impl Globs {
    /// A list of globs. Surrounding white space and empty globs are dropped. An empty list matches nothing.
    pub fn new<T: AsRef<str>>(globs: impl IntoIterator<Item = T>) -> Self {
        let globs = globs.into_iter().map(|glob| glob.as_ref().trim().to_lowercase());
        Self(globs.filter(|glob| !glob.is_empty()).collect())
    }

    /// The first glob that matches a text.
    #[must_use]
    pub fn matching(&self, text: &str) -> Option<&str> {
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
            assert_eq!(Globs::new([glob]).matching(text).is_some(), matches, "{glob} against {text}");
        }
        assert_eq!(Globs::new(["", "  "]).matching(""), None, "an empty glob is dropped");
        let slow = "a*".repeat(60);
        assert_eq!(Globs::new([slow + "b"]).matching(&"a".repeat(255)), None);
    }

    proptest! {
        /// The oracle is the same glob as a regular expression.
        #[test]
        fn globs_match_as_their_regular_expression_does(glob in "[ab*?]{1,8}", text in "[ab]{0,10}") {
            let regex = format!("^{}$", glob.replace('*', ".*").replace('?', "."));
            let expected = Regex::new(&regex).unwrap().is_match(&text);
            prop_assert_eq!(Globs::new([&glob]).matching(&text).is_some(), expected);
        }

        #[test]
        fn no_text_makes_a_glob_panic(glob in ".{0,60}", text in ".{0,60}") {
            let _ = Globs::new([&glob]).matching(&text);
        }
    }
}

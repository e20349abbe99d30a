//! What an environment allows as a version: the rules of [`crate::workload::version`].

use regex::{Regex, RegexBuilder};
use thiserror::Error;

use crate::api::names::quoted;

/// The named group of a tag pattern that is the version.
pub const VERSION_GROUP: &str = "version";
/// The longest pattern accepted, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;
/// How large a compiled pattern may become, in bytes: a nested repetition can grow without limit.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Which sources of a version an environment accepts, and what it never accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRules {
    /// Whether the annotation `pact-operator.dev/version` may state the version.
    pub annotation_allowed: bool,
    /// Whether the label `app.kubernetes.io/version` may state it where annotation and tag give none.
    pub use_label: bool,
    /// How a version is taken out of an image tag; without one the whole tag is the version.
    pub tag_pattern: Option<TagPattern>,
    /// Texts that are never versions, on top of `latest` and digests.
    pub denied: DenyList,
}

impl Default for VersionRules {
    /// Annotations are allowed, labels are not asked, the whole tag is the version, the usual mutable names are denied.
    fn default() -> Self {
        Self { annotation_allowed: true, use_label: false, tag_pattern: None, denied: DenyList::default() }
    }
}

/// A regular expression with a named group `version`, in the syntax of the crate `regex` (linear time, no look-around).
/// It is searched anywhere in the tag: `^` and `$` pin it. Two patterns are equal when their sources are.
#[derive(Clone, Debug)]
pub struct TagPattern(Regex);

/// Why a text is not a tag pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Longer than a pattern needs to be.
    #[error("the tag pattern has {bytes} bytes, more than {MAX_PATTERN_BYTES}: write a shorter one")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// The regular expression is malformed, uses look-around or back-references, or becomes too large.
    #[error("the tag pattern {quoted} does not compile ({cause}): correct it, for example ^v(?<version>.+)$")]
    DoesNotCompile {
        /// The beginning of the pattern.
        quoted: String,
        /// The last line of the compiler's message: what is wrong.
        cause: String,
    },
    /// No group is named `version`, so nothing says which part is the version.
    #[error(
        "the tag pattern {quoted} has no group named version: put (?<version>…) around the part of the tag that is \
         the version"
    )]
    NoVersionGroup {
        /// The beginning of the pattern.
        quoted: String,
    },
}

impl TagPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is too long or too large, does not compile, or has no group named `version`.
    pub fn parse(source: &str) -> Result<Self, PatternError> {
        if source.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong { bytes: source.len() });
        }
        let regex = RegexBuilder::new(source).size_limit(MAX_COMPILED_BYTES).build().map_err(|error| {
            let message = error.to_string();
            let last = message.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let cause = last.trim().trim_start_matches("error: ").to_owned();
            PatternError::DoesNotCompile { quoted: quoted(source), cause }
        })?;
        if !regex.capture_names().flatten().any(|name| name == VERSION_GROUP) {
            return Err(PatternError::NoVersionGroup { quoted: quoted(source) });
        }
        Ok(Self(regex))
    }

    /// The regular expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The version inside a tag; `None` when the tag does not match or the group is empty.
    #[must_use]
    pub fn version_in<'tag>(&self, tag: &'tag str) -> Option<&'tag str> {
        let version = self.0.captures(tag)?.name(VERSION_GROUP)?.as_str();
        Some(version).filter(|version| !version.is_empty())
    }
}

impl PartialEq for TagPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TagPattern {}

/// Globs of texts that are never versions: `*` is any text, `?` any one character, case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyList(Vec<String>);

/// Names that teams move from build to build, and marks of builds that nobody published (domain.md cases 12 and 17).
pub const DEFAULT_DENIED: &[&str] = &[
    "dev",
    "develop",
    "development",
    "devel",
    "edge",
    "head",
    "latest-*",
    "*-latest",
    "local",
    "main",
    "master",
    "nightly",
    "snapshot",
    "stable",
    "trunk",
    "undefined",
    "unknown",
    "unstable",
    "*-dirty",
    "*.dirty",
    "*-snapshot",
];

impl Default for DenyList {
    /// [`DEFAULT_DENIED`].
    fn default() -> Self {
        Self::new(DEFAULT_DENIED)
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

    #[test]
    fn a_pattern_takes_the_version_out_of_a_tag() {
        let pattern = TagPattern::parse(r"^(?:release-)?v?(?P<version>\d+\.\d+\.\d+)(?:-alpine)?$").unwrap();
        assert_eq!(pattern.version_in("v1.2.3"), Some("1.2.3"));
        assert_eq!(pattern.version_in("release-1.2.3-alpine"), Some("1.2.3"));
        assert_eq!(pattern.version_in("1.2"), None);
        assert_eq!(TagPattern::parse("x(?<version>.*)").unwrap().version_in("x"), None, "an empty group is no version");
        assert_eq!(TagPattern::parse("a|(?<version>b)").unwrap().version_in("a"), None, "the group took no part");
    }

    #[test]
    fn a_pattern_that_cannot_work_says_what_to_do() {
        let broken = TagPattern::parse("(?<version>").unwrap_err().to_string();
        assert!(broken.contains("unclosed group") && broken.contains("correct it"), "{broken}");
        let look_around = TagPattern::parse("(?=x)(?<version>.+)").unwrap_err().to_string();
        assert!(look_around.contains("look-around"), "{look_around}");
        let groupless = TagPattern::parse(r"v(\d+)").unwrap_err();
        assert!(matches!(groupless, PatternError::NoVersionGroup { .. }));
        assert!(groupless.to_string().contains("(?<version>…)"), "{groupless}");
        let huge = TagPattern::parse(r"(?<version>(\w{100}){100})").unwrap_err();
        assert!(matches!(huge, PatternError::DoesNotCompile { .. }), "{huge}");
        assert_eq!(TagPattern::parse(&"x".repeat(1025)).unwrap_err(), PatternError::TooLong { bytes: 1025 });
    }

    #[test]
    fn patterns_are_equal_by_source() {
        assert_eq!(TagPattern::parse("(?<version>.+)").unwrap(), TagPattern::parse("(?<version>.+)").unwrap());
        assert_ne!(TagPattern::parse("(?<version>.+)").unwrap(), TagPattern::parse("(?<version>.*)").unwrap());
    }

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
        fn no_text_makes_a_pattern_or_a_glob_panic(source in ".{0,60}", text in ".{0,60}") {
            if let Ok(pattern) = TagPattern::parse(&source) {
                let _ = pattern.version_in(&text);
            }
            let _ = DenyList::new([&source]).denies(&text);
        }
    }
}

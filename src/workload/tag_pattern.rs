//! How a version is extracted from an image tag.

use regex::{Regex, RegexBuilder};
use thiserror::Error;

use crate::api::names::quoted;

/// The named group of a tag pattern that is the version.
pub const VERSION_GROUP: &str = "version";
/// The longest pattern accepted, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;
/// How large a compiled pattern may become, in bytes: a nested repetition can grow without limit.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A regular expression with a named group `version`, in the syntax of the crate `regex` (linear time, no look-around).
/// It may match anywhere in the tag: `^` and `$` anchor it. Two patterns are equal when their sources are.
#[derive(Clone, Debug)]
pub struct TagPattern(Regex);

/// Why a text is not a valid tag pattern.
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
        /// The last line of the compiler's message: the problem.
        cause: String,
    },
    /// No group is named `version`, so the version cannot be found in a match.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_extracts_the_version_of_a_tag() {
        let pattern = TagPattern::parse(r"^(?:release-)?v?(?P<version>\d+\.\d+\.\d+)(?:-alpine)?$").unwrap();
        assert_eq!(pattern.version_in("v1.2.3"), Some("1.2.3"));
        assert_eq!(pattern.version_in("release-1.2.3-alpine"), Some("1.2.3"));
        assert_eq!(pattern.version_in("1.2"), None);
        assert_eq!(TagPattern::parse("x(?<version>.*)").unwrap().version_in("x"), None, "an empty group is no version");
        assert_eq!(TagPattern::parse("a|(?<version>b)").unwrap().version_in("a"), None, "the group took no part");
    }

    #[test]
    fn an_invalid_pattern_names_its_remedy() {
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

    proptest! {
        #[test]
        fn no_text_makes_a_pattern_panic(source in ".{0,60}", text in ".{0,60}") {
            if let Ok(pattern) = TagPattern::parse(&source) {
                let _ = pattern.version_in(&text);
            }
        }
    }
}

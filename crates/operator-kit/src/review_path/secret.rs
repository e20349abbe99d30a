//! The last part of the path by which the API server calls: whoever knows it may read the webhook configuration.

use std::fmt;

use rustls::crypto::ring::default_provider;
use sha2::{Digest, Sha256};

/// How many characters a part of a path must have to count as a secret.
const SHORTEST: usize = 32;
/// A secret part of a path. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PathSecret {
    text: String,
    /// Its SHA-256, which every call is compared with.
    digest: [u8; 32],
}

impl PathSecret {
    /// A new one; `None` when the system gives no random bytes.
    pub(super) fn random() -> Option<Self> {
        // 128 bits: nobody guesses them.
        let mut bytes = [0; 16];
        default_provider().secure_random.fill(&mut bytes).ok()?;
        Some(Self::new(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    fn new(text: String) -> Self {
        Self { digest: Sha256::digest(&text).into(), text }
    }

    /// The one at the end of a path or an address, if there is one.
    pub(super) fn at_the_end_of(path: &str) -> Option<Self> {
        let (_, last) = path.rsplit_once('/')?;
        // The host of an address without a path is none.
        let is_host = path.contains("://") && path.matches('/').count() == 2;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (!is_host && last.len() >= SHORTEST && last.chars().all(allowed)).then(|| Self::new(last.to_owned()))
    }

    /// It after a path or an address.
    pub(super) fn after(&self, base: &str) -> String {
        format!("{base}/{}", self.text)
    }

    /// Whether this is it. Digests are compared, so that the time that takes tells nothing.
    pub(super) fn is(&self, text: &str) -> bool {
        self.digest == <[u8; 32]>::from(Sha256::digest(text))
    }
}

impl fmt::Debug for PathSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_110_only_a_long_last_part_of_a_path_is_a_secret() {
        let long = "a".repeat(SHORTEST);
        for (path, is_secret) in [
            (format!("/gate/{long}"), true),
            (format!("https://h/gate/{long}"), true),
            (format!("https://h/{long}"), true),
            (format!("/gate/{long}/"), false),
            (format!("/gate/{}", &long[1..]), false),
            (format!("/gate/{long}?x"), false),
            (format!("https://{long}.example.com"), false),
            ("/gate".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(PathSecret::at_the_end_of(&path).is_some(), is_secret, "{path}");
        }
    }

    #[test]
    fn case_110_it_is_random_and_not_shown() {
        let (one, other) = (PathSecret::random().unwrap(), PathSecret::random().unwrap());
        assert_ne!(one.text, other.text);
        assert_eq!(PathSecret::at_the_end_of(&one.after("/gate")), Some(one.clone()));
        assert!(one.is(&one.text) && !one.is(&other.text));
        assert!(!format!("{one:?}").contains(&one.text));
    }
}

//! An image reference, split into its parts: `registry:port/path:tag@sha256:…`.

use std::fmt;

/// An image reference in its parts, each as written. Parsing never fails: references that a kubelet could not pull are
/// accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageReference {
    /// Registry and path, without tag and digest.
    pub repository: String,
    /// The tag, if there is one and it is not empty.
    pub tag: Option<String>,
    /// The digest with its algorithm, if there is one and it is not empty.
    pub digest: Option<String>,
}

impl ImageReference {
    /// Splits a reference. A colon before the last slash belongs to the registry's port.
    ///
    /// A user and a password before the registry are left out: no kubelet pulls such an image, and the password would be
    /// taken for the tag, and shown and recorded as the version.
    #[must_use]
    pub fn parse(reference: &str) -> Self {
        let mut reference = reference.trim();
        while let Some((_, rest)) = reference.split_once('@')
            && rest.contains('/')
        {
            reference = rest;
        }
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (reference, None),
        };
        let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name.rfind(':') {
            Some(colon) if colon >= path_start => (&name[..colon], Some(&name[colon + 1..])),
            _ => (name, None),
        };
        let written = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self { repository: repository.to_owned(), tag: written(tag), digest: written(digest) }
    }

    /// The repository without its registry: `shop/orders` of `registry.example.com/shop/orders`, and `postgres` of
    /// `docker.io/library/postgres`.
    #[must_use]
    pub fn path(&self) -> &str {
        let is_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
        let path = match self.repository.split_once('/') {
            Some((first, path)) if is_registry(first) => path,
            _ => &self.repository,
        };
        path.strip_prefix("library/").unwrap_or(path)
    }

    /// Whether it names another build than `other`: another tag or digest. The same tag or digest in another registry is
    /// the same build, and so is a tag that is pinned to a digest now.
    #[must_use]
    pub fn is_another_build(&self, other: &Self) -> bool {
        match (&self.digest, &other.digest) {
            (Some(digest), Some(before)) => digest != before,
            _ if self.tag.is_none() && other.tag.is_none() => self != other,
            _ => self.tag != other.tag,
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether a text is a content digest (`sha256:…`, or `sha256-…` as registries write it in a tag) rather than a
/// version: pacts are not published under a digest (case 13).
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let Some((algorithm, hash)) = text.split_once([':', '-']) else { return false };
    let known = ["sha256", "sha384", "sha512"].iter().any(|known| algorithm.eq_ignore_ascii_case(known));
    known && hash.len() >= 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(reference: &str) -> (String, Option<String>, Option<String>) {
        let image = ImageReference::parse(reference);
        (image.repository, image.tag, image.digest)
    }

    #[test]
    fn another_build_has_another_tag_or_digest() {
        for (before, after, another) in [
            ("orders:1", "orders:2", true),
            ("orders:1", "mirror.example/orders:1", false),
            ("orders:1", "orders:1@sha256:aa", false),
            ("orders:1@sha256:aa", "orders:1@sha256:bb", true),
            ("orders@sha256:aa", "orders@sha256:bb", true),
            ("orders@sha256:aa", "mirror.example/orders@sha256:aa", false),
            ("orders:1", "orders@sha256:aa", true),
            ("orders@sha256:aa", "orders:1", true),
            ("orders", "payments", true),
            ("orders", "orders", false),
        ] {
            let (before, after) = (ImageReference::parse(before), ImageReference::parse(after));
            assert_eq!(after.is_another_build(&before), another, "{before} to {after}");
            assert_eq!(before.is_another_build(&after), another, "{after} to {before}");
        }
    }

    #[test]
    fn references_are_split_at_the_right_characters() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (reference, repository, tag, has_digest) in [
            ("orders", "orders", None, false),
            ("orders:1.2.3", "orders", Some("1.2.3"), false),
            ("orders:", "orders", None, false),
            ("orders@", "orders", None, false),
            ("localhost:5000/orders", "localhost:5000/orders", None, false),
            ("localhost:5000/orders:1", "localhost:5000/orders", Some("1"), false),
            ("reg.example:443/a/b/c:v1@DIGEST", "reg.example:443/a/b/c", Some("v1"), true),
            ("reg.example:443/a/b/c@DIGEST", "reg.example:443/a/b/c", None, true),
            ("robot:s3cret@reg.example/orders:1", "reg.example/orders", Some("1"), false),
            ("https://robot:s3cret@reg.example:443/orders@DIGEST", "reg.example:443/orders", None, true),
            ("robot:a@b@reg.example/orders", "reg.example/orders", None, false),
            ("[::1]:5000/orders:1", "[::1]:5000/orders", Some("1"), false),
            ("", "", None, false),
            (":", "", None, false),
            ("@", "", None, false),
            ("  orders:1\n", "orders", Some("1"), false),
        ] {
            let reference = reference.replace("DIGEST", &digest);
            let expected = (repository.to_owned(), tag.map(str::to_owned), has_digest.then(|| digest.clone()));
            assert_eq!(parts(&reference), expected, "{reference}");
        }
    }

    #[test]
    fn digests_are_recognised_and_commits_are_not() {
        let hash = "0123456789abcdef".repeat(4);
        assert!(is_digest(&format!("sha256:{hash}")) && is_digest(&format!("SHA256-{hash}")));
        for version in [hash.as_str(), "sha256:abc", "sha256", "sha-0123456789abcdef0123456789abcdef01234567", ""] {
            assert!(!is_digest(version), "{version}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_reference_survives_the_round_trip(
            repository in "[a-z]{1,8}(:[0-9]{2,4}/[a-z]{1,8})?(/[a-z0-9]{1,8}){0,2}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
            digest in proptest::option::of("sha256:[0-9a-f]{64}"),
        ) {
            let image = ImageReference { repository, tag, digest };
            prop_assert_eq!(ImageReference::parse(&image.to_string()), image);
        }

        #[test]
        fn any_text_is_split_without_a_panic(text in ".*") {
            let image = ImageReference::parse(&text);
            prop_assert!(image.tag.as_deref() != Some("") && image.digest.as_deref() != Some(""));
        }
    }
}

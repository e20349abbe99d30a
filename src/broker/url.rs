//! The broker's URL, and the URLs below it. They are built from the configured base only: a link in an answer starts
//! with the URL that the broker believes to have, and following it could send the credentials elsewhere.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::config::ConfigError;
use crate::api::names::quoted;

/// The characters that are kept in a path segment or a query value: RFC 3986's unreserved ones. All others are encoded,
/// `+` above all, which a broker reads as a space in a query.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL under which a broker is reached: `http` or `https`, without credentials, query or fragment; a path prefix is
/// kept, slashes at its end are dropped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Parses a broker's URL.
    ///
    /// # Errors
    /// [`ConfigError::Url`], never quoting what could be a password.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: String| Err(ConfigError::Url { problem });
        let mut url = match Url::parse(text.trim()) {
            Ok(url) => url,
            Err(error) => return wrong(format!("cannot be read ({error}); write it like https://broker.example.com")),
        };
        if !matches!(url.scheme(), "http" | "https") {
            // In `user:password@host` the user would be shown as the scheme.
            let instead =
                if text.contains('@') { String::new() } else { format!(" but with {}", quoted(url.scheme())) };
            return wrong(format!("does not begin with http:// or https://{instead}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("holds credentials; put them into the Secret that the PactBroker's auth names".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return wrong("holds a query or a fragment; give only scheme, host, port and path".to_owned());
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Scheme, host and port, without the path.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The origin of the target of a `Location` header of this broker; `None` when it cannot be read.
    pub(super) fn origin_of(&self, location: &str) -> Option<String> {
        self.0.join(location).ok().map(|to| to.origin().ascii_serialization()).filter(|origin| origin != "null")
    }

    /// The URL of a resource: each segment and each query value is encoded completely.
    ///
    /// `None` when the segments cannot be addressed over HTTP: `.` and `..` stand for folders, encoded or not, by
    /// the URL standard (<https://url.spec.whatwg.org/#single-dot-path-segment>), so no client and no proxy keeps them.
    pub(super) fn at(&self, segments: &[&str], query: &[(&str, &str)]) -> Option<Url> {
        let mut path = self.0.path().trim_end_matches('/').to_owned();
        if segments.is_empty() {
            path.push('/');
        }
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, ENCODED));
        }
        let mut url = self.0.clone();
        url.set_path(&path);
        if url.path() != path {
            return None;
        }
        if !query.is_empty() {
            let pairs = query.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED)));
            url.set_query(Some(&pairs.collect::<Vec<_>>().join("&")));
        }
        Some(url)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap()
    }

    #[test]
    fn a_base_keeps_its_prefix_and_loses_slashes_at_its_end() {
        for (given, kept, index) in [
            ("https://broker.example.com", "https://broker.example.com", "https://broker.example.com/"),
            ("https://broker.example.com/", "https://broker.example.com", "https://broker.example.com/"),
            (" http://b:9292/pact//\n", "http://b:9292/pact", "http://b:9292/pact/"),
            ("https://b/a%20b/c/", "https://b/a%20b/c", "https://b/a%20b/c/"),
            ("HTTPS://Broker.Example.COM:443/x", "https://broker.example.com/x", "https://broker.example.com/x/"),
            ("http://[::1]:9292", "http://[::1]:9292", "http://[::1]:9292/"),
        ] {
            assert_eq!(base(given).to_string(), kept);
            assert_eq!(base(given).at(&[], &[]).unwrap().as_str(), index);
        }
    }

    #[test]
    fn what_is_no_base_is_refused_with_a_remedy_and_without_its_password() {
        for (given, says) in [
            ("", "cannot be read"),
            ("broker.example.com", "cannot be read"),
            ("http://bob:s3cret@broker:99999", "cannot be read"),
            ("localhost:9292", "\"localhost\""),
            ("ftp://broker", "\"ftp\""),
            ("bob:s3cret@broker", "does not begin with http"),
            ("https://bob:s3cret@broker", "holds credentials"),
            ("https://s3cret@broker", "Secret"),
            ("https://broker?x=s3cret", "query"),
            ("https://broker#s3cret", "fragment"),
        ] {
            let error = BaseUrl::parse(given).unwrap_err().to_string();
            assert!(error.contains(says), "{given}: {error}");
            assert!(!error.contains("s3cret") && !error.contains("bob"), "{given}: {error}");
        }
    }

    #[test]
    fn segments_and_values_are_encoded_completely() {
        for (name, encoded) in [
            ("orders-web", "orders-web"),
            ("a/b", "a%2Fb"),
            ("a b", "a%20b"),
            ("a+b", "a%2Bb"),
            ("a#b?c%d&e=f;g", "a%23b%3Fc%25d%26e%3Df%3Bg"),
            ("%2F", "%252F"),
            ("größe", "gr%C3%B6%C3%9Fe"),
            ("日本", "%E6%97%A5%E6%9C%AC"),
            ("a:b@c", "a%3Ab%40c"),
            ("...", "..."),
            ("it's \"<>\"\\|^`{}[]", "it%27s%20%22%3C%3E%22%5C%7C%5E%60%7B%7D%5B%5D"),
        ] {
            let url = base("http://b/p").at(&["pacticipants", name], &[("pacticipant", name)]).unwrap();
            assert_eq!(url.as_str(), format!("http://b/p/pacticipants/{encoded}?pacticipant={encoded}"));
        }
    }

    #[test]
    fn a_name_that_urls_read_as_a_folder_is_not_sent_to_another_resource() {
        for name in [".", ".."] {
            assert_eq!(base("http://b/p").at(&["pacticipants", name, "versions", "1"], &[]), None);
            assert_eq!(base("http://b/p").at(&["pacticipants", name], &[]), None);
            let query = base("http://b").at(&["x"], &[("pacticipant", name)]).unwrap();
            assert_eq!(query.as_str(), format!("http://b/x?pacticipant={name}"));
        }
    }

    #[test]
    fn only_the_origin_of_a_redirect_is_reported() {
        let base = base("https://broker/p");
        for (location, origin) in [
            ("https://bob:s3cret@login.example.com/a?token=1", Some("https://login.example.com")),
            ("/login", Some("https://broker")),
            ("//other:8443/x", Some("https://other:8443")),
            ("data:text/html,x", None),
            ("http://[", None),
        ] {
            assert_eq!(base.origin_of(location).as_deref(), origin, "{location}");
        }
    }
}

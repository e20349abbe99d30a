//! Where a sink is: its URL, and the headers that it wants. Both may be secrets: a webhook's URL often is its password. So
//! they may come from files, which are read anew for each delivery, and no text shows more of a URL than its host.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use thiserror::Error;

use crate::api::names::quoted;

/// The file of the URL in the folder of a sink's secrets.
const URL: &str = "url";
/// The file of the headers there, one `Name: value` a line.
const HEADERS: &str = "headers";
/// Headers that are the operator's own.
const OURS: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];

/// Why nothing can be sent to a sink.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// A file cannot be read.
    #[error("the file {} cannot be read: {cause}; the Secret that is mounted there needs the key {key}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The key of the Secret.
        key: &'static str,
        /// Why not.
        cause: String,
    },
    /// There is no URL.
    #[error("no URL is given: give one, or a folder with the file {URL}")]
    NoUrl,
    /// The URL cannot be used.
    #[error("the URL {problem}; write it like https://events.example.com/path")]
    Url {
        /// Why not, without what could be a secret.
        problem: String,
    },
    /// A line of the headers cannot be used.
    #[error("line {number} of the file {HEADERS} {problem}")]
    Header {
        /// Which line.
        number: usize,
        /// What is wrong, and the remedy.
        problem: &'static str,
    },
}

/// Where a sink is. See the module.
#[derive(Clone)]
pub struct Endpoint {
    url: Option<Url>,
    secrets: Option<PathBuf>,
}

impl Endpoint {
    /// A sink at a URL, with what is in a folder: a file `headers`, and `url` where no URL is given. The folder may come
    /// later: it is read for each delivery.
    ///
    /// # Errors
    /// When the URL cannot be used, or there is neither.
    pub fn new(url: Option<&str>, secrets: Option<&Path>) -> Result<Self, EndpointError> {
        let url = url.map(parsed).transpose()?;
        if url.is_none() && secrets.is_none() {
            return Err(EndpointError::NoUrl);
        }
        Ok(Self { url, secrets: secrets.map(Path::to_owned) })
    }

    /// The URL and the headers, as they are now.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn read(&self) -> Result<(Url, HeaderMap), EndpointError> {
        let url = match (&self.url, &self.secrets) {
            (Some(url), _) => url.clone(),
            (None, Some(folder)) => {
                let path = folder.join(URL);
                let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, URL, &error))?;
                parsed(text.trim())?
            }
            (None, None) => return Err(EndpointError::NoUrl),
        };
        let path = self.secrets.as_ref().map(|folder| folder.join(HEADERS)).filter(|path| path.exists());
        let headers = match path {
            Some(path) => headers(&fs::read_to_string(&path).map_err(|error| unreadable(&path, HEADERS, &error))?)?,
            None => HeaderMap::new(),
        };
        Ok((url, headers))
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.url.as_ref().map(|url| url.origin().ascii_serialization());
        f.debug_struct("Endpoint").field("host", &host).field("secrets", &self.secrets).finish()
    }
}

fn unreadable(path: &Path, key: &'static str, error: &std::io::Error) -> EndpointError {
    EndpointError::Unreadable { path: path.to_owned(), key, cause: error.to_string() }
}

fn parsed(text: &str) -> Result<Url, EndpointError> {
    let wrong = |problem: String| Err(EndpointError::Url { problem });
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return wrong(format!("cannot be read ({error})")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        // In `user:password@host` the user would be shown as the scheme.
        let instead = if text.contains('@') { String::new() } else { format!(" but with {}", quoted(url.scheme())) };
        return wrong(format!("does not begin with http:// or https://{instead}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(format!("holds credentials; put a header into the file {HEADERS} instead"));
    }
    Ok(url)
}

fn headers(text: &str) -> Result<HeaderMap, EndpointError> {
    let mut headers = HeaderMap::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |problem| EndpointError::Header { number: at + 1, problem };
        let (name, value) = line.split_once(':').ok_or(wrong("has no colon; write Name: value"))?;
        let name: HeaderName =
            name.trim().parse().map_err(|_| wrong("has a name that is no header's; use letters, digits and -"))?;
        if OURS.contains(&name.as_str()) || name.as_str().starts_with("ce-") {
            return Err(wrong("is a header that the operator sets itself; leave it out"));
        }
        let value = HeaderValue::from_str(value.trim());
        let mut value = value.map_err(|_| wrong("has a value with a character that no header can carry"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_where_its_url_or_its_secret_says() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("url"), "https://hooks.example.com/services/T0/B0/hidden\n").unwrap();
        fs::write(folder.path().join("headers"), "Authorization: Bearer hidden\n\nX-Team: shop \n").unwrap();
        let secret = Endpoint::new(None, Some(folder.path())).unwrap();
        let (url, headers) = secret.read().unwrap();
        assert_eq!(url.as_str(), "https://hooks.example.com/services/T0/B0/hidden");
        assert_eq!(
            (&headers["authorization"], &headers["x-team"]),
            (&"Bearer hidden".parse().unwrap(), &"shop".parse().unwrap())
        );
        assert!(headers["authorization"].is_sensitive());
        let both = Endpoint::new(Some("http://sink/path?key=hidden"), Some(folder.path())).unwrap();
        assert_eq!(both.read().unwrap().0.as_str(), "http://sink/path?key=hidden");
        fs::write(folder.path().join("url"), "https://other.example.com/").unwrap();
        assert_eq!(secret.read().unwrap().0.as_str(), "https://other.example.com/", "it is read anew");
        for shown in [format!("{secret:?}"), format!("{both:?}"), format!("{headers:?}")] {
            assert!(!shown.contains("hidden"), "{shown}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_no_secret_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |url: Option<&str>, secrets: Option<&Path>| match Endpoint::new(url, secrets) {
            Ok(endpoint) => endpoint.read().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(Endpoint::new(Some("hidden"), Some(folder.path())).is_err(), "an argument is refused at once");
        assert!(refused(None, None).contains("no URL is given"));
        assert!(refused(None, Some(folder.path())).contains("needs the key url"));
        for (url, said) in [
            ("hidden", "cannot be read (relative URL without a base)"),
            ("ftp://x/hidden", "does not begin with http:// or https:// but with \"ftp\""),
            ("hidden:hidden@x", "does not begin with http:// or https://;"),
            ("https://hidden:hidden@x/", "holds credentials"),
        ] {
            let message = refused(Some(url), None);
            assert!(message.contains(said) && !message.contains("hidden"), "{message}");
        }
        for (headers, said) in [
            ("hidden", "line 1 of the file headers has no colon"),
            ("A: b\nhid den: x", "line 2 of the file headers has a name that is no header's"),
            ("Host: x", "sets itself"),
            ("ce-id: x", "sets itself"),
            ("A: hid\u{7}den", "has a value with a character"),
        ] {
            fs::write(folder.path().join("headers"), headers).unwrap();
            let message = refused(Some("http://sink/"), Some(folder.path()));
            assert!(message.contains(said) && !message.contains("hid"), "{message}");
        }
    }
}

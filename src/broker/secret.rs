//! Texts that must never be shown, and their removal from other texts.

use std::fmt;

use percent_encoding::utf8_percent_encode;

use super::url::ENCODED;

/// The replacement of a secret.
pub(super) const REDACTED: &str = "[redacted]";

/// A secret as text: a password, a token, a header's value. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretText(String);

impl SecretText {
    /// Takes the text as it is, without checks and without trimming.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the code that sends it.
    #[must_use]
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Removes a broker's secrets from texts that came from outside: a server may echo what it was sent.
#[derive(Clone, Default)]
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Adds a secret. An empty one is ignored.
    pub(super) fn hide(&mut self, secret: &str) {
        for spelling in spellings(secret) {
            if !spelling.is_empty() && !self.secrets.contains(&spelling) {
                self.secrets.push(spelling);
            }
        }
        // The longest first: a secret may contain another, and its remainder would be shown.
        self.secrets.sort_by_key(|known| std::cmp::Reverse(known.len()));
    }

    /// The text with every secret replaced by `[redacted]`. Call it before the text is shortened.
    pub(super) fn clean(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), REDACTED) } else { text }
        })
    }
}

/// A secret as an answer may repeat it: as it is, and as JSON, HTML and URLs escape it. A text without special characters
/// is the same in all of them.
fn spellings(secret: &str) -> [String; 6] {
    let json = serde_json::Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    // Go, Gson and PHP escape more in JSON than it asks for.
    let by_number: String = json
        .chars()
        .map(|char| if "&'<=>".contains(char) { format!("\\u{:04x}", u32::from(char)) } else { char.into() })
        .collect();
    let slashes = json.replace('/', "\\/");
    let html: String = secret
        .chars()
        .map(|char| match char {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            other => other.into(),
        })
        .collect();
    let url = utf8_percent_encode(secret, ENCODED).to_string();
    [secret.to_owned(), json, by_number, slashes, html, url]
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = SecretText::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "[redacted] [redacted] [redacted]");
    }

    #[test]
    fn the_longest_secret_is_removed_first() {
        let mut redactor = Redactor::default();
        for secret in ["abc", "", "abcdef", "abc"] {
            redactor.hide(secret);
        }
        assert_eq!(redactor.clean("x abcdef y abc z"), "x [redacted] y [redacted] z");
        assert_eq!(format!("{redactor:?}"), "Redactor(2 secrets)");
    }

    #[test]
    fn a_secret_is_removed_however_an_answer_escapes_it() {
        let mut redactor = Redactor::default();
        redactor.hide(r#"a/b"c&d=e f"#);
        for spelled in [
            r#"a/b"c&d=e f"#,
            r#"a/b\"c&d=e f"#,
            r#"a\/b\"c&d=e f"#,
            r#"a/b\"c\u0026d\u003de f"#,
            "a/b&quot;c&amp;d=e f",
            "a%2Fb%22c%26d%3De%20f",
        ] {
            assert_eq!(redactor.clean(&format!("x {spelled} y")), "x [redacted] y", "{spelled}");
        }
    }
}

//! The names of Pact's model, each parsed once: a value of one of these types can be sent to a broker unchanged.
//!
//! What a Pact Broker accepts was observed on 2.120.0: names may hold spaces, `/`, `+`, `:` and any other printable
//! character, and are case-sensitive. What a broker must never receive: an empty name, an empty application instance
//! (it silently replaces the row without an instance) and control characters (the broker answers 422 or 500).

use std::{fmt, sync::Arc};

use thiserror::Error;

/// The longest name that the operator accepts, in characters. The broker's columns are of type VARCHAR(255) on MySQL.
pub const MAX_NAME_CHARS: usize = 255;

/// Why a text is not a name of Pact's model. The text itself is quoted only up to a few characters, escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing is left without the surrounding white space.
    #[error("the {what} is empty")]
    Empty {
        /// Which name of Pact's model was expected, for a message.
        what: &'static str,
    },
    /// More than [`MAX_NAME_CHARS`] characters.
    #[error("the {what} has {chars} characters, more than the {MAX_NAME_CHARS} that a broker can hold")]
    TooLong {
        /// Which name of Pact's model was expected, for a message.
        what: &'static str,
        /// How many characters it has.
        chars: usize,
    },
    /// A line break, a tab or another control character.
    #[error("the {what} {quoted} holds a control character")]
    ControlCharacter {
        /// Which name of Pact's model was expected, for a message.
        what: &'static str,
        /// The beginning of the text, escaped and in quotes.
        quoted: String,
    },
    /// White space inside an environment's name, which a broker refuses.
    #[error("the {what} {quoted} holds white space, which a Pact Broker does not allow there")]
    WhiteSpace {
        /// Which name of Pact's model was expected, for a message.
        what: &'static str,
        /// The beginning of the text, escaped and in quotes.
        quoted: String,
    },
}

/// The beginning of a text from outside, for a message: at most 40 characters, escaped, in quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().count() > 40 {
        short.push('…');
    }
    format!("\"{short}\"")
}

fn parse(what: &'static str, text: &str) -> Result<Arc<str>, NameError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    let chars = text.chars().count();
    if chars > MAX_NAME_CHARS {
        return Err(NameError::TooLong { what, chars });
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter { what, quoted: quoted(text) });
    }
    Ok(text.into())
}

// The same name is in many keys and maps: its copies share one text.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as it is sent to a broker.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// An application, consumer or provider or both, by the name under which it publishes.
    Pacticipant
);
name!(
    /// The version of a pacticipant under which it published its pacts or verification results.
    Version
);
name!(
    /// The name (not the display name, not the uuid) of an environment at a broker.
    EnvironmentName
);
name!(
    /// Which permanent copy of an application this is. Never empty: the absence of an instance is `Option::None`.
    ApplicationInstance
);

impl Pacticipant {
    /// Parses a pacticipant's name; white space around it is dropped.
    ///
    /// # Errors
    /// When it is empty, too long or holds a control character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        parse("pacticipant name", text).map(Self)
    }
}

impl Version {
    /// Parses a version; white space around it is dropped. Whether a text that *can* be a version may serve as one
    /// (`latest`, a bare digest, the deny-list) is decided in [`crate::workload`].
    ///
    /// # Errors
    /// When it is empty, too long or holds a control character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        parse("version", text).map(Self)
    }
}

impl ApplicationInstance {
    /// Parses an application instance; white space around it is dropped.
    ///
    /// # Errors
    /// When it is empty, too long or holds a control character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        parse("application instance", text).map(Self)
    }
}

impl EnvironmentName {
    /// Parses an environment's name; white space around it is dropped.
    ///
    /// # Errors
    /// When it is empty, too long, or holds a control character or white space.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let what = "environment name";
        let name = parse(what, text)?;
        if name.contains(char::is_whitespace) {
            return Err(NameError::WhiteSpace { what, quoted: quoted(&name) });
        }
        Ok(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_broker_takes_are_kept_as_they_are() {
        for name in ["orders", "Order Service", "org/app", "app+x", "größe", "a:b@c#d?e%f&g", "日本"] {
            assert_eq!(Pacticipant::parse(name).unwrap().as_str(), name);
            assert_eq!(Version::parse(&format!("  {name}\n")).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_a_broker_must_never_be_sent_are_refused() {
        assert_eq!(ApplicationInstance::parse("  "), Err(NameError::Empty { what: "application instance" }));
        assert!(matches!(Pacticipant::parse("a\u{0}b"), Err(NameError::ControlCharacter { .. })));
        assert!(matches!(Version::parse("1\n2"), Err(NameError::ControlCharacter { .. })));
        assert!(matches!(Version::parse(&"x".repeat(256)), Err(NameError::TooLong { chars: 256, .. })));
        assert!(matches!(EnvironmentName::parse("my env"), Err(NameError::WhiteSpace { .. })));
    }

    #[test]
    fn a_refusal_quotes_only_the_beginning_and_no_raw_control_character() {
        let error = Pacticipant::parse(&format!("bad\u{7}{}", "x".repeat(200))).unwrap_err().to_string();
        assert!(error.contains("\\u{7}") && !error.contains('\u{7}') && error.len() < 140, "{error}");
    }
}

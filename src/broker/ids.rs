//! The identifiers of a broker: taken from bodies, put into paths, never interpreted.

use std::fmt;

use thiserror::Error;

/// The longest identifier that is accepted from a broker, in bytes. Brokers use UUIDs, of 36.
const MAX_ID_BYTES: usize = 100;

/// A text that cannot be one segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an identifier has 1 to {MAX_ID_BYTES} of the characters A-Z a-z 0-9 - _")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Takes an identifier as the broker sent it.
            ///
            /// # Errors
            /// When it is not one safe segment of a path.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(safe) {
                    return Err(IdError);
                }
                Ok(Self(text.to_owned()))
            }

            /// The identifier as the broker sent it.
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

id!(
    /// An environment's uuid. It changes when an environment is deleted and created again.
    EnvironmentId
);
id!(
    /// The uuid of one recorded deployment.
    DeploymentId
);
id!(
    /// The uuid of one recorded release.
    ReleaseId
);
id!(
    /// The name of a pact's content: a sha.
    ContentId
);
id!(
    /// The uuid of a webhook of the broker.
    WebhookId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_one_safe_segment() {
        assert_eq!(DeploymentId::parse("f2800ac1-0969-4e82_A").unwrap().as_str(), "f2800ac1-0969-4e82_A");
        for bad in ["", ".", "..", "a/b", "a?b", "a#b", "a%2Fb", "a b", "ä", "a\n", &"x".repeat(101)] {
            assert_eq!(EnvironmentId::parse(bad), Err(IdError), "{bad}");
        }
    }
}

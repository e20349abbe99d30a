//! What the Event of a denial says of it for the controller, which announces it.

use serde::{Deserialize, Serialize};

use crate::{
    api::names::{EnvironmentName, NameError, Pacticipant, Version},
    workload::{EnvironmentRef, RecordKey},
};

/// The longest name of a broker, and of who asks, in bytes.
const LONGEST: usize = 512;

/// What was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// The name of the `PactBroker`.
    pub broker: String,
    /// The environment's name at that broker.
    pub environment: String,
    /// The pacticipant.
    pub pacticipant: String,
    /// Its version; empty where none can be identified.
    pub version: String,
    /// Who asked for the rollout.
    pub user: String,
}

impl Denial {
    /// As the annotation of the Event.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the annotation of the Event; anybody may have written that one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let denial: Self = serde_json::from_str(text).ok()?;
        let version = denial.version.is_empty() || Version::parse(&denial.version).is_ok();
        (version && denial.broker.len() <= LONGEST && denial.user.len() <= LONGEST).then_some(denial)
    }

    /// Of which key it was.
    ///
    /// # Errors
    /// When a name in it is none.
    pub fn key(&self) -> Result<RecordKey, NameError> {
        let environment = EnvironmentName::parse(&self.environment)?;
        Ok(RecordKey {
            environment_ref: EnvironmentRef { broker: self.broker.clone(), environment },
            pacticipant: Pacticipant::parse(&self.pacticipant)?,
            instance: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::record::fixtures::key;

    #[test]
    fn a_denial_is_read_as_it_was_written_and_what_is_none_is_left_out() {
        let denial = Denial {
            broker: "main".into(),
            environment: "production".into(),
            pacticipant: "Order \"Service\"".into(),
            version: "2".into(),
            user: "dev".into(),
        };
        assert_eq!(Denial::parse(&denial.text()), Some(denial.clone()));
        assert_eq!(denial.key().unwrap(), key("production", "Order \"Service\""));
        assert_eq!(Denial::parse("{}"), None);
        let parsed = |denial: &Denial| Denial::parse(&denial.text());
        let without = Denial { version: String::new(), ..denial.clone() };
        assert_eq!(parsed(&without), Some(without));
        for long in [
            Denial { broker: "b".repeat(513), ..denial.clone() },
            Denial { version: "v".repeat(513), ..denial.clone() },
            Denial { user: "u".repeat(513), ..denial.clone() },
        ] {
            assert_eq!(parsed(&long), None);
        }
        assert!(Denial { pacticipant: "\n".into(), ..denial }.key().is_err());
    }
}

//! Whether a workload's statement counts: [`BypassStatement`], exactly, where the API server could not tell.
//!
//! It counts when its version is the one that would run, the user is a person or a listed service account, and the user
//! holds the verb `bypass`. What is known without a request is looked at first.

use std::{collections::BTreeSet, str::FromStr};

use thiserror::Error;

use super::{OpenSubject, Review};
use crate::{
    api::names::Version,
    workload::{BypassStatement, StatementError, bypass::does_not_count},
};

/// How the API server names service accounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// A service account whose statements count: `namespace:name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceAccountName(String);

/// A text that is no `namespace:name`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a service account is written as NAMESPACE:NAME")]
pub struct NoServiceAccount;

impl ServiceAccountName {
    /// As it is written: `namespace:name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceAccountName {
    type Err = NoServiceAccount;

    fn from_str(text: &str) -> Result<Self, NoServiceAccount> {
        match text.split_once(':') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains(':') => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NoServiceAccount),
        }
    }
}

/// Why a statement does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Ineffective {
    /// The annotation is none.
    #[error(transparent)]
    NoStatement(#[from] StatementError),
    /// It is about another version.
    #[error("it is for {stated}, and {} would run", .runs.as_ref().map_or("no version that can be identified", Version::as_str))]
    OtherVersion {
        /// The version that it is about.
        stated: Version,
        /// The version that would run, if there is one.
        runs: Option<Version>,
    },
    /// A service account that the chart does not list.
    #[error("a service account may use it only if webhook.bypassServiceAccounts lists it")]
    ServiceAccount,
    /// A user without the verb.
    #[error("the user does not hold the verb bypass on pactenvironments.pact-operator.dev")]
    NoRight,
    /// Whether the user holds the verb was not found out.
    #[error("the API server did not say whether the user may: {0}")]
    RightUnknown(String),
}

/// What a workload's statement comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bypass {
    /// It makes none.
    #[default]
    Unstated,
    /// It counts.
    Counts(BypassStatement),
    /// It does not count.
    Ineffective(Ineffective),
}

impl Bypass {
    /// Why the statement does not count, as a clause.
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        match self {
            Self::Ineffective(why) => Some(does_not_count(why)),
            Self::Unstated | Self::Counts(_) => None,
        }
    }
}

/// The statement of a review that counts if only the user holds the verb, or what it comes to without that.
///
/// # Errors
/// When it makes none, or it does not count whatever the user's rights.
pub fn stated(
    review: &Review,
    subjects: &[OpenSubject],
    listed: &BTreeSet<ServiceAccountName>,
) -> Result<BypassStatement, Bypass> {
    let Ok(new) = &review.new else { return Err(Bypass::Unstated) };
    let statement = match BypassStatement::of(new) {
        Ok(None) => return Err(Bypass::Unstated),
        Ok(Some(statement)) => statement,
        Err(why) => return Err(Bypass::Ineffective(why.into())),
    };
    if !subjects.iter().any(|open| covers(&statement, review, open)) {
        let runs = subjects.iter().find_map(|open| open.subject.identified.as_ref().ok()).map(|it| it.version.clone());
        return Err(Bypass::Ineffective(Ineffective::OtherVersion { stated: statement.version, runs }));
    }
    if let Some(account) = review.user.username.strip_prefix(SERVICE_ACCOUNT)
        && !listed.iter().any(|known| known.0 == account)
    {
        return Err(Bypass::Ineffective(Ineffective::ServiceAccount));
    }
    Ok(statement)
}

/// Whether a statement is about the version that would run in the environment of a subject.
#[must_use]
pub fn covers(statement: &BypassStatement, review: &Review, open: &OpenSubject) -> bool {
    let resolved = open.subject.identified.as_ref().ok().map(|it| &it.version);
    review.new.as_ref().is_ok_and(|new| statement.covers(new, resolved))
}

#[cfg(test)]
#[path = "bypass_tests.rs"]
mod tests;

//! What people ask about beside the gate's question: several applications at once, versions by branch or tag, and other
//! destinations than an environment. The words are those of the official command line.

use std::fmt;

use super::Ignored;
use crate::api::names::{EnvironmentName, Pacticipant, Version};

/// Which versions of an application are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// This one.
    One(Version),
    /// The one that was published last.
    Latest,
    /// The one with this tag that was published last.
    LatestTagged(String),
    /// Each one with this tag.
    Tagged(String),
    /// The newest one of this branch.
    LatestOfBranch(String),
    /// The newest one of the branch that the broker has as the application's main branch.
    LatestOfMainBranch,
}

/// An application and which versions of it are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The application.
    pub pacticipant: Pacticipant,
    /// Which versions of it.
    pub versions: Versions,
}

impl Selector {
    /// The version, if it is named.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        match &self.versions {
            Versions::One(version) => Some(version),
            _ => None,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pacticipant = &self.pacticipant;
        match &self.versions {
            Versions::One(version) => write!(f, "{pacticipant} {version}"),
            Versions::Latest => write!(f, "{pacticipant} (latest)"),
            Versions::LatestTagged(tag) => write!(f, "{pacticipant} (latest with tag {tag})"),
            Versions::Tagged(tag) => write!(f, "{pacticipant} (each with tag {tag})"),
            Versions::LatestOfBranch(branch) => write!(f, "{pacticipant} (latest of branch {branch})"),
            Versions::LatestOfMainBranch => write!(f, "{pacticipant} (latest of its main branch)"),
        }
    }
}

/// With which versions of the others it has to get along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// With those in an environment.
    Environment(EnvironmentName),
    /// With the latest one of each that has this tag.
    Tag(String),
    /// With the latest one of each on its main branch: can-i-merge.
    MainBranches,
    /// With the latest one of each.
    Latest,
    /// With nothing but each other.
    EachOther,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(environment) => environment.fmt(f),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::MainBranches => f.write_str("main branches"),
            Self::Latest => f.write_str("latest versions"),
            Self::EachOther => f.write_str("each other"),
        }
    }
}

/// May these versions be deployed together?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The applications, each once; at least one.
    pub selectors: Vec<Selector>,
    /// With what they have to get along besides each other.
    pub destination: Destination,
    /// What is left out of consideration; in order.
    pub ignore: Vec<Ignored>,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let selectors: Vec<_> = self.selectors.iter().map(ToString::to_string).collect();
        write!(f, "{} → {}", selectors.join(" + "), self.destination)
    }
}

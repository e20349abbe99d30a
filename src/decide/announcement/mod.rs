//! What the sinks of the controller are told: the kinds of announcements, which of them wait for which sink, and how they
//! are written as CDEvents and for people. Pure. Which announcements there are is decided beside the status that they are
//! part of, in [`crate::decide::record::announced`].

mod cdevent;
mod denial;
mod described;

pub use cdevent::{CdEvent, SPECIFICATION, cdevent};
pub use denial::Denial;
pub use described::{Described, described};

use crate::{
    api::{PactDeployment, annotations::ANNOUNCED, deployment::Announcement},
    workload::RecordKey,
};

/// Makes the enum, its list and its names from one table.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name, in the status and for templates.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

kinds! {
    /// A version is recorded where none was.
    Deployed,
    /// Another version is recorded than before, which was not recorded here yet.
    Upgraded,
    /// Another version is recorded than before, which was recorded here earlier.
    RolledBack,
    /// No workload runs it any more, and nothing of the operator's is recorded any more.
    Removed,
    /// Another client recorded something else, and the operator corrected it.
    Drift,
    /// The gate would deny a version that runs or rolls out.
    WouldDeny,
    /// A version runs by a bypass statement and was not judged yes.
    Bypassed,
    /// The gate denied a rollout. The Event of the gate is the announcement.
    Denied,
}

impl Kind {
    /// The kind of this name. Another version of the operator may know more of them.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// No object has more announcements than that: not with one a second for thirty thousand years.
const HIGHEST: i64 = 1 << 40;

/// Where announcements are delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sink {
    /// It takes CDEvents.
    CdEvents,
    /// It takes JSON of a template.
    Webhook,
}

impl Sink {
    /// The name, in announcements, annotations and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CdEvents => "cdevents",
            Self::Webhook => "webhook",
        }
    }

    /// The annotation that says up to which sequence this sink has the announcements of an object.
    #[must_use]
    pub fn annotation(self) -> String {
        format!("{ANNOUNCED}{}", self.name())
    }

    /// Up to which sequence this sink has the announcements of an object. Whoever may write annotations may write this one:
    /// what is no sequence says nothing.
    #[must_use]
    pub fn mark(self, object: &PactDeployment) -> i64 {
        let annotation = object.metadata.annotations.as_ref().and_then(|all| all.get(&self.annotation()));
        annotation.and_then(|mark| mark.parse().ok()).filter(|mark| (0..=HIGHEST).contains(mark)).unwrap_or(0)
    }

    /// Whether an announcement, for which the mark of this sink is known, waits for its delivery there.
    fn lacks(self, mark: i64, announcement: &Announcement) -> bool {
        announcement.sequence > mark && announcement.sinks.iter().any(|sink| sink == self.name())
    }

    /// The announcements of an object that wait for their delivery to this sink, oldest first. `sent` is what this process
    /// delivered already, whether or not that could be noted.
    pub fn waiting(self, object: &PactDeployment, sent: i64) -> impl Iterator<Item = &Announcement> {
        let mark = self.mark(object).max(sent);
        let all = object.status.iter().flat_map(|status| &status.announcements);
        all.filter(move |announcement| self.lacks(mark, announcement))
    }
}

/// An announcement with all that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The key of the record.
    pub key: &'a RecordKey,
    /// The uid of its `PactDeployment`.
    pub uid: &'a str,
    /// The name of the cluster, if it has one.
    pub cluster: Option<&'a str>,
    /// What happened.
    pub announcement: &'a Announcement,
}

impl Subject<'_> {
    /// What a repeated delivery is recognised by: the same for each delivery, and no other announcement has it. After a
    /// restore of etcd other news have a sequence that was given before, but not at the same time.
    #[must_use]
    pub fn id(&self) -> String {
        let Announcement { at, sequence, .. } = self.announcement;
        format!("{}-{}-{sequence}", self.uid, at.0.as_second())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

//! The kinds of workload that the operator knows: one table, and one file for each kind.
//!
//! The gate judges every row; the recorder watches and reads those that are recorded. The chart grants rights and
//! registers webhook rules for what `charts/pact-operator/files/kinds.json` lists; a test compares that file with the
//! table. To add a kind, add a file that implements [`Kind`], a line in the table and a line in that file.

mod cron_job;
mod daemon_set;
mod deployment;
#[cfg(test)]
mod fixtures;
mod job;
pub(in crate::workload) mod metadata;
mod own_entries;
mod rollout;
mod stateful_set;
mod view;

pub use cron_job::{ActiveJobView, CronJob, CronJobSpecView, CronJobStatusView, JobTemplateView};
pub use daemon_set::{DaemonSet, DaemonSetSpecView, DaemonSetStatusView, DaemonSetStrategyView};
pub use deployment::{
    Deployment, DeploymentConditionView, DeploymentRollingUpdateView, DeploymentSpecView, DeploymentStatusView,
    DeploymentStrategyView,
};
pub use job::{Job, JobSpecView, JobStatusView};
pub use own_entries::OwnEntries;
pub use rollout::{Paused, Rollout, RolloutConditionView, RolloutSpecView, RolloutStatusView};
pub use stateful_set::{
    StatefulSet, StatefulSetRollingUpdateView, StatefulSetSpecView, StatefulSetStatusView, StatefulSetStrategyView,
};
pub use view::{ContainerView, Kind, PodMetadataView, PodSpecView, PodTemplateView, Pods, View};

use std::fmt;

/// A Deployment, as far as the operator reads it.
pub type DeploymentView = View<Deployment>;

/// An operation on a kind that is known only at run time.
pub trait Dispatch {
    /// The result.
    type Output;

    /// Runs the operation for one kind.
    fn with<K: Kind>(self) -> Self::Output;
}

/// The names of a kind in the Kubernetes API.
struct Row {
    kind: &'static str,
    group: &'static str,
    version: &'static str,
    api_version: &'static str,
    resource: &'static str,
    definition: &'static str,
    short: &'static str,
    role: Role,
    served: Served,
}

/// What the operator does with a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Its changes are judged, and what it runs is recorded.
    Recorded,
    /// Its changes are judged only: it runs once and is over.
    Judged,
}

/// Whether API servers know a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    /// Each of them.
    Always,
    /// Those in which its definition is installed.
    WhenInstalled,
}

macro_rules! table {
    ($($kind:ident, $group:literal, $version:literal, $resource:literal, $short:literal, $role:ident, $served:ident;)*) => {
        /// The kinds of workload that the operator knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum WorkloadKind {
            $(#[doc = concat!("`", $group, "/", $version, "` ", stringify!($kind), ".")] $kind,)*
        }

        impl WorkloadKind {
            /// Every kind.
            pub const ALL: [Self; [$($resource),*].len()] = [$(Self::$kind),*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row {
                        kind: stringify!($kind),
                        group: $group,
                        version: $version,
                        api_version: concat!($group, "/", $version),
                        resource: $resource,
                        definition: concat!($resource, ".", $group),
                        short: $short,
                        role: Role::$role,
                        served: Served::$served,
                    },)*
                }
            }

            /// Runs an operation that is written for every kind with this one.
            pub fn dispatch<D: Dispatch>(self, what: D) -> D::Output {
                match self {
                    $(Self::$kind => what.with::<$kind>(),)*
                }
            }
        }
    };
}

// Columns: the kind, its API group, its version, the resource that rights and webhook rules name, kubectl's short name for
// it, whether it is recorded, whether every API server serves it.
table! {
    Deployment, "apps", "v1", "deployments", "deploy", Recorded, Always;
    StatefulSet, "apps", "v1", "statefulsets", "sts", Recorded, Always;
    DaemonSet, "apps", "v1", "daemonsets", "ds", Recorded, Always;
    Rollout, "argoproj.io", "v1alpha1", "rollouts", "ro", Recorded, WhenInstalled;
    CronJob, "batch", "v1", "cronjobs", "cj", Recorded, Always;
    Job, "batch", "v1", "jobs", "job", Judged, Always;
}

const RECORDED: usize = {
    let (mut at, mut count) = (0, 0);
    while at < WorkloadKind::ALL.len() {
        count += WorkloadKind::ALL[at].recorded() as usize;
        at += 1;
    }
    count
};

impl WorkloadKind {
    /// Every kind that is recorded; the others are only judged.
    pub const RECORDED: [Self; RECORDED] = {
        let (mut kinds, mut at, mut count) = ([Self::Deployment; RECORDED], 0, 0);
        while at < Self::ALL.len() {
            if Self::ALL[at].recorded() {
                kinds[count] = Self::ALL[at];
                count += 1;
            }
            at += 1;
        }
        kinds
    };

    /// Whether what it runs is recorded.
    #[must_use]
    pub const fn recorded(self) -> bool {
        matches!(self.row().role, Role::Recorded)
    }

    /// The name of the `CustomResourceDefinition` that an API server needs to serve it; `None` for a kind that each has.
    #[must_use]
    pub const fn definition(self) -> Option<&'static str> {
        match self.row().served {
            Served::Always => None,
            Served::WhenInstalled => Some(self.row().definition),
        }
    }

    /// Kubectl's short name of its resource.
    #[must_use]
    pub const fn short(self) -> &'static str {
        self.row().short
    }

    /// The kind as Kubernetes writes it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        self.row().kind
    }

    /// Its API group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        self.row().group
    }

    /// The version of its API group.
    #[must_use]
    pub const fn version(self) -> &'static str {
        self.row().version
    }

    /// The API group and version as Kubernetes writes them in an object.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        self.row().api_version
    }

    /// The resource that rights and webhook rules name: the plural, in lower case.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        self.row().resource
    }

    /// The kind of that name, in any group.
    #[must_use]
    pub fn named(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.kind() == kind)
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

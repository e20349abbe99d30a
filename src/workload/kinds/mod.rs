//! The kinds of workload that the operator knows: one table, and one file for each kind.
//!
//! The recorder watches and reads every row, the gate judges every row. The chart grants rights and registers webhook
//! rules for what `charts/pact-operator/files/kinds.json` lists; a test compares that file with the table. To add a
//! kind, add a file that implements [`Kind`], a line in the table and a line in that file.

mod daemon_set;
mod deployment;
#[cfg(test)]
mod fixtures;
mod metadata;
mod own_entries;
mod stateful_set;
mod view;

pub use daemon_set::{DaemonSet, DaemonSetSpecView, DaemonSetStatusView, DaemonSetStrategyView};
pub use deployment::{
    Deployment, DeploymentConditionView, DeploymentRollingUpdateView, DeploymentSpecView, DeploymentStatusView,
    DeploymentStrategyView,
};
pub use own_entries::OwnEntries;
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
}

macro_rules! table {
    ($($kind:ident, $group:literal, $version:literal, $resource:literal;)*) => {
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

// Columns: the kind, its API group, its version, the resource that rights and webhook rules name.
table! {
    Deployment, "apps", "v1", "deployments";
    StatefulSet, "apps", "v1", "statefulsets";
    DaemonSet, "apps", "v1", "daemonsets";
}

impl WorkloadKind {
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

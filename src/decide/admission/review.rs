//! An admission review, as far as the gate looks at it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::workload::{Workload, WorkloadKind};

/// The kind of the object under review.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct GroupVersionKind {
    /// `apps`
    pub group: String,
    /// `v1`
    pub version: String,
    /// `Deployment`
    pub kind: String,
}

impl GroupVersionKind {
    /// The kind of workload that it is, if it is one that the operator knows.
    #[must_use]
    pub fn known(&self) -> Option<WorkloadKind> {
        WorkloadKind::named(&self.kind).filter(|kind| (kind.group(), kind.version()) == (&self.group, &self.version))
    }
}

/// Who makes a request, as the API server authenticated them.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct User {
    /// The name, also of a service account: `system:serviceaccount:NAMESPACE:NAME`.
    pub username: String,
    /// The identity behind the name.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else authentication found out.
    pub extra: BTreeMap<String, Option<Vec<String>>>,
}

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is created.
    Create,
    /// It is changed.
    Update,
    /// Anything else: the gate has no say in it.
    Other,
}

/// What a review is about besides the change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing else.
    #[default]
    Ordinary,
    /// The self-test's question whether the gate is there: annotated so, and a dry-run.
    SelfTest,
    /// What would come of it if each environment enforced its actions: Flagger's hooks may ask for that.
    AsEnforced,
}

/// A review.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "some facts about a request, each true or false by itself")]
pub struct Review {
    /// What the answer must carry.
    pub uid: String,
    /// The kind of the object.
    pub kind: GroupVersionKind,
    /// Whether it is about a part of the object, such as its scale.
    pub subresource: bool,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name; empty when the API server has yet to generate one.
    pub name: String,
    /// What is done to the object.
    pub operation: Operation,
    /// Who does it.
    pub user: User,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// What it is about besides the change.
    pub purpose: Purpose,
    /// The name under which the client writes, where it gives one.
    pub field_manager: Option<String>,
    /// The object as it is; absent on creation.
    pub old: Option<Workload>,
    /// Whether the object as it is waits for its version: nothing of it runs, so nothing of it is known to be fine.
    pub old_waits: bool,
    /// The object as it would be, or why it cannot be read.
    pub new: Result<Workload, String>,
}

impl Review {
    /// The object's name, also where the API server has yet to take it from the object.
    #[must_use]
    pub fn object_name(&self) -> &str {
        match (&self.name, &self.new) {
            (name, Ok(new)) if name.is_empty() => &new.reference.name,
            (name, _) => name,
        }
    }
}

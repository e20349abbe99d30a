//! The members of one record key.

use std::slice::Iter;

use crate::{decide::record::MemberView, workload::WorkloadRef};

/// Sorted by workload, each once. Most keys have a single member: a vector has room for that and no more, while each node of
/// a tree has room for eleven, some five kilobytes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Members(Vec<MemberView>);

impl Members {
    pub(super) fn iter(&self) -> Iter<'_, MemberView> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is in this namespace.
    pub(super) fn are_in(&self, namespace: &str) -> bool {
        self.0.iter().any(|member| member.workload.namespace == namespace)
    }

    /// Adds a member, unless its workload is one already.
    pub(super) fn add(&mut self, member: MemberView) {
        if let Err(place) = self.place(&member.workload) {
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, member);
        }
    }

    pub(super) fn remove(&mut self, workload: &WorkloadRef) {
        if let Ok(place) = self.place(workload) {
            self.0.remove(place);
        }
    }

    fn place(&self, workload: &WorkloadRef) -> Result<usize, usize> {
        self.0.binary_search_by(|member| member.workload.cmp(workload))
    }
}

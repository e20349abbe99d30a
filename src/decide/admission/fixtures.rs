//! Building blocks of the tests of reviews.

use super::{GroupVersionKind, Operation, Purpose, Review, User};
use crate::workload::Workload;

/// The update of the Deployment `shop/orders` by this user, no dry-run.
pub(crate) fn update(old: Option<Workload>, new: Workload, username: &str) -> Review {
    Review {
        uid: "r".into(),
        kind: GroupVersionKind { group: "apps".into(), version: "v1".into(), kind: "Deployment".into() },
        subresource: false,
        namespace: "shop".into(),
        name: "orders".into(),
        operation: Operation::Update,
        user: User { username: username.into(), ..User::default() },
        dry_run: false,
        purpose: Purpose::Ordinary,
        field_manager: None,
        old,
        old_waits: false,
        new: Ok(new),
    }
}

//! Whether the user of a review holds the verb `bypass`: asked only where a statement counts if so.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, api::PostParams};
use operator_kit::refusal;
use tokio::time::{Instant, timeout};

use super::Gate;
use crate::{
    api::GROUP,
    decide::admission::{Ineffective, User},
};

/// How long the question may take: the broker may have to be asked, too.
const LIMIT: Duration = Duration::from_secs(1);

impl Gate {
    /// Asks the API server whether a user may bypass the gate.
    ///
    /// # Errors
    /// When the user may not, or nothing is known before half of the time until `deadline` is over.
    pub(super) async fn may_bypass(&self, user: &User, deadline: Instant) -> Result<(), Ineffective> {
        let api: Api<SubjectAccessReview> = Api::all(self.cluster.client.clone());
        let limit = LIMIT.min(deadline.saturating_duration_since(Instant::now()) / 2);
        match timeout(limit, api.create(&PostParams::default(), &question(user))).await {
            Ok(Ok(answer)) if answer.status.as_ref().is_some_and(|status| status.allowed) => Ok(()),
            Ok(Ok(_)) => Err(Ineffective::NoRight),
            Ok(Err(error)) => Err(Ineffective::RightUnknown(refusal::explain(&error))),
            Err(_) => Err(Ineffective::RightUnknown("it did not answer in time".to_owned())),
        }
    }
}

fn question(user: &User) -> SubjectAccessReview {
    let attributes = ResourceAttributes {
        group: Some(GROUP.to_owned()),
        resource: Some("pactenvironments".to_owned()),
        verb: Some("bypass".to_owned()),
        ..ResourceAttributes::default()
    };
    let extra = user.extra.iter().map(|(key, values)| (key.clone(), values.clone().unwrap_or_default()));
    let spec = SubjectAccessReviewSpec {
        user: Some(user.username.clone()),
        uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
        groups: Some(user.groups.clone()),
        extra: Some(extra.collect()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}

//! Whether somebody holds a verb of ours on `PactEnvironments`: asked only where something depends on it.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};
use operator_kit::refusal;
use tokio::time::{Instant, timeout};

use super::Gate;
use crate::{
    api::GROUP,
    decide::admission::{Ineffective, User},
};

/// How long the question may take: the broker may have to be asked, too.
const LIMIT: Duration = Duration::from_secs(1);

/// A right to `PactEnvironments`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right<'a> {
    /// The verb.
    pub(super) verb: &'static str,
    /// The `PactEnvironment`; all of them where there is none.
    pub(super) object: Option<&'a str>,
}

impl Gate {
    /// Asks the API server whether a user may bypass the gate.
    ///
    /// # Errors
    /// When the user may not, or nothing is known before half of the time until `deadline` is over.
    pub(super) async fn may_bypass(&self, user: &User, deadline: Instant) -> Result<(), Ineffective> {
        let limit = LIMIT.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let right = Right { verb: "bypass", object: None };
        match timeout(limit, holds(&self.cluster.client, user, right)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Ineffective::NoRight),
            Ok(Err(error)) => Err(Ineffective::RightUnknown(error)),
            Err(_) => Err(Ineffective::RightUnknown("it did not answer in time".to_owned())),
        }
    }
}

/// Asks the API server whether a user holds a right.
///
/// # Errors
/// When it does not say; the text explains why.
pub(super) async fn holds(client: &Client, user: &User, right: Right<'_>) -> Result<bool, String> {
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    match api.create(&PostParams::default(), &question(user, right)).await {
        Ok(answer) => Ok(answer.status.is_some_and(|status| status.allowed)),
        Err(error) => Err(refusal::explain(&error)),
    }
}

fn question(user: &User, right: Right<'_>) -> SubjectAccessReview {
    let attributes = ResourceAttributes {
        group: Some(GROUP.to_owned()),
        resource: Some("pactenvironments".to_owned()),
        verb: Some(right.verb.to_owned()),
        name: right.object.map(ToOwned::to_owned),
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

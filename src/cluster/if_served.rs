//! Lists of a kind that a cluster may not have, such as Argo Rollouts.

use std::fmt::Debug;

use kube::{Api, Resource, api::ListParams};
use serde::de::DeserializeOwned;

/// The objects of a kind; none where the API server does not serve it, which it answers without a reason.
///
/// # Errors
/// Any other refusal, and no answer.
pub async fn list_if_served<K>(api: &Api<K>) -> kube::Result<Vec<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    match api.list(&ListParams::default()).await {
        Ok(listed) => Ok(listed.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

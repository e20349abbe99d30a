//! The workloads of a cluster, listed once.

use futures::future::{BoxFuture, try_join_all};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, api::ListParams};
use operator_kit::refusal;

use crate::{
    cluster::if_served::list_if_served,
    workload::{Dispatch, Kind, View, Workload, WorkloadKind},
};

/// Every workload of the kinds that are recorded, annotated or not. Of a kind that is not installed there is none.
///
/// # Errors
/// When a kind cannot be listed, with the reason.
pub(super) async fn listed_workloads(client: &Client) -> Result<Vec<Workload>, String> {
    let kinds = WorkloadKind::RECORDED.map(|kind| kind.dispatch(List(client.clone())));
    Ok(try_join_all(kinds).await?.concat())
}

/// Lists the workloads of a kind.
struct List(Client);

impl Dispatch for List {
    type Output = BoxFuture<'static, Result<Vec<Workload>, String>>;

    fn with<K: Kind>(self) -> Self::Output {
        Box::pin(async move {
            let api = Api::<View<K>>::all(self.0);
            let listed = match K::KIND.definition() {
                Some(_) => list_if_served(&api).await,
                None => api.list(&ListParams::default()).await.map(|listed| listed.items),
            };
            let unreadable = |error| format!("{}s cannot be listed: {}", K::KIND, refusal::explain(&error));
            let observed = listed.map_err(unreadable)?.into_iter().map(|object| object.observe(Timestamp::now()));
            Ok(observed.collect())
        })
    }
}

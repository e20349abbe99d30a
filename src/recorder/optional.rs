//! Watches of what there is only while a definition is installed.

use std::{collections::HashSet, fmt::Debug, pin::pin};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use operator_kit::{
    history::Restored,
    watch::{Decoded, First, WatchHandler, events, explain, follow_selected},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What is followed only while a definition is installed: its objects, or those of another kind that a label selects.
pub(super) struct Optional<R> {
    /// The name of the `CustomResourceDefinition`.
    pub(super) definition: &'static str,
    /// The label that the objects have.
    pub(super) labels: Option<&'static str>,
    /// Is informed whether the definition is there.
    pub(super) report: R,
}

impl Optional<fn(bool)> {
    /// All objects of a definition.
    pub(super) fn new(definition: &'static str) -> Self {
        Self { definition, labels: None, report: |_| {} }
    }
}

impl<R: Fn(bool) + Send + 'static> Optional<R> {
    /// Follows them until shutdown. `make` gives the handler.
    pub(super) fn follow<F, C>(
        self,
        client: Client,
        make: impl Fn() -> F + Send + 'static,
        first: First<C>,
        restored: Restored,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, ()>
    where
        F: WatchHandler + Sync + 'static,
        C: Fn() + Clone + Send + Sync + 'static,
        Decoded<F::Object>:
            Resource<DynamicType: Default, Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send,
        F::Object: Resource + Send,
        F::Id: Send,
    {
        let Self { definition, labels, report } = self;
        let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
        let only = watcher::Config::default().fields(&format!("metadata.name={definition}"));
        async move {
            let mut events = pin!(events(definitions, only, restored.clone()));
            let mut following: Option<BoxFuture<'_, ()>> = None;
            let mut seen = false;
            loop {
                let event = tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = async { match following.as_mut() {
                        Some(following) => following.await,
                        None => std::future::pending().await,
                    } } => {
                        following = None;
                        continue;
                    }
                    event = events.next() => event,
                };
                let served = match event {
                    None => return,
                    Some(Err(error)) => {
                        first.failed(&error);
                        let error = explain(&error);
                        warn!(definition, error, "watching for the definition was interrupted and goes on");
                        continue;
                    }
                    Some(Ok(Event::Init)) => {
                        seen = false;
                        continue;
                    }
                    Some(Ok(Event::InitApply(_) | Event::Apply(_))) => {
                        seen = true;
                        true
                    }
                    Some(Ok(Event::InitDone)) => seen,
                    Some(Ok(Event::Delete(_))) => false,
                };
                report(served);
                if served && following.is_none() {
                    info!(definition, "is installed: what belongs to it is followed");
                    let api = Api::all(client.clone());
                    let stop = shutdown.clone();
                    following =
                        Some(Box::pin(follow_selected(api, labels, make(), first.clone(), restored.clone(), stop)));
                } else if !served {
                    if following.take().is_some() {
                        make().retain(&HashSet::new());
                    }
                    first.complete();
                }
            }
        }
        .boxed()
    }
}

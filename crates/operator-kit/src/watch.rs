//! What the API server reports of one kind of object: lists and changes, passed to a handler.

mod decoded;
mod streamed;

use std::{
    collections::HashSet,
    fmt::Debug,
    hash::Hash,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::streamed::is_refused;
pub use self::{
    decoded::{Decoded, InvalidObject},
    streamed::newest_first,
};
use super::{history::Restored, readiness::Gate, refusal};

/// One kind of object, and how to handle what the API server reports of it.
pub trait WatchHandler: Send {
    /// The objects.
    type Object: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static;
    /// What distinguishes one object from another.
    type Id: Eq + Hash + Send;

    /// The object exists, in this state. Returns its identity, if the handler knows it.
    fn apply(&self, object: Self::Object) -> Option<Self::Id>;
    /// A list holds the object, in this state. It is what the API server has, even if the object is older than what is
    /// known: etcd may have been restored from a backup.
    fn listed(&self, object: Self::Object) -> Option<Self::Id> {
        self.apply(object)
    }
    /// The object exists, but cannot be decoded. Returns its identity, if at least that can be read: then the last
    /// known state of the object is kept.
    fn undecodable(&self, object: &InvalidObject) -> Option<Self::Id>;
    /// An object that could not be decoded was deleted.
    fn undecodable_gone(&self, _object: &InvalidObject) {}
    /// The object was deleted.
    fn delete(&self, object: Self::Object);
    /// A complete list has ended: objects that it did not hold are gone.
    fn retain(&self, listed: &HashSet<Self::Id>);
}

/// How many objects are listed with one request: some megabytes of Deployments, which are held as a whole.
const PAGE: u32 = 500;

/// How long after a list a kind that may not be watched is listed again.
const LIST_AGAIN: Duration = Duration::from_secs(30);

/// The first complete list of one kind: opens its readiness gate, and then calls `complete`, once. Clones share the
/// state.
#[derive(Clone)]
pub struct First<C> {
    gate: Gate,
    complete: C,
    done: Arc<AtomicBool>,
}

impl<C: Fn()> First<C> {
    /// Records that the kind was listed.
    pub fn complete(&self) {
        if !self.done.swap(true, Ordering::AcqRel) {
            self.gate.pass();
            (self.complete)();
        }
    }

    /// Records that the kind could not be listed: closes the gate with the reason, unless the kind was listed before.
    pub fn failed(&self, error: &watcher::Error) {
        if !self.done.load(Ordering::Acquire) {
            self.gate.fail(explain(error));
        }
    }
}

/// The first lists of several kinds, in the order of their readiness gates. `complete` is called once, when the last of
/// them has ended.
pub fn first_lists<const N: usize>(
    gates: [Gate; N],
    complete: impl Fn() + Send + Sync,
) -> [First<impl Fn() + Clone + Send + Sync>; N] {
    let missing = Arc::new((AtomicUsize::new(N), complete));
    gates.map(|gate| {
        let missing = Arc::clone(&missing);
        let one_less = move || {
            let (count, complete) = &*missing;
            if count.fetch_sub(1, Ordering::AcqRel) == 1 {
                info!("everything watched has been listed");
                complete();
            }
        };
        First { gate, complete: one_less, done: Arc::default() }
    })
}

/// Why a kind cannot be listed, and the remedy.
#[must_use]
pub fn explain(error: &watcher::Error) -> String {
    let (watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source)) = error else {
        return error.to_string();
    };
    match source {
        kube::Error::Api(status) if status.code == 404 => {
            "the API server does not know this kind. Install its CustomResourceDefinition: `pact-operator crds` prints it"
                .to_owned()
        }
        kube::Error::Api(status) if status.is_forbidden() => refusal::explain(source),
        _ => error.to_string(),
    }
}

/// Everything of a kind: a list, then changes, and again after an interruption.
///
/// The list comes as the beginning of the watch where the API server can do that (see [`newest_first`]), in pages where
/// it cannot. Where the kind may be listed but not watched, it is listed again and again. The watcher alone would retry
/// only the watch, and its consumer would keep the first list for ever. When the API server's history went back, it is
/// listed again, too: the watch alone would go on from a resourceVersion that is not there any more, and hear nothing.
pub fn events<K>(
    api: Api<K>,
    config: watcher::Config,
    restored: Restored,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let start = move |how: How| {
        let config = config.clone();
        let config = if how == How::Streamed { config.streaming_lists() } else { config };
        watcher(api.clone(), config).default_backoff().boxed()
    };
    stream::unfold((start(How::Streamed), How::Streamed, restored), move |(mut events, mut how, mut restored)| {
        let start = start.clone();
        async move {
            if how == How::Listed {
                tokio::select! {
                    () = tokio::time::sleep(LIST_AGAIN) => {}
                    () = restored.again() => {}
                }
                how = How::Paged;
                events = start(how);
            }
            loop {
                let event = tokio::select! {
                    event = events.next() => event?,
                    () = restored.again() => {
                        events = start(how);
                        continue;
                    }
                };
                match (&event, how) {
                    (Err(error), How::Streamed) if is_refused(error) => {
                        how = How::Paged;
                        events = start(how);
                        continue;
                    }
                    (Err(error), How::Paged) if is_unwatchable(error) => how = How::Listed,
                    _ => {}
                }
                return Some((event, (events, how, restored)));
            }
        }
    })
}

/// How a kind is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// As the beginning of the watch.
    Streamed,
    /// In pages, before the watch.
    Paged,
    /// In pages, and it may not be watched.
    Listed,
}

/// Whether the watch was refused for good, after a list that succeeded.
fn is_unwatchable(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.is_forbidden())
}

/// Follows a kind until shutdown. An interrupted watch resumes by itself; one object that cannot be decoded stops
/// nothing.
pub async fn follow<F, C>(
    api: Api<Decoded<F::Object>>,
    handler: F,
    first: First<C>,
    restored: Restored,
    shutdown: CancellationToken,
) where
    F: WatchHandler,
    C: Fn(),
    Decoded<F::Object>: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned,
{
    follow_selected(api, None, handler, first, restored, shutdown).await;
}

/// Follows the objects of a kind that a label selector matches.
pub async fn follow_selected<F, C>(
    api: Api<Decoded<F::Object>>,
    labels: Option<&str>,
    handler: F,
    first: First<C>,
    restored: Restored,
    shutdown: CancellationToken,
) where
    F: WatchHandler,
    C: Fn(),
    Decoded<F::Object>: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned,
{
    let all = watcher::Config::default().page_size(PAGE);
    let config = match labels {
        Some(labels) => all.labels(labels),
        None => all,
    };
    let mut events = pin!(events(api, config, restored));
    let mut listed = HashSet::new();
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Err(error)) => {
                first.failed(&error);
                let kind = F::Object::kind(&Default::default()).into_owned();
                let error = explain(&error);
                warn!(kind, error, "watching was interrupted and goes on");
            }
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitApply(object))) => listed.extend(take(&handler, object, F::listed)),
            Some(Ok(Event::InitDone)) => {
                handler.retain(&std::mem::take(&mut listed));
                first.complete();
            }
            Some(Ok(Event::Apply(object))) => drop(take(&handler, object, F::apply)),
            Some(Ok(Event::Delete(object))) => match object.0 {
                Ok(object) => handler.delete(object),
                Err(invalid) => handler.undecodable_gone(&invalid),
            },
        }
    }
}

fn take<F: WatchHandler>(
    handler: &F,
    object: Decoded<F::Object>,
    pass: fn(&F, F::Object) -> Option<F::Id>,
) -> Option<F::Id> {
    match object.0 {
        Ok(object) => pass(handler, object),
        Err(invalid) => handler.undecodable(&invalid),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body, core::Status};
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::history::History;

    fn refused(code: u16, reason: &str, message: &str) -> watcher::Error {
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(Status::failure(message, reason).with_code(code))))
    }

    #[test]
    fn a_missing_kind_or_right_is_explained_with_its_remedy() {
        let missing = explain(&refused(404, "NotFound", "404 page not found"));
        assert!(missing.contains("does not know this kind. Install"), "{missing}");
        let forbidden = explain(&refused(403, "Forbidden", "user x cannot list pactbrokers"));
        assert!(forbidden.starts_with("user x cannot list pactbrokers. Remedy: grant"), "{forbidden}");
        let other = explain(&refused(500, "InternalError", "etcd is away"));
        assert!(other.contains("etcd is away"), "{other}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_may_be_listed_but_not_watched_is_listed_again_and_again() {
        let server = tower::service_fn(|request: http::Request<Body>| async move {
            let (status, body) = if request.uri().query().is_some_and(|query| query.contains("watch=")) {
                let status =
                    json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "this user cannot watch"});
                (403, status)
            } else {
                (200, json!({"kind": "ConfigMapList", "metadata": {"resourceVersion": "1"}, "items": []}))
            };
            let answer = http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
            Ok::<_, Infallible>(answer.unwrap())
        });
        let api = Api::<ConfigMap>::all(Client::new(server, "default"));
        let mut events = pin!(events(api, watcher::Config::default(), History::new().restored()));
        let began = Instant::now();
        let (mut lists, mut refusals) = (0, 0);
        while lists < 3 {
            match events.next().await.unwrap() {
                Ok(Event::InitDone) => lists += 1,
                Ok(_) => {}
                Err(error) => {
                    refusals += 1;
                    assert!(refusals <= 2, "only the watch is tried again");
                    assert!(explain(&error).contains("Remedy: grant"), "{error}");
                }
            }
        }
        assert_eq!(refusals, 2);
        let took = began.elapsed();
        assert!(took >= 2 * LIST_AGAIN && took < 3 * LIST_AGAIN, "{took:?}");
    }
    #[tokio::test(start_paused = true)]
    async fn case_107_a_kind_is_listed_again_when_the_history_went_back() {
        let server = tower::service_fn(|request: http::Request<Body>| async move {
            if request.uri().query().is_some_and(|query| query.contains("sendInitialEvents")) {
                return Ok(streamed::tests::refusal(422, "Invalid"));
            }
            // A watch from a resourceVersion that is not there (any more) is silent.
            if request.uri().query().is_some_and(|query| query.contains("watch=")) {
                std::future::pending::<()>().await;
            }
            let body = json!({"kind": "ConfigMapList", "metadata": {"resourceVersion": "1"}, "items": []});
            Ok::<_, Infallible>(http::Response::new(Body::from(body.to_string().into_bytes())))
        });
        let (api, history) = (Api::<ConfigMap>::all(Client::new(server, "default")), History::new());
        let mut events = pin!(events(api, watcher::Config::default(), history.restored()));
        let mut listed = async || {
            let until_listed = async { while !matches!(events.next().await.unwrap(), Ok(Event::InitDone)) {} };
            tokio::time::timeout(LIST_AGAIN, until_listed).await.is_ok()
        };
        assert!(listed().await && !listed().await, "once");
        history.went_back();
        assert!(listed().await && !listed().await, "once more");
    }
}

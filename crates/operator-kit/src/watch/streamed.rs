//! A list that comes as the beginning of a watch, object by object: the API server sends it from its cache, in a fifth of the
//! time that pages of custom resources take, and neither side ever holds a page.
//! See <https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists>.

use http::{Request, Uri};
use kube::{client::Body, runtime::watcher};
use tower::util::MapRequestLayer;

/// The layer of a client that [`super::events`] needs: the beginning of a streamed list asks for the newest state, as a
/// plain list does. What kube sends says `resourceVersion=0`: then an API server that lags behind may answer with a state
/// older than one that was seen already.
#[must_use]
pub fn newest_first() -> MapRequestLayer<fn(Request<Body>) -> Request<Body>> {
    MapRequestLayer::new(from_the_newest)
}

fn from_the_newest(mut request: Request<Body>) -> Request<Body> {
    let uri = request.uri();
    if let Some(query) = uri.query()
        && query.split('&').any(|part| part == "sendInitialEvents=true")
    {
        let kept: Vec<_> = query.split('&').filter(|part| *part != "resourceVersion=0").collect();
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = format!("{}?{}", uri.path(), kept.join("&")).parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Whether the API server does not list this way: the feature is off, as it is by default in 1.33, or we may list and not
/// watch.
pub(super) fn is_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422))
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        convert::Infallible,
        pin::pin,
        sync::{Arc, Mutex},
    };

    use futures::StreamExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Api, Client, ResourceExt, runtime::watcher::Event};
    use serde_json::json;

    use super::*;
    use crate::{history::History, watch::events};

    pub fn refusal(code: u16, reason: &str) -> http::Response<Body> {
        let status =
            json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "refused"});
        let answer = http::Response::builder().status(code).body(Body::from(status.to_string().into_bytes()));
        answer.unwrap()
    }

    /// What is listed, and the requests, from a server that streams, or refuses that with this code.
    async fn listed(refuses: Option<u16>) -> (Vec<String>, Vec<String>) {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        let server = tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            log.lock().unwrap().push(query.clone());
            async move {
                let object = |name| json!({"metadata": {"name": name, "resourceVersion": "7"}});
                let text = match (query.contains("sendInitialEvents"), refuses) {
                    (true, Some(code)) => return Ok(refusal(code, "Invalid")),
                    (true, None) => {
                        let end = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": "9",
                            "annotations": {"k8s.io/initial-events-end": "true"}}});
                        let events = [
                            json!({"type": "ADDED", "object": object("a")}),
                            json!({"type": "ADDED", "object": object("b")}),
                            json!({"type": "BOOKMARK", "object": end}),
                        ];
                        events.map(|event| format!("{event}\n")).concat()
                    }
                    (false, _) => json!({"kind": "ConfigMapList", "metadata": {"resourceVersion": "9"},
                        "items": [object("a"), object("b")]})
                    .to_string(),
                };
                Ok::<_, Infallible>(http::Response::new(Body::from(text.into_bytes())))
            }
        });
        let server = tower::Layer::layer(&newest_first(), server);
        let api = Api::<ConfigMap>::all(Client::new(server, "default"));
        let config = watcher::Config::default().page_size(500);
        let mut events = pin!(events(api, config, History::new().restored()));
        let mut names = Vec::new();
        loop {
            match events.next().await.unwrap().unwrap() {
                Event::Init => assert!(names.is_empty()),
                Event::InitApply(object) => names.push(object.name_any()),
                Event::InitDone => break,
                Event::Apply(_) | Event::Delete(_) => panic!("it was not all listed yet"),
            }
        }
        let asked = asked.lock().unwrap().clone();
        (names, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_streamed_from_the_newest_state() {
        let (names, asked) = listed(None).await;
        assert_eq!((names.join(","), asked.len()), ("a,b".to_owned(), 1));
        assert!(asked[0].contains("resourceVersionMatch=NotOlderThan"), "{asked:?}");
        assert!(!asked[0].contains("resourceVersion="), "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_it_is_not_streamed_it_comes_in_pages() {
        for code in [400, 403, 422] {
            let (names, asked) = listed(Some(code)).await;
            assert_eq!((names.join(","), asked.len()), ("a,b".to_owned(), 2));
            assert!(asked[1].contains("limit=500") && !asked[1].contains("sendInitialEvents"), "{asked:?}");
        }
    }

    #[test]
    fn other_requests_are_left_as_they_are() {
        let uri = "https://server/api/v1/pods?watch=true&resourceVersion=0";
        let request = Request::get(uri).body(Body::empty()).unwrap();
        assert_eq!(from_the_newest(request).uri().to_string(), uri);
    }
}

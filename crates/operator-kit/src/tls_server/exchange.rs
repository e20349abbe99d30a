//! One request and its answer: when it arrived, how long it may take, and whether the connection ends with it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::counts::{TlsServerCounts, Why};
use super::ledger::{InFlight, Ledger, Protocol};

/// When the request began to arrive: the first byte of its head in HTTP/1, the whole head in HTTP/2. An extension of
/// each request, so that a handler's deadline counts the time that the body took, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivedAt(pub Instant);

/// Answers the requests of one connection.
pub(super) struct Exchange {
    router: TowerToHyperService<Router>,
    ledger: Arc<Ledger>,
    peer: SocketAddr,
    counts: TlsServerCounts,
}

/// The request did not end in time; the stream, or in HTTP/1 the connection, ends without an answer.
#[derive(Debug, Error)]
#[error("the request was not answered within the server's limit")]
pub(super) struct Late;

/// An answer's body. Its request is in flight until it is dropped.
pub(super) struct Answer {
    body: Body,
    _in_flight: InFlight,
}

impl Exchange {
    pub(super) fn new(router: Router, ledger: Arc<Ledger>, peer: SocketAddr, counts: TlsServerCounts) -> Self {
        Self { router: TowerToHyperService::new(router), ledger, peer, counts }
    }
}

impl Service<Request<Incoming>> for Exchange {
    type Response = Response<Answer>;
    type Error = Late;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Late>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let in_flight = self.ledger.begin();
        let due = self.ledger.due(in_flight.arrived());
        request.extensions_mut().insert(ArrivedAt(in_flight.arrived()));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let (answering, ledger, counts) = (self.router.call(request), Arc::clone(&self.ledger), self.counts.clone());
        Box::pin(async move {
            let Ok(Ok(answer)) = timeout_at(due, answering).await else {
                counts.end(Why::Request);
                return Err(Late);
            };
            let (mut head, body) = answer.into_parts();
            // HTTP/2 says it with GOAWAY, and has no such header.
            if ledger.protocol() == Protocol::Http1 && ledger.is_closing() {
                head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(Response::from_parts(head, Answer { body, _in_flight: in_flight }))
        })
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

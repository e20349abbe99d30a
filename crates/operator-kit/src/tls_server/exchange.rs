//! One request and its answer: when the request arrived, and whether the connection ends with the answer.

use std::convert::Infallible;
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
use tokio::time::Instant;

use super::connection_state::{ConnectionState, InFlight};

/// When the first byte of the request's head arrived. An extension of each request, so that a handler's deadline
/// includes the time that head and body took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivedAt(pub Instant);

/// Answers the requests of one connection.
pub(super) struct Exchange {
    router: TowerToHyperService<Router>,
    state: Arc<ConnectionState>,
    peer: SocketAddr,
}

/// The body of a request. It reports how it arrives, so that a review under way is told from a body that stalls.
struct Arriving {
    body: Incoming,
    state: Arc<ConnectionState>,
}

/// The body of an answer. Its request is in flight until the body is dropped.
pub(super) struct Answer {
    body: Body,
    _in_flight: InFlight,
}

impl Exchange {
    pub(super) fn new(router: Router, state: Arc<ConnectionState>, peer: SocketAddr) -> Self {
        Self { router: TowerToHyperService::new(router), state, peer }
    }
}

impl Service<Request<Incoming>> for Exchange {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let in_flight = self.state.begin(!request.body().is_end_stream());
        request.extensions_mut().insert(ArrivedAt(in_flight.arrived()));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let request = request.map(|body| Arriving { body, state: Arc::clone(&self.state) });
        let (answering, state) = (self.router.call(request), Arc::clone(&self.state));
        Box::pin(async move {
            let (mut head, body) = answering.await?.into_parts();
            if state.is_closing() {
                head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(Response::from_parts(head, Answer { body, _in_flight: in_flight }))
        })
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => self.state.body_waits(),
            Poll::Ready(Some(Ok(frame))) => {
                self.state.body_arrived(frame.data_ref().map_or(0, Bytes::len));
                if self.body.is_end_stream() {
                    self.state.body_ended();
                }
            }
            Poll::Ready(Some(Err(_)) | None) => self.state.body_ended(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.state.body_ended();
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

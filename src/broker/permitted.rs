//! The body of a write that may be sent only for as long as something holds.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use thiserror::Error;

/// Whether a write may still be sent.
#[derive(Clone)]
pub struct Permission(Arc<dyn Fn() -> bool + Send + Sync>);

impl Permission {
    /// Holds for as long as `holds` says so.
    pub fn new(holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permission")
    }
}

/// A body that fails where it may no longer be sent. The connection asks for it right before it writes the request, after
/// everything that may take long: a turn, a new connection, a processor (case 29). A request whose body fails is not sent.
pub(super) struct PermittedBody {
    body: Full<Bytes>,
    permission: Option<Permission>,
}

/// It was not sent.
#[derive(Debug, Error)]
#[error("the write is no longer permitted")]
pub(super) struct NoLongerPermitted;

impl PermittedBody {
    pub(super) fn new(body: String, permission: Option<Permission>) -> Self {
        Self { body: Full::from(body), permission }
    }
}

impl Body for PermittedBody {
    type Data = Bytes;
    type Error = NoLongerPermitted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoLongerPermitted>>> {
        if self.permission.as_ref().is_some_and(|Permission(holds)| !holds()) {
            return Poll::Ready(Some(Err(NoLongerPermitted)));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(|never| match never {})
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

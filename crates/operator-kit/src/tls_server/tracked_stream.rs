//! A byte stream that reports its traffic to the connection's state. It outlives the HTTP connection, which ends before
//! everything that the peer sent has been read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_state::ConnectionState;

pub(super) struct TrackedStream<S> {
    /// Locked by the polling task, of which there is one at a time.
    stream: Arc<Mutex<S>>,
    state: Arc<ConnectionState>,
}

/// Returns the stream once the connection has released it.
pub(super) struct StreamHandle<S>(Arc<Mutex<S>>);

impl<S> StreamHandle<S> {
    /// The stream; `None` while the connection still holds it.
    pub(super) fn take(self) -> Option<S> {
        Some(Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> TrackedStream<S> {
    pub(super) fn new(stream: S, state: Arc<ConnectionState>) -> (Self, StreamHandle<S>) {
        let stream = Arc::new(Mutex::new(stream));
        (Self { stream: Arc::clone(&stream), state }, StreamHandle(stream))
    }

    fn stream(&self) -> MutexGuard<'_, S> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.stream()).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.state.bytes_arrived();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut *self.stream()).poll_flush(cx))?;
        self.state.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream().is_write_vectored()
    }
}

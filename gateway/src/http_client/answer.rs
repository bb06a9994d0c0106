//! The body of an answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::http1::Http1;
use super::pool::Pool;

/// The body of an answer, still arriving.
///
/// Read to its end it gives its connection back to be used again. Dropped
/// before, it closes the connection (HTTP/1.1) or the stream (HTTP/2), which
/// tells the server that nobody waits.
pub struct Answer {
    incoming: Incoming,
    /// Where the rest comes from in HTTP/1.1, and where that goes afterwards.
    connection: Option<(Http1, Arc<Pool>)>,
}

// === impl Answer ===

impl Answer {
    /// Over HTTP/1.1.
    pub(super) fn over_http1(incoming: Incoming, connection: Http1, pool: &Arc<Pool>) -> Self {
        let mut answer = Self { incoming, connection: Some((connection, Arc::clone(pool))) };
        answer.release_at_end();
        answer
    }

    /// Over HTTP/2.
    pub(super) const fn over_http2(incoming: Incoming) -> Self {
        Self { incoming, connection: None }
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some((connection, pool)) = self.connection.take() {
            pool.put(connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let Some((connection, _)) = &mut this.connection else {
            return Pin::new(&mut this.incoming).poll_frame(cx);
        };
        let frame = ready!(connection.poll_frame(cx, &mut this.incoming));
        match &frame {
            Some(Ok(_)) => this.release_at_end(),
            Some(Err(_)) => this.connection = None,
            None => this.release(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Its end may have come along unread, as with answers that are chunked
        // and empty, or with short errors.
        if self.connection.is_some() {
            let _ = Pin::new(self).poll_frame(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

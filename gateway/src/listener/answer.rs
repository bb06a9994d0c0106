//! An answer's body on its way to the transport, noting when the transport
//! takes a piece and when the answer is over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use super::activity::Activity;

/// A request in flight; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    /// The generation in which a piece began to wait for the transport.
    waiting_since: Option<u8>,
}

pin_project! {
    /// The body of an answer.
    #[derive(Debug)]
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        in_flight: InFlight,
    }
}

// === impl InFlight ===

impl InFlight {
    pub(super) fn begin(activity: &Arc<Activity>, http2: bool) -> Self {
        activity.request_begins(http2);
        Self { activity: Arc::clone(activity), waiting_since: None }
    }

    fn waits(&mut self) {
        self.waiting_since = Some(self.activity.waits());
    }

    fn taken(&mut self) {
        if let Some(generation) = self.waiting_since.take() {
            self.activity.taken(generation);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.taken();
        self.activity.request_ends();
    }
}

// === impl Answer ===

impl<B> Answer<B> {
    pub(super) fn new(body: B, mut in_flight: InFlight) -> Self {
        in_flight.waits();
        Self { body, in_flight }
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        this.in_flight.taken();
        let frame = ready!(this.body.poll_frame(cx));
        if frame.is_some() {
            this.in_flight.waits();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

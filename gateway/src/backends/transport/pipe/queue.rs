//! Messages that wait to be written to a pipe, by one task for everybody.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, stream};
use http::HeaderMap;
use tokio::sync::mpsc;

use super::super::TransportError;
use super::message_pipe::{Outlet, Pipe};

/// Messages that wait to be written. Behind a full queue a request waits
/// until its deadline, and no request to another upstream does.
const MAX_QUEUED: usize = 16;

/// Where messages are put to be written.
#[derive(Debug)]
pub(in super::super) struct Queue(mpsc::Sender<Message>);

/// What is to be written next.
#[derive(Debug)]
pub(in super::super) struct Queued(mpsc::Receiver<Message>);

#[derive(Debug)]
struct Message {
    bytes: Bytes,
    /// The request it is; one that nobody waits for any more is not sent.
    request: Option<u64>,
}

// === impl Queue ===

impl Queue {
    /// Both ends of a queue.
    pub(in super::super) fn new() -> (Arc<Self>, Queued) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        (Arc::new(Self(sender)), Queued(receiver))
    }
}

impl Outlet for Queue {
    fn send(
        &self,
        bytes: Bytes,
        request: Option<u64>,
        _headers: HeaderMap,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            // A closed queue: the connection is ending, and the server never saw it.
            self.0.send(Message { bytes, request }).await.map_err(|_| TransportError::Reconnected)
        })
    }

    fn answer(&self, bytes: Bytes) -> bool {
        self.0.try_send(Message { bytes, request: None }).is_ok()
    }
}

// === impl Queued ===

impl Queued {
    /// The next message, leaving out requests that nobody waits for any more;
    /// `None` when no more can come.
    pub(in super::super) async fn next(&mut self, pipe: &Pipe) -> Option<Bytes> {
        loop {
            let message = self.0.recv().await?;
            if message.request.is_none_or(|id| pipe.awaits(id)) {
                return Some(message.bytes);
            }
        }
    }

    /// The messages one after the other, as [`next`](Self::next) gives them.
    pub(in super::super) fn into_stream(self, pipe: Arc<Pipe>) -> impl Stream<Item = Bytes> + Send {
        stream::unfold((self, pipe), |(mut queued, pipe)| async {
            let message = queued.next(&pipe).await?;
            Some((message, (queued, pipe)))
        })
    }

    /// Whether nothing waits at the moment.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

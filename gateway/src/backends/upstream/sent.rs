//! A call that was sent and not answered yet: who waits for it, and what the
//! upstream is told when nobody does any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::link::Link;
use crate::mcp::in_flight::Cancellable;
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;
use crate::rejection::Rejection;

/// How long an upstream that was told of a cancellation may take to answer.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// A client that waits for one call, through all attempts at it.
#[derive(Debug)]
pub(super) struct Waiting(Option<Cancellable>);

/// One attempt at a call. Dropping it before it was [answered](Self::answered)
/// tells the upstream, if it would not notice by itself, that nobody waits.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) link: Arc<Link>,
    /// The id of the request, and its progress token.
    pub(super) id: u64,
    /// Whether an end without an answer means that nobody waits any more.
    cancels: bool,
    answered: bool,
    /// How long an upstream has that was told of a cancellation.
    grace: Option<Instant>,
    ends_link: bool,
}

// === impl Waiting ===

impl Waiting {
    pub(super) fn begin(request: &McpRequest) -> Self {
        Self(Cancellable::begin(request))
    }

    /// Waits for `future`, but no longer than the client does.
    ///
    /// # Errors
    ///
    /// [`Rejection::Cancelled`].
    pub(super) async fn for_it<F: Future>(&self, sent: Option<&mut Sent>, future: F) -> Result<F::Output, Rejection> {
        let Some(request) = &self.0 else { return Ok(future.await) };
        tokio::pin!(future);
        tokio::select! {
            biased;
            output = &mut future => return Ok(output),
            () = request.cancelled() => {}
        }
        // What is not told is cancelled by dropping the future.
        let Some(sent) = sent.filter(|sent| sent.must_be_told()) else { return Err(Rejection::Cancelled) };
        let end = sent.tell();
        timeout_at(end, future).await.map_err(|_| Rejection::Cancelled)
    }
}

// === impl Sent ===

impl Sent {
    /// An attempt over `link`, which is ended with it where it is for this call
    /// alone.
    pub(super) fn begin(link: &Arc<Link>, request: &McpRequest, id: u64, ends_link: bool) -> Self {
        Self {
            link: Arc::clone(link),
            id,
            // A client with a handshake that only disconnects has not cancelled
            // (MCP 2025-11-25, "Streamable HTTP", disconnection).
            cancels: request.era() == Era::Modern,
            answered: false,
            grace: None,
            ends_link: ends_link && link.is_own(),
        }
    }

    /// The response came, or none will: nothing is left to cancel.
    pub(super) const fn answered(&mut self) {
        self.answered = true;
    }

    /// We wait no longer, so the upstream need not go on (MCP 2025-11-25,
    /// "Lifecycle", timeouts).
    pub(super) const fn gave_up(&mut self) {
        self.cancels = true;
    }

    /// Whether closing the stream is not enough.
    fn must_be_told(&self) -> bool {
        self.link.era == Era::Legacy || self.link.transport.is_pipe()
    }

    /// Tells the upstream, once; how long it has to answer all the same.
    fn tell(&mut self) -> Instant {
        *self.grace.get_or_insert_with(|| {
            self.answered = true;
            let (link, id) = (Arc::clone(&self.link), self.id);
            tokio::spawn(async move { cancel(&link, id).await });
            Instant::now() + CANCEL_GRACE
        })
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let is_told = !self.answered && self.cancels && self.must_be_told();
        if !is_told && !self.ends_link {
            return;
        }
        // Without a runtime the process is ending, and the connections with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (link, id, ends_link) = (Arc::clone(&self.link), self.id, self.ends_link);
        runtime.spawn(async move {
            if is_told {
                cancel(&link, id).await;
            }
            if ends_link {
                link.end().await;
            }
        });
    }
}

/// Tells the server that nobody waits for the answer to the request of this id.
pub(super) async fn cancel(link: &Link, id: u64) {
    let params = format!(r#"{{"requestId":{id},"reason":"the caller waits no longer"}}"#);
    let cancelled = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
    if let Err(error) = link.notify(cancelled.into()).await {
        tracing::debug!(%error, "a cancellation did not arrive");
    }
}

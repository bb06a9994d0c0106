//! Handing on the messages of one call as they arrive.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::in_flight::InFlightCall;
use super::link::Link;
use super::{Shared, translate};
use crate::backends::answer::{Answer, AnswerStream};
use crate::backends::transport::{Messages, TransportError};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::request::McpRequest;
use crate::metrics::CallStatus;
use crate::rejection::Rejection;

/// How long an upstream that was told of a cancellation may take to answer.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// A call whose answer comes as several messages.
pub(super) struct Relay {
    pub(super) shared: Arc<Shared>,
    pub(super) request: McpRequest,
    pub(super) link: Arc<Link>,
    pub(super) call: InFlightCall,
    pub(super) messages: Messages,
}

/// A message, and whether it is the response.
struct Handed {
    message: Bytes,
    code: Option<i64>,
    last: bool,
}

// === impl Relay ===

impl Relay {
    /// Waits for the first message: where that is the response, it is the
    /// whole answer.
    pub(super) async fn answer(mut self, deadline: Instant) -> Result<Answer, Rejection> {
        let first = self.next(deadline).await?;
        if first.last {
            return Ok(Answer::Message { message: first.message, code: first.code });
        }
        Ok(Answer::Stream(self.stream(first.message)))
    }

    fn stream(self, first: Bytes) -> AnswerStream {
        let rest = futures_util::stream::unfold(Some(self), |relay| async {
            let mut relay = relay?;
            let deadline = Instant::now() + relay.shared.settings.timeout;
            match relay.next(deadline).await {
                Ok(handed) if handed.last => Some((Ok(handed.message), None)),
                Ok(handed) => Some((Ok(handed.message), Some(relay))),
                Err(rejection) => Some((Err(rejection), None)),
            }
        });
        Box::pin(futures_util::stream::once(std::future::ready(Ok(first))).chain(rest))
    }

    /// The next message that is the client's business.
    async fn next(&mut self, deadline: Instant) -> Result<Handed, Rejection> {
        loop {
            let next = timeout_at(deadline, self.messages.next());
            let message = match until_cancelled(&self.call, next).await? {
                Ok(Some(message)) => message,
                Ok(None) => Err(TransportError::Disconnected("the stream ended".to_owned())),
                Err(_) => Err(TransportError::TimedOut),
            };
            let message = message.map_err(|error| self.shared.failed(&self.request, &error))?;
            if let Some(handed) = self.hand_on(message)? {
                return Ok(handed);
            }
        }
    }

    fn hand_on(&mut self, message: Bytes) -> Result<Option<Handed>, Rejection> {
        let Self { shared, request, link, call, .. } = self;
        let message = UpstreamMessage::scan(message)
            .map_err(|error| shared.failed(request, &TransportError::Garbage(error.to_string())))?;
        let last = match &message.kind {
            UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => true,
            UpstreamKind::Notification { .. } => false,
            // It was told that we can do nothing for it.
            UpstreamKind::Request { id, .. } => {
                shared.refuse_request(link, message.text(*id));
                return Ok(None);
            }
        };
        let (message, code) = shared.finish(request, link, call, &message)?;
        Ok(Some(Handed { message, code, last }))
    }
}

/// Waits for `future`, but no longer than the client does.
pub(super) async fn until_cancelled<F: Future>(call: &InFlightCall, future: F) -> Result<F::Output, Rejection> {
    tokio::pin!(future);
    tokio::select! {
        biased;
        output = &mut future => Ok(output),
        () = call.cancelled() => {
            call.tell_upstream();
            timeout(CANCEL_GRACE, future).await.map_err(|_| Rejection::Cancelled)
        }
    }
}

impl Shared {
    /// Takes in the scanned message of a call: what the client hears, and how
    /// the call ended if it did.
    pub(super) fn finish(
        &self,
        request: &McpRequest,
        link: &Link,
        call: &mut InFlightCall,
        message: &UpstreamMessage,
    ) -> Result<(Bytes, Option<i64>), Rejection> {
        let (status, code) = match &message.kind {
            UpstreamKind::Result { members, .. } if members.is_error => (Some(CallStatus::Error), None),
            UpstreamKind::Result { .. } => (Some(CallStatus::Success), None),
            UpstreamKind::Error { code, .. } => (Some(CallStatus::Error), Some(*code)),
            UpstreamKind::Notification { .. } | UpstreamKind::Request { .. } => (None, None),
        };
        if let Some(status) = status {
            call.answered();
            request.record.set_status(status);
            self.metrics.upstream_request(&self.settings.name, "ok");
        }
        translate::answer(request, link, message).map(|message| (message, code))
    }
}

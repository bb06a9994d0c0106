//! Handing on the messages of one call as they arrive.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::sent::{Sent, Waiting};
use super::{Shared, asked, handshake, translate};
use crate::backends::answer::{Answer, AnswerStream};
use crate::backends::transport::{Messages, TransportError};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;
use crate::metrics::CallStatus;
use crate::rejection::Rejection;

/// A call whose answer comes as several messages.
pub(super) struct Relay {
    pub(super) shared: Arc<Shared>,
    pub(super) request: Box<McpRequest>,
    pub(super) waiting: Waiting,
    pub(super) sent: Sent,
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
            handshake::drain(self.messages);
            return Ok(Answer::Message { message: first.message, code: first.code });
        }
        Ok(Answer::Stream(self.stream(first.message)))
    }

    fn stream(self, first: Bytes) -> AnswerStream {
        let rest = futures_util::stream::unfold(Some(self), |relay| async {
            let mut relay = relay?;
            let deadline = Instant::now() + relay.shared.settings.timeout;
            match relay.next(deadline).await {
                Ok(handed) if handed.last => {
                    handshake::drain(relay.messages);
                    Some((Ok(handed.message), None))
                }
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
            let next = self.waiting.for_it(Some(&mut self.sent), next).await;
            let message = match next.map_err(|rejection| self.shared.rejected(&self.request, rejection))? {
                Ok(Some(message)) => message,
                Ok(None) => Err(TransportError::Disconnected("the stream ended".to_owned())),
                Err(_) => {
                    self.sent.gave_up();
                    Err(TransportError::TimedOut)
                }
            };
            let handed = message.and_then(handshake::scan).and_then(|message| self.checked(message));
            let message = handed.map_err(|error| self.shared.failed(&self.request, &error))?;
            if let Some(message) = self.for_client(message) {
                let last = matches!(message.kind, UpstreamKind::Result { .. } | UpstreamKind::Error { .. });
                let (message, code) = self.shared.finish(&self.request, &mut self.sent, &message)?;
                return Ok(Handed { message, code, last });
            }
        }
    }

    fn checked(&self, message: UpstreamMessage) -> Result<UpstreamMessage, TransportError> {
        match message.kind {
            UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => handshake::checked(message, self.sent.id),
            UpstreamKind::Notification { .. } | UpstreamKind::Request { .. } => Ok(message),
        }
    }

    /// The message, if it is not the gateway's own business.
    fn for_client(&self, message: UpstreamMessage) -> Option<UpstreamMessage> {
        let passes = match &message.kind {
            UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => true,
            UpstreamKind::Notification { method, progress_token } => match method.as_str() {
                // Only of the token that the client gave.
                "notifications/progress" => {
                    self.request.params.meta.progress_token.is_some()
                        && progress_token.is_some_and(|token| message.text(token).parse() == Ok(self.sent.id))
                }
                // A stateless client asks for them with each request.
                "notifications/message" => {
                    self.request.era() == Era::Legacy || self.request.params.meta.names_log_level
                }
                // About requests of the server, which were refused.
                "notifications/cancelled" => false,
                // What tells of a changed list is not about this call.
                other => !self.shared.catalogs.hear(other),
            },
            UpstreamKind::Request { id, method } => {
                self.answer_server(asked::answer(message.text(*id), method));
                false
            }
        };
        passes.then_some(message)
    }

    fn answer_server(&self, body: Bytes) {
        let (transport, headers) = (Arc::clone(&self.shared.transport), self.sent.link.headers());
        tokio::spawn(async move {
            if let Err(error) = transport.notify(body, headers).await {
                tracing::debug!(%error, "an answer to the upstream did not arrive");
            }
        });
    }
}

impl Shared {
    /// Takes in the scanned message of a call: what the client hears, and how
    /// the call ended if it did.
    pub(super) fn finish(
        &self,
        request: &McpRequest,
        sent: &mut Sent,
        message: &UpstreamMessage,
    ) -> Result<(Bytes, Option<i64>), Rejection> {
        let (status, code) = match &message.kind {
            UpstreamKind::Result { members, .. } if members.is_error => (Some(CallStatus::Error), None),
            UpstreamKind::Result { .. } => (Some(CallStatus::Success), None),
            UpstreamKind::Error { code, .. } => (Some(CallStatus::Error), Some(*code)),
            UpstreamKind::Notification { .. } | UpstreamKind::Request { .. } => (None, None),
        };
        if let Some(status) = status {
            sent.answered();
            request.record.set_status(status);
            self.metrics.upstream_request(&self.settings.name, "ok");
        }
        match translate::answer(request, sent.link.era, &self.label, message) {
            Ok(message) => Ok((message, code)),
            Err(rejection) => {
                request.record.set_status(CallStatus::Error);
                Err(rejection)
            }
        }
    }
}

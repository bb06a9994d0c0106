//! One conversation with a model: from a call's arguments to its answer.
//!
//! A caller that gave a progress token and takes a stream gets the text as it
//! is made. Any other waits for the whole, no longer than a request may take;
//! a stream may last, as long as each next piece comes within that time.
//! However it ends, what is no longer waited for is no longer made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use portcullis_inference::chat::{ChatEvent, FinishReason, Usage};
use portcullis_inference::engine::ChatError;
use tokio::time::{Instant, timeout_at};

use super::model::{Model, Pieces};
use super::refusal::Refusal;
use super::reports::Reports;
use super::{answer, arguments};
use crate::backends::answer::{Answer, AnswerStream};
use crate::mcp::in_flight::Cancellable;
use crate::mcp::request::McpRequest;
use crate::metrics::CallStatus;
use crate::rejection::Rejection;

/// A conversation that a model has taken up.
pub(super) struct Conversation {
    request: Box<McpRequest>,
    ending: Ending,
    /// Whoever has a session can cancel.
    waiting: Option<Cancellable>,
    pieces: Pieces,
    /// Until then the next piece must have come.
    deadline: Instant,
    /// How long a further piece may take.
    patience: Duration,
    streams: bool,
    /// How many pieces were handed on.
    handed: u64,
    text: String,
    /// Keeps the model until the answer is whole, also after a reload.
    _model: Arc<dyn Model>,
}

/// Counts how a conversation ended, however it did.
struct Ending {
    reports: Arc<Reports>,
    outcome: &'static str,
}

/// What comes next.
enum Next {
    Piece(Bytes),
    Whole(Bytes),
}

// === impl Conversation ===

impl Conversation {
    /// Has `model` take the conversation up.
    ///
    /// # Errors
    ///
    /// If the arguments do not fit, and where the model refuses at once.
    pub(super) fn begin(
        model: Option<Arc<dyn Model>>,
        reports: Arc<Reports>,
        request: Box<McpRequest>,
    ) -> Result<Self, Rejection> {
        let mut ending = Ending { reports, outcome: Refusal::cancelled().outcome };
        let mut asked = arguments::read(request.arguments_text())
            .map_err(|detail| ending.refused(&request, Refusal::arguments(detail)))?;
        let streams = request.takes_stream && request.params.meta.progress_token.is_some();
        asked.deadline = (!streams).then(|| request.deadline.into_std());
        let model = model.ok_or_else(|| ending.refused(&request, Refusal::unavailable()))?;
        let submitted = model.submit(asked);
        let pieces = submitted.map_err(|error| ending.failed(&request, error))?;
        Ok(Self {
            waiting: Cancellable::begin(&request),
            pieces,
            deadline: request.deadline,
            patience: request.deadline.saturating_duration_since(Instant::now()),
            streams,
            handed: 0,
            text: String::new(),
            ending,
            request,
            _model: model,
        })
    }

    /// Waits for the first that there is to say: where that is the end, it is
    /// the whole answer.
    pub(super) async fn answer(mut self) -> Result<Answer, Rejection> {
        match self.next().await? {
            Next::Whole(message) => Ok(Answer::Message { message, code: None }),
            Next::Piece(first) => Ok(Answer::Stream(self.stream(first))),
        }
    }

    fn stream(self, first: Bytes) -> AnswerStream {
        let rest = futures_util::stream::unfold(Some(self), |conversation| async {
            let mut conversation = conversation?;
            conversation.deadline = Instant::now() + conversation.patience;
            match conversation.next().await {
                Ok(Next::Piece(message)) => Some((Ok(message), Some(conversation))),
                Ok(Next::Whole(message)) => Some((Ok(message), None)),
                Err(rejection) => Some((Err(rejection), None)),
            }
        });
        Box::pin(futures_util::stream::once(std::future::ready(Ok(first))).chain(rest))
    }

    /// The next thing for the client.
    async fn next(&mut self) -> Result<Next, Rejection> {
        loop {
            match self.event().await? {
                ChatEvent::Text(text) => {
                    self.text.push_str(&text);
                    if self.streams && !text.is_empty() {
                        self.handed += 1;
                        if let Some(piece) = answer::piece(&self.request, self.handed, &text) {
                            return Ok(Next::Piece(piece));
                        }
                    }
                }
                ChatEvent::Finished { reason, usage } => return Ok(Next::Whole(self.finish(reason, usage))),
            }
        }
    }

    /// What the model says next, if it says it in time and somebody waits.
    async fn event(&mut self) -> Result<ChatEvent, Rejection> {
        let cancelled = async {
            match &self.waiting {
                Some(waiting) => waiting.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            biased;
            event = timeout_at(self.deadline, self.pieces.next()) => event,
            () = cancelled => return Err(self.ending.refused(&self.request, Refusal::cancelled())),
        };
        match event {
            Ok(Some(Ok(event))) => Ok(event),
            Ok(Some(Err(error))) => Err(self.ending.failed(&self.request, error)),
            // A stream that ends without its end.
            Ok(None) => Err(self.ending.failed(&self.request, ChatError::Failed)),
            Err(_) => Err(self.ending.failed(&self.request, ChatError::DeadlineExceeded)),
        }
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage) -> Bytes {
        self.ending.outcome = reason.as_str();
        self.request.record.set_status(CallStatus::Success);
        answer::whole(&self.request, self.ending.reports.model(), &self.text, reason, usage)
    }
}

// === impl Ending ===

impl Ending {
    fn refused(&mut self, request: &McpRequest, refusal: Refusal) -> Rejection {
        self.outcome = refusal.outcome;
        request.record.set_status(refusal.status);
        refusal.rejection
    }

    fn failed(&mut self, request: &McpRequest, error: ChatError) -> Rejection {
        let refusal = Refusal::of(error, self.reports.model());
        if refusal.status == CallStatus::UpstreamError {
            tracing::warn!(model = %self.reports.model(), outcome = refusal.outcome, "the model gave no answer");
        }
        self.refused(request, refusal)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.reports.answered(self.outcome);
    }
}

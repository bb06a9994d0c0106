//! One conversation with a model: from a call's arguments to its answer.
//!
//! A caller that gave a progress token and takes a stream gets the text as it
//! is made. Any other waits for the whole, no longer than a request may take;
//! a stream may last, as long as each next piece comes within that time.
//! However it ends, what is no longer waited for is no longer made.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use portcullis_inference::chat::{ChatEvent, FinishReason, Usage};
use portcullis_inference::engine::ChatError;
use tokio::time::{Instant, timeout_at};

use super::model::Pieces;
use super::refusal::Refusal;
use super::reports::Reports;
use super::voice::Voice;
use super::{answer, arguments};
use crate::backends::answer::{Answer, AnswerStream};
use crate::mcp::in_flight::Cancellable;
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;
use crate::metrics::CallStatus;
use crate::record::CallRecord;
use crate::rejection::Rejection;

/// A conversation that a model has taken up.
pub(super) struct Conversation {
    caller: Caller,
    ending: Ending,
    /// Whoever has a session can cancel.
    waiting: Option<Cancellable>,
    pieces: Pieces,
    /// Until then the next piece must have come.
    deadline: Instant,
    /// How long a further piece may take.
    patience: Duration,
    /// How many pieces were handed on.
    handed: u64,
    text: String,
    /// Keeps the model until the answer is whole, also after a reload.
    _voice: Arc<Voice>,
}

/// What is needed of a request once the model has taken it up. The request
/// itself, with all that was said, is let go of: an answer may take long.
struct Caller {
    /// The request's id, as JSON.
    id: String,
    era: Era,
    record: Arc<CallRecord>,
    /// Its progress token, as JSON, where it takes a stream.
    token: Option<String>,
}

/// On whose behalf a caller converses: what a model remembers of one caller,
/// no other can find out by its speed. Callers without a credential are told
/// from each other by their addresses.
fn scope_of(request: &McpRequest) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let principal = request.principal.name();
    KEY.hash_one((principal, request.client_ip.filter(|_| principal == "anonymous")))
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

// === impl Caller ===

impl Caller {
    fn of(request: &McpRequest) -> Self {
        let token = request.params.meta.progress_token.filter(|_| request.takes_stream);
        Self {
            id: request.id_text().to_owned(),
            era: request.era(),
            record: Arc::clone(&request.record),
            token: token.map(|token| request.text(token).to_owned()),
        }
    }
}

// === impl Conversation ===

impl Conversation {
    /// Has the model of `voice` take the conversation up.
    ///
    /// # Errors
    ///
    /// If the arguments do not fit, and where the model refuses at once.
    pub(super) fn begin(
        voice: Option<Arc<Voice>>,
        reports: Arc<Reports>,
        request: Box<McpRequest>,
    ) -> Result<Self, Rejection> {
        let mut ending = Ending { reports, outcome: Refusal::cancelled().outcome };
        let caller = Caller::of(&request);
        let mut asked = arguments::read(request.arguments_text())
            .map_err(|detail| ending.refused(&caller, Refusal::arguments(detail)))?;
        asked.scope = scope_of(&request);
        asked.deadline = caller.token.is_none().then(|| request.deadline.into_std());
        let voice = voice.ok_or_else(|| ending.refused(&caller, Refusal::unavailable()))?;
        let submitted = voice.model.submit(asked);
        let pieces = submitted.map_err(|error| ending.failed(&caller, error))?;
        let (waiting, deadline, patience) = (Cancellable::apart(&request), request.deadline, request.timeout);
        drop(request);
        Ok(Self { waiting, pieces, deadline, patience, handed: 0, text: String::new(), ending, caller, _voice: voice })
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
                    if let Some(token) = self.caller.token.as_deref().filter(|_| !text.is_empty()) {
                        self.handed += 1;
                        return Ok(Next::Piece(answer::piece(token, self.handed, &text)));
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
            () = cancelled => return Err(self.ending.refused(&self.caller, Refusal::cancelled())),
        };
        match event {
            Ok(Some(Ok(event))) => Ok(event),
            Ok(Some(Err(error))) => Err(self.ending.failed(&self.caller, error)),
            // A stream that ends without its end.
            Ok(None) => Err(self.ending.failed(&self.caller, ChatError::Failed)),
            Err(_) => Err(self.ending.failed(&self.caller, ChatError::DeadlineExceeded)),
        }
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage) -> Bytes {
        self.ending.outcome = reason.as_str();
        self.caller.record.set_status(CallStatus::Success);
        answer::whole((&self.caller.id, self.caller.era), self.ending.reports.model(), &self.text, reason, usage)
    }
}

// === impl Ending ===

impl Ending {
    fn refused(&mut self, caller: &Caller, refusal: Refusal) -> Rejection {
        self.outcome = refusal.outcome;
        caller.record.set_status(refusal.status);
        refusal.rejection
    }

    fn failed(&mut self, caller: &Caller, error: ChatError) -> Rejection {
        let refusal = Refusal::of(error, self.reports.model());
        let model = self.reports.model();
        match refusal.rejection {
            // Nothing is wrong, and a busy hour would fill the log with it.
            Rejection::ModelBusy { .. } | Rejection::ModelLoading => {
                tracing::debug!(%model, outcome = refusal.outcome, "the model gave no answer");
            }
            _ if refusal.status == CallStatus::UpstreamError => {
                tracing::warn!(%model, outcome = refusal.outcome, "the model gave no answer");
            }
            _ => {}
        }
        self.refused(caller, refusal)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.reports.answered(self.outcome);
    }
}

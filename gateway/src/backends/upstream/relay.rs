//! Handing on the messages of one call as they arrive, and what the server
//! asks on the way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::asking::{Asking, refusal};
use super::calling::Call;
use super::sent::Sent;
use super::{Shared, asked, handshake, logging, parking, rounds, translate};
use crate::backends::answer::{Answer, AnswerStream};
use crate::backends::transport::{Messages, TransportError};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::Question;
use crate::mcp::changes::Kind;
use crate::mcp::operation::Operation;
use crate::mcp::splice::Span;
use crate::mcp::update::{self, Update};
use crate::mcp::version::Era;
use crate::metrics::CallStatus;
use crate::rejection::Rejection;

/// A stream on which nothing came for so long will take its time.
const QUIET: Duration = Duration::from_millis(100);

/// A call whose answer comes as several messages.
pub(super) struct Relay {
    pub(super) shared: Arc<Shared>,
    pub(super) call: Call,
    pub(super) sent: Sent,
    /// What the server said first, where it is yet to be handed on.
    begun: Option<UpstreamMessage>,
    pub(super) messages: Messages,
    /// What a client with a session is being asked.
    asking: Option<Box<Asking>>,
    /// When the first message must be there; later ones have as long each as
    /// the server may be silent.
    first_by: Option<Instant>,
}

/// What came of a call.
pub(super) enum Event {
    /// Something on the way, as the client hears it.
    Notice(Bytes),
    /// The response, as it came.
    Response(UpstreamMessage),
    /// A question that only another request of the client can answer.
    Question(UpstreamMessage),
}

/// What a stream of messages goes on with.
enum Next {
    Relay(Box<Relay>),
    /// Another stream.
    Stream(AnswerStream),
    End,
}

/// What happened first.
enum Happened {
    Message(Option<Result<Bytes, TransportError>>),
    Answer(Bytes),
}

// === impl Relay ===

impl Relay {
    pub(super) const fn new(
        shared: Arc<Shared>,
        call: Call,
        sent: Sent,
        begun: Option<UpstreamMessage>,
        messages: Messages,
    ) -> Self {
        let first_by = Some(call.deadline);
        Self { shared, call, sent, begun, messages, asking: None, first_by }
    }

    /// Waits for the first message: where that is the response, it is the
    /// whole answer. A client that can come again for the rest of a stream is
    /// given one where the server says nothing for a while.
    pub(super) async fn answer(mut self, deadline: Instant) -> Result<Answer, Rejection> {
        self.first_by = None;
        let request = &self.call.request;
        let can_resume = request.takes_stream && request.session.as_ref().is_some_and(|session| session.is_primed());
        let first = if can_resume {
            match timeout(QUIET, self.next(deadline)).await {
                Ok(first) => first?,
                Err(_) => return Ok(Answer::Stream(self.messages())),
            }
        } else {
            self.next(deadline).await?
        };
        match first {
            Event::Notice(first) => Ok(Answer::Stream(self.stream(first))),
            Event::Response(message) if rounds::goes_on(&self.shared, &self.call.request, &message) => {
                Ok(Answer::Stream(rounds::stream(self.shared, self.call, message)))
            }
            Event::Response(message) => {
                let (message, code) = self.shared.finish(&self.call, &mut self.sent, &message)?;
                handshake::drain(self.messages);
                Ok(Answer::Message { message, code })
            }
            Event::Question(question) => {
                let parked = Box::pin(parking::park(Box::new(self), question));
                Ok(Answer::Message { message: parked.await?, code: None })
            }
        }
    }

    fn stream(self, first: Bytes) -> AnswerStream {
        Box::pin(futures_util::stream::once(std::future::ready(Ok(first))).chain(self.messages()))
    }

    /// All messages from here on, while they are waited for.
    pub(super) fn messages(self) -> AnswerStream {
        let rest = futures_util::stream::unfold(Next::Relay(Box::new(self)), |next| async {
            match next {
                Next::Relay(relay) => Some(relay.step().await),
                Next::Stream(mut stream) => {
                    let message = stream.next().await?;
                    Some((message, Next::Stream(stream)))
                }
                Next::End => None,
            }
        });
        Box::pin(rest)
    }

    /// The next message of a stream, and how it goes on.
    async fn step(mut self: Box<Self>) -> (Result<Bytes, Rejection>, Next) {
        let deadline = self.first_by.take().unwrap_or_else(|| Instant::now() + self.call.patience);
        match self.next(deadline).await {
            Ok(Event::Notice(message)) => (Ok(message), Next::Relay(self)),
            Ok(Event::Response(message)) if rounds::goes_on(&self.shared, &self.call.request, &message) => {
                let mut stream = rounds::stream(self.shared, self.call, message);
                let first = stream.next().await.unwrap_or(Err(Rejection::Internal));
                (first, Next::Stream(stream))
            }
            Ok(Event::Response(message)) => {
                let finished = self.shared.finish(&self.call, &mut self.sent, &message);
                handshake::drain(self.messages);
                (finished.map(|(message, _)| message), Next::End)
            }
            Ok(Event::Question(question)) => (Box::pin(parking::park(self, question)).await, Next::End),
            Err(rejection) => (Err(rejection), Next::End),
        }
    }

    /// The next thing that is the client's business. While a person is asked
    /// there is no deadline but the question's own.
    pub(super) async fn next(&mut self, mut deadline: Instant) -> Result<Event, Rejection> {
        if let Some(begun) = self.begun.take()
            && let Some(event) = self.sort(begun)?
        {
            return Ok(event);
        }
        loop {
            let is_asking = self.asking.as_ref().is_some_and(|asking| !asking.is_empty());
            let messages = &mut self.messages;
            let asking = self.asking.as_mut();
            let happened = async {
                match asking.filter(|_| is_asking) {
                    None => Happened::Message(messages.next().await),
                    Some(asking) => tokio::select! {
                        biased;
                        message = messages.next() => Happened::Message(message),
                        answer = asking.answer() => Happened::Answer(answer),
                    },
                }
            };
            let until = if is_asking { Instant::now() + super::asking::PATIENCE } else { deadline };
            let next = self.call.waiting.for_it(Some(&mut self.sent), timeout_at(until, happened)).await;
            let message = match next.map_err(|rejection| self.shared.rejected(&self.call.request, rejection))? {
                Ok(Happened::Message(Some(message))) => message,
                Ok(Happened::Message(None)) => Err(TransportError::Disconnected("the stream ended".to_owned())),
                Ok(Happened::Answer(answer)) => {
                    self.tell_server(answer);
                    deadline = Instant::now() + self.call.patience;
                    continue;
                }
                // The server may wait for an answer that is asked for elsewhere.
                Err(_) if self.sent.link.place.as_ref().is_some_and(|place| place.is_asking()) => {
                    deadline = Instant::now() + self.call.patience;
                    continue;
                }
                Err(_) => {
                    self.sent.gave_up();
                    Err(TransportError::TimedOut)
                }
            };
            let handed = message.and_then(handshake::scan).and_then(|message| self.checked(message));
            let message = handed.map_err(|error| self.shared.failed(&self.call.request, &error))?;
            if let Some(event) = self.sort(message)? {
                return Ok(event);
            }
        }
    }

    fn checked(&self, message: UpstreamMessage) -> Result<UpstreamMessage, TransportError> {
        match message.kind {
            UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => handshake::checked(message, self.sent.id),
            UpstreamKind::Notification { .. } | UpstreamKind::Request { .. } => Ok(message),
        }
    }

    /// Whose business a message is; `None` where it is not the client's.
    fn sort(&mut self, message: UpstreamMessage) -> Result<Option<Event>, Rejection> {
        match &message.kind {
            UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => Ok(Some(Event::Response(message))),
            UpstreamKind::Notification { method, params, progress_token }
                if self.passes(&message, method, *params, *progress_token) =>
            {
                self.shared.heard(&self.call, &self.sent, &message).map(|notice| notice.map(Event::Notice))
            }
            UpstreamKind::Notification { .. } => Ok(None),
            UpstreamKind::Request { id, method, params } => {
                let question = Question::of(method, params.map(|params| message.text(params)));
                let request = &self.call.request;
                let answerer = question.and_then(|question| self.shared.answerer(question, request.abilities));
                if let Some(model) = answerer {
                    let id = message.text(*id).to_owned();
                    let asking = self.asking.get_or_insert_with(|| Asking::of(request, &self.sent.link));
                    if asking.is_full() {
                        self.tell_server(refusal(&id, "the model is asked too much at a time"));
                        return Ok(None);
                    }
                    let params = params.map_or_else(String::new, |params| message.text(params).to_owned());
                    let shared = Arc::clone(&self.shared);
                    let sampled =
                        shared.sampled(Arc::clone(model), request.clone(), params, id, std::convert::identity);
                    asking.await_other(sampled);
                    return Ok(None);
                }
                if !question.is_some_and(|question| request.abilities.can(question)) {
                    self.tell_server(asked::answer(message.text(*id), method));
                    // What the server makes of that would look like an answer.
                    return match question.filter(|_| request.era() == Era::Modern) {
                        Some(question) => Err(Rejection::MissingCapability { required: question.required() }),
                        None => Ok(None),
                    };
                }
                let named = self.shared.task_ids_on_the_way(&self.call, self.sent.link.era, &message);
                let Some(session) = &request.session else {
                    // MCP 2026-07-28, "Multi round-trip requests".
                    let may_wait = matches!(
                        request.operation,
                        Operation::CallTool { .. } | Operation::GetPrompt { .. } | Operation::ReadResource(_)
                    );
                    if may_wait {
                        return Ok(Some(Event::Question(message)));
                    }
                    self.tell_server(refusal(message.text(*id), "the client cannot be asked here"));
                    return Err(self.call.cannot("the server asks for input where none can be given"));
                };
                let put = named.and_then(|named| {
                    let asking = self.asking.get_or_insert_with(|| Asking::of(request, &self.sent.link));
                    asking.put(session, &message, *id, &named)
                });
                if put.is_none() {
                    self.tell_server(refusal(message.text(*id), "the client is asked too much at a time"));
                }
                Ok(put.map(Event::Notice))
            }
        }
    }

    /// Whether a notification is the client's business.
    fn passes(
        &self,
        message: &UpstreamMessage,
        method: &str,
        params: Option<Span>,
        progress_token: Option<Span>,
    ) -> bool {
        let request = &self.call.request;
        match method {
            // Only of the token that the client gave.
            "notifications/progress" => {
                request.params.meta.progress_token.is_some()
                    && progress_token.is_some_and(|token| message.text(token).parse() == Ok(self.sent.id))
            }
            "notifications/message" => logging::is_heard(request, message, params),
            update::METHOD => {
                let update = params.and_then(|params| Update::read(message, params));
                let session = request.session.as_ref().map(|session| session.key);
                update.iter().for_each(|update| self.shared.updated(session, &self.sent.link, update));
                false
            }
            // About requests of the server.
            "notifications/cancelled" => false,
            // Known by an id that stays the same within a session alone.
            super::tasks::STATUS => request.session.is_some(),
            // Stateless clients do not know it.
            "notifications/elicitation/complete" => request.era() == Era::Legacy,
            // What tells of a changed list is not about this call; that of one
            // client's pipe is not what others are shown.
            other if self.sent.link.is_alone() => Kind::of_notification(other).is_none(),
            other => !self.shared.catalogs.hear(other),
        }
    }

    /// Sends the server what it did not ask in this direction: an answer.
    pub(super) fn tell_server(&self, body: Bytes) {
        let link = Arc::clone(&self.sent.link);
        tokio::spawn(async move { link.reply(body).await });
    }
}

impl Shared {
    /// A notification of a call as the client hears it, if it does.
    fn heard(&self, call: &Call, sent: &Sent, message: &UpstreamMessage) -> Result<Option<Bytes>, Rejection> {
        let Some(sealed) = self.task_ids_on_the_way(call, sent.link.era, message) else { return Ok(None) };
        translate::answer(&call.request, sent.link.era, &self.label, &sealed, message).map(Some)
    }

    /// Takes in the response of a call: what the client hears, and how the
    /// call ended.
    pub(super) fn finish(
        &self,
        call: &Call,
        sent: &mut Sent,
        message: &UpstreamMessage,
    ) -> Result<(Bytes, Option<i64>), Rejection> {
        let request = &call.request;
        let (status, code) = match &message.kind {
            UpstreamKind::Result { members, .. } if members.is_error => (CallStatus::Error, None),
            UpstreamKind::Error { code, .. } => {
                (CallStatus::Error, Some(translate::shown_code(request, sent.link.era, *code)))
            }
            _ => (CallStatus::Success, None),
        };
        sent.answered();
        request.record.set_status(status);
        self.metrics.upstream_request(&self.settings.name, "ok");
        if let Some(wanted) = parking::urls_wanted(self, call, message) {
            return Ok((wanted?, None));
        }
        if let Some(made) = self.made_task(call, &sent.link, message) {
            return Ok((made?, None));
        }
        let sealed = self.sealed(call, message);
        let answer = sealed.and_then(|sealed| translate::answer(request, sent.link.era, &self.label, &sealed, message));
        match answer {
            Ok(message) => Ok((message, code)),
            Err(rejection) => {
                request.record.set_status(CallStatus::Error);
                Err(rejection)
            }
        }
    }
}

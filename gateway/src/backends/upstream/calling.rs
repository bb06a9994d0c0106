//! One call at an upstream: the attempts at it, and what is repeated.
//!
//! A call is sent again only where it was surely not processed. What tells so
//! is an error of the transport (no connection, an unknown session) or one of
//! the few answers by which a server turns a request down at its door.

use std::sync::Arc;
use std::time::Duration;

use portcullis_policies::parse_arguments;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::introduction::Introduction;
use super::link::Link;
use super::links::SessionKey;
use super::relay::Relay;
use super::sent::{Sent, Waiting};
use super::state::State;
use super::translate::FollowUp;
use super::{Shared, core_tasks, handshake, rounds, tasks, translate};
use crate::backends::answer::Answer;
use crate::backends::callee::Callee;
use crate::backends::tool::Tool;
use crate::backends::transport::{Messages, Outgoing, Questions, Reply, TransportError};
use crate::mcp::answer::UpstreamMessage;
use crate::mcp::arguments::MAX_CHECKED_BYTES;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;
use crate::metrics::CallStatus;
use crate::rejection::Rejection;

/// A call and what is needed to send it.
pub(super) struct Call {
    pub(super) request: Box<McpRequest>,
    pub(super) callee: Callee,
    /// The arguments as a tree, where something needs them as one.
    pub(super) arguments: Option<Value>,
    pub(super) key: SessionKey,
    /// What the upstream is told that the client can be asked.
    pub(super) abilities: Capabilities,
    pub(super) waiting: Waiting,
    pub(super) deadline: Instant,
    /// How long the server may be silent.
    pub(super) patience: Duration,
    /// The place of a request that waits for the end of a task.
    place: Option<OwnedSemaphorePermit>,
    /// What is sent besides, where the request is made again.
    pub(super) follow_up: Option<FollowUp>,
}

/// An attempt that was answered.
pub(super) struct Attempted {
    pub(super) first: First,
    pub(super) sent: Sent,
}

/// What the upstream said first.
pub(super) enum First {
    Response {
        message: UpstreamMessage,
        /// The HTTP status, where it is no success.
        status: Option<u16>,
    },
    /// Something else, if anything, and what comes after it.
    Stream { begun: Option<UpstreamMessage>, messages: Messages },
}

/// Why an attempt came to nothing.
enum Failure {
    Failed {
        error: TransportError,
        /// What the call was sent under, if it was.
        link: Option<Arc<Link>>,
        /// Whether that says nothing about the server to others.
        is_alone: bool,
    },
    Rejected(Rejection),
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

// === impl Shared ===

impl Shared {
    /// Runs a tool, gets a prompt, reads a resource, completes an argument.
    pub(super) async fn call(self: Arc<Self>, request: Box<McpRequest>, callee: Callee) -> Result<Answer, Rejection> {
        if let Callee::Task(task) = &callee
            && let Some(core) = task.core.as_ref().filter(|_| request.era() == Era::Modern)
        {
            // Boxed, as is all that few calls need: a call is moved as a whole.
            return Box::pin(self.about_core_task(request, task, core)).await;
        }
        let arguments = callee.tool().map_or(Ok(None), |tool| checked_arguments(&request, tool))?;
        let follow_up = match State::of(&self.keys, &request, &callee, &self.settings.name)? {
            Some(State::Parked(id)) => return Box::pin(self.go_on(id, request)).await,
            Some(State::Relayed(state)) => Some(FollowUp::State(state)),
            Some(State::Again) | None => None,
        };
        let abilities = self.answering(request.session.as_ref().map_or(request.abilities, |session| session.abilities));
        let place = tasks::waits(&request).then(|| Arc::clone(&self.waiting).try_acquire_owned().ok()).flatten();
        let patience = self.patience(place.is_some());
        let mut call = Call {
            arguments,
            callee,
            key: SessionKey::of(&request, abilities),
            abilities,
            waiting: Waiting::begin(&request),
            deadline: request.deadline.min(Instant::now() + patience),
            patience,
            place,
            request,
            follow_up,
        };
        let (mut attempts, mut mended) = (0, false);
        loop {
            self.circuit.check().map_err(|_| self.refused_by_circuit(&call.request))?;
            let (error, link, is_alone) = match self.attempt(&call).await {
                Ok(Attempted { first: First::Response { message, status }, mut sent }) => {
                    self.answered(&sent.link);
                    if !mended && self.mend_after_answer(&mut call, &message, status, &mut sent).await {
                        mended = true;
                        continue;
                    }
                    if rounds::goes_on(&self, &call.request, &message) {
                        sent.answered();
                        return Ok(Answer::Stream(rounds::stream(self, call, message)));
                    }
                    let (message, code) = self.finish(&call, &mut sent, &message)?;
                    return Ok(Answer::Message { message, code });
                }
                Ok(Attempted { first: First::Stream { begun, messages }, sent }) => {
                    self.answered(&sent.link);
                    let (deadline, waits) = (call.deadline, call.waits_for_long(&sent.link));
                    let relay = Relay::new(self, call, sent, begun, messages);
                    // Who waits for long hears that it is waited for.
                    return if waits {
                        Ok(Answer::Stream(relay.messages()))
                    } else {
                        Box::pin(relay.answer(deadline)).await
                    };
                }
                Err(Failure::Rejected(rejection)) => return Err(self.rejected(&call.request, rejection)),
                Err(Failure::Failed { error, link, is_alone }) => (error, link, is_alone),
            };
            if let Some(link) = link
                && self.mend(&error, &call, &link).await
                && !std::mem::replace(&mut mended, true)
            {
                continue;
            }
            attempts += 1;
            let Some(pause) = self.pause(&error, is_alone, attempts, call.deadline) else {
                return Err(self.failed(&call.request, &error));
            };
            tracing::debug!(upstream = %self.settings.name, %error, attempts, "trying the call again");
            let paused = call.waiting.for_it(None, tokio::time::sleep(pause)).await;
            paused.map_err(|rejection| self.rejected(&call.request, rejection))?;
        }
    }

    /// An attempt that is not repeated: the request is made again, not anew.
    pub(super) async fn attempt_at_last(self: &Arc<Self>, call: &Call) -> Result<Attempted, Rejection> {
        match self.attempt(call).await {
            Ok(attempted) => {
                self.answered(&attempted.sent.link);
                Ok(attempted)
            }
            Err(Failure::Rejected(rejection)) => Err(self.rejected(&call.request, rejection)),
            Err(Failure::Failed { error, .. }) => Err(self.failed(&call.request, &error)),
        }
    }

    async fn attempt(self: &Arc<Self>, call: &Call) -> Result<Attempted, Failure> {
        let Call { request, callee, key, waiting, deadline, .. } = call;
        let link = match self.links.ready(key, call.abilities) {
            Some(link) => link,
            // Boxed, so that a call that needs no handshake has no room for one.
            None => {
                let introduction = Introduction::of(request, call.abilities);
                let link = waiting.for_it(None, Box::pin(self.links.of(key, &introduction, *deadline))).await?;
                let link = link.map_err(|unagreed| {
                    let (error, is_alone) = (before_call(unagreed.error), unagreed.is_alone);
                    Failure::Failed { error, link: None, is_alone }
                })?;
                if let Some(session) = &request.session {
                    Box::pin(self.watch(session, &link, *deadline)).await;
                }
                link
            }
        };
        if request.era() != link.era {
            match callee {
                Callee::Task(_) => return Err(Failure::Rejected(Rejection::UnknownTask)),
                Callee::Method(_) => return Err(Failure::Rejected(Rejection::UnknownMethod)),
                Callee::Tool(_) | Callee::Prompt(_) | Callee::Resource(_) => {}
            }
        }
        if let Some(level) = self.untold_level(request, key, &link) {
            waiting.for_it(None, Box::pin(self.tell_level(&link, level, *deadline))).await?;
        }
        let as_task = core_tasks::becomes_task(call, &link)?.then(|| FollowUp::Members(r#""task":{},"#.to_owned()));
        let id = self.links.next_id();
        let outgoing = Outgoing {
            body: translate::call(
                request,
                self.answering(request.abilities),
                callee,
                &link,
                id,
                as_task.as_ref().or(call.follow_up.as_ref()),
            ),
            id,
            connection: link.connection,
            headers: translate::headers(request, callee, &link, call.arguments.as_ref()),
            footing: Arc::clone(&link.footing),
            deadline: *deadline,
            questions: self.questions(call, &link),
        };
        let mut sent = Sent::begin(&link, request, id, *key == SessionKey::Fresh);
        // The transport keeps the deadline.
        let reply = waiting.for_it(Some(&mut sent), link.transport.request(outgoing)).await?;
        let first = reply.and_then(|reply| match reply {
            Reply::Stream { first: None, messages, .. } => Ok(First::Stream { begun: None, messages }),
            Reply::Stream { first: Some(first), messages, .. } => {
                let begun = handshake::scan(first)?;
                if !begun.is_response() {
                    return Ok(First::Stream { begun: Some(begun), messages });
                }
                handshake::drain(messages);
                Ok(First::Response { message: handshake::checked(begun, id)?, status: None })
            }
            Reply::Message { message, .. } => {
                Ok(First::Response { message: handshake::response(message, id)?, status: None })
            }
            Reply::Refusal { status, message } => {
                Ok(First::Response { message: handshake::refusal(message, id)?, status: Some(status) })
            }
        });
        match first {
            Ok(first) => Ok(Attempted { first, sent }),
            Err(error) => {
                match &error {
                    TransportError::TimedOut => sent.gave_up(),
                    error if error.surely_not_processed() => sent.answered(),
                    _ => {}
                }
                let is_alone = link.is_alone();
                Err(Failure::Failed { error, link: Some(link), is_alone })
            }
        }
    }

    /// Which of the questions that name no request are for the client of a call.
    fn questions(&self, call: &Call, link: &Link) -> Questions {
        match &call.key {
            _ if !link.is_alone() => Questions::None,
            SessionKey::Client(_) if self.answering(call.request.abilities).is_empty() => Questions::None,
            SessionKey::Client(_) => Questions::All,
            SessionKey::Pool { .. } | SessionKey::Listing(_) | SessionKey::Fresh => Questions::Own,
        }
    }
}

// === impl Call ===

impl Call {
    /// A refusal because the two sides cannot be brought together.
    pub(super) fn cannot(&self, detail: &'static str) -> Rejection {
        self.request.record.set_status(CallStatus::Error);
        translate::cannot_bridge(&self.request, detail)
    }

    /// Whether its client hears of it before its server says anything: it may
    /// take longer than a request may.
    fn waits_for_long(&self, link: &Link) -> bool {
        let may_be_asked_elsewhere = link.is_alone() && matches!(self.key, SessionKey::Client(_));
        self.request.takes_stream && (self.place.is_some() || may_be_asked_elsewhere)
    }

    /// Goes on for the request in which its client made it again.
    pub(super) fn take_up(&mut self, request: Box<McpRequest>) {
        self.waiting = Waiting::begin(&request);
        self.deadline = request.deadline.min(Instant::now() + self.patience);
        self.request = request;
    }
}

/// A failure while agreeing happened before the call was sent, so that the
/// call itself was surely not processed. What a proxy says of a server that
/// is not there is as good as no connection.
fn before_call(error: TransportError) -> TransportError {
    match error {
        TransportError::Disconnected(cause) => TransportError::Unreachable(cause),
        TransportError::Status(status @ 502..=504) => TransportError::Unreachable(format!("HTTP {status}")),
        other => other,
    }
}

/// The arguments as a tree, where something needs them as one.
fn checked_arguments(request: &McpRequest, tool: &Tool) -> Result<Option<Value>, Rejection> {
    let text = request.arguments_text();
    let checks = text.len() <= MAX_CHECKED_BYTES && !tool.arguments.surely_takes(text) && tool.arguments.checks();
    if tool.mirrored.is_empty() && !checks {
        return Ok(None);
    }
    let arguments = parse_arguments(text.as_bytes())
        .map_err(|_| Rejection::InvalidRequest { detail: "the arguments have a key twice or nest too deep" })?;
    if checks {
        tool.arguments.check(&arguments).map_err(|detail| Rejection::BadArguments { detail })?;
    }
    if let Some(headers) = request.mirrored.as_ref().filter(|_| request.era() == Era::Modern) {
        for parameter in &tool.mirrored {
            parameter.check(headers, &arguments).map_err(|detail| Rejection::HeaderMismatch { detail })?;
        }
    }
    Ok(Some(arguments))
}

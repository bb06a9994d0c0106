//! Writes an answer as HTTP: one JSON message, or an event stream.

mod resumable;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Frame;
use tokio::time::{Instant, Sleep};

use super::respond;
use crate::backends::answer::{Answer, Standing};
use crate::body::{Body, BodyError};
use crate::mcp::session::Session;
use crate::mcp::version::Era;
use crate::mcp::{mirror, sse};
use crate::rejection::Rejection;
use crate::seal::KeyRing;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Tells nginx, and what follows its example, not to hold the stream back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// A stream that is quiet for so long gets a comment.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// For whom a stream is kept while it is sent, so that it can be taken up
/// again.
pub(super) type Keep<'a> = Option<(&'a Session, &'a KeyRing)>;

/// Writes an answer for a client that takes an event stream.
pub(super) fn streamed(answer: Answer, id: &str, era: Era, keep: Keep<'_>) -> Response<Body> {
    match answer {
        Answer::Stream(stream) => {
            let id = id.to_owned();
            let messages =
                stream.map(move |message| message.unwrap_or_else(|rejection| respond::message(&rejection, &id, era)));
            let events: EventStream = match keep {
                None => Box::pin(messages.map(|message| sse::encode(&message))),
                Some((session, keys)) => resumable::keep(Box::pin(messages), session, keys)
                    .unwrap_or_else(|messages| Box::pin(messages.map(|message| sse::encode(&message)))),
            };
            event_stream(Body::arriving(Events::new(events)))
        }
        other => whole(other, era),
    }
}

/// Writes an answer for a client that takes nothing but an event stream.
pub(super) fn only_streamed(answer: Answer, id: &str, era: Era, keep: Keep<'_>) -> Response<Body> {
    match answer {
        // An error that has a status of its own is told by it.
        Answer::Message { message, code } if code.is_none_or(|code| status(code, era) == StatusCode::OK) => {
            event_stream(Body::from(sse::encode(&message)))
        }
        Answer::Opened { message, session } => {
            let mut response = event_stream(Body::from(sse::encode(&message)));
            name_session(&mut response, &session);
            response
        }
        other => streamed(other, id, era, keep),
    }
}

/// Writes a refusal for a client that takes nothing but an event stream;
/// `None` where its status says it all.
pub(super) fn refusal_streamed(rejection: &Rejection, id: &str, era: Era) -> Option<Response<Body>> {
    let is_answer = respond::refuse(rejection, Some(id), era).status() == StatusCode::OK;
    is_answer.then(|| event_stream(Body::from(sse::encode(&respond::message(rejection, id, era)))))
}

/// Waits for the response where notifications come first: for clients that
/// take one message only.
pub(super) async fn last(answer: Answer, id: &str, era: Era) -> Answer {
    let Answer::Stream(mut stream) = answer else { return answer };
    let mut last = None;
    while let Some(message) = stream.next().await {
        last = Some(message.unwrap_or_else(|rejection| respond::message(&rejection, id, era)));
    }
    let message = last.unwrap_or_else(|| respond::message(&Rejection::Internal, id, era));
    Answer::Message { message, code: None }
}

/// Writes an answer as one message.
pub(super) fn whole(answer: Answer, era: Era) -> Response<Body> {
    match answer {
        Answer::Message { message, code } => {
            let mut response = json(message);
            *response.status_mut() = code.map_or(StatusCode::OK, |code| status(code, era));
            response
        }
        Answer::Opened { message, session } => {
            let mut response = json(message);
            name_session(&mut response, &session);
            response
        }
        Answer::Standing(standing) => {
            let Standing { messages, pen, primed } = *standing;
            let priming = pen.as_ref().zip(primed).map(|(pen, number)| pen.priming(number));
            let events = messages.map(move |(number, message)| {
                pen.as_ref().map_or_else(|| sse::encode(&message), |pen| pen.message(number, &message))
            });
            event_stream(Body::standing(Events::new(Box::pin(stream::iter(priming).chain(events)))))
        }
        Answer::Accepted | Answer::Stream(_) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
    }
}

/// The status that goes with an upstream's error (MCP 2026-07-28,
/// "Streamable HTTP"); earlier revisions answer errors with 200.
const fn status(code: i64, era: Era) -> StatusCode {
    match (era, code) {
        (Era::Modern, -32601) => StatusCode::NOT_FOUND,
        (Era::Modern, -32700 | -32600 | -32022..=-32020) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// One JSON value.
pub(super) fn json(message: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(message));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A body of events.
pub(super) fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

fn name_session(response: &mut Response<Body>, session: &str) {
    if let Ok(session) = HeaderValue::from_str(session) {
        response.headers_mut().insert(mirror::SESSION_ID, session);
    }
}

/// Events as they are written on the wire.
pub(super) type EventStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The body of an event stream, which is never quiet for long.
pub(super) struct Events {
    events: EventStream,
    quiet: Pin<Box<Sleep>>,
}

impl Events {
    /// A body of events as they are written on the wire.
    pub(super) fn new(events: EventStream) -> Self {
        Self { events, quiet: Box::pin(tokio::time::sleep(KEEP_ALIVE_INTERVAL)) }
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let event = match self.events.as_mut().poll_next(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(event)) => event,
            Poll::Pending if self.quiet.as_mut().poll(cx).is_ready() => Bytes::from_static(sse::KEEP_ALIVE),
            Poll::Pending => return Poll::Pending,
        };
        self.quiet.as_mut().reset(Instant::now() + KEEP_ALIVE_INTERVAL);
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}

#[cfg(test)]
mod tests;

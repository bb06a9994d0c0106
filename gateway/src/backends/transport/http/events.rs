//! The messages of an event stream, which is taken up again where it breaks
//! off (MCP 2025-11-25, "Resumability and Redelivery").
//!
//! A server may close a stream before the response and have its client come
//! back for the rest, so that a long call holds no connection. Only a stream
//! whose events have ids can be taken up again; what is asked for is what came
//! after the last of them, so nothing is delivered twice.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, stream};
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use tokio::time::sleep;

use super::super::way::{ContentType, EVENT_STREAM, Way, cause, content_type, refusal};
use super::super::{Footing, Messages, TransportError};
use crate::body::Body;
use crate::http_client::Answer;
use crate::mcp::answer::UpstreamMessage;
use crate::mcp::sse;

/// `Last-Event-ID` (WHATWG HTML, "Server-sent events").
const LAST_EVENT_ID: http::HeaderName = http::HeaderName::from_static("last-event-id");
/// The pause before a stream is taken up again, where the server asks for none.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);
/// A server may not ask for more.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How often in a row a stream is taken up again without a message.
const MAX_RESUMPTIONS: u32 = 64;
/// How often in a row that may fail.
const MAX_FAILURES: u32 = 3;

/// What a stream is part of, and how it is taken up again.
pub(super) struct Origin {
    pub(super) way: Arc<Way>,
    /// Of the request; its session may be one that the answer opened.
    pub(super) footing: Arc<Footing>,
    /// Whether the stream belongs to a request, so that it ends with a response.
    pub(super) answers: bool,
}

/// The messages of an event stream. Its end is an error: what closes a stream
/// is the response, which the reader has then seen.
pub(super) fn messages(body: Answer, origin: Origin) -> Messages {
    Box::pin(Events::of(body, origin))
}

/// The same, and apart from it the first message, where that came along with
/// the head. Many streams hold the response alone and have ended by then: of
/// those only how they ended is kept.
pub(super) fn begun(body: Answer, origin: Origin, cx: &mut Context<'_>) -> (Option<Bytes>, Messages) {
    let mut events = Events::of(body, origin);
    let (first, end) = match Pin::new(&mut events).poll_next(cx) {
        Poll::Ready(Some(Ok(first))) => (Some(first), events.ended(cx)),
        Poll::Ready(Some(Err(end))) => (None, Some(end)),
        Poll::Ready(None) | Poll::Pending => (None, None),
    };
    match end {
        Some(end) => (first, Box::pin(stream::iter([Err(end)]))),
        None => (first, Box::pin(events)),
    }
}

#[expect(clippy::large_enum_variant, reason = "nearly all streams are read to their end")]
enum Events {
    Reading(Reading),
    /// It broke off, and is taken up again.
    Resuming(BoxFuture<'static, Result<Reading, TransportError>>),
    Ended,
}

/// An event stream being read.
struct Reading {
    origin: Origin,
    body: Answer,
    decoder: sse::Decoder,
    /// How the body ended, where it has.
    end: Option<TransportError>,
    /// The last message, where the stream could be taken up again after it.
    last: Option<Bytes>,
    /// How often it was taken up again since then.
    resumptions: u32,
}

// === impl Origin ===

impl Origin {
    /// Opens the stream after the event of this id.
    async fn reopen(&self, after: HeaderValue) -> Result<Answer, TransportError> {
        let mut headers = self.footing.headers();
        headers.insert(header::ACCEPT, EVENT_STREAM);
        headers.insert(LAST_EVENT_ID, after);
        let response = self.way.send_briefly(Method::GET, headers, Body::empty()).await?;
        match (response.status(), content_type(response.headers())) {
            (StatusCode::OK, ContentType::EventStream) => Ok(response.into_body()),
            (status, _) => Err(refusal(status, response.headers(), false)),
        }
    }
}

// === impl Events ===

impl Events {
    fn of(body: Answer, origin: Origin) -> Self {
        let decoder = sse::Decoder::default();
        Self::Reading(Reading { origin, body, decoder, end: None, last: None, resumptions: 0 })
    }

    /// See [`Reading::ended`].
    fn ended(&mut self, cx: &mut Context<'_>) -> Option<TransportError> {
        if let Self::Reading(reading) = self { reading.ended(cx) } else { None }
    }
}

impl Stream for Events {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let error = match this {
                Self::Reading(reading) => match ready!(reading.poll_message(cx)) {
                    Ok(message) => return Poll::Ready(Some(Ok(message))),
                    Err(error) => error,
                },
                Self::Resuming(resuming) => match ready!(resuming.as_mut().poll(cx)) {
                    Ok(reading) => {
                        *this = Self::Reading(reading);
                        continue;
                    }
                    Err(error) => error,
                },
                Self::Ended => return Poll::Ready(None),
            };
            match (std::mem::replace(this, Self::Ended), error) {
                // Streams of which nobody can say where they broke off are most.
                (Self::Reading(reading), TransportError::Disconnected(end)) if reading.decoder.last_id().is_some() => {
                    *this = Self::Resuming(Box::pin(reading.resume(end)));
                }
                (_, error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

// === impl Reading ===

impl Reading {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        loop {
            if let Some(message) = self.decoder.next_event() {
                if !self.decoder.is_message() {
                    // Another kind of event, which is nobody's.
                    continue;
                }
                self.resumptions = 0;
                self.last = self.decoder.last_id().is_some().then(|| message.clone());
                return Poll::Ready(Ok(message));
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(Err(end));
            }
            ready!(self.poll_body(cx));
        }
    }

    /// Takes in the next part of the body, or how it ended.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => Some(TransportError::Disconnected("the stream ended before the response".to_owned())),
            Some(Err(error)) => Some(TransportError::Disconnected(cause(&error))),
            Some(Ok(frame)) => {
                let taken = frame.into_data().map_or(Ok(()), |data| self.decoder.push(&data));
                taken.err().map(|error| TransportError::Garbage(error.to_string()))
            }
        };
        Poll::Ready(())
    }

    /// How the stream has ended, where nothing of it is left and it cannot be
    /// taken up again.
    fn ended(&mut self, cx: &mut Context<'_>) -> Option<TransportError> {
        if self.decoder.last_id().is_some() || (self.end.is_none() && self.poll_body(cx).is_pending()) {
            return None;
        }
        if self.decoder.is_empty() { self.end.take() } else { None }
    }

    /// Opens the stream again, unless that cannot be or the response was all
    /// there was to come; `end` says how it broke off.
    async fn resume(mut self, end: String) -> Result<Self, TransportError> {
        let mut failures = 0;
        while let Some(after) = self.resumable() {
            if self.resumptions >= MAX_RESUMPTIONS || failures >= MAX_FAILURES {
                break;
            }
            self.resumptions += 1;
            sleep(pause(self.decoder.retry())).await;
            match self.origin.reopen(after).await {
                Ok(body) => {
                    self.body = body;
                    self.decoder = std::mem::take(&mut self.decoder).resumed();
                    return Ok(self);
                }
                // It may be back in a moment.
                Err(TransportError::Unreachable(_) | TransportError::Disconnected(_) | TransportError::TimedOut)
                | Err(TransportError::Busy { .. }) => failures += 1,
                Err(error) => return Err(TransportError::Disconnected(format!("{end}; taking it up again: {error}"))),
            }
        }
        Err(TransportError::Disconnected(end))
    }

    /// Where the stream goes on, if it does.
    fn resumable(&self) -> Option<HeaderValue> {
        let after = HeaderValue::from_bytes(self.decoder.last_id()?).ok()?;
        let answered = self.origin.answers && self.last.as_ref().is_some_and(is_response);
        (!answered).then_some(after)
    }
}

/// How long to wait where the server asked for this.
pub(super) fn pause(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(DEFAULT_PAUSE).min(MAX_PAUSE)
}

fn is_response(message: &Bytes) -> bool {
    let scanned = UpstreamMessage::scan(message.clone());
    scanned.is_ok_and(|message| message.is_response())
}

//! Several messages at once (JSON-RPC 2.0, "Batch"), which clients of
//! 2025-03-26 may send and those of no other revision.
//!
//! Each message is decided, limited, metered and answered as if it had come
//! alone. A client that takes an event stream gets each answer as soon as it is
//! there.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::Response;
use tower_service::Service;

use super::arrival::Arrival;
use super::message::Refused;
use super::{Decoder, Recipient, headers, refuse};
use crate::backends::answer::Answer;
use crate::body::Body;
use crate::mcp::envelope::{Envelope, Kind};
use crate::mcp::json::MAX_DEPTH;
use crate::mcp::request::McpRequest;
use crate::mcp::scanner::{Fault, Scanner};
use crate::mcp::sse;
use crate::mcp::version::{Era, Version};
use crate::middleware::encode::{self, Events};
use crate::middleware::respond;
use crate::rejection::Rejection;

/// Messages of one batch.
const MAX_MESSAGES: usize = 64;
/// Those of them that are served at a time.
const AT_ONCE: usize = 8;

/// What one message of a batch is answered with, in order.
type Answers = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// One message of a batch.
pub(super) struct Member {
    pub(super) body: Bytes,
    /// Why it must not be part of one.
    pub(super) refused: Option<Refused>,
    /// Whether something is answered to it.
    is_answered: bool,
}

/// Whether a body is a batch.
pub(super) fn is_batch(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"[")
}

/// The messages of a batch.
///
/// # Errors
///
/// If it is no JSON, or has none or too many.
pub(super) fn split(body: &Bytes) -> Result<Vec<Member>, Rejection> {
    let malformed = || Rejection::NotJson { detail: "the body is not JSON".to_owned() };
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let mut scanner = Scanner::bounded(text, MAX_DEPTH + 1);
    let (mut messages, mut is_full) = (Vec::new(), false);
    let read = scanner.array(|scanner| {
        let message = scanner.value()?;
        is_full = messages.len() >= MAX_MESSAGES;
        if is_full {
            // Nothing of it is served, so that it need not be read on.
            return Err(Fault::Malformed);
        }
        messages.push(Member::of(message, body));
        Ok(())
    });
    if is_full {
        return Err(Rejection::InvalidRequest { detail: "a batch may have at most 64 messages" });
    }
    read.and_then(|_| scanner.end()).map_err(|_| malformed())?;
    if messages.is_empty() {
        return Err(Rejection::InvalidRequest { detail: "a batch has at least one message" });
    }
    Ok(messages)
}

// === impl Member ===

impl Member {
    /// `message` is a part of `batch`.
    fn of(message: &str, batch: &Bytes) -> Self {
        let body = batch.slice_ref(message.as_bytes());
        let Ok(envelope) = Envelope::scan(message) else { return Self { body, refused: None, is_answered: true } };
        let refused = (envelope.method() == Some("initialize")).then(|| Refused {
            rejection: Rejection::InvalidRequest { detail: "`initialize` is never part of a batch" },
            id: envelope.id.map(|id| message[id.range()].to_owned()),
            era: Era::Legacy,
        });
        let is_answered = envelope.id.is_some() && matches!(envelope.kind, Kind::Method(_));
        Self { body, refused, is_answered }
    }
}

// === impl Decoder ===

impl Decoder {
    /// Whether a message is a batch of a client that may send one.
    ///
    /// # Errors
    ///
    /// If its session is unknown.
    pub(super) fn takes_batch(&self, arrival: &Arrival, body: &[u8]) -> Result<bool, Rejection> {
        if !is_batch(body) {
            return Ok(false);
        }
        match self.legacy(arrival, "", headers::version(&arrival.headers)) {
            Err(Rejection::UnknownSession) => Err(Rejection::UnknownSession),
            version => Ok(matches!(version, Ok((Version::V2025_03_26, _)))),
        }
    }

    /// Carries a batch.
    pub(super) async fn batch<S>(self: Arc<Self>, arrival: Arrival, body: Bytes, inner: S) -> Response<Body>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        // Set once a request; the first word stays.
        let _ = arrival.record.rpc_method.set("batch");
        let messages = match split(&body) {
            Ok(messages) => messages,
            Err(rejection) => return refuse(&rejection, None, Era::Legacy),
        };
        let has_answers = messages.iter().any(|message| message.is_answered);
        let is_streamed = has_answers && arrival.accepts.stream;
        let each: Vec<Answers> = messages
            .into_iter()
            .map(|message| {
                let (decoder, arrival, inner) = (Arc::clone(&self), arrival.of_one(), inner.clone());
                let served = async move {
                    if let Some(refused) = message.refused {
                        return Err(refused);
                    }
                    let (answer, to) = decoder.handle(arrival, message.body, inner).await?;
                    // What comes before an answer is for those who take a stream.
                    let answer = if is_streamed { answer } else { encode::last(answer, &to.id, to.era).await };
                    Ok((answer, to))
                };
                let answers: Answers = Box::pin(stream::once(served).flat_map(answers));
                answers
            })
            .collect();
        let answers = stream::iter(each).flatten_unordered(AT_ONCE);
        if is_streamed {
            let events = answers.map(|message| sse::encode(&message));
            return encode::event_stream(Body::arriving(Events::new(Box::pin(events))));
        }
        let all: Vec<_> = answers.collect().await;
        if has_answers && !all.is_empty() {
            encode::json(joined(&all))
        } else {
            encode::whole(Answer::Accepted, Era::Legacy)
        }
    }
}

/// What a client hears of one message's outcome.
fn answers(outcome: Result<(Answer, Recipient), Refused>) -> Answers {
    match outcome {
        Ok((Answer::Message { message, .. }, _)) => Box::pin(stream::iter([message])),
        Ok((Answer::Stream(messages), to)) => {
            let said = messages.map(move |said| said.unwrap_or_else(|no| respond::message(&no, &to.id, to.era)));
            Box::pin(said)
        }
        // A session is opened by a message alone, and a stream by no message of
        // this revision.
        Ok((Answer::Accepted | Answer::Opened { .. } | Answer::Standing(_), _)) => Box::pin(stream::empty()),
        Err(Refused { rejection, id, era }) => {
            let said = respond::message(&rejection, id.as_deref().unwrap_or("null"), era);
            Box::pin(stream::iter([said]))
        }
    }
}

fn joined(messages: &[Bytes]) -> Bytes {
    let mut batch = Vec::with_capacity(messages.iter().map(|message| message.len() + 1).sum::<usize>() + 2);
    for (index, message) in messages.iter().enumerate() {
        batch.push(if index == 0 { b'[' } else { b',' });
        batch.extend_from_slice(message);
    }
    batch.push(b']');
    batch.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_split_where_its_messages_stand() {
        let body = Bytes::from(" [ {\"a\":[1 ,2]} ,7\n,\"x\"] ");
        assert!(is_batch(&body) && !is_batch(b" {\"a\":[]}"));
        let messages: Vec<_> = split(&body).unwrap().into_iter().map(|message| message.body).collect();
        assert_eq!(messages, ["{\"a\":[1 ,2]}", "7", "\"x\""]);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for body in ["[", "[1", "[1,]", "[1] 2", "[,]", "[1 2]"] {
            assert!(matches!(split(&Bytes::from(body)), Err(Rejection::NotJson { .. })), "{body}");
        }
        for body in ["[]".to_owned(), format!("[{}]", vec!["1"; MAX_MESSAGES + 1].join(","))] {
            assert!(matches!(split(&body.into()), Err(Rejection::InvalidRequest { .. })));
        }
        assert_eq!(split(&format!("[{}]", vec!["1"; MAX_MESSAGES].join(",")).into()).unwrap().len(), MAX_MESSAGES);
        let deep = format!("[{}{}]", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(split(&deep.into()).is_ok());
        let deeper = format!("[{}{}]", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        assert!(split(&deeper.into()).is_err());
    }
}

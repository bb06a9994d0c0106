//! Requests that belong to another replica: recognised by what the client
//! brings of a session, a stream or a call that waits, and passed on there.
//!
//! Where the other cannot be reached they are served here; where it went away
//! with one that may have been carried out, its client is told so.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response};

use super::arrival::Arrival;
use super::message::Refused;
use super::{Decoder, event_source, headers};
use crate::backends::upstream;
use crate::body::Body;
use crate::mcp::envelope::Envelope;
use crate::mcp::params::Named;
use crate::mcp::task::{Task, TaskVerb};
use crate::mcp::version::Era;
use crate::rejection::Rejection;
use crate::replicas::{NotAnswered, Passed, Replicas};

/// What a call that goes on, or a task, is known by; other messages are not
/// looked at twice.
const MEMBERS: [&str; 2] = ["\"requestState\"", "\"taskId\""];

/// How a request came in, kept for passing it on; nothing where there are no
/// replicas, and where another passed it on already.
pub(super) struct Passing {
    replicas: Arc<Replicas>,
    method: Method,
    target: PathAndQuery,
}

/// What became of a request that was to be passed on.
pub(super) enum Passage {
    /// It is to be served here.
    Here,
    Answered(Response<Body>),
    /// It may have been carried out, but nobody answers; or there is no room.
    Refused(Refused),
}

// === impl Passing ===

impl Passing {
    pub(super) fn of(replicas: Option<&Arc<Replicas>>, head: &Parts) -> Option<Self> {
        let replicas = replicas?;
        let target = head.uri.path_and_query().cloned()?;
        Some(Self { replicas: Arc::clone(replicas), method: head.method.clone(), target })
    }
}

// === impl Decoder ===

impl Decoder {
    /// Passes on a request of a session, or one with a state, that belongs
    /// elsewhere.
    pub(super) async fn pass_on(&self, passing: Option<Passing>, arrival: &Arrival, message: &Bytes) -> Passage {
        let Some(passing) = passing else { return Passage::Here };
        let home = match headers::session_id(&arrival.headers) {
            Ok(Some(id)) => self.sessions.elsewhere(id, arrival.bearer()),
            Ok(None) => self.of_state(arrival, message),
            // Refused where it is decoded.
            Err(_) => None,
        };
        match home {
            // Large, and no part of what is served here.
            Some(home) => Box::pin(self.pass_on_to(&home, passing, arrival, message)).await,
            None => Passage::Here,
        }
    }

    /// Passes on what a client of HTTP+SSE posts, whose stream is elsewhere.
    pub(super) async fn pass_on_posted(
        &self,
        passing: Option<Passing>,
        arrival: &Arrival,
        query: Option<&str>,
        message: &Bytes,
    ) -> Passage {
        match passing.zip(event_source::elsewhere(arrival, query, self.sessions.keys())) {
            Some((passing, home)) => Box::pin(self.pass_on_to(&home, passing, arrival, message)).await,
            None => Passage::Here,
        }
    }

    /// Where the call waits that a message goes on with, or the task is that it
    /// is about.
    fn of_state(&self, arrival: &Arrival, message: &Bytes) -> Option<Arc<str>> {
        let text = std::str::from_utf8(message).ok()?;
        MEMBERS.iter().find(|member| text.contains(**member))?;
        let envelope = Envelope::scan(text).ok()?;
        let (server, principal) = (arrival.server.as_deref(), arrival.principal.name());
        let keys = self.sessions.keys();
        let of_task = || {
            let id = envelope.params.task_id().filter(|_| envelope.method().is_some_and(is_about_task))?;
            Task::open(keys, server, principal, &id.text)?.elsewhere(keys).cloned()
        };
        let of_call = |token: &Named| upstream::elsewhere(keys, &token.text, server, principal);
        envelope.params.request_state().and_then(of_call).or_else(of_task)
    }

    async fn pass_on_to(&self, home: &Arc<str>, passing: Passing, arrival: &Arrival, message: &Bytes) -> Passage {
        let Passing { replicas, method, target } = passing;
        let is_stream = method == Method::GET;
        let passed =
            Passed { method, target, headers: &arrival.headers, body: message.clone(), record: &arrival.record };
        let answered = if is_stream {
            let Some(place) = replicas.place() else {
                let rejection = Rejection::Overloaded;
                return Passage::Refused(Refused { rejection, id: None, era: Era::Legacy });
            };
            // It is of this replica's configuration, too, which let it in.
            let over = self.sessions.streams().superseded(self.backends.since());
            replicas.pass_on_standing(home, passed, place, over).await
        } else {
            replicas.pass_on(home, passed).await
        };
        match answered {
            Ok(response) => {
                // Set once a request.
                let _ = arrival.record.replica.set(Arc::clone(home));
                Passage::Answered(response)
            }
            Err(NotAnswered::Unreached) => Passage::Here,
            Err(NotAnswered::Lost) => match lost(message) {
                Some(refused) => Passage::Refused(refused),
                // It asks for nothing that could be done twice.
                None => Passage::Here,
            },
        }
    }
}

fn is_about_task(method: &str) -> bool {
    TaskVerb::of_method(method, Era::Modern).is_some()
}

/// The refusal of a message that may have been carried out; `None` for one that
/// asks for nothing: it may be taken twice. A batch that is lost has no one id.
fn lost(message: &Bytes) -> Option<Refused> {
    let rejection = Rejection::ReplicaLost;
    if message.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(message).unwrap_or_default();
    let Ok(envelope) = Envelope::scan(text) else {
        return Some(Refused { rejection, id: None, era: Era::Legacy });
    };
    envelope.method()?;
    let id = text[envelope.id?.range()].to_owned();
    let era = if envelope.params.meta.names_version { Era::Modern } else { Era::Legacy };
    Some(Refused { rejection, id: Some(id), era })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_for_nothing_may_be_taken_twice() {
        let id = |message: &str| lost(&Bytes::copy_from_slice(message.as_bytes())).map(|refused| refused.id);
        for nothing in [
            "",
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ] {
            assert_eq!(id(nothing), None, "{nothing}");
        }
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":"a","method":"tools/call"}"#), Some(Some("\"a\"".to_owned())));
        for unclear in [r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call"}]"#, "{", r#"{"id":1}"#] {
            assert_eq!(id(unclear), Some(None), "{unclear}");
        }
    }
}

//! What a child says, and whose business each message is.
//!
//! Only what decides that is read, borrowed from the line; the line itself
//! goes on as it came.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, mpsc};
use tracing::debug;

use super::super::ServerEvent;
use super::outgoing::Line;
use super::pending::Pending;

/// A longer id of a server's request is not echoed.
const MAX_ID_BYTES: usize = 1024;

/// Sorts the messages of one connection.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The upstream's name, for the log.
    pub(super) upstream: Arc<str>,
    /// The requests that wait for an answer.
    pub(super) pending: Arc<Pending>,
    /// Whether any request was ever answered.
    pub(super) answered: Arc<AtomicBool>,
    /// Where our answers to the server go.
    pub(super) queue: mpsc::Sender<Line>,
    /// Who hears what belongs to no request.
    pub(super) events: broadcast::Sender<ServerEvent>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    result: bool,
    #[serde(default, deserialize_with = "present")]
    error: bool,
}

/// What ties a notification to a request of ours.
#[derive(Deserialize)]
struct Address<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<NotificationMeta<'a>>,
}

#[derive(Deserialize)]
struct NotificationMeta<'a> {
    /// The id of the `subscriptions/listen` it belongs to (2026-07-28).
    #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
    subscription: Option<&'a RawValue>,
}

// === impl Incoming ===

impl Incoming {
    /// Takes one line; false where it is no JSON-RPC message.
    pub(super) fn take(&self, line: &Bytes) -> bool {
        let Some(envelope) = parse(line) else { return false };
        match (envelope.method.as_deref(), envelope.id) {
            (Some(method), Some(id)) => self.answer(method, id),
            (Some(method), None) => self.notification(method, envelope.params, line),
            (None, id) if envelope.result || envelope.error => self.response(id, line),
            (None, _) => return false,
        }
        true
    }

    fn response(&self, id: Option<&RawValue>, line: &Bytes) {
        self.answered.store(true, Ordering::Relaxed);
        let delivered = id.and_then(number).is_some_and(|id| self.pending.respond(id, line.clone()));
        if !delivered {
            debug!(upstream = %self.upstream, "dropped a response that nobody waits for");
        }
    }

    fn notification(&self, method: &str, params: Option<&RawValue>, line: &Bytes) {
        if method == "notifications/tools/list_changed" {
            // Nobody listening is no fault: the list is then not cached.
            let _ = self.events.send(ServerEvent::ToolsChanged);
        }
        let delivered = params.and_then(addressee).is_some_and(|id| self.pending.notify(id, line.clone()));
        if !delivered {
            debug!(upstream = %self.upstream, "dropped a notification that belongs to no request");
        }
    }

    /// Answers a request of the server. Everything but `ping` needs a client
    /// that one process cannot tell from the others it serves.
    fn answer(&self, method: &str, id: &RawValue) {
        let id = id.get();
        if id.len() > MAX_ID_BYTES {
            debug!(upstream = %self.upstream, "dropped a request with an oversized id");
            return;
        }
        let answer = if method == "ping" {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
        } else {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"Method not found"}}}}"#)
        };
        // Waiting here would stop the reading, and a child that waits for us
        // to read before it reads would never go on.
        if self.queue.try_send(Line::message(answer.into())).is_err() {
            debug!(upstream = %self.upstream, "dropped an answer to the server, which does not read");
        }
    }
}

fn parse(line: &[u8]) -> Option<Envelope<'_>> {
    let text = std::str::from_utf8(line).ok()?.trim_start();
    // An array would fill the members by position.
    if !text.starts_with('{') {
        return None;
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
    (envelope.jsonrpc == "2.0").then_some(envelope)
}

fn addressee(params: &RawValue) -> Option<u64> {
    let address: Address<'_> = serde_json::from_str(params.get()).ok()?;
    address.progress_token.or_else(|| address.meta?.subscription).and_then(number)
}

/// Our ids are whole numbers; whatever else comes was never ours.
fn number(raw: &RawValue) -> Option<u64> {
    raw.get().parse().ok()
}

/// Says that a member is there, even where it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::transport::stdio::pending::Delivery;

    struct Side {
        incoming: Incoming,
        written: mpsc::Receiver<Line>,
        events: broadcast::Receiver<ServerEvent>,
    }

    fn side() -> Side {
        let (queue, written) = mpsc::channel(1);
        let (sender, events) = broadcast::channel(4);
        let incoming = Incoming {
            upstream: "files".into(),
            pending: Arc::default(),
            answered: Arc::default(),
            queue,
            events: sender,
        };
        Side { incoming, written, events }
    }

    fn take(incoming: &Incoming, line: &str) -> bool {
        incoming.take(&Bytes::copy_from_slice(line.as_bytes()))
    }

    #[test]
    fn what_is_not_json_rpc_is_told_apart() {
        let side = side();
        let _ticket = side.incoming.pending.register(3).unwrap();
        for stray in [
            "Server listening",
            "",
            "42",
            "{}",
            r#"{"level":"info","id":3,"result":1}"#,
            r#"{"jsonrpc":"1.0","id":3,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":3}"#,
            r#"{"jsonrpc":"2.0","id":3,"id":3,"result":1}"#,
            r#"["2.0",3,null,null,1,1]"#,
            r#"{"jsonrpc":"2.0","id":3,"result":1"#,
        ] {
            assert!(!take(&side.incoming, stray), "{stray}");
        }
        assert!(!side.incoming.take(&Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":\"\xff\"}")));
        assert!(side.incoming.pending.contains(3));
    }

    #[tokio::test]
    async fn a_response_goes_to_its_request_as_it_came() {
        let side = side();
        let mut ticket = side.incoming.pending.register(3).unwrap();
        let line = Bytes::from_static(br#"{ "jsonrpc":"2.0", "result":null, "id":3, "x":1e400 }"#);
        assert!(side.incoming.take(&line));
        let Delivery::Response(message) = ticket.next().await else { panic!("no response") };
        assert_eq!(message.as_ptr(), line.as_ptr());
        assert!(side.incoming.answered.load(Ordering::Relaxed));
    }

    #[test]
    fn a_response_with_another_id_reaches_nobody() {
        let side = side();
        let _ticket = side.incoming.pending.register(3).unwrap();
        for id in ["4", "\"3\"", "null", "3.0", "-3", "[3]"] {
            assert!(take(&side.incoming, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)), "{id}");
        }
        assert!(side.incoming.pending.contains(3));
    }

    #[tokio::test]
    async fn progress_and_subscription_notices_find_their_request() {
        let side = side();
        let mut ticket = side.incoming.pending.register(3).unwrap();
        for params in
            [r#"{"progressToken":3,"progress":1}"#, r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}"#]
        {
            let line = format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{params}}}"#);
            assert!(take(&side.incoming, &line));
            assert!(matches!(ticket.next().await, Delivery::Notification(message) if message == line));
        }
    }

    #[test]
    fn a_changed_list_is_an_event() {
        let mut side = side();
        assert!(take(&side.incoming, r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#));
        assert_eq!(side.events.try_recv(), Ok(ServerEvent::ToolsChanged));
        assert!(take(&side.incoming, r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1}}"#));
        assert!(side.events.try_recv().is_err());
    }

    #[test]
    fn a_ping_is_answered_and_any_other_request_refused_with_its_own_id() {
        let mut side = side();
        assert!(take(&side.incoming, r#"{"jsonrpc":"2.0","id":"a\n1","method":"ping"}"#));
        assert_eq!(side.written.try_recv().unwrap().text(), r#"{"jsonrpc":"2.0","id":"a\n1","result":{}}"#);
        assert!(take(&side.incoming, r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#));
        let refusal = side.written.try_recv().unwrap();
        assert!(refusal.text().starts_with(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601"#));
    }

    #[test]
    fn a_child_that_does_not_read_does_not_stop_the_reading() {
        let mut side = side();
        for _ in 0..3 {
            assert!(take(&side.incoming, r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#));
        }
        assert!(side.written.try_recv().is_ok());
        assert!(side.written.try_recv().is_err());
    }
}

//! What a server says on a pipe, and whose business each message is.
//!
//! Only what decides that is read, borrowed from the message; the message
//! itself goes on as it came.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A longer id of a server's request is not echoed.
const MAX_ID_BYTES: usize = 1024;

/// A message from the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// The answer to the request of this id; `None` where it cannot be ours.
    Response(Option<u64>),
    /// A `ping`, to be answered; the id is JSON.
    Ping(&'a str),
    /// Another request, whose id is JSON.
    Question(&'a str),
    /// A request that cannot be answered: its id is too long to repeat.
    Unanswerable,
    /// A notification about one request; `None` where it cannot be ours.
    About(Option<u64>),
    /// A notification that names no request.
    Notice,
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

// === impl Said ===

impl<'a> Said<'a> {
    /// Reads a message; `None` where it is no JSON-RPC message.
    pub(super) fn read(message: &'a [u8]) -> Option<Self> {
        let envelope = parse(message)?;
        Some(match (envelope.method.as_deref(), envelope.id) {
            (Some(_), Some(id)) if id.get().len() > MAX_ID_BYTES => Self::Unanswerable,
            (Some("ping"), Some(id)) => Self::Ping(id.get()),
            (Some(_), Some(id)) => Self::Question(id.get()),
            (Some(_), None) => envelope.params.and_then(addressee).map_or(Self::Notice, |id| Self::About(number(id))),
            (None, id) if envelope.result || envelope.error => Self::Response(id.and_then(number)),
            (None, _) => return None,
        })
    }
}

fn parse(message: &[u8]) -> Option<Envelope<'_>> {
    let text = std::str::from_utf8(message).ok()?.trim_start();
    // An array would fill the members by position.
    if !text.starts_with('{') {
        return None;
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
    (envelope.jsonrpc == "2.0").then_some(envelope)
}

fn addressee(params: &RawValue) -> Option<&RawValue> {
    let address: Address<'_> = serde_json::from_str(params.get()).ok()?;
    address.progress_token.or_else(|| address.meta?.subscription)
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

    fn read(text: &str) -> Option<Said<'_>> {
        Said::read(text.as_bytes())
    }

    #[test]
    fn what_is_not_json_rpc_is_told_apart() {
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
            assert_eq!(read(stray), None, "{stray}");
        }
        assert_eq!(Said::read(b"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":\"\xff\"}"), None);
    }

    #[test]
    fn only_an_id_of_ours_finds_its_request() {
        assert_eq!(read(r#"{ "jsonrpc":"2.0", "result":null, "id":3, "x":1e400 }"#), Some(Said::Response(Some(3))));
        for id in ["\"3\"", "null", "3.0", "-3", "[3]"] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{}}}}"#);
            assert_eq!(read(&text), Some(Said::Response(None)), "{id}");
        }
    }

    #[test]
    fn progress_and_subscription_notices_are_about_their_request() {
        for (params, said) in [
            (r#"{"progressToken":3,"progress":1}"#, Said::About(Some(3))),
            (r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}"#, Said::About(Some(3))),
            (r#"{"progressToken":"3"}"#, Said::About(None)),
            (r#"{"_meta":{}}"#, Said::Notice),
            ("[3]", Said::Notice),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{params}}}"#);
            assert_eq!(read(&text), Some(said), "{params}");
        }
        assert_eq!(read(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#), Some(Said::Notice));
    }

    #[test]
    fn a_ping_is_told_from_a_question() {
        let request = |id: &str, method: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
        assert_eq!(read(&request(r#""a\n1""#, "ping")), Some(Said::Ping(r#""a\n1""#)));
        assert_eq!(read(&request("0", "roots/list")), Some(Said::Question("0")));
        let long = format!("\"{}\"", "x".repeat(MAX_ID_BYTES));
        assert_eq!(read(&request(&long, "ping")), Some(Said::Unanswerable));
    }
}

//! A message from an upstream: what it is, and where the parts stand that the
//! gateway may have to change.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Key, Members};
use super::splice::Span;

/// A scanned message from an upstream.
#[derive(Clone, PartialEq)]
pub struct UpstreamMessage {
    /// The message as it came.
    pub bytes: Bytes,
    /// What it is.
    pub kind: UpstreamKind,
}

/// What an upstream's message is.
#[derive(Clone, Debug, PartialEq)]
pub enum UpstreamKind {
    /// The result of a request.
    Result {
        /// The id, as it was written.
        id: Span,
        /// The `result` value.
        result: Span,
        /// What is read of it.
        members: ResultMembers,
    },
    /// An error instead of a result.
    Error {
        /// The id; `None` where the upstream could not tell.
        id: Option<Span>,
        /// The `error` value.
        error: Span,
        /// `error.code`.
        code: i64,
    },
    /// A notification.
    Notification {
        /// Its method.
        method: String,
        /// `params.progressToken`.
        progress_token: Option<Span>,
    },
    /// A request of the upstream to its client.
    Request {
        /// The id, to answer with.
        id: Span,
        /// Its method.
        method: String,
    },
}

/// What the gateway reads of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultMembers {
    /// `isError` is `true`: the tool failed.
    pub is_error: bool,
    /// `resultType`, which only stateless servers write.
    pub result_type: Option<Span>,
    /// `ttlMs` or `cacheScope` is there.
    pub has_cache_fields: bool,
    /// `structuredContent` is no object, which only stateless clients know.
    pub has_plain_structured_content: bool,
}

/// What came is not a JSON-RPC message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAMessage(&'static str);

// === impl UpstreamMessage ===

impl UpstreamMessage {
    /// Scans a message once.
    ///
    /// # Errors
    ///
    /// If it is not one JSON-RPC 2.0 message.
    pub fn scan(bytes: Bytes) -> Result<Self, NotAMessage> {
        let text = std::str::from_utf8(&bytes).map_err(|_| NotAMessage("not UTF-8"))?;
        let raw: RawMessage<'_> = serde_json::from_str(text).map_err(|_| NotAMessage("not a JSON object"))?;
        let kind = raw.into_kind(text)?;
        Ok(Self { bytes, kind })
    }

    /// The text of a part.
    ///
    /// # Panics
    ///
    /// If the span is not of this message.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        std::str::from_utf8(&self.bytes[span.range()]).expect("spans are of scanned text")
    }
}

impl fmt::Debug for UpstreamMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a tool answered stays out of logs.
        f.debug_struct("UpstreamMessage").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct RawMessage<'a> {
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

impl RawMessage<'_> {
    fn into_kind(self, text: &str) -> Result<UpstreamKind, NotAMessage> {
        let span = |raw: &RawValue| Span::of(raw.get(), text);
        let id = self.id.filter(|raw| raw.get() != "null").map(span);
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                let method = serde_json::from_str(method.get()).map_err(|_| NotAMessage("`method` is no string"))?;
                Ok(match id {
                    Some(id) => UpstreamKind::Request { id, method },
                    None => UpstreamKind::Notification {
                        method,
                        progress_token: self.params.and_then(progress_token).map(span),
                    },
                })
            }
            (None, Some(result), None) => {
                let id = id.ok_or(NotAMessage("a result without an id"))?;
                Ok(UpstreamKind::Result { id, result: span(result), members: ResultMembers::read(result, text)? })
            }
            (None, None, Some(error)) => Ok(UpstreamKind::Error { id, error: span(error), code: error_code(error)? }),
            _ => Err(NotAMessage("neither a request nor a response")),
        }
    }
}

impl ResultMembers {
    fn read(result: &RawValue, text: &str) -> Result<Self, NotAMessage> {
        let mut members = Self::default();
        Members::for_each(result.get(), |key, value| {
            match key.as_ref() {
                "isError" => members.is_error = value.get() == "true",
                "resultType" => members.result_type = Some(Span::of(value.get(), text)),
                "ttlMs" | "cacheScope" => members.has_cache_fields = true,
                "structuredContent" => members.has_plain_structured_content = !value.get().starts_with('{'),
                _ => {}
            }
            true
        })
        .map_err(|_| NotAMessage("the result is no object"))?;
        Ok(members)
    }
}

fn progress_token(params: &RawValue) -> Option<&RawValue> {
    let mut token = None;
    Members::for_each(params.get(), |key, value| {
        if key == "progressToken" {
            token = Some(value);
        }
        true
    })
    .ok()?;
    token
}

fn error_code(error: &RawValue) -> Result<i64, NotAMessage> {
    let mut code = None;
    Members::for_each(error.get(), |key, value| {
        if key == "code" {
            code = value.get().parse().ok();
        }
        true
    })
    .ok()
    .and(code)
    .ok_or(NotAMessage("an error without a code"))
}

impl<'de: 'a, 'a> Deserialize<'de> for RawMessage<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MessageVisitor;

        impl<'de> Visitor<'de> for MessageVisitor {
            type Value = RawMessage<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut raw = RawMessage::default();
                while let Some(Key(key)) = map.next_key()? {
                    let member = match key.as_ref() {
                        "id" => &mut raw.id,
                        "method" => &mut raw.method,
                        "params" => &mut raw.params,
                        "result" => &mut raw.result,
                        "error" => &mut raw.error,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if member.replace(map.next_value()?).is_some() {
                        return Err(serde::de::Error::custom("a member is given twice"));
                    }
                }
                Ok(raw)
            }
        }

        deserializer.deserialize_map(MessageVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &'static str) -> Result<UpstreamMessage, NotAMessage> {
        UpstreamMessage::scan(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_failed_tool_is_told_from_one_that_did_not() {
        for (text, failed) in [
            (r#"{"result":{"content":[],"isError":true},"jsonrpc":"2.0","id":3}"#, true),
            (r#"{"result":{"content":[{"isError":true}]},"jsonrpc":"2.0","id":3}"#, false),
        ] {
            let message = scan(text).unwrap();
            let UpstreamKind::Result { id, members, .. } = message.kind.clone() else { panic!("{text}") };
            assert_eq!(message.text(id), "3");
            assert_eq!(members.is_error, failed, "{text}");
        }
    }

    #[test]
    fn every_kind_is_recognised() {
        assert!(matches!(
            scan(r#"{"jsonrpc":"2.0","id":1,"error":{"message":"m","code":-32601}}"#).unwrap().kind,
            UpstreamKind::Error { code: -32601, id: Some(_), .. }
        ));
        assert!(matches!(
            scan(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":5}}"#).unwrap().kind,
            UpstreamKind::Notification { progress_token: Some(_), .. }
        ));
        assert!(matches!(
            scan(r#"{"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{}}"#).unwrap().kind,
            UpstreamKind::Request { .. }
        ));
    }

    #[test]
    fn garbage_is_refused() {
        for text in ["", "<html>", "[]", "{}", r#"{"id":1}"#, r#"{"result":{}}"#, r#"{"id":1,"id":2,"result":{}}"#] {
            assert!(scan(text).is_err(), "{text}");
        }
    }
}

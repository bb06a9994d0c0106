//! A message from an upstream: what it is, and where the parts stand that the
//! gateway may have to change.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use super::json::{Cuts, Cutter, Members};
use super::scanner::{Fault, Scanner, string};
use super::splice::Span;

/// A scanned message from an upstream.
#[derive(Clone, PartialEq)]
pub struct UpstreamMessage {
    /// The message as it came.
    pub whole: ByteString,
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
        /// Its `params`.
        params: Option<Span>,
        /// `params.progressToken`.
        progress_token: Option<Span>,
    },
    /// A request of the upstream to its client.
    Request {
        /// The id, to answer with.
        id: Span,
        /// Its method.
        method: String,
        /// Its `params`.
        params: Option<Span>,
    },
}

/// What the gateway reads of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultMembers {
    /// `isError` is `true`: the tool failed.
    pub is_error: bool,
    /// `resultType`, which only stateless servers write.
    pub result_type: Option<Span>,
    /// Whether that says that the server wants input first (MCP 2026-07-28,
    /// "Multi round-trip requests").
    pub wants_input: bool,
    /// `inputRequests`: what it wants.
    pub input_requests: Option<Span>,
    /// `requestState`: what it wants to be told again, as JSON.
    pub request_state: Option<Span>,
    /// Whether something names a task: `taskId`, or a whole `task`.
    pub names_task: bool,
    /// How to cut out what only stateless clients know: `resultType`, the cache
    /// fields, and `structuredContent` that is no object.
    pub without_stateless: Cuts,
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
        let whole = ByteString::try_from(bytes).map_err(|_| NotAMessage("not UTF-8"))?;
        let raw = RawMessage::read(&whole).map_err(|_| NotAMessage("not a JSON object"))?;
        let kind = raw.into_kind(&whole)?;
        Ok(Self { whole, kind })
    }

    /// Whether it answers a request.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        matches!(self.kind, UpstreamKind::Result { .. } | UpstreamKind::Error { .. })
    }

    /// Where a part of the text stands.
    ///
    /// # Panics
    ///
    /// If it is not borrowed from the message.
    #[must_use]
    pub fn place(&self, part: &str) -> Span {
        Span::of(part, &self.whole)
    }

    /// The text of a part.
    ///
    /// # Panics
    ///
    /// If the span is not of this message.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        &self.whole[span.range()]
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
    id: Option<&'a str>,
    method: Option<&'a str>,
    params: Option<&'a str>,
    result: Option<&'a str>,
    /// `None` where the result is no object.
    members: Option<ResultMembers>,
    error: Option<&'a str>,
}

// === impl RawMessage ===

impl<'a> RawMessage<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        let mut raw = Self::default();
        let mut scanner = Scanner::new(text);
        scanner.object(|scanner, key| {
            let (member, value) = match key.as_ref() {
                "id" => (&mut raw.id, scanner.value()?),
                "method" => (&mut raw.method, scanner.value()?),
                "params" => (&mut raw.params, scanner.value()?),
                "result" if scanner.peek() == b'{' => {
                    let (result, members) = ResultMembers::read(scanner, text)?;
                    raw.members = Some(members);
                    (&mut raw.result, result)
                }
                "result" => (&mut raw.result, scanner.value()?),
                "error" => (&mut raw.error, scanner.value()?),
                _ => return scanner.value().map(drop),
            };
            // A member given twice.
            if member.replace(value).is_some() { Err(Fault::Malformed) } else { Ok(()) }
        })?;
        scanner.end()?;
        Ok(raw)
    }

    fn into_kind(self, text: &str) -> Result<UpstreamKind, NotAMessage> {
        let span = |part: &str| Span::of(part, text);
        let id = self.id.filter(|id| *id != "null").map(span);
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                let method = string(method).ok_or(NotAMessage("`method` is no string"))?.into_owned();
                Ok(match id {
                    Some(id) => UpstreamKind::Request { id, method, params: self.params.map(span) },
                    None => UpstreamKind::Notification {
                        method,
                        params: self.params.map(span),
                        progress_token: self.params.and_then(progress_token).map(span),
                    },
                })
            }
            (None, Some(result), None) => {
                let id = id.ok_or(NotAMessage("a result without an id"))?;
                let members = self.members.ok_or(NotAMessage("the result is no object"))?;
                Ok(UpstreamKind::Result { id, result: span(result), members })
            }
            (None, None, Some(error)) => Ok(UpstreamKind::Error { id, error: span(error), code: error_code(error)? }),
            _ => Err(NotAMessage("neither a request nor a response")),
        }
    }
}

// === impl ResultMembers ===

impl ResultMembers {
    fn read<'a>(scanner: &mut Scanner<'a>, text: &'a str) -> Result<(&'a str, Self), Fault> {
        let mut members = Self::default();
        let mut cutter = Cutter::new(text, scanner.at());
        let result = scanner.object(|scanner, key| {
            let value = scanner.value()?;
            let is_stateless = match key.as_ref() {
                "isError" => {
                    members.is_error = value == "true";
                    false
                }
                "resultType" => {
                    members.result_type = Some(Span::of(value, text));
                    members.wants_input = value == "\"input_required\"";
                    true
                }
                "inputRequests" => {
                    members.input_requests = Some(Span::of(value, text));
                    false
                }
                "requestState" => {
                    members.request_state = Some(Span::of(value, text));
                    false
                }
                "taskId" | "task" => {
                    members.names_task = true;
                    false
                }
                "ttlMs" | "cacheScope" => true,
                "structuredContent" => !value.starts_with('{'),
                _ => false,
            };
            cutter.member(value, is_stateless);
            Ok(())
        })?;
        members.without_stateless = cutter.finish();
        Ok((result, members))
    }
}

fn progress_token(params: &str) -> Option<&str> {
    let mut token = None;
    let read = Members::for_each(params, |key, value| {
        if key == "progressToken" {
            token = Some(value);
        }
    });
    read.ok().and(token)
}

fn error_code(error: &str) -> Result<i64, NotAMessage> {
    let mut code = None;
    let read = Members::for_each(error, |key, value| {
        if key == "code" {
            code = value.parse().ok();
        }
    });
    read.ok().and(code).ok_or(NotAMessage("an error without a code"))
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

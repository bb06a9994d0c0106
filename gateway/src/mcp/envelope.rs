//! The JSON-RPC envelope of a message from a client: scanned once, borrowed,
//! strict where two readers could disagree.

use std::borrow::Cow;

use super::asks::Said;
use super::json::MAX_DEPTH;
use super::params::{Params, RawParams, differs_in_case};
use super::scanner::{Fault, Scanner, string};
use super::splice::Span;

/// Longer ids are refused; they are echoed and kept while a call runs.
pub const MAX_ID_BYTES: usize = 1024;

/// What one message from a client is, with the places of its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<'a> {
    /// The id as it was written (a string or an integer); `None` for a notification.
    pub id: Option<Span>,
    /// What kind of message it is.
    pub kind: Kind<'a>,
    /// What is read of `params`.
    pub params: Params,
}

/// Which of the message kinds of JSON-RPC 2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A request (with id) or notification (without) of this method.
    Method(Cow<'a, str>),
    /// A response to something the server side asked.
    Response(Said),
}

/// Why a body is not a message we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON.
    #[error("{0}")]
    NotJson(String),
    /// JSON, but not one JSON-RPC message.
    #[error("{detail}")]
    NotJsonRpc {
        /// What is wrong.
        detail: &'static str,
        /// The id, where it could be read.
        id: Option<Span>,
    },
}

// === impl Envelope ===

impl<'a> Envelope<'a> {
    /// Scans one message.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]; neither message contains anything of the body.
    pub fn scan(text: &'a str) -> Result<Self, EnvelopeError> {
        let mut scanner = Scanner::bounded(text, MAX_DEPTH);
        let mut raw = RawEnvelope::default();
        let first = scanner.peek();
        let read = if first == b'{' { raw.read(&mut scanner, text) } else { scanner.value().map(drop) };
        read.and_then(|()| scanner.end()).map_err(|fault| not_json(fault, &scanner))?;
        let refuse = |detail| Err(EnvelopeError::NotJsonRpc { detail, id: None });
        match first {
            b'{' => raw.into_envelope(text),
            b'[' => refuse("batches are not taken: send one message a request"),
            _ => refuse("a message is a JSON object"),
        }
    }

    /// The method's name; `None` for a response.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match &self.kind {
            Kind::Method(method) => Some(method),
            Kind::Response(_) => None,
        }
    }
}

fn not_json(fault: Fault, scanner: &Scanner<'_>) -> EnvelopeError {
    EnvelopeError::NotJson(match fault {
        Fault::TooDeep => "the body nests too deep".to_owned(),
        Fault::Malformed => {
            let (line, column) = scanner.place();
            format!("the body is not JSON (line {line}, column {column})")
        }
    })
}

/// The members of a message that decide where it goes.
const MEMBERS: [&str; 4] = ["jsonrpc", "id", "method", "params"];

#[derive(Default)]
struct RawEnvelope<'a> {
    jsonrpc: Option<&'a str>,
    id: Option<&'a str>,
    method: Option<&'a str>,
    params: RawParams,
    has_params: bool,
    said: Option<Said>,
    repeated: bool,
    /// A member's name is a known one but for its case.
    misspelt: bool,
}

// === impl RawEnvelope ===

impl<'a> RawEnvelope<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>, text: &'a str) -> Result<(), Fault> {
        let object = scanner.object(|scanner, key| {
            let member = match key.as_ref() {
                "jsonrpc" => &mut self.jsonrpc,
                "id" => &mut self.id,
                "method" => &mut self.method,
                "params" => {
                    self.repeated |= std::mem::replace(&mut self.has_params, true);
                    return self.params.read(scanner, text);
                }
                "result" => {
                    let result = Said::Result(Span::of(scanner.value()?, text));
                    self.repeated |= self.said.replace(result).is_some();
                    return Ok(());
                }
                "error" => {
                    let error = Said::Error(Span::of(scanner.value()?, text));
                    self.repeated |= self.said.replace(error).is_some();
                    return Ok(());
                }
                other => {
                    self.misspelt |= MEMBERS.iter().any(|known| differs_in_case(other, known));
                    return scanner.value().map(drop);
                }
            };
            self.repeated |= member.replace(scanner.value()?).is_some();
            Ok(())
        });
        object.map(drop)
    }

    fn into_envelope(self, text: &str) -> Result<Envelope<'a>, EnvelopeError> {
        let id = self.id.filter(|id| id_is_valid(id)).map(|id| Span::of(id, text));
        let params = self.params;
        let refuse = |detail| Err(EnvelopeError::NotJsonRpc { detail, id });
        if self.repeated || params.repeated {
            return refuse("a member is given twice");
        }
        if self.misspelt || params.misspelt {
            return refuse("a member's name has the wrong case");
        }
        if self.jsonrpc != Some("\"2.0\"") {
            return refuse("`jsonrpc` must be \"2.0\"");
        }
        if self.id.is_some() && id.is_none() {
            return refuse("`id` must be a string or an integer, of at most 1 KiB");
        }
        let kind = match (self.method, self.said) {
            (Some(method), None) => match string(method) {
                Some(method) => Kind::Method(method),
                None => return refuse("`method` must be a string"),
            },
            (None, Some(said)) if id.is_some() => Kind::Response(said),
            (None, Some(_)) => return refuse("a response needs an `id`"),
            (Some(_), Some(_)) => return refuse("a message has either `method` or `result` or `error`"),
            (None, None) => return refuse("`method` is missing"),
        };
        if params.is_malformed {
            return refuse("`params` must be an object");
        }
        if params.repeated_in_meta {
            return refuse("a member of `_meta` is given twice");
        }
        Ok(Envelope { id, kind, params: params.params })
    }
}

/// A string or an integer (MCP, `RequestId`), not too long.
fn id_is_valid(raw: &str) -> bool {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    raw.len() <= MAX_ID_BYTES && (raw.starts_with('"') || digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;

//! The JSON-RPC envelope of a message from a client: scanned once, borrowed,
//! strict where two readers could disagree.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Key, depth_is_bounded};
use super::meta::Meta;
use super::splice::Span;

/// Longer ids are refused; they are echoed and kept while a call runs.
const MAX_ID_BYTES: usize = 1024;

/// What one message from a client is, with the places of its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The id as it was written (a string or an integer); `None` for a notification.
    pub id: Option<Span>,
    /// What kind of message it is.
    pub kind: Kind,
    /// What is read of `params`.
    pub params: Params,
}

/// Which of the message kinds of JSON-RPC 2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request (with id) or notification (without) of this method.
    Method(String),
    /// A response to something the server side asked.
    Response,
}

/// What the gateway reads of a request's `params`, whatever the method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    /// Whether `params` is there and an object.
    pub is_object: bool,
    /// `name`: the tool or prompt. Decoded.
    pub name: Option<Named>,
    /// `arguments`, where it is an object.
    pub arguments: Option<Span>,
    /// Whether `arguments` is there and something else.
    pub arguments_malformed: bool,
    /// `_meta`.
    pub meta: Meta,
    /// Whether `_meta` is there and neither an object nor null.
    pub meta_malformed: bool,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<String>,
    /// `capabilities` of `initialize`.
    pub capabilities: Option<Span>,
    /// `clientInfo` of `initialize`.
    pub client_info: Option<Span>,
    /// `cursor` of the list methods.
    pub cursor: Option<Span>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<Span>,
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The decoded string.
    pub text: String,
    /// The JSON string, quotes included.
    pub span: Span,
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

impl Envelope {
    /// Scans one message.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]; neither message contains anything of the body.
    pub fn scan(body: &[u8]) -> Result<Self, EnvelopeError> {
        let text = std::str::from_utf8(body).map_err(|_| EnvelopeError::NotJson("the body is not UTF-8".to_owned()))?;
        if !depth_is_bounded(body) {
            return Err(EnvelopeError::NotJson("the body nests too deep".to_owned()));
        }
        match serde_json::from_str(text).map_err(|error| not_json(&error))? {
            TopLevel::Object(raw) => raw.into_envelope(text),
            TopLevel::Other(detail) => Err(EnvelopeError::NotJsonRpc { detail, id: None }),
        }
    }

    /// The method's name; `None` for a response.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match &self.kind {
            Kind::Method(method) => Some(method),
            Kind::Response => None,
        }
    }
}

/// The place of a syntax error, without serde's words that may quote the input.
fn not_json(error: &serde_json::Error) -> EnvelopeError {
    EnvelopeError::NotJson(format!("the body is not JSON (line {}, column {})", error.line(), error.column()))
}

enum TopLevel<'a> {
    Object(Box<RawEnvelope<'a>>),
    Other(&'static str),
}

#[derive(Default)]
struct RawEnvelope<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<RawParams<'a>>,
    is_response: bool,
    repeated: bool,
    /// A member's name is a known one but for its case.
    misspelt: bool,
}

#[derive(Default)]
struct RawParams<'a> {
    is_object: bool,
    /// An array or a scalar.
    is_malformed: bool,
    known: [Option<&'a RawValue>; KNOWN.len()],
    repeated: bool,
    misspelt: bool,
}

/// The members of a message that decide where it goes.
const MEMBERS: [&str; 4] = ["jsonrpc", "id", "method", "params"];

/// The members of `params` that are read, in the order of `RawParams::known`.
const KNOWN: [&str; 8] =
    ["name", "arguments", "_meta", "protocolVersion", "capabilities", "clientInfo", "cursor", "requestId"];

impl RawEnvelope<'_> {
    fn into_envelope(self, text: &str) -> Result<Envelope, EnvelopeError> {
        let id = match self.id {
            Some(raw) if id_is_valid(raw.get()) => Some(Span::of(raw.get(), text)),
            _ => None,
        };
        let refuse = |detail| Err(EnvelopeError::NotJsonRpc { detail, id });
        if self.repeated || self.params.as_ref().is_some_and(|params| params.repeated) {
            return refuse("a member is given twice");
        }
        if self.misspelt || self.params.as_ref().is_some_and(|params| params.misspelt) {
            return refuse("a member's name has the wrong case");
        }
        if self.jsonrpc.is_none_or(|raw| raw.get() != "\"2.0\"") {
            return refuse("`jsonrpc` must be \"2.0\"");
        }
        if self.id.is_some() && id.is_none() {
            return refuse("`id` must be a string or an integer");
        }
        let kind = match (self.method, self.is_response) {
            (Some(method), false) => match serde_json::from_str::<String>(method.get()) {
                Ok(method) => Kind::Method(method),
                Err(_) => return refuse("`method` must be a string"),
            },
            (None, true) if id.is_some() => Kind::Response,
            (None, true) => return refuse("a response needs an `id`"),
            (Some(_), true) => return refuse("a message has either `method` or `result` or `error`"),
            (None, false) => return refuse("`method` is missing"),
        };
        let params = self.params.unwrap_or_default();
        if params.is_malformed {
            return refuse("`params` must be an object");
        }
        match params.read(text) {
            Ok(params) => Ok(Envelope { id, kind, params }),
            Err(_) => refuse("a member of `_meta` is given twice"),
        }
    }
}

impl RawParams<'_> {
    fn read(self, text: &str) -> Result<Params, serde_json::Error> {
        let [name, arguments, meta, protocol_version, capabilities, client_info, cursor, request_id] = self.known;
        let string = |raw: &RawValue| serde_json::from_str::<Cow<'_, str>>(raw.get()).ok().map(Cow::into_owned);
        let span = |raw: &RawValue| Span::of(raw.get(), text);
        let object = |raw: &&RawValue| raw.get().starts_with('{');
        Ok(Params {
            is_object: self.is_object,
            name: name.and_then(|raw| Some(Named { text: string(raw)?, span: span(raw) })),
            arguments: arguments.filter(object).map(span),
            arguments_malformed: arguments.is_some_and(|raw| !object(&raw) && raw.get() != "null"),
            meta_malformed: meta.is_some_and(|raw| !object(&raw) && raw.get() != "null"),
            meta: meta.map(|raw| Meta::scan(raw, text)).transpose()?.unwrap_or_default(),
            protocol_version: protocol_version.and_then(string),
            capabilities: capabilities.filter(object).map(span),
            client_info: client_info.filter(object).map(span),
            cursor: cursor.map(span),
            request_id: request_id.map(span),
        })
    }
}

/// Whether two names are the same but for case, as servers compare them that
/// read JSON regardless of it: by Unicode's simple folding, so that `ſ` is `s`.
fn differs_in_case(name: &str, known: &str) -> bool {
    let folded = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    name.len() <= 2 * known.len() && folded.eq(known.chars().flat_map(char::to_lowercase))
}

/// A string or an integer (MCP, `RequestId`), not too long.
fn id_is_valid(raw: &str) -> bool {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    raw.len() <= MAX_ID_BYTES && (raw.starts_with('"') || digits.bytes().all(|byte| byte.is_ascii_digit()))
}

impl<'de: 'a, 'a> Deserialize<'de> for TopLevel<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopLevelVisitor;

        impl<'de> Visitor<'de> for TopLevelVisitor {
            type Value = TopLevel<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut raw = Box::<RawEnvelope<'de>>::default();
                while let Some(Key(key)) = map.next_key()? {
                    match key.as_ref() {
                        "jsonrpc" => raw.repeated |= raw.jsonrpc.replace(map.next_value()?).is_some(),
                        "id" => raw.repeated |= raw.id.replace(map.next_value()?).is_some(),
                        "method" => raw.repeated |= raw.method.replace(map.next_value()?).is_some(),
                        "params" => raw.repeated |= raw.params.replace(map.next_value()?).is_some(),
                        "result" | "error" => {
                            map.next_value::<IgnoredAny>()?;
                            raw.repeated |= raw.is_response;
                            raw.is_response = true;
                        }
                        other => {
                            raw.misspelt |= MEMBERS.iter().any(|known| differs_in_case(other, known));
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(TopLevel::Object(raw))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(TopLevel::Other("batches are not taken: send one message a request"))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(TopLevel::Other(NOT_AN_OBJECT))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(TopLevel::Other(NOT_AN_OBJECT))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(TopLevel::Other(NOT_AN_OBJECT))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(TopLevel::Other(NOT_AN_OBJECT))
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(TopLevel::Other(NOT_AN_OBJECT))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(TopLevel::Other(NOT_AN_OBJECT))
            }
        }

        deserializer.deserialize_any(TopLevelVisitor)
    }
}

const NOT_AN_OBJECT: &str = "a message is a JSON object";

impl<'de: 'a, 'a> Deserialize<'de> for RawParams<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParamsVisitor;

        impl<'de> Visitor<'de> for ParamsVisitor {
            type Value = RawParams<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut raw = RawParams { is_object: true, ..RawParams::default() };
                while let Some(Key(key)) = map.next_key()? {
                    match KNOWN.iter().position(|known| *known == key) {
                        Some(index) => {
                            // Borrowed with its first byte, which a tree would lose.
                            raw.repeated |= raw.known[index].replace(map.next_value()?).is_some();
                        }
                        None => {
                            raw.misspelt |= KNOWN.iter().any(|known| differs_in_case(&key, known));
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(raw)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(RawParams { is_malformed: true, ..RawParams::default() })
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(RawParams { is_malformed: true, ..RawParams::default() })
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
                self.visit_bool(true)
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
                self.visit_bool(true)
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
                self.visit_bool(true)
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                self.visit_bool(true)
            }

            // `params: null` is what some clients write for none.
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(RawParams::default())
            }
        }

        deserializer.deserialize_any(ParamsVisitor)
    }
}

#[cfg(test)]
mod tests;

//! The JSON-RPC envelope of a message from a client: scanned once, borrowed,
//! strict where two readers could disagree.

use std::borrow::Cow;
use std::sync::Arc;

use super::asks::Said;
use super::json::MAX_DEPTH;
use super::meta::Meta;
use super::reference::{Doubtful, Reference};
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

/// What the gateway reads of a request's `params`, whatever the method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    /// Where `params` stands, where it is an object.
    pub span: Option<Span>,
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
    /// What few requests have.
    pub rare: Option<Box<Rare>>,
}

/// The members of `params` that tool calls do not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rare {
    /// `uri`: the resource. Decoded.
    pub uri: Option<Named>,
    /// `ref` of `completion/complete`.
    pub reference: Option<Reference>,
    /// `inputResponses` of a request that is made again (MCP 2026-07-28,
    /// "Multi round-trip requests"), where it is an object.
    pub input_responses: Option<Span>,
    /// `requestState` of the same. Decoded.
    pub request_state: Option<Named>,
    /// `taskId` of the methods of tasks. Decoded.
    pub task_id: Option<Named>,
    /// `task` of a call that is to become one (MCP 2025-11-25, "Tasks").
    pub task: Option<Span>,
    /// `level` of `logging/setLevel`. Decoded.
    pub level: Option<Named>,
    /// `notifications` of `subscriptions/listen`, where it is an object.
    pub notifications: Option<Span>,
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The decoded string.
    pub text: Arc<str>,
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

impl<'a> Envelope<'a> {
    /// Scans one message.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]; neither message contains anything of the body.
    pub fn scan(body: &'a [u8]) -> Result<Self, EnvelopeError> {
        let text = std::str::from_utf8(body).map_err(|_| EnvelopeError::NotJson("the body is not UTF-8".to_owned()))?;
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

/// The members of `params` that are read.
const KNOWN: [&str; 16] = [
    "name",
    "arguments",
    "_meta",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "cursor",
    "requestId",
    "uri",
    "ref",
    "inputResponses",
    "requestState",
    "taskId",
    "task",
    "level",
    "notifications",
];

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

#[derive(Default)]
struct RawParams {
    params: Params,
    /// An array or a scalar.
    is_malformed: bool,
    /// Which of [`KNOWN`] came.
    seen: [bool; KNOWN.len()],
    repeated: bool,
    repeated_in_meta: bool,
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

// === impl Params ===

impl Params {
    /// `uri`: the resource.
    #[must_use]
    pub fn uri(&self) -> Option<&Named> {
        self.rare.as_ref()?.uri.as_ref()
    }

    /// `ref` of `completion/complete`.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        self.rare.as_ref()?.reference.as_ref()
    }

    /// `inputResponses` of a request that is made again.
    #[must_use]
    pub fn input_responses(&self) -> Option<Span> {
        self.rare.as_ref()?.input_responses
    }

    /// `requestState` of a request that is made again.
    #[must_use]
    pub fn request_state(&self) -> Option<&Named> {
        self.rare.as_ref()?.request_state.as_ref()
    }

    /// `taskId` of the methods of tasks.
    #[must_use]
    pub fn task_id(&self) -> Option<&Named> {
        self.rare.as_ref()?.task_id.as_ref()
    }

    /// `task` of a call that is to become one.
    #[must_use]
    pub fn task(&self) -> Option<Span> {
        self.rare.as_ref()?.task
    }

    /// `level` of `logging/setLevel`.
    #[must_use]
    pub fn level(&self) -> Option<&Named> {
        self.rare.as_ref()?.level.as_ref()
    }

    /// `notifications` of `subscriptions/listen`.
    #[must_use]
    pub fn notifications(&self) -> Option<Span> {
        self.rare.as_ref()?.notifications
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

// === impl Named ===

impl Named {
    /// The string `value` of `message`; `None` where it is none.
    pub(super) fn read(value: &str, message: &str) -> Option<Self> {
        string(value).map(|text| Self { text: text.into(), span: Span::of(value, message) })
    }
}

// === impl RawParams ===

impl RawParams {
    fn read(&mut self, scanner: &mut Scanner<'_>, text: &str) -> Result<(), Fault> {
        if scanner.peek() != b'{' {
            // `params: null` is what some clients write for none.
            self.is_malformed = scanner.value()? != "null";
            return Ok(());
        }
        let object = scanner.object(|scanner, key| self.member(&key, scanner, text))?;
        self.params.span = Some(Span::of(object, text));
        Ok(())
    }

    fn member(&mut self, key: &str, scanner: &mut Scanner<'_>, text: &str) -> Result<(), Fault> {
        let span = |value: &str| Span::of(value, text);
        let object = |value: &str| value.starts_with('{').then(|| span(value));
        let params = &mut self.params;
        match key {
            "name" => {
                params.name = Named::read(scanner.value()?, text);
            }
            "arguments" => {
                let value = scanner.value()?;
                params.arguments = object(value);
                params.arguments_malformed = params.arguments.is_none() && value != "null";
            }
            "_meta" => {
                params.meta_malformed = !matches!(scanner.peek(), b'{' | b'n');
                (params.meta, self.repeated_in_meta) = Meta::read(scanner, text)?;
            }
            "protocolVersion" => {
                params.protocol_version = string(scanner.value()?).map(Cow::into_owned);
            }
            "capabilities" => {
                params.capabilities = object(scanner.value()?);
            }
            "clientInfo" => {
                params.client_info = object(scanner.value()?);
            }
            "cursor" => {
                params.cursor = Some(span(scanner.value()?));
            }
            "requestId" => {
                params.request_id = Some(span(scanner.value()?));
            }
            "uri" => {
                params.rare().uri = Named::read(scanner.value()?, text);
            }
            "ref" => {
                let (reference, fault) = Reference::read(scanner, text)?;
                params.rare().reference = reference;
                self.repeated |= fault == Some(Doubtful::Repeated);
                self.misspelt |= fault == Some(Doubtful::Misspelt);
            }
            "inputResponses" => {
                params.rare().input_responses = object(scanner.value()?);
            }
            "requestState" => {
                params.rare().request_state = Named::read(scanner.value()?, text);
            }
            "taskId" => {
                params.rare().task_id = Named::read(scanner.value()?, text);
            }
            "task" => {
                params.rare().task = object(scanner.value()?);
            }
            "level" => {
                params.rare().level = Named::read(scanner.value()?, text);
            }
            "notifications" => {
                params.rare().notifications = object(scanner.value()?);
            }
            other => {
                self.misspelt |= KNOWN.iter().any(|known| differs_in_case(other, known));
                return scanner.value().map(drop);
            }
        }
        let index = KNOWN.iter().position(|known| *known == key).expect("what is read is known");
        self.repeated |= std::mem::replace(&mut self.seen[index], true);
        Ok(())
    }
}

/// Whether two names are the same but for case, as servers compare them that
/// read JSON regardless of it: by Unicode's simple folding, so that `ſ` is `s`.
pub(super) fn differs_in_case(name: &str, known: &str) -> bool {
    let folded = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    name.len() <= 2 * known.len() && folded.eq(known.chars().flat_map(char::to_lowercase))
}

/// A string or an integer (MCP, `RequestId`), not too long.
fn id_is_valid(raw: &str) -> bool {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    raw.len() <= MAX_ID_BYTES && (raw.starts_with('"') || digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;

//! The `_meta` of a request: the keys the protocol reserves in it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::Members;
use super::splice::Span;

/// The revision a stateless request speaks (2026-07-28, `_meta`).
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// What the client can do, said with each stateless request.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Who the client is.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// The lowest log level the client wants to hear, per request.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Who the server is, in results.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// What only stateless servers may see of a request's `_meta`.
pub const STATELESS_KEYS: [&str; 4] = [PROTOCOL_VERSION, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL];

/// What the gateway reads of a `_meta` object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Where the whole object stands in the message.
    pub span: Option<Span>,
    /// Where `null` stands in place of an object.
    pub null: Option<Span>,
    /// Whether [`PROTOCOL_VERSION`] is there at all, which makes the request a
    /// stateless one.
    pub names_version: bool,
    /// [`PROTOCOL_VERSION`], where it is a string.
    pub protocol_version: Option<String>,
    /// Whether [`CLIENT_CAPABILITIES`] is there and an object.
    pub has_client_capabilities: bool,
    /// `progressToken`, where it is a string or a number.
    pub progress_token: Option<Span>,
}

// === impl Meta ===

impl Meta {
    /// Reads a `_meta` value, borrowed from `message`. What is no object
    /// counts as absent.
    ///
    /// # Errors
    ///
    /// If the object has one of the keys read here twice.
    pub fn scan(raw: &RawValue, message: &str) -> Result<Self, serde_json::Error> {
        let mut meta = Self::default();
        if !raw.get().starts_with('{') {
            meta.null = (raw.get() == "null").then(|| Span::of(raw.get(), message));
            return Ok(meta);
        }
        meta.span = Some(Span::of(raw.get(), message));
        let mut seen = [false; 3];
        Members::for_each(raw.get(), |key, value| {
            let text = value.get();
            let index = match key.as_ref() {
                PROTOCOL_VERSION => {
                    meta.names_version = true;
                    meta.protocol_version = string(value);
                    0
                }
                CLIENT_CAPABILITIES => {
                    meta.has_client_capabilities = text.starts_with('{');
                    1
                }
                "progressToken" => {
                    if text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
                        meta.progress_token = Some(Span::of(text, message));
                    }
                    2
                }
                _ => return true,
            };
            !std::mem::replace(&mut seen[index], true)
        })?;
        Ok(meta)
    }
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str::<Cow<'_, str>>(value.get()).ok().map(Cow::into_owned)
}

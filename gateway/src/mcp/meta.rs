//! The `_meta` of a request: the keys the protocol reserves in it.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::log_level::LogLevel;
use super::scanner::{Fault, Scanner, string};
use super::splice::Span;

/// The revision a stateless request speaks (2026-07-28, `_meta`).
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// What the client can do, said with each stateless request.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Who the client is.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// The lowest log level the client wants to hear, per request.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Which `subscriptions/listen` a notification or its result belongs to: the
/// id of that request.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// Who the server is, in results.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// What only stateless servers may see of a request's `_meta`.
pub const STATELESS_KEYS: [&str; 4] = [PROTOCOL_VERSION, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL];

/// Who we are, to clients.
#[must_use]
pub fn server_info() -> Value {
    json!({"name": "portcullis", "title": "Portcullis", "version": env!("CARGO_PKG_VERSION")})
}

/// The member [`SUBSCRIPTION_ID`] for the request of this id (JSON).
#[must_use]
pub fn subscription_tag(id: &str) -> String {
    format!(r#""{SUBSCRIPTION_ID}":{id}"#)
}

/// What the gateway reads of a `_meta` object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Where the whole object stands in the message.
    pub span: Option<Span>,
    /// Where something stands in its place that is no object.
    pub malformed: Option<Span>,
    /// [`LOG_LEVEL`], where it is a level.
    pub log_level: Option<LogLevel>,
    /// Whether it is there and something else.
    pub log_level_malformed: bool,
    /// Whether [`PROTOCOL_VERSION`] is there at all, which makes the request a
    /// stateless one.
    pub names_version: bool,
    /// [`PROTOCOL_VERSION`], where it is a string.
    pub protocol_version: Option<String>,
    /// [`CLIENT_CAPABILITIES`], where it is an object.
    pub client_capabilities: Option<Span>,
    /// `progressToken`, where it is a string or a number.
    pub progress_token: Option<Span>,
}

// === impl Meta ===

impl Meta {
    /// Reads a `_meta` value of `message`, and says whether one of the keys
    /// read here comes twice. What is no object counts as absent.
    ///
    /// # Errors
    ///
    /// [`Fault`]
    pub fn read(scanner: &mut Scanner<'_>, message: &str) -> Result<(Self, bool), Fault> {
        let mut meta = Self::default();
        if scanner.peek() != b'{' {
            meta.malformed = Some(Span::of(scanner.value()?, message));
            return Ok((meta, false));
        }
        let (mut seen, mut repeated) = ([false; 4], false);
        let object = scanner.object(|scanner, key| {
            let value = scanner.value()?;
            let index = match key.as_ref() {
                PROTOCOL_VERSION => {
                    meta.names_version = true;
                    meta.protocol_version = string(value).map(Cow::into_owned);
                    0
                }
                CLIENT_CAPABILITIES => {
                    meta.client_capabilities = value.starts_with('{').then(|| Span::of(value, message));
                    1
                }
                LOG_LEVEL => {
                    meta.log_level = string(value).and_then(|name| LogLevel::parse(&name));
                    meta.log_level_malformed = meta.log_level.is_none();
                    3
                }
                "progressToken" => {
                    if value.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
                        meta.progress_token = Some(Span::of(value, message));
                    }
                    2
                }
                _ => return Ok(()),
            };
            repeated |= std::mem::replace(&mut seen[index], true);
            Ok(())
        })?;
        meta.span = Some(Span::of(object, message));
        Ok((meta, repeated))
    }
}

//! The headers that say how a message is written and what answer is taken.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::mcp::mirror;
use crate::mcp::version::Version;
use crate::rejection::Rejection;

/// What [`version`] found.
pub(super) type NamedVersion = Result<Option<Version>, Rejection>;

/// What most clients write.
const BOTH: &[u8] = b"application/json, text/event-stream";
/// What most clients write.
const JSON: &[u8] = b"application/json";

/// Which forms of answer a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepts {
    /// One JSON message.
    pub(super) json: bool,
    /// An event stream.
    pub(super) stream: bool,
}

// === impl Accepts ===

impl Accepts {
    /// Reads `Accept`. A client that takes anything, or does not say, gets
    /// plain JSON.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Rejection> {
        let mut accepts = Self { json: false, stream: false };
        let mut any = false;
        for value in headers.get_all(ACCEPT) {
            if value.as_bytes() == BOTH {
                return Ok(Self { json: true, stream: true });
            }
            for range in value.to_str().map_err(|_| Rejection::NotAcceptable)?.split(',') {
                let essence = range.split(';').next().unwrap_or_default().trim();
                let is = |kind: &str| essence.eq_ignore_ascii_case(kind);
                accepts.json |= is("application/json") || is("application/*") || is("*/*");
                accepts.stream |= is("text/event-stream") || is("text/*");
                any |= !essence.is_empty();
            }
        }
        match (any, accepts.json || accepts.stream) {
            (false, _) => Ok(Self { json: true, stream: false }),
            (true, true) => Ok(accepts),
            (true, false) => Err(Rejection::NotAcceptable),
        }
    }

    /// The same where there is nothing but an event stream. Here who takes
    /// anything takes that, and so does who does not say (RFC 9110 §12.5.1).
    pub(super) fn events(headers: &HeaderMap) -> Result<Self, Rejection> {
        let ranges = headers.get_all(ACCEPT).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let mut essences = ranges.map(|range| range.split(|byte| *byte == b';').next().unwrap_or_default());
        let is_taken = |essence: &[u8]| {
            let kinds = [b"text/event-stream".as_slice(), b"text/*", b"*/*"];
            kinds.iter().any(|kind| essence.trim_ascii().eq_ignore_ascii_case(kind))
        };
        if !headers.contains_key(ACCEPT) || essences.any(is_taken) {
            Ok(Self { json: false, stream: true })
        } else {
            Err(Rejection::NotAcceptable)
        }
    }
}

/// Whether the body is declared as JSON. A body that declares nothing is
/// taken to be.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Rejection> {
    let Some(value) = headers.get(CONTENT_TYPE).filter(|value| *value != JSON) else { return Ok(()) };
    let essence = value.to_str().ok().and_then(|value| value.split(';').next()).unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(Rejection::UnsupportedMediaType) }
}

/// The revision in `MCP-Protocol-Version`, if one is named there.
///
/// # Errors
///
/// If it is none that we know.
pub(super) fn version(headers: &HeaderMap) -> NamedVersion {
    let Some(value) = headers.get(mirror::PROTOCOL_VERSION) else { return Ok(None) };
    let version = value.to_str().ok().and_then(|name| Version::parse(name.trim()));
    version.map(Some).ok_or(Rejection::BadVersionHeader)
}

/// `Mcp-Session-Id`, if one is given. One that no session can have is refused
/// as any other that is unknown.
pub(super) fn session_id(headers: &HeaderMap) -> Result<Option<&str>, Rejection> {
    headers.get(mirror::SESSION_ID).map(HeaderValue::to_str).transpose().map_err(|_| Rejection::UnknownSession)
}

/// The same where nothing can be done without.
pub(super) fn needed_session_id(headers: &HeaderMap) -> Result<&str, Rejection> {
    session_id(headers)?.ok_or(Rejection::InvalidRequest { detail: "Mcp-Session-Id is missing" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &'static str) -> Result<Accepts, Rejection> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(value));
        Accepts::read(&headers)
    }

    #[test]
    fn a_client_that_takes_anything_gets_json() {
        assert_eq!(accepts("*/*"), Ok(Accepts { json: true, stream: false }));
        assert_eq!(Accepts::read(&HeaderMap::new()), Ok(Accepts { json: true, stream: false }));
    }

    #[test]
    fn both_forms_are_recognised_in_any_order_and_case() {
        let both = Ok(Accepts { json: true, stream: true });
        assert_eq!(accepts("application/json, text/event-stream"), both);
        assert_eq!(accepts("Text/Event-Stream;q=0.5,Application/JSON"), both);
    }

    #[test]
    fn only_who_takes_events_gets_a_stream_of_them() {
        for (value, taken) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.9", true),
            ("text/html,*/*;q=0.8", true),
            ("text/*", true),
            ("application/json", false),
            ("", false),
            ("text/event-streams", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]);
            assert_eq!(Accepts::events(&headers).is_ok(), taken, "{value}");
        }
        assert!(Accepts::events(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_client_that_takes_neither_is_refused() {
        assert_eq!(accepts("text/html, image/png"), Err(Rejection::NotAcceptable));
    }
}

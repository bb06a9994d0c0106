//! What HTTP must say to become WebSocket (RFC 6455 §4).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};

/// The subprotocol of MCP.
pub const SUBPROTOCOL: &str = "mcp";
/// What makes an answer to a key one that only a WebSocket server gives
/// (RFC 6455 §1.3). No secret depends on the hash.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why an answer to the handshake cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The server does not speak WebSocket: it cannot have read our request.
    #[error("the server did not agree to WebSocket")]
    NotWebSocket,
    /// The server chose a subprotocol that was not offered.
    #[error("the server chose another subprotocol")]
    Subprotocol,
    /// The server uses an extension that was not offered.
    #[error("the server chose an extension")]
    Extension,
}

/// A client's request to become WebSocket, with a key of its own.
///
/// # Errors
///
/// If the system gives no random numbers.
pub fn request(headers: &mut HeaderMap) -> Result<HeaderValue, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let key = HeaderValue::try_from(STANDARD.encode(random)).expect("base64 is visible ASCII");
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(key)
}

/// What a server answers to a key, and a client must see.
#[must_use]
pub fn accept(key: &[u8]) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    HeaderValue::try_from(STANDARD.encode(hash)).expect("base64 is visible ASCII")
}

/// Checks the head of an answer with status 101 to the [`request`]
/// with this key. A server that chooses no subprotocol is believed to speak
/// the only one there is.
///
/// # Errors
///
/// See [`HandshakeError`].
pub fn check(answer: &HeaderMap, key: &HeaderValue) -> Result<(), HandshakeError> {
    let says = |name, expected: &str| {
        answer.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(expected.as_bytes()))
    };
    let accepted = answer.get(header::SEC_WEBSOCKET_ACCEPT) == Some(&accept(key.as_bytes()));
    if !accepted || !says(header::UPGRADE, "websocket") {
        return Err(HandshakeError::NotWebSocket);
    }
    if answer.contains_key(header::SEC_WEBSOCKET_PROTOCOL) && !says(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(HandshakeError::Subprotocol);
    }
    if answer.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err(HandshakeError::Extension);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_in_the_rfc() {
        // RFC 6455 §1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_fitting_answer_is_taken() {
        let mut asked = HeaderMap::new();
        let key = request(&mut asked).unwrap();
        assert_eq!(STANDARD.decode(&asked[header::SEC_WEBSOCKET_KEY]).unwrap().len(), 16);
        assert_ne!(request(&mut HeaderMap::new()).unwrap(), key);

        let answered = |name: http::HeaderName, value: HeaderValue| {
            let mut answer = HeaderMap::new();
            answer.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
            answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept(key.as_bytes()));
            answer.insert(name, value);
            check(&answer, &key)
        };
        let text = HeaderValue::from_static;
        assert_eq!(answered(header::SERVER, text("any")), Ok(()));
        assert_eq!(answered(header::SEC_WEBSOCKET_PROTOCOL, text("mcp")), Ok(()));
        assert_eq!(answered(header::SEC_WEBSOCKET_PROTOCOL, text("chat")), Err(HandshakeError::Subprotocol));
        assert_eq!(answered(header::SEC_WEBSOCKET_EXTENSIONS, text("x")), Err(HandshakeError::Extension));
        assert_eq!(answered(header::SEC_WEBSOCKET_ACCEPT, accept(b"another")), Err(HandshakeError::NotWebSocket));
        assert_eq!(answered(header::UPGRADE, text("h2c")), Err(HandshakeError::NotWebSocket));
    }
}

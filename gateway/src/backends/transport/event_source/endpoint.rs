//! Where messages are posted, as the server names it.
//!
//! What it names is asked with our credential. So it must be of the same
//! origin as the stream, as MCP 2024-11-05 would have a client make sure.

use http::Uri;
use url::Url;

use super::super::TransportError;

/// A longer one is not believed.
const MAX_BYTES: usize = 8 << 10;

/// The URI that `named` is, seen from the stream's.
///
/// # Errors
///
/// [`TransportError::Garbage`] if it is none, or of another origin. The text
/// does not repeat it: it names the session.
pub(super) fn resolve(stream: &Uri, named: &[u8]) -> Result<Uri, TransportError> {
    let garbage = |why: &str| TransportError::Garbage(format!("the endpoint for messages {why}"));
    if named.len() > MAX_BYTES {
        return Err(garbage("is too long"));
    }
    let base = Url::parse(&stream.to_string()).map_err(|_| garbage("is relative to no URL"))?;
    let named = std::str::from_utf8(named).ok().and_then(|named| base.join(named.trim()).ok());
    let mut target = named.ok_or_else(|| garbage("is no URI"))?;
    let is_same = target.origin() == base.origin() && target.origin().is_tuple();
    if !is_same || !target.username().is_empty() || target.password().is_some() {
        return Err(garbage("is of another origin than the stream"));
    }
    target.set_fragment(None);
    target.as_str().parse().map_err(|_| garbage("is no URI"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_streams_origin_is_taken() {
        for (named, target) in [
            ("/messages/?session_id=a%20b", "https://crm.example.com/messages/?session_id=a%20b"),
            (" message?s=1#x\n", "https://crm.example.com/api/message?s=1"),
            ("?s=1", "https://crm.example.com/api/sse?s=1"),
            ("https://crm.example.com:443/m", "https://crm.example.com/m"),
            ("https://CRM.example.com/m", "https://crm.example.com/m"),
            ("//crm.example.com/m", "https://crm.example.com/m"),
        ] {
            let stream = "https://crm.example.com/api/sse".parse().unwrap();
            assert_eq!(resolve(&stream, named.as_bytes()).unwrap(), target, "{named}");
        }
        let stream = "http://127.0.0.1:8000/sse".parse().unwrap();
        assert_eq!(resolve(&stream, b"/m").unwrap(), "http://127.0.0.1:8000/m");
    }

    #[test]
    fn what_is_of_another_origin_is_refused_and_not_repeated() {
        let stream = "https://crm.example.com/sse".parse().unwrap();
        let long = format!("/{}", "secret".repeat(2000));
        for named in [
            "http://crm.example.com/secret",
            "https://crm.example.com:8443/secret",
            "https://evil.example.com/secret",
            "//evil.example.com/secret",
            "\\\\evil.example.com/secret",
            "https://crm.example.com@evil.example.com/secret",
            "https://user:secret@crm.example.com/",
            "data:text/plain,secret",
            "file:///secret",
            "https://:secret",
            &long,
        ] {
            let error = resolve(&stream, named.as_bytes()).unwrap_err();
            assert!(matches!(error, TransportError::Garbage(_)), "{named}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(resolve(&stream, b"/\xff").is_err());
    }
}

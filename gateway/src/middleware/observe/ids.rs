//! The ids that a request brings or is given.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::X_REQUEST_ID;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest request id that is taken from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The caller's `X-Request-ID` if it is 1 to 128 visible ASCII characters,
/// else a random one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    match headers.get(X_REQUEST_ID) {
        Some(id) if is_usable_id(id.as_bytes()) => copied(id),
        _ => {
            let mut text = Uuid::encode_buffer();
            let text = Uuid::new_v4().hyphenated().encode_lower(&mut text);
            HeaderValue::from_str(text).expect("a UUID is hexadecimal digits and hyphens")
        }
    }
}

/// The caller's `traceparent`, if it is well formed.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(TRACEPARENT).filter(|value| is_traceparent(value.as_bytes())).map(copied)
}

/// A value of its own. A header is a piece of the connection's read buffer,
/// which would be kept whole for as long as the request runs.
fn copied(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).expect("what was read from a header can be written to one")
}

fn is_usable_id(id: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// `version-trace_id-parent_id-flags` in lower-case hexadecimal, ids not all
/// zero; a version after 00 may say more after it (W3C Trace Context §3.2).
fn is_traceparent(value: &[u8]) -> bool {
    const LEN: usize = 55;
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &[u8]| hex(part) && part.iter().any(|byte| *byte != b'0');
    if value.len() < LEN || value.len() > MAX_REQUEST_ID_BYTES {
        return false;
    }
    let (known, rest) = value.split_at(LEN);
    let version = &known[..2];
    let rest_fits = match version {
        b"00" => rest.is_empty(),
        b"ff" => false,
        _ => rest.is_empty() || (rest[0] == b'-' && rest.iter().all(u8::is_ascii_graphic)),
    };
    rest_fits
        && hex(version)
        && id(&known[3..35])
        && id(&known[36..52])
        && hex(&known[53..])
        && [2, 35, 52].into_iter().all(|at| known[at] == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(value: &[u8]) -> HeaderValue {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        request_id(&headers)
    }

    #[test]
    fn a_usable_id_is_taken_and_any_other_replaced() {
        assert_eq!(id_for(b"abc-1.2/3"), "abc-1.2/3");
        assert_eq!(id_for(&[b'a'; 128]), "a".repeat(128).as_str());
        for unusable in [&b""[..], &[b'a'; 129], b"a b", b"\xc3\xa9", b"a\tb"] {
            let made = id_for(unusable);
            assert!(Uuid::parse_str(made.to_str().unwrap()).is_ok(), "{made:?}");
        }
    }

    #[test]
    fn made_ids_differ() {
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn only_a_well_formed_traceparent_counts() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good.as_bytes()));
        assert!(is_traceparent(format!("cc{}-future", &good[2..]).as_bytes()));
        for bad in [
            String::new(),
            format!("{good}-more"),
            format!("ff{}", &good[2..]),
            good.to_uppercase(),
            good.replace('-', "_"),
            good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            format!("cc{}more", &good[2..]),
            format!("cc{}-{}", &good[2..], "a".repeat(200)),
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }
}

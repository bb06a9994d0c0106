//! Finds the credential in a request's headers.
//!
//! Headers are the only place: a token in a query would stand in every log
//! on its way (RFC 6750 §5.3; MCP 2025-11-25, Authorization, "Token
//! Requirements").

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::Refusal;

/// The longest credential that is looked at.
pub(crate) const MAX_CREDENTIAL_BYTES: usize = 16 * 1024;

/// What a request presents.
#[derive(Debug, PartialEq)]
pub(crate) enum Presented<'a> {
    /// No credential.
    Nothing,
    /// The value of the API key header.
    Key(&'a [u8]),
    /// The credential of `Authorization: Bearer`.
    Bearer(&'a str),
}

/// Reads the credential: the API key header if one is configured and came,
/// else `Authorization`.
///
/// # Errors
///
/// A header that came twice, is no bearer credential or is too long. Such a
/// request is not one without a credential: it never becomes anonymous.
pub(crate) fn presented<'a>(headers: &'a HeaderMap, key_header: Option<&HeaderName>) -> Result<Presented<'a>, Refusal> {
    let key = match key_header {
        Some(name) => only(headers, name)?,
        None => None,
    };
    // Looked at even where a key decides, so that two readings of one request
    // are never possible.
    let authorization = only(headers, &AUTHORIZATION)?;
    match (key, authorization) {
        (Some(key), _) => within_bound(key.as_bytes()).map(Presented::Key),
        (None, Some(value)) => bearer(value).map(Presented::Bearer),
        (None, None) => Ok(Presented::Nothing),
    }
}

/// The header's value, if it came once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Refusal::Ambiguous) } else { Ok(first) }
}

/// `Bearer`, in any case, spaces, and one credential (RFC 9110 §11.4).
fn bearer(value: &HeaderValue) -> Result<&str, Refusal> {
    let (scheme, credential) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::NotBearer)?;
    let credential = credential.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer")
        || credential.is_empty()
        || !credential.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(Refusal::NotBearer);
    }
    within_bound(credential.as_bytes())?;
    Ok(credential)
}

const fn within_bound(credential: &[u8]) -> Result<&[u8], Refusal> {
    if credential.len() > MAX_CREDENTIAL_BYTES { Err(Refusal::TooLong) } else { Ok(credential) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HeaderName = HeaderName::from_static("x-api-key");

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_key_header_comes_before_the_bearer() {
        let headers = headers(&[(AUTHORIZATION, "Bearer b"), (KEY, "k")]);
        assert_eq!(presented(&headers, Some(&KEY)), Ok(Presented::Key(b"k")));
        assert_eq!(presented(&headers, None), Ok(Presented::Bearer("b")));
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for value in ["Bearer t", "bearer t", "BEARER   t"] {
            assert_eq!(presented(&headers(&[(AUTHORIZATION, value)]), None), Ok(Presented::Bearer("t")), "{value}");
        }
    }

    #[test]
    fn anything_but_one_bearer_credential_is_refused() {
        for value in ["", "Bearer", "Bearer ", "Basic dTpw", "t", "Bearer a b", "Bearer a, Bearer b", "Bearer\tt"] {
            let headers = headers(&[(AUTHORIZATION, value)]);
            assert_eq!(presented(&headers, None), Err(Refusal::NotBearer), "{value:?}");
        }
        let mut opaque = HeaderMap::new();
        opaque.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap());
        assert_eq!(presented(&opaque, None), Err(Refusal::NotBearer));
    }

    #[test]
    fn a_header_that_comes_twice_is_refused() {
        let twice = headers(&[(AUTHORIZATION, "Bearer a"), (AUTHORIZATION, "Bearer a")]);
        assert_eq!(presented(&twice, None), Err(Refusal::Ambiguous));
        let twice = headers(&[(KEY, "a"), (KEY, "b")]);
        assert_eq!(presented(&twice, Some(&KEY)), Err(Refusal::Ambiguous));
        let shadowed = headers(&[(KEY, "a"), (AUTHORIZATION, "Bearer a"), (AUTHORIZATION, "Bearer b")]);
        assert_eq!(presented(&shadowed, Some(&KEY)), Err(Refusal::Ambiguous));
    }

    #[test]
    fn a_credential_over_the_bound_is_refused() {
        let fits = "k".repeat(MAX_CREDENTIAL_BYTES);
        assert!(presented(&headers(&[(KEY, &fits)]), Some(&KEY)).is_ok());
        let long = "k".repeat(MAX_CREDENTIAL_BYTES + 1);
        assert_eq!(presented(&headers(&[(KEY, &long)]), Some(&KEY)), Err(Refusal::TooLong));
        let bearer = format!("Bearer {long}");
        assert_eq!(presented(&headers(&[(AUTHORIZATION, &bearer)]), None), Err(Refusal::TooLong));
    }
}

//! A JSON Web Token taken apart, nothing of it believed yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::settings::Algorithm;

/// A token in the JWS compact serialization (RFC 7515 §7.1).
#[derive(Debug)]
pub(crate) struct Token {
    /// The header, as far as we heed it.
    pub(crate) header: Header,
    /// The payload.
    pub(crate) claims: Map<String, Value>,
    /// The first two parts with their dot: what is signed.
    pub(crate) message: Box<str>,
    /// The third part, still in base64url.
    pub(crate) signature: Box<str>,
}

/// The JOSE header. What would bring a key along (`jwk`, `jku`, `x5c`, `x5u`)
/// is not even read: keys come from the issuer.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    alg: String,
    typ: Option<String>,
    /// The name of the signing key.
    pub(crate) kid: Option<String>,
    #[serde(default, rename = "crit", deserialize_with = "present")]
    has_crit: bool,
}

/// Why a credential is not a [`Token`].
#[derive(Debug, PartialEq)]
pub(crate) enum NotAToken {
    /// It has not the shape: perhaps it is an API key.
    AnotherShape,
    /// It has the shape, and is broken.
    Malformed,
}

/// Any value counts, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

// === impl Token ===

impl Token {
    /// Takes a credential apart. Its length is bounded where it was read.
    pub(crate) fn parse(credential: &str) -> Result<Self, NotAToken> {
        let (message, signature) = credential.rsplit_once('.').ok_or(NotAToken::AnotherShape)?;
        let (header, payload) = message.split_once('.').ok_or(NotAToken::AnotherShape)?;
        if payload.contains('.') {
            return Err(NotAToken::AnotherShape);
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| NotAToken::AnotherShape)?;
        if header.trim_ascii_start().first() != Some(&b'{') {
            return Err(NotAToken::AnotherShape);
        }
        let header = serde_json::from_slice(&header).map_err(|_| NotAToken::Malformed)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| NotAToken::Malformed)?;
        let claims = serde_json::from_slice(&payload).map_err(|_| NotAToken::Malformed)?;
        Ok(Self { header, claims, message: message.into(), signature: signature.into() })
    }

    /// The `iss` claim.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }
}

// === impl Header ===

impl Header {
    /// The algorithm, where the header as a whole is acceptable to an issuer
    /// that signs with `accepted`.
    pub(crate) fn check(&self, accepted: &[Algorithm]) -> Result<Algorithm, Refusal> {
        if self.has_crit {
            return Err(Refusal::Critical);
        }
        if self.typ.as_deref().is_some_and(|typ| !is_access_token(typ)) {
            return Err(Refusal::Type);
        }
        let algorithm = self.alg.parse().map_err(|_| Refusal::Algorithm)?;
        if accepted.contains(&algorithm) { Ok(algorithm) } else { Err(Refusal::Algorithm) }
    }
}

/// `JWT` (RFC 7519 §5.1) or `at+jwt` (RFC 9068 §2.1), in any case; the
/// `application/` in front may be left out (RFC 7515 §4.1.9).
fn is_access_token(typ: &str) -> bool {
    let typ = match typ.get(..12) {
        Some(prefix) if prefix.eq_ignore_ascii_case("application/") => &typ[12..],
        _ => typ,
    };
    typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn check(header: &str) -> Result<Algorithm, Refusal> {
        Token::parse(&token(header, "{}")).unwrap().header.check(&[Algorithm::ES256])
    }

    #[test]
    fn a_credential_of_another_shape_is_not_a_token() {
        for credential in ["", "key", "a.b", "a.b.c", "a.b.c.d", "..", "W10.e30.c2ln", "e30=.e30.c2ln"] {
            assert_eq!(Token::parse(credential).unwrap_err(), NotAToken::AnotherShape, "{credential}");
        }
    }

    #[test]
    fn a_broken_token_is_malformed() {
        let deep = format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000));
        for (header, payload) in [
            ("{", "{}"),
            ("{}", "{}"),
            (r#"{"alg":1}"#, "{}"),
            (r#"{"alg":"ES256","alg":"none"}"#, "{}"),
            (r#"{"alg":"ES256","kid":1}"#, "{}"),
            (r#"{"alg":"ES256"}"#, "[]"),
            (r#"{"alg":"ES256"}"#, ""),
            (r#"{"alg":"ES256"}"#, "\u{0}"),
            (r#"{"alg":"ES256"}"#, deep.as_str()),
        ] {
            assert_eq!(Token::parse(&token(header, payload)).unwrap_err(), NotAToken::Malformed, "{header} {payload}");
        }
    }

    #[test]
    fn only_the_types_of_access_tokens_are_accepted() {
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
            assert_eq!(check(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#)), Ok(Algorithm::ES256), "{typ}");
        }
        assert_eq!(check(r#"{"alg":"ES256"}"#), Ok(Algorithm::ES256));
        for typ in ["", "logout+jwt", "dpop+jwt", "JOSE", "application/", "text/at+jwt", "ääääää/jwt"] {
            assert_eq!(check(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#)), Err(Refusal::Type), "{typ}");
        }
    }

    #[test]
    fn critical_parameters_are_refused_whatever_they_are() {
        for crit in [r#"["b64"]"#, "[]", "null"] {
            assert_eq!(check(&format!(r#"{{"alg":"ES256","crit":{crit}}}"#)), Err(Refusal::Critical), "{crit}");
        }
    }

    #[test]
    fn an_algorithm_the_issuer_does_not_use_is_refused() {
        for algorithm in ["none", "NONE", "HS256", "RS256", "es256", ""] {
            assert_eq!(check(&format!(r#"{{"alg":"{algorithm}"}}"#)), Err(Refusal::Algorithm), "{algorithm}");
        }
    }
}

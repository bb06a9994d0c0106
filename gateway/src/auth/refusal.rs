//! Why a caller is not let in.
//!
//! Closed, so that the words for the outside and the metric's `outcome` are
//! chosen here and nowhere else.

use std::sync::Arc;

use crate::rejection::Rejection;

/// A reason not to accept a request's credential.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// No credential came, and nobody enters without.
    Missing,
    /// A credential header came twice.
    Ambiguous,
    /// `Authorization` is not `Bearer CREDENTIAL`.
    NotBearer,
    /// The credential is longer than any we accept.
    TooLong,
    /// No mechanism knows the credential.
    Unknown,
    /// The API key has expired.
    KeyExpired,
    /// The token is not a well-formed JSON Web Token.
    Malformed,
    /// The token's issuer is not configured.
    UnknownIssuer,
    /// The token's algorithm is not among the issuer's.
    Algorithm,
    /// The token's type is not that of an access token.
    Type,
    /// The token demands extensions that we do not know (RFC 7515 §4.1.11).
    Critical,
    /// The issuer has no such key, as far as we know.
    UnknownSigningKey,
    /// The key is not one for the token's algorithm.
    KeyMismatch,
    /// The signature is wrong.
    Signature,
    /// The token is for someone else.
    Audience,
    /// The token has no usable `exp`.
    NoExpiry,
    /// The token has expired.
    Expired,
    /// The token's `nbf` lies ahead, or is unusable.
    NotYetValid,
    /// The token has no usable `sub`.
    Subject,
    /// The issuer's keys have not been had, or are too old.
    KeysUnavailable,
    /// The token lacks scopes; these are all that are needed.
    ScopeMissing(Arc<[String]>),
}

// === impl Refusal ===

impl Refusal {
    /// The `outcome` of `portcullis_authentications_total`.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous | Self::NotBearer | Self::TooLong | Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::UnknownIssuer => "unknown_issuer",
            Self::KeyExpired | Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Algorithm | Self::KeyMismatch => "wrong_algorithm",
            Self::UnknownSigningKey => "unknown_key",
            Self::Signature => "bad_signature",
            Self::Audience => "wrong_audience",
            Self::Type | Self::Critical | Self::NoExpiry | Self::Subject => "unacceptable",
            Self::KeysUnavailable => "keys_unavailable",
            Self::ScopeMissing(_) => "insufficient_scope",
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let detail = match refusal {
            Refusal::Missing => return Self::NoCredential,
            Refusal::ScopeMissing(required) => return Self::ScopeMissing { required },
            Refusal::Ambiguous => "a credential header was sent more than once",
            Refusal::NotBearer => "the Authorization header must be `Bearer` and one credential",
            Refusal::TooLong => "the credential is too long",
            Refusal::Unknown => "the credential is not known: check it, or ask the operator for one",
            Refusal::KeyExpired => "the API key has expired: ask the operator for a new one",
            Refusal::Malformed => "the token is malformed",
            Refusal::UnknownIssuer => "the token's issuer is not accepted: see the metadata for those that are",
            Refusal::Algorithm => "the token's signature algorithm is not accepted",
            Refusal::Type => "the token's type is not accepted",
            Refusal::Critical => "the token has critical header parameters that are not supported",
            Refusal::UnknownSigningKey => "the token's signing key is not known; if it is new, retry in some seconds",
            Refusal::KeyMismatch => "the token's signature algorithm does not fit its signing key",
            Refusal::Signature => "the token's signature is wrong",
            Refusal::Audience => {
                "the token is meant for another audience: get one for the resource that the metadata names"
            }
            Refusal::NoExpiry => "the token has no valid expiry time",
            Refusal::Expired => "the token has expired: get a new one",
            Refusal::NotYetValid => "the token is not valid yet",
            Refusal::Subject => "the token has no valid subject",
            Refusal::KeysUnavailable => "the issuer's keys are not available at the moment; retry in some seconds",
        };
        Self::BadCredential { detail }
    }
}

//! What the operator says about who may enter.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use http::{HeaderName, Uri};

/// How callers prove who they are. Mechanisms that are absent accept nobody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthSettings {
    /// The roles of a caller without a credential; `None` lets none in.
    pub anonymous: Option<Vec<String>>,
    /// API keys.
    pub api_keys: Option<ApiKeySettings>,
    /// The issuers whose tokens are accepted.
    pub jwt: Vec<JwtSettings>,
}

/// The API keys and where they are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKeySettings {
    /// The header that carries a key, beside `Authorization: Bearer KEY`.
    pub header: HeaderName,
    /// The keys.
    pub keys: Vec<ApiKeySetting>,
}

/// One API key, known by its hash alone.
#[derive(Clone, PartialEq)]
pub struct ApiKeySetting {
    /// The key's name; its principal is `apiKey:NAME`.
    pub name: String,
    /// SHA-256 of the key. A plain hash is enough because a key is random.
    pub sha256: [u8; 32],
    /// The roles of whoever holds the key.
    pub roles: Vec<String>,
    /// When the key ceases to be accepted.
    pub expires: Option<SystemTime>,
}

/// One issuer of JSON Web Tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtSettings {
    /// The token's `iss`, compared exactly.
    pub issuer: String,
    /// The token's `aud` must name one of these; at least one is needed.
    pub audiences: Vec<String>,
    /// Where the issuer's keys are.
    pub jwks: JwksSource,
    /// The algorithms that this issuer may sign with; at least one is needed.
    pub algorithms: Vec<Algorithm>,
    /// The claim that holds the roles: its name, or a dotted path such as
    /// `realm_access.roles`. An array, or a string with spaces between roles.
    pub roles_claim: Option<String>,
    /// Scopes that every token of this issuer must carry.
    pub required_scopes: Vec<String>,
    /// How far the issuer's clock may differ from ours, at most
    /// [`JwtSettings::MAX_LEEWAY`].
    pub leeway: Duration,
}

/// Where an issuer's key set (RFC 7517) comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum JwksSource {
    /// Fetched from here, `http` or `https`.
    Url(Uri),
    /// Read from this file, and again when it changes.
    File(PathBuf),
    /// Found through the issuer's metadata (OpenID Connect Discovery 1.0 §4).
    Discovery,
}

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
///
/// `none` and the HMAC family have no place here, so they can neither be
/// configured nor accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the RFC")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// The name is none of [`Algorithm::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signature algorithm that is accepted")]
pub struct UnknownAlgorithm;

// === impl AuthSettings ===

impl AuthSettings {
    /// Whether an issuer's keys are fetched over `https`, so that the client
    /// needs root certificates.
    pub fn fetches_over_tls(&self) -> bool {
        self.jwt.iter().any(|jwt| match &jwt.jwks {
            JwksSource::Url(uri) => uri.scheme_str() == Some("https"),
            JwksSource::File(_) => false,
            // An issuer asked in the clear may still name an https address.
            JwksSource::Discovery => true,
        })
    }
}

// === impl ApiKeySettings ===

impl ApiKeySettings {
    /// The header that carries a key unless the operator names another.
    pub const DEFAULT_HEADER: HeaderName = HeaderName::from_static("x-api-key");
}

// === impl ApiKeySetting ===

impl fmt::Debug for ApiKeySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeySetting")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

// === impl JwtSettings ===

impl JwtSettings {
    /// The leeway unless the operator gives another.
    pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(60);
    /// The largest leeway: more would undo what short-lived tokens are for.
    pub const MAX_LEEWAY: Duration = Duration::from_secs(300);
}

// === impl Algorithm ===

impl Algorithm {
    /// Every algorithm that can be accepted.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The name in a token's `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(UnknownAlgorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_and_hmac_cannot_be_named() {
        for name in ["none", "None", "HS256", "HS384", "HS512", "rs256", ""] {
            assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm), "{name}");
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn debug_does_not_show_a_key_hash() {
        let key = ApiKeySetting { name: "ci".into(), sha256: [171; 32], roles: Vec::new(), expires: None };
        assert!(!format!("{key:?}").contains("171"));
    }
}

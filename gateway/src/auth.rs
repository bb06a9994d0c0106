//! Who is calling: credential → [`Principal`].
//!
//! Several mechanisms may be configured at once; the first that recognises
//! its credential decides, and what it decides stands:
//!
//! 1. a key in the API key header is an API key;
//! 2. `Authorization: Bearer` with a JSON Web Token of a configured issuer is
//!    that issuer's token;
//! 3. any other bearer credential is an API key;
//! 4. no credential at all is the anonymous principal, where one is granted.
//!
//! A bad credential never becomes anonymous: whoever means to be somebody is
//! told that it did not work.
//!
//! Known API keys and tokens verified lately are accepted without waiting and
//! without an allocation. Only a token whose issuer's keys must be loaded
//! first makes its request [wait](Authentication::Pending).

mod api_key;
mod claims;
mod clock;
mod credential;
mod jwks;
mod jwt;
mod key_set;
mod refusal;
mod settings;
#[cfg(test)]
pub(crate) mod test_issuer;
mod token;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName};
use portcullis_policies::Principal;

use self::api_key::{ApiKeys, CredentialDigest, credential_digest};
use self::clock::Clock;
use self::credential::Presented;
pub use self::jwks::JwksError;
use self::jwt::{Issuers, Recognition};
use self::refusal::Refusal;
pub use self::settings::{
    Algorithm, ApiKeySetting, ApiKeySettings, AuthSettings, JwksSource, JwtSettings, UnknownAlgorithm,
};
use crate::http_client::HttpClient;
use crate::metrics::Metrics;
use crate::rejection::Rejection;

/// Tells who a request comes from.
#[derive(Debug)]
pub struct Authenticator {
    anonymous: Option<Arc<Principal>>,
    api_keys: Option<ApiKeys>,
    issuers: Option<Issuers>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What is known of a request's caller.
pub enum Authentication {
    /// Who it is, or why it is nobody.
    Ready(Result<Arc<Principal>, Rejection>),
    /// The same, once the issuer's keys are loaded: within seconds.
    Pending(BoxFuture<'static, Result<Arc<Principal>, Rejection>>),
}

/// The settings cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// API keys were to be looked for in `Authorization`, where they are anyway.
    #[error("the API key header cannot be Authorization: `Authorization: Bearer KEY` is accepted beside it")]
    KeyHeader,
    /// Two API keys have one name.
    #[error("two API keys are named {name}")]
    DuplicateKeyName {
        /// The name.
        name: String,
    },
    /// Two names are given to one API key.
    #[error("the API key {name} has the hash of another")]
    DuplicateKey {
        /// The second name.
        name: String,
    },
    /// An issuer is configured twice.
    #[error("the issuer {issuer} is configured twice")]
    DuplicateIssuer {
        /// The issuer.
        issuer: String,
    },
    /// Tokens for anybody would be accepted.
    #[error("the issuer {issuer} has no audience: tokens meant for others would be accepted")]
    NoAudience {
        /// The issuer.
        issuer: String,
    },
    /// No token would be accepted.
    #[error("the issuer {issuer} has no algorithm")]
    NoAlgorithm {
        /// The issuer.
        issuer: String,
    },
    /// The leeway is over [`JwtSettings::MAX_LEEWAY`].
    #[error("the leeway of the issuer {issuer} is over {} seconds", JwtSettings::MAX_LEEWAY.as_secs())]
    Leeway {
        /// The issuer.
        issuer: String,
    },
    /// The keys' address, or the issuer itself where it is to be asked, is no URL.
    #[error("the keys of the issuer {issuer} are not at an http or https address")]
    KeysAddress {
        /// The issuer.
        issuer: String,
    },
    /// The issuer's key file is unusable.
    #[error("the key file of the issuer {issuer} is unusable")]
    Keys {
        /// The issuer.
        issuer: String,
        /// What is wrong with it.
        source: Box<JwksError>,
    },
}

/// The `method` of `portcullis_authentications_total`.
#[derive(Clone, Copy)]
enum Method {
    ApiKey,
    Jwt,
    Anonymous,
    None,
}

// === impl Authenticator ===

impl Authenticator {
    /// Prepares every mechanism. Key files are read now; keys at a URL are
    /// fetched when the first token needs them.
    ///
    /// # Errors
    ///
    /// Settings that cannot work; see [`AuthError`].
    pub fn new(settings: &AuthSettings, client: &HttpClient, metrics: Arc<Metrics>) -> Result<Self, AuthError> {
        Self::with_clock(settings, client, metrics, Clock::system())
    }

    fn with_clock(
        settings: &AuthSettings,
        client: &HttpClient,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, AuthError> {
        let issuers = if settings.jwt.is_empty() { None } else { Some(Issuers::new(&settings.jwt, client)?) };
        Ok(Self {
            anonymous: settings.anonymous.clone().map(Principal::anonymous).map(Arc::new),
            api_keys: settings.api_keys.as_ref().map(ApiKeys::new).transpose()?,
            issuers,
            clock,
            metrics,
        })
    }

    /// The header that carries an API key, where keys are configured.
    pub fn key_header(&self) -> Option<&HeaderName> {
        self.api_keys.as_ref().map(|keys| &keys.header)
    }

    /// Tells who sent these headers. Counts the outcome.
    ///
    /// Must be called within a Tokio runtime: an issuer's keys may be due.
    pub fn authenticate(&self, headers: &HeaderMap) -> Authentication {
        let (method, result) = match credential::presented(headers, self.key_header()) {
            Err(refusal) => (Method::None, Err(refusal)),
            Ok(Presented::Nothing) => match &self.anonymous {
                Some(principal) => (Method::Anonymous, Ok(Arc::clone(principal))),
                None => (Method::None, Err(Refusal::Missing)),
            },
            Ok(Presented::Key(key)) => self.by_key(&credential_digest(key)),
            Ok(Presented::Bearer(credential)) => {
                let digest = credential_digest(credential.as_bytes());
                match self.recognise(credential, &digest) {
                    Recognition::Decided(result) => (Method::Jwt, result),
                    Recognition::Waiting(waiting) => return self.pending(waiting),
                    Recognition::Foreign(Refusal::Unknown) => self.by_key(&digest),
                    // An API key may look like a token; a token that is not
                    // one had better be told why it is refused.
                    Recognition::Foreign(refusal) => match self.by_key(&digest) {
                        (_, Err(Refusal::Unknown)) => (Method::Jwt, Err(refusal)),
                        decided => decided,
                    },
                }
            }
        };
        Authentication::Ready(finish(&self.metrics, method, result))
    }

    /// When the credential of a principal expires, in seconds since 1970, if
    /// it does.
    pub fn expiry(&self, principal: &Principal) -> Option<u64> {
        let of_key = self.api_keys.as_ref().and_then(|keys| keys.expiry(principal));
        of_key.or_else(|| claims::expiry(principal.claims()))
    }

    fn by_key(&self, digest: &CredentialDigest) -> (Method, Result<Arc<Principal>, Refusal>) {
        let keys = self.api_keys.as_ref().ok_or(Refusal::Unknown);
        (Method::ApiKey, keys.and_then(|keys| keys.verify(digest, self.clock.now())))
    }

    fn recognise(&self, credential: &str, digest: &CredentialDigest) -> Recognition {
        match &self.issuers {
            Some(issuers) => issuers.recognise(credential, digest, self.clock.now()),
            None => Recognition::Foreign(Refusal::Unknown),
        }
    }

    fn pending(&self, waiting: BoxFuture<'static, Result<Arc<Principal>, Refusal>>) -> Authentication {
        let metrics = Arc::clone(&self.metrics);
        Authentication::Pending(Box::pin(async move { finish(&metrics, Method::Jwt, waiting.await) }))
    }
}

/// Counts the outcome and puts a refusal into the words for the outside.
fn finish(
    metrics: &Metrics,
    method: Method,
    result: Result<Arc<Principal>, Refusal>,
) -> Result<Arc<Principal>, Rejection> {
    let outcome = result.as_ref().map_or_else(Refusal::outcome, |_| "accepted");
    metrics.authentication(method.as_str(), outcome);
    result.map_err(Rejection::from)
}

// === impl Authentication ===

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(result) => f.debug_tuple("Ready").field(&result.as_ref().map(|_| "accepted")).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}

// === impl Method ===

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Anonymous => "anonymous",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests;

//! JSON Web Tokens: verified against their issuer's keys, then remembered.
//!
//! Follows RFC 8725 (JSON Web Token Best Current Practices): the algorithm
//! must be one that the issuer is configured with and one that the key is
//! made for, and issuer, audience and times are always checked.

mod verified;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Uri;
use jsonwebtoken::DecodingKey;
use portcullis_policies::Principal;

use self::verified::VerifiedTokens;
use super::AuthError;
use super::api_key::CredentialDigest;
use super::claims::ClaimRules;
use super::jwks::{IssuerKeys, Lookup, Source};
use super::refusal::Refusal;
use super::settings::{Algorithm, JwksSource, JwtSettings};
use super::token::{NotAToken, Token};
use crate::http_client::HttpClient;

/// All issuers, and the tokens of theirs that were verified lately.
#[derive(Debug)]
pub(crate) struct Issuers {
    issuers: HashMap<String, Arc<Issuer>>,
    verified: Arc<VerifiedTokens>,
}

#[derive(Debug)]
struct Issuer {
    algorithms: Vec<Algorithm>,
    rules: ClaimRules,
    keys: Arc<IssuerKeys>,
}

/// A token whose claims are in order, and whose signature is still to be
/// checked.
struct Claimed {
    issuer: Arc<Issuer>,
    verified: Arc<VerifiedTokens>,
    digest: CredentialDigest,
    token: Token,
    algorithm: Algorithm,
    now: u64,
    until: u64,
}

/// What became of a bearer credential.
pub(crate) enum Recognition {
    /// It is a configured issuer's, and this is the outcome.
    Decided(Result<Arc<Principal>, Refusal>),
    /// It is a configured issuer's, whose keys are being loaded.
    Waiting(BoxFuture<'static, Result<Arc<Principal>, Refusal>>),
    /// It is no configured issuer's; the refusal says so if nobody else knows
    /// it either.
    Foreign(Refusal),
}

// === impl Issuers ===

impl Issuers {
    /// Prepares every issuer.
    ///
    /// # Errors
    ///
    /// An issuer given twice, one without audience or algorithm, too large a
    /// leeway, an unusable address or file.
    pub(crate) fn new(settings: &[JwtSettings], client: &HttpClient) -> Result<Self, AuthError> {
        let mut issuers = HashMap::with_capacity(settings.len());
        for setting in settings {
            let issuer = Arc::new(Issuer::new(setting, client)?);
            if issuers.insert(setting.issuer.clone(), issuer).is_some() {
                return Err(AuthError::DuplicateIssuer { issuer: setting.issuer.clone() });
            }
        }
        Ok(Self { issuers, verified: Arc::default() })
    }

    /// Decides about a bearer credential if it is a token of a configured
    /// issuer. `now` in Unix seconds.
    pub(crate) fn recognise(&self, credential: &str, digest: &CredentialDigest, now: u64) -> Recognition {
        if let Some(principal) = self.verified.get(digest, now) {
            return Recognition::Decided(Ok(principal));
        }
        let token = match Token::parse(credential) {
            Ok(token) => token,
            Err(NotAToken::AnotherShape) => return Recognition::Foreign(Refusal::Unknown),
            Err(NotAToken::Malformed) => return Recognition::Foreign(Refusal::Malformed),
        };
        let Some(issuer) = token.issuer().and_then(|issuer| self.issuers.get(issuer)) else {
            return Recognition::Foreign(Refusal::UnknownIssuer);
        };
        // Before the signature: what is refused anyway costs no key lookup.
        let checked = token
            .header
            .check(&issuer.algorithms)
            .and_then(|algorithm| Ok((algorithm, issuer.rules.check(&token.claims, now)?)));
        let (algorithm, until) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return Recognition::Decided(Err(refusal)),
        };
        let claimed = Claimed {
            issuer: Arc::clone(issuer),
            verified: Arc::clone(&self.verified),
            digest: *digest,
            token,
            algorithm,
            now,
            until,
        };
        claimed.verify()
    }
}

// === impl Issuer ===

impl Issuer {
    fn new(settings: &JwtSettings, client: &HttpClient) -> Result<Self, AuthError> {
        let issuer = || settings.issuer.clone();
        if settings.audiences.is_empty() {
            return Err(AuthError::NoAudience { issuer: issuer() });
        }
        if settings.algorithms.is_empty() {
            return Err(AuthError::NoAlgorithm { issuer: issuer() });
        }
        if settings.leeway > JwtSettings::MAX_LEEWAY {
            return Err(AuthError::Leeway { issuer: issuer() });
        }
        let source = match &settings.jwks {
            JwksSource::File(path) => Source::File(path.clone()),
            JwksSource::Url(uri) if is_http(uri) => Source::Url { uri: uri.clone(), client: client.clone() },
            JwksSource::Url(_) => return Err(AuthError::KeysAddress { issuer: issuer() }),
            JwksSource::Discovery => {
                // OpenID Connect Discovery 1.0 §4: a slash at the end goes first.
                let metadata = format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'));
                let metadata = metadata.parse().ok().filter(is_http);
                let metadata = metadata.ok_or_else(|| AuthError::KeysAddress { issuer: issuer() })?;
                Source::Discovery { issuer: issuer(), metadata, client: client.clone() }
            }
        };
        let keys = IssuerKeys::new(&settings.issuer, source)
            .map_err(|source| AuthError::Keys { issuer: issuer(), source: Box::new(source) })?;
        Ok(Self { algorithms: settings.algorithms.clone(), rules: ClaimRules::new(settings), keys: Arc::new(keys) })
    }
}

fn is_http(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

// === impl Claimed ===

impl Claimed {
    /// Checks the signature as soon as the key is there.
    fn verify(self) -> Recognition {
        match self.issuer.keys.find(self.kid(), self.algorithm) {
            Lookup::Key(key) => Recognition::Decided(self.accept(&key)),
            Lookup::Refused(refusal) => Recognition::Decided(Err(refusal)),
            Lookup::Loading(loading) => Recognition::Waiting(Box::pin(async move {
                let key = self.issuer.keys.find_after(loading, self.kid(), self.algorithm).await?;
                self.accept(&key)
            })),
        }
    }

    fn kid(&self) -> Option<&str> {
        self.token.header.kid.as_deref()
    }

    /// The principal, if the signature is the key's; from now on remembered.
    fn accept(self, key: &DecodingKey) -> Result<Arc<Principal>, Refusal> {
        let Token { claims, message, signature, .. } = self.token;
        let good = jsonwebtoken::crypto::verify(&signature, message.as_bytes(), key, self.algorithm.into());
        if !good.unwrap_or(false) {
            return Err(Refusal::Signature);
        }
        let principal = Arc::new(self.issuer.rules.principal(claims)?);
        let bytes = message.len() + signature.len();
        self.verified.insert(self.digest, Arc::clone(&principal), bytes, self.now, self.until);
        Ok(principal)
    }
}

// === impl Algorithm ===

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256 => Self::RS256,
            Algorithm::RS384 => Self::RS384,
            Algorithm::RS512 => Self::RS512,
            Algorithm::PS256 => Self::PS256,
            Algorithm::PS384 => Self::PS384,
            Algorithm::PS512 => Self::PS512,
            Algorithm::ES256 => Self::ES256,
            Algorithm::ES384 => Self::ES384,
            Algorithm::EdDSA => Self::EdDSA,
        }
    }
}

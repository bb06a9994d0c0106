//! API keys: random secrets that are known here by their hash alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderName;
use http::header::AUTHORIZATION;
use portcullis_policies::Principal;

use super::AuthError;
use super::clock::unix_seconds;
use super::refusal::Refusal;
use super::settings::ApiKeySettings;

/// SHA-256 of a credential.
pub(crate) type CredentialDigest = [u8; 32];

/// Hashes a credential, so that none is ever kept or compared as it came.
pub(crate) fn credential_digest(credential: &[u8]) -> CredentialDigest {
    digest(&SHA256, credential).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The configured keys.
///
/// Looked up by digest: what the time of a lookup could tell is about the
/// digest, from which no key can be derived.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    pub(crate) header: HeaderName,
    keys: HashMap<CredentialDigest, ApiKey>,
    /// When they expire, by principal: those that do.
    expiring: HashMap<Box<str>, u64>,
}

struct ApiKey {
    sha256: CredentialDigest,
    expires: Option<u64>,
    principal: Arc<Principal>,
}

// === impl ApiKeys ===

impl ApiKeys {
    /// Builds every key's principal in advance.
    ///
    /// # Errors
    ///
    /// Names and hashes must be distinct, and the header one of its own.
    pub(crate) fn new(settings: &ApiKeySettings) -> Result<Self, AuthError> {
        if settings.header == AUTHORIZATION {
            return Err(AuthError::KeyHeader);
        }
        let mut names = HashSet::with_capacity(settings.keys.len());
        let mut keys = HashMap::with_capacity(settings.keys.len());
        for key in &settings.keys {
            if !names.insert(key.name.as_str()) {
                return Err(AuthError::DuplicateKeyName { name: key.name.clone() });
            }
            let principal = Principal::new(format!("apiKey:{}", key.name)).with_roles(key.roles.iter().cloned());
            let entry =
                ApiKey { sha256: key.sha256, expires: key.expires.map(unix_seconds), principal: Arc::new(principal) };
            if keys.insert(key.sha256, entry).is_some() {
                return Err(AuthError::DuplicateKey { name: key.name.clone() });
            }
        }
        let expiring = keys.values().filter_map(|key| Some((key.principal.name().into(), key.expires?)));
        Ok(Self { header: settings.header.clone(), expiring: expiring.collect(), keys })
    }

    /// The principal whose key has this digest, `now` in Unix seconds.
    pub(crate) fn verify(&self, digest: &CredentialDigest, now: u64) -> Result<Arc<Principal>, Refusal> {
        let key = self.keys.get(digest).ok_or(Refusal::Unknown)?;
        verify_slices_are_equal(&key.sha256, digest).map_err(|_| Refusal::Unknown)?;
        if key.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::KeyExpired);
        }
        Ok(Arc::clone(&key.principal))
    }

    /// When the key of this principal expires.
    pub(crate) fn expiry(&self, principal: &Principal) -> Option<u64> {
        self.expiring.get(principal.name()).copied()
    }
}

// === impl ApiKey ===

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::auth::settings::ApiKeySetting;

    fn setting(name: &str, key: &str, expires: Option<u64>) -> ApiKeySetting {
        ApiKeySetting {
            name: name.into(),
            sha256: credential_digest(key.as_bytes()),
            roles: vec!["ci".into()],
            expires: expires.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    fn keys(keys: Vec<ApiKeySetting>) -> Result<ApiKeys, AuthError> {
        ApiKeys::new(&ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys })
    }

    #[test]
    fn a_known_key_gives_its_principal() {
        let keys = keys(vec![setting("ci", "s3cret", None), setting("other", "s4cret", None)]).unwrap();
        let principal = keys.verify(&credential_digest(b"s3cret"), 0).unwrap();
        assert_eq!(principal.name(), "apiKey:ci");
        assert_eq!(principal.roles(), ["ci"]);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let keys = keys(vec![setting("ci", "s3cret", None)]).unwrap();
        assert_eq!(keys.verify(&credential_digest(b"s3cre"), 0).unwrap_err(), Refusal::Unknown);
        assert_eq!(keys.verify(&credential_digest(b""), 0).unwrap_err(), Refusal::Unknown);
    }

    #[test]
    fn a_key_is_refused_from_the_second_it_expires() {
        let keys = keys(vec![setting("ci", "s3cret", Some(100))]).unwrap();
        let digest = credential_digest(b"s3cret");
        assert!(keys.verify(&digest, 99).is_ok());
        assert_eq!(keys.verify(&digest, 100).unwrap_err(), Refusal::KeyExpired);
    }

    #[test]
    fn names_and_keys_must_be_distinct() {
        let same_name = keys(vec![setting("ci", "a", None), setting("ci", "b", None)]);
        assert!(matches!(same_name, Err(AuthError::DuplicateKeyName { name }) if name == "ci"));
        let same_key = keys(vec![setting("ci", "a", None), setting("cd", "a", None)]);
        assert!(matches!(same_key, Err(AuthError::DuplicateKey { name }) if name == "cd"));
    }

    #[test]
    fn keys_cannot_live_in_the_authorization_header() {
        let settings = ApiKeySettings { header: AUTHORIZATION, keys: Vec::new() };
        assert!(matches!(ApiKeys::new(&settings), Err(AuthError::KeyHeader)));
    }
}

//! An issuer's key set (RFC 7517 §5), reduced to what verifies tokens.

use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::settings::Algorithm;

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
    /// Keys of the document that cannot verify tokens; RFC 7517 §5 says to
    /// pass over them.
    pub(crate) skipped: usize,
}

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    /// What the key may verify: its type and curve, narrowed by its `alg`.
    algorithms: Vec<Algorithm>,
    decoding: Arc<DecodingKey>,
}

/// What looking for a token's key found.
#[derive(Debug)]
pub(crate) enum Found {
    /// The key.
    Key(Arc<DecodingKey>),
    /// A key of that name that is not one for the algorithm.
    Unfit,
    /// No key of that name, or none that is the only one it can be.
    Unknown,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

// === impl KeySet ===

impl KeySet {
    /// Reads a JWK Set document.
    ///
    /// # Errors
    ///
    /// The document is not a JWK Set. A key that we cannot use is no error.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document<'_> = serde_json::from_slice(document)?;
        let keys: Vec<Key> = document.keys.iter().filter_map(|key| Key::parse(key.get())).collect();
        Ok(Self { skipped: document.keys.len() - keys.len(), keys })
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key named `kid`. A token that names no key is verified only where
    /// a single key can be meant.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Found {
        let named = || self.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
        let mut fitting = named().filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Found::Key(Arc::clone(&key.decoding)),
            // Names are to be distinct (RFC 7517 §4.5), so the first is as
            // good as the second.
            (Some(key), Some(_)) if kid.is_some() => Found::Key(Arc::clone(&key.decoding)),
            (None, _) if kid.is_some() && named().next().is_some() => Found::Unfit,
            _ => Found::Unknown,
        }
    }
}

// === impl Key ===

impl Key {
    /// `None` if the key cannot verify a signature that we accept.
    fn parse(text: &str) -> Option<Self> {
        let jwk: Jwk = serde_json::from_str(text).ok()?;
        let common = &jwk.common;
        if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
            || common.key_operations.as_ref().is_some_and(|all| !all.contains(&KeyOperations::Verify))
        {
            return None;
        }
        let mut algorithms = algorithms_of(&jwk.algorithm);
        if let Some(only) = common.key_algorithm {
            algorithms.retain(|algorithm| algorithm.as_str() == only.to_string());
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        if algorithms.is_empty() || !is_whole(&jwk.algorithm, &decoding) {
            return None;
        }
        Some(Self { kid: jwk.common.key_id, algorithms, decoding: Arc::new(decoding) })
    }
}

/// The algorithms for a type and curve of key (RFC 7518 §3.1, RFC 8037 §3.1).
fn algorithms_of(parameters: &AlgorithmParameters) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => vec![RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![EdDSA],
        _ => Vec::new(),
    }
}

/// Whether the key has the length of its curve. RSA keys are measured when
/// they are used: those under 2048 bits verify nothing.
fn is_whole(parameters: &AlgorithmParameters, key: &DecodingKey) -> bool {
    let length = match parameters {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => 1 + 2 * 32,
        AlgorithmParameters::EllipticCurve(_) => 1 + 2 * 48,
        AlgorithmParameters::OctetKeyPair(_) => 32,
        _ => return true,
    };
    key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == length)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::test_issuer::SigningKey;

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    }

    fn with(key: &SigningKey, name: &str, value: impl Into<Value>) -> Value {
        let mut jwk = key.jwk();
        jwk[name] = value.into();
        jwk
    }

    fn is_key(found: &Found) -> bool {
        matches!(found, Found::Key(_))
    }

    #[test]
    fn a_key_is_found_by_name_for_its_own_algorithm() {
        let (ec, ed) = (SigningKey::es256("a"), SigningKey::ed25519("b"));
        let set = set(&[ec.jwk(), ed.jwk()]);
        assert!(is_key(&set.find(Some("a"), Algorithm::ES256)));
        assert!(is_key(&set.find(Some("b"), Algorithm::EdDSA)));
        for algorithm in [Algorithm::EdDSA, Algorithm::ES384, Algorithm::RS256, Algorithm::PS256] {
            assert!(matches!(set.find(Some("a"), algorithm), Found::Unfit), "{algorithm:?}");
        }
        assert!(matches!(set.find(Some("c"), Algorithm::ES256), Found::Unknown));
    }

    #[test]
    fn a_token_without_a_key_name_needs_the_only_fitting_key() {
        let (one, two, ed) = (SigningKey::es256("a"), SigningKey::es256("b"), SigningKey::ed25519("c"));
        assert!(is_key(&set(&[one.jwk(), ed.jwk()]).find(None, Algorithm::ES256)));
        assert!(matches!(set(&[one.jwk(), two.jwk()]).find(None, Algorithm::ES256), Found::Unknown));
    }

    #[test]
    fn the_algorithm_of_a_key_narrows_what_it_verifies() {
        let set = set(&[SigningKey::rsa("a").jwk(), with(&SigningKey::rsa("b"), "alg", "PS256")]);
        assert!(is_key(&set.find(Some("a"), Algorithm::RS256)));
        assert!(is_key(&set.find(Some("a"), Algorithm::PS512)));
        assert!(is_key(&set.find(Some("b"), Algorithm::PS256)));
        assert!(matches!(set.find(Some("b"), Algorithm::RS256), Found::Unfit));
    }

    #[test]
    fn keys_that_cannot_verify_tokens_are_passed_over() {
        let key = SigningKey::es256("a");
        let unusable = [
            with(&key, "use", "enc"),
            with(&key, "key_ops", json!(["sign"])),
            with(&key, "alg", "HS256"),
            with(&key, "alg", "ECDH-ES"),
            with(&key, "crv", "P-384"),
            with(&key, "crv", "P-521"),
            with(&key, "crv", "secp256k1"),
            with(&key, "x", "AAAA"),
            with(&key, "x", "not base64!"),
            with(&key, "kid", 7),
            json!({"kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "AKP", "kid": "a"}),
            json!("a key"),
        ];
        for jwk in &unusable {
            assert_eq!(set(std::slice::from_ref(jwk)).len(), 0, "{jwk}");
        }
        let mut mixed = unusable.to_vec();
        mixed.push(with(&key, "use", "sig"));
        let set = set(&mixed);
        assert_eq!((set.len(), set.skipped), (1, unusable.len()));
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        for document in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert!(KeySet::parse(document.as_bytes()).is_err(), "{document}");
        }
    }
}

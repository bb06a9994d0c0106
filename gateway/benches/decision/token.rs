//! An issuer and one of its tokens, verified before.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use jsonwebtoken::{EncodingKey, Header};
use portcullis::auth::{Algorithm, AuthSettings, Authenticator, JwksSource, JwtSettings};
use portcullis::http_client::HttpClient;
use portcullis::metrics::Metrics;
use portcullis_policies::Principal;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::gateway::{accepted, bearer};

const ISSUER: &str = "https://idp.example.com";
const AUDIENCE: &str = "https://mcp.example.com/mcp";
const KEY_ID: &str = "k1";
const LIFETIME: Duration = Duration::from_secs(3600);

/// Tokens of one issuer, whose keys are in a file.
pub(crate) struct Issuer {
    authenticator: Authenticator,
    headers: HeaderMap,
    _keys: NamedTempFile,
}

// === impl Issuer ===

impl Issuer {
    /// Makes keys and a token, and has it verified once.
    ///
    /// Must be called within a Tokio runtime, as all that serves calls.
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).expect("the key");
        // An uncompressed point (SEC 1 §2.3.3): 4, x, y.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": KEY_ID, "x": x, "y": y});
        let keys = NamedTempFile::new().expect("a temporary file");
        std::fs::write(keys.path(), json!({"keys": [jwk]}).to_string()).expect("a writable file");

        let issuer = Self {
            authenticator: authenticator(&keys),
            headers: bearer(&token(&EncodingKey::from_ec_der(pkcs8.as_ref()))),
            _keys: keys,
        };
        issuer.authenticate();
        issuer
    }

    /// Who holds the token. Must be called within the runtime too.
    pub(crate) fn authenticate(&self) -> Arc<Principal> {
        accepted(self.authenticator.authenticate(&self.headers))
    }
}

fn authenticator(keys: &NamedTempFile) -> Authenticator {
    let issuer = JwtSettings {
        issuer: ISSUER.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        jwks: JwksSource::File(keys.path().to_owned()),
        algorithms: vec![Algorithm::ES256],
        roles_claim: Some("roles".to_owned()),
        required_scopes: Vec::new(),
        leeway: JwtSettings::DEFAULT_LEEWAY,
    };
    let settings = AuthSettings { jwt: vec![issuer], ..AuthSettings::default() };
    Authenticator::new(&settings, &HttpClient::new(false), Arc::new(Metrics::new())).expect("the settings work")
}

fn token(key: &EncodingKey) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let expires = (now + LIFETIME).as_secs();
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": expires, "roles": ["analyst"]});
    let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(jsonwebtoken::Algorithm::ES256) };
    jsonwebtoken::encode(&header, &claims, key).expect("a token")
}

//! A signing key and its published key set, for tokens with any flaw.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use crate::http::read_head;

/// The key id that the key set publishes.
const KEY_ID: &str = "forge";

/// An issuer that signs whatever it is given. Its key set is served over HTTP
/// and every fetch is counted.
#[derive(Debug)]
pub struct Forge {
    key: KeyPair,
    address: SocketAddr,
    fetches: Arc<AtomicUsize>,
}

// === impl Forge ===

impl Forge {
    /// A new key, published on a free port of loopback.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn start() -> Self {
        let key = KeyPair::generate().expect("a key");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let fetches = Arc::new(AtomicUsize::new(0));
        let forge = Self { key, address, fetches: Arc::clone(&fetches) };
        let body = forge.key_set().to_string();
        thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let Ok(Some(_)) = read_head(&mut BufReader::new(&socket)) else {
                    continue;
                };
                fetches.fetch_add(1, Ordering::SeqCst);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                let _ = write!(socket, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        forge
    }

    /// The issuer's identifier.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the key set is.
    pub fn jwks_url(&self) -> String {
        format!("{}/jwks", self.url())
    }

    /// How often the key set was fetched.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// The published keys.
    ///
    /// # Panics
    ///
    /// Never, for a key made here.
    pub fn key_set(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.encoding_key(), Algorithm::ES256).expect("a public key");
        jwk.common.key_id = Some(KEY_ID.to_owned());
        json!({"keys": [jwk]})
    }

    /// A properly signed token.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(KEY_ID, claims)
    }

    /// A token that names a key of the test's choice.
    ///
    /// # Panics
    ///
    /// Never, for a key made here.
    pub fn sign_as(&self, key_id: &str, claims: &Value) -> String {
        let header = Header { kid: Some(key_id.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.encoding_key()).expect("a signed token")
    }

    /// A token "signed" with HMAC, the public key being the secret: the classic confusion.
    ///
    /// # Panics
    ///
    /// Never, for a key made here.
    pub fn sign_with_public_key(&self, claims: &Value) -> String {
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::HS256) };
        let secret = self.key.subject_public_key_info();
        encode(&header, claims, &EncodingKey::from_secret(&secret)).expect("a signed token")
    }

    /// A token that claims to need no signature (RFC 7519 §6).
    ///
    /// # Panics
    ///
    /// Never.
    pub fn sign_not_at_all(&self, claims: &Value) -> String {
        /// `{"alg":"none","typ":"JWT"}`
        const HEADER: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let signed = self.sign(claims);
        let payload = signed.split('.').nth(1).expect("three parts");
        format!("{HEADER}.{payload}.")
    }

    fn encoding_key(&self) -> EncodingKey {
        EncodingKey::from_ec_der(self.key.serialized_der())
    }
}

/// Claims that a gateway with this issuer and audience accepts for five minutes.
pub fn claims(issuer: &str, audience: &str) -> Value {
    json!({"iss": issuer, "aud": audience, "sub": "alice", "iat": now(), "exp": now() + 300, "scope": "mcp", "groups": ["tester"]})
}

/// Seconds since the epoch.
///
/// # Panics
///
/// When the clock stands before the epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch").as_secs()
}

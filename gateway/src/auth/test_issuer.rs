//! A token issuer for tests: keys, tokens, and a server for its documents.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::body::Body;

/// One RSA key for all tests: making one takes a while.
static RSA_KEY: LazyLock<EncodingKey> = LazyLock::new(|| {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let label = "PRIVATE KEY";
    let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(pkcs8.as_ref()));
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
});

/// A key of the issuer.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    encoding: EncodingKey,
    /// The public half without `kid`.
    public: Value,
}

// === impl SigningKey ===

impl SigningKey {
    pub(crate) fn es256(kid: &str) -> Self {
        Self::ec(kid, Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
    }

    pub(crate) fn es384(kid: &str) -> Self {
        Self::ec(kid, Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")
    }

    fn ec(kid: &str, algorithm: Algorithm, signing: &'static EcdsaSigningAlgorithm, curve: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref()).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        Self {
            kid: kid.into(),
            algorithm,
            encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
            public: json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)}),
        }
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        Self {
            kid: kid.into(),
            algorithm: Algorithm::EdDSA,
            encoding: EncodingKey::from_ed_der(pkcs8.as_ref()),
            public: json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())}),
        }
    }

    pub(crate) fn rsa(kid: &str) -> Self {
        let encoding = RSA_KEY.clone();
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&encoding, Algorithm::RS256).unwrap();
        let mut public = serde_json::to_value(jwk).unwrap();
        public.as_object_mut().unwrap().remove("alg");
        Self { kid: kid.into(), algorithm: Algorithm::RS256, encoding, public }
    }

    /// The public key, as the issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = self.kid.clone().into();
        jwk
    }

    /// A token of these claims, with the header that goes with the key.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let algorithm = format!("{:?}", self.algorithm);
        self.sign(&json!({"alg": algorithm, "typ": "JWT", "kid": self.kid}), claims, self.algorithm)
    }

    /// A token of this header and these claims, signed with `algorithm`
    /// whatever the header says.
    pub(crate) fn sign(&self, header: &Value, claims: &Value, algorithm: Algorithm) -> String {
        sign(header, claims, &self.encoding, algorithm)
    }
}

/// A token of this header and these claims.
pub(crate) fn sign(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// base64url.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key set document.
pub(crate) fn key_set(keys: &[&SigningKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({"keys": keys}).to_string()
}

/// Serves documents by path over HTTP on the loopback interface, and counts
/// how often it is asked.
#[derive(Clone)]
pub(crate) struct DocumentServer {
    pub(crate) url: String,
    documents: Arc<Mutex<HashMap<String, Document>>>,
    requests: Arc<AtomicUsize>,
    asked: Arc<Notify>,
    held: Arc<Mutex<Option<Arc<Notify>>>>,
}

#[derive(Clone)]
struct Document {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

// === impl DocumentServer ===

impl DocumentServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            documents: Arc::default(),
            requests: Arc::default(),
            asked: Arc::default(),
            held: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                let answer = service_fn(move |request| {
                    let server = server.clone();
                    async move { server.answer(&request).await }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(connection);
            }
        });
        server
    }

    pub(crate) fn serve(&self, path: &str, body: impl Into<String>) {
        self.serve_with(path, 200, &[], body);
    }

    pub(crate) fn serve_with(
        &self,
        path: &str,
        status: u16,
        headers: &[(&'static str, &str)],
        body: impl Into<String>,
    ) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let document = Document { status, headers, body: body.into() };
        self.documents.lock().unwrap().insert(path.to_owned(), document);
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Waits for the next request.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Lets no answer go until the returned handle is notified.
    pub(crate) fn hold(&self) -> Arc<Notify> {
        let release = Arc::new(Notify::new());
        *self.held.lock().unwrap() = Some(Arc::clone(&release));
        release
    }

    async fn answer(&self, request: &Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.asked.notify_one();
        let held = self.held.lock().unwrap().take();
        if let Some(release) = held {
            release.notified().await;
        }
        let document = self.documents.lock().unwrap().get(request.uri().path()).cloned();
        let document = document.unwrap_or(Document { status: 404, headers: Vec::new(), body: String::new() });
        let mut response = Response::builder().status(document.status);
        for (name, value) in document.headers {
            response = response.header(name, value);
        }
        Ok(response.body(Body::from(document.body)).unwrap())
    }
}

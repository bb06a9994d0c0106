//! Where key sets come from: a file, a URL, or the issuer's own metadata.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use tokio::time::timeout;

use crate::auth::key_set::KeySet;
use crate::body::{Body, BodyError};
use crate::http_client::{HttpClient, SendError};

/// The largest document that is read.
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// How long loading may take, discovery included.
const DEADLINE: Duration = Duration::from_secs(5);
/// The least time from one fetch to the next.
const FETCH_FLOOR: Duration = Duration::from_secs(10);
/// The least time from one reading of a file to the next, and how long what
/// was read counts as fresh.
const FILE_FLOOR: Duration = Duration::from_secs(1);
/// How long a set counts as fresh whose answer does not say.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The bounds for what an answer may say.
const LIFETIMES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));

/// Where one issuer's key set comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file, looked at again when it is needed, at most once a second.
    File(PathBuf),
    /// A key set's address.
    Url {
        /// The address.
        uri: Uri,
        /// Fetches it.
        client: HttpClient,
    },
    /// The metadata of the issuer, which names the key set's address.
    Discovery {
        /// The issuer, as tokens name it.
        issuer: String,
        /// The metadata's address.
        metadata: Uri,
        /// Fetches both.
        client: HttpClient,
    },
}

/// A key set and how long it counts as fresh.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) keys: KeySet,
    pub(crate) lifetime: Duration,
}

/// A key set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("cannot read the key set")]
    File(#[source] io::Error),
    /// The issuer cannot be reached.
    #[error("cannot fetch {uri}")]
    Connect {
        /// What was to be fetched.
        uri: String,
        /// Why it was not.
        source: SendError,
    },
    /// The issuer answered with something else than 200. Redirects are not
    /// followed: the keys come from where the operator said.
    #[error("{uri} answered with {status}")]
    Status {
        /// What was fetched.
        uri: String,
        /// The answer.
        status: StatusCode,
    },
    /// The answer broke off, or is larger than a key set may be.
    #[error("cannot read the answer of {uri}")]
    Body {
        /// What was fetched.
        uri: String,
        /// What went wrong.
        source: BodyError,
    },
    /// The document is larger than a key set may be.
    #[error("the key set is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// The document is not what it should be.
    #[error("not a key set, or not an issuer's metadata")]
    Document(#[source] serde_json::Error),
    /// The metadata is that of another issuer (OpenID Connect Discovery 1.0 §4.3).
    #[error("the metadata is that of another issuer")]
    WrongIssuer,
    /// The metadata names no usable address for the keys.
    #[error("the jwks_uri in the metadata is not an address the keys may come from")]
    JwksUri,
    /// The issuer took too long.
    #[error("no answer within {} seconds", DEADLINE.as_secs())]
    TimedOut,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

// === impl Source ===

impl Source {
    /// The least time from the beginning of one load to the next.
    pub(crate) const fn floor(&self) -> Duration {
        match self {
            Self::File(_) => FILE_FLOOR,
            Self::Url { .. } | Self::Discovery { .. } => FETCH_FLOOR,
        }
    }

    /// Loads the key set, within [`DEADLINE`].
    pub(crate) async fn load(&self) -> Result<Fetched, JwksError> {
        let load = async {
            match self {
                Self::File(path) => {
                    let path = path.clone();
                    let read = tokio::task::spawn_blocking(move || read_file(&path));
                    read.await.map_err(|stopped| JwksError::File(io::Error::other(stopped)))?
                }
                Self::Url { uri, client } => fetch_keys(client, uri.clone()).await,
                Self::Discovery { issuer, metadata, client } => {
                    let uri = discover(client, issuer, metadata.clone()).await?;
                    fetch_keys(client, uri).await
                }
            }
        };
        timeout(DEADLINE, load).await.map_err(|_| JwksError::TimedOut)?
    }
}

/// Reads a key set from a file.
pub(crate) fn read_file(path: &Path) -> Result<Fetched, JwksError> {
    let mut document = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut document))
        .map_err(JwksError::File)?;
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(JwksError::TooLarge);
    }
    let keys = KeySet::parse(&document).map_err(JwksError::Document)?;
    Ok(Fetched { keys, lifetime: FILE_FLOOR })
}

async fn fetch_keys(client: &HttpClient, uri: Uri) -> Result<Fetched, JwksError> {
    let (headers, document) = fetch(client, uri).await?;
    let keys = KeySet::parse(&document).map_err(JwksError::Document)?;
    Ok(Fetched { keys, lifetime: lifetime(&headers) })
}

async fn discover(client: &HttpClient, issuer: &str, metadata: Uri) -> Result<Uri, JwksError> {
    let asked_over_tls = metadata.scheme() == Some(&Scheme::HTTPS);
    let (_, document) = fetch(client, metadata).await?;
    let metadata: Metadata = serde_json::from_slice(&document).map_err(JwksError::Document)?;
    if metadata.issuer != issuer {
        return Err(JwksError::WrongIssuer);
    }
    jwks_address(&metadata.jwks_uri, asked_over_tls).ok_or(JwksError::JwksUri)
}

/// The address of the keys. Keys fetched in the clear would undo that the
/// issuer was asked over TLS.
fn jwks_address(address: &str, asked_over_tls: bool) -> Option<Uri> {
    let uri: Uri = address.parse().ok()?;
    let usable = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => !asked_over_tls,
        _ => false,
    };
    usable.then_some(uri)
}

async fn fetch(client: &HttpClient, uri: Uri) -> Result<(HeaderMap, Bytes), JwksError> {
    let headers =
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json, application/jwk-set+json"))]);
    let response = match client.endpoint(uri.clone()).send(Method::GET, headers, Body::empty()).await {
        Ok(response) => response,
        Err(source) => return Err(JwksError::Connect { uri: uri.to_string(), source }),
    };
    if response.status() != StatusCode::OK {
        return Err(JwksError::Status { uri: uri.to_string(), status: response.status() });
    }
    let (head, body) = response.into_parts();
    match Limited::new(body, MAX_DOCUMENT_BYTES).collect().await {
        Ok(body) => Ok((head.headers, body.to_bytes())),
        Err(source) => Err(JwksError::Body { uri: uri.to_string(), source }),
    }
}

/// How long an answer counts as fresh: its `max-age` (RFC 9111 §5.2.2.1),
/// within bounds. What must not be cached is kept for the lower bound, as
/// asking again for every token is not an option.
fn lifetime(headers: &HeaderMap) -> Duration {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut lifetime = DEFAULT_LIFETIME;
    for directive in directives.flat_map(|value| value.split(',')) {
        let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return LIFETIMES.0;
        }
        if name.eq_ignore_ascii_case("max-age")
            && let Ok(seconds) = value.trim_matches('"').parse()
        {
            lifetime = Duration::from_secs(seconds);
        }
    }
    lifetime.clamp(LIFETIMES.0, LIFETIMES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_counts_within_its_bounds() {
        for (value, seconds) in [
            ("max-age=3600", 3600),
            ("public, Max-Age=\"3600\", must-revalidate", 3600),
            ("max-age=0", 60),
            ("max-age=99999999999", 24 * 60 * 60),
            ("max-age=99999999999999999999999", 600),
            ("max-age=-1", 600),
            ("max-age", 600),
            ("s-maxage=5", 600),
            ("max-age=3600, no-store", 60),
            ("no-cache", 60),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(lifetime(&headers), Duration::from_secs(seconds), "{value}");
        }
        assert_eq!(lifetime(&HeaderMap::new()), Duration::from_secs(600));
    }

    #[test]
    fn an_issuer_asked_over_tls_cannot_send_us_to_keys_in_the_clear() {
        assert!(jwks_address("https://idp.example.com/jwks", true).is_some());
        assert!(jwks_address("http://idp.example.com/jwks", true).is_none());
        assert!(jwks_address("http://127.0.0.1/jwks", false).is_some());
    }

    #[test]
    fn a_file_over_the_bound_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b' '; MAX_DOCUMENT_BYTES + 1]).unwrap();
        assert!(matches!(read_file(file.path()), Err(JwksError::TooLarge)));
    }
}

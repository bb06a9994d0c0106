//! The HTTP client of everything in the gateway that calls out: HTTP/1.1 and
//! HTTP/2, TLS against the system's root certificates, connections that are
//! used again.
//!
//! A request goes to an [`Endpoint`], which keeps connections of its own and
//! whatever of the request never changes, so that nothing is looked up for
//! it. Why this is no library's client: `docs/adr/0008-connections-of-our-own.md`.

mod answer;
mod endpoint;
mod http1;
mod pool;
pub mod upgrade;

use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tower_service::Service;

pub use self::answer::Answer;
pub use self::endpoint::Endpoint;
use crate::body::BodyError;

/// How long one attempt to connect over TCP may take.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take in all, with names looked up, every address
/// tried and TLS agreed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection on which nothing is heard for so long is asked whether it
/// still lives: many requests share one in HTTP/2, and streams of changes may
/// be silent for hours.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Makes connections. Clones are cheap.
#[derive(Clone, Debug)]
pub struct HttpClient {
    connector: HttpsConnector<HttpConnector>,
    /// Speaks HTTP/1.1 alone, which can be left for another protocol.
    upgrading: HttpsConnector<HttpConnector>,
}

/// Why a request got no answer.
#[derive(Debug, Error)]
pub enum SendError {
    /// No connection took the request: it was surely not processed.
    #[error("cannot connect")]
    Connect(#[source] BodyError),
    /// The connection broke after the request may have been taken up.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
}

// === impl HttpClient ===

impl HttpClient {
    /// A client without connections.
    ///
    /// The system's root certificates are read only where something is called over
    /// `https` (`with_tls`): reading them takes longer than all the rest of the start.
    #[must_use]
    pub fn new(with_tls: bool) -> Self {
        let mut roots = RootCertStore::empty();
        if with_tls {
            // A certificate that cannot be read is one the operator's system
            // tools complain about too; the others still count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Self::trusting(roots)
    }

    fn trusting(roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(TCP_TIMEOUT));
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE_TIMEOUT));
        tcp.set_keepalive_retries(Some(3));
        let builder = |tls| HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        Self {
            connector: builder(tls.clone()).enable_http2().wrap_connector(tcp.clone()),
            upgrading: builder(tls).wrap_connector(tcp),
        }
    }

    /// One URL, to which connections are made as they are needed and kept.
    #[must_use]
    pub fn endpoint(&self, url: Uri) -> Endpoint {
        Endpoint::new(self.clone(), url)
    }

    async fn connect(&self, url: Uri) -> Result<Stream, BodyError> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.connector.clone().call(url)).await?
    }
}

#[cfg(test)]
mod tests;

//! The HTTP client that everything in the gateway shares: pooled connections,
//! HTTP/1.1 and HTTP/2, TLS against the system's root certificates.

use std::time::Duration;

use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use crate::body::Body;

/// A pooled HTTP client; clones share the pool.
pub type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

/// Idle connections kept for one host.
const MAX_IDLE_PER_HOST: usize = 256;
/// How long an idle connection is kept. Shorter than what common servers
/// allow, so that we rarely write into a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing is heard for so long is asked whether it
/// still lives: many requests share one in HTTP/2, and streams of changes may
/// be silent for hours.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Builds the client.
///
/// The system's root certificates are read only where something is called over
/// `https` (`with_tls`): reading them takes longer than all the rest of the start.
pub fn http_client(with_tls: bool) -> HttpClient {
    let mut roots = RootCertStore::empty();
    if with_tls {
        // A certificate that cannot be read is one the operator's system
        // tools complain about too; the others still count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(KEEP_ALIVE_TIMEOUT));
    tcp.set_keepalive_retries(Some(3));
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .build(connector)
}

//! The least that a reverse proxy can do: both bodies pass through as they
//! come, over pooled connections, and nothing is looked at.

use std::sync::Arc;

use anyhow::Context as _;
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::child;

/// The argument that makes this program the floor; the upstream's address follows.
pub(crate) const ROLE: &str = "--role=floor";
/// More than any run has connections.
const MAX_IDLE: usize = 1024;

struct Floor {
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    host: HeaderValue,
}

/// Proxies until the parent is gone.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [upstream] = arguments else { anyhow::bail!("the upstream's address is missing") };
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let host = HeaderValue::from_str(upstream).context("an address")?;
    let upstream = upstream.parse().context("an address")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("a runtime")?;
    runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        let floor = Arc::new(Floor { client, upstream, host });
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        child::announce(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let floor = Arc::clone(&floor);
            tokio::spawn(async move {
                let service = service_fn(|request| floor.forward(request));
                let server = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                // A client that leaves is no fault.
                let _ = server.await;
            });
        }
    })
}

// === impl Floor ===

impl Floor {
    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Error> {
        let mut uri = request.uri().clone().into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.upstream.clone());
        *request.uri_mut() = Uri::from_parts(uri).expect("scheme, authority and path make an address");
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().insert(HOST, self.host.clone());
        let mut response = self.client.request(request).await?;
        response.headers_mut().remove(CONNECTION);
        Ok(response)
    }
}

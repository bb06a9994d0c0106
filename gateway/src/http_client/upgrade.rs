//! Connections that leave HTTP (RFC 9110 §7.8), each of its own.
//!
//! Only HTTP/1.1 can be left so, which TLS is told to begin with.

use http::header::HOST;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::endpoint::{host, target};
use super::{CONNECT_TIMEOUT, HttpClient, SendError};

/// A connection that belongs to another protocol now.
pub type Connection = TokioIo<Upgraded>;

/// What a server answered to the request to leave HTTP.
#[derive(Debug)]
pub struct Answered {
    /// The status: 101 where it agreed.
    pub status: StatusCode,
    /// What it said with it.
    pub headers: HeaderMap,
    /// The connection, where it agreed.
    pub connection: Option<Connection>,
}

// === impl HttpClient ===

impl HttpClient {
    /// Asks a server to leave HTTP; `headers` say for what. Making the
    /// connection takes a bounded time; how long the answer may take is the
    /// caller's to say.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn upgrade(&self, url: &Uri, headers: HeaderMap) -> Result<Answered, SendError> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.upgrading.clone().call(url.clone()));
        let stream = connecting.await.map_err(|late| SendError::Connect(late.into()))?.map_err(SendError::Connect)?;
        let (mut sender, connection) = handshake(stream).await.map_err(|error| SendError::Connect(error.into()))?;
        // Ends with the answer, or hands the connection over with it.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection that was to leave HTTP broke");
            }
        });
        let mut request = Request::new(Empty::<bytes::Bytes>::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = target(url);
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, host(url));
        let mut response = sender.send_request(request).await.map_err(SendError::Broken)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let connection = match status {
            StatusCode::SWITCHING_PROTOCOLS => {
                Some(TokioIo::new(hyper::upgrade::on(response).await.map_err(SendError::Broken)?))
            }
            _ => None,
        };
        Ok(Answered { status, headers, connection })
    }
}

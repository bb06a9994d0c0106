//! One URL, the connections to it, and what all requests to it have in common.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::Either;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};

use super::answer::Answer;
use super::http1::Failure;
use super::pool::{Connection, Pool};
use super::{HttpClient, SendError};
use crate::body::Body;

/// One URL that requests go to.
pub struct Endpoint {
    url: Uri,
    /// Its path and query, which is all that HTTP/1.1 names in the first line.
    target: Uri,
    host: HeaderValue,
    pub(super) pool: Arc<Pool>,
}

/// What became of a request on one connection.
enum Sent {
    Answered(Response<Answer>),
    /// The connection was closed before anything was written.
    Unsent(Request<Body>, hyper::Error),
    Broken(hyper::Error),
}

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(client: HttpClient, url: Uri) -> Self {
        Self { target: target(&url), host: host(&url), pool: Pool::new(client, url.clone()), url }
    }

    /// The URL.
    #[must_use]
    pub const fn url(&self) -> &Uri {
        &self.url
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// Dropping the future closes the connection (HTTP/1.1) or the stream
    /// (HTTP/2). A connection that was closed while it was idle is replaced by
    /// another; a request of which anything was written is never sent again.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Body,
    ) -> impl Future<Output = Result<Response<Answer>, SendError>> + Send {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        async move {
            loop {
                let (connection, is_new) = match self.pool.take() {
                    Some(connection) => (connection, false),
                    // Large, and seldom needed.
                    None => (Box::pin(self.pool.connect()).await?, true),
                };
                match self.send_over(connection, request).await {
                    Sent::Answered(response) => return Ok(response),
                    Sent::Unsent(unsent, _) if !is_new => request = unsent,
                    Sent::Unsent(_, error) => return Err(SendError::Connect(error.into())),
                    Sent::Broken(error) => return Err(SendError::Broken(error)),
                }
            }
        }
    }

    /// No `async fn`, which would hold the request twice.
    fn send_over(&self, connection: Connection, mut request: Request<Body>) -> impl Future<Output = Sent> + Send {
        match connection {
            Connection::Http1(connection) => {
                *request.uri_mut() = self.target.clone();
                request.headers_mut().insert(HOST, self.host.clone());
                let answered = |(response, connection): (Response<_>, _)| {
                    response.map(|body| Answer::over_http1(body, connection, &self.pool))
                };
                Either::Left(connection.send(request).map(move |sent| Sent::of(sent.map(answered))))
            }
            Connection::Http2(mut sender) => {
                *request.uri_mut() = self.url.clone();
                request.headers_mut().remove(HOST);
                Either::Right(sender.try_send_request(request).map(|sent| {
                    if sent.as_ref().is_err_and(|failure| failure.message().is_some()) {
                        self.pool.forget_http2();
                    }
                    Sent::of(sent.map(|response| response.map(Answer::over_http2)))
                }))
            }
        }
    }
}

// === impl Sent ===

impl Sent {
    fn of(sent: Result<Response<Answer>, Failure>) -> Self {
        match sent {
            Ok(response) => Self::Answered(response),
            Err(mut failure) => match failure.take_message() {
                Some(request) => Self::Unsent(request, failure.into_error()),
                None => Self::Broken(failure.into_error()),
            },
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Path and query, which is all that HTTP/1.1 names in the first line.
pub(super) fn target(url: &Uri) -> Uri {
    url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")).into()
}

/// The host and, unless it is the scheme's own, the port (RFC 9110 §7.2).
pub(super) fn host(url: &Uri) -> HeaderValue {
    let default = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let host = url.host().unwrap_or_default();
    let host = match url.port_u16().filter(|port| *port != default) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
        None => HeaderValue::try_from(host),
    };
    // A URL holds no characters that a header cannot.
    host.unwrap_or(HeaderValue::from_static(""))
}

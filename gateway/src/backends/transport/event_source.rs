//! HTTP+SSE (MCP 2024-11-05, "HTTP with SSE"): one GET whose event stream
//! carries everything the server says, and a POST for each message of ours, to
//! the URI that the first event names.
//!
//! Although it is HTTP it is one pipe: answers come on the stream that all
//! share, and what was agreed on ends with it. Servers of later revisions
//! dropped this transport, so whoever speaks it wants a handshake.

mod endpoint;
mod posting;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::ACCEPT;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::info;

use self::posting::Posting;
use self::stream::EventStream;
use super::TransportError;
use super::pipe::{Connection, Dial, Ended, Hearing, Opening, Pipe, PipeTransport, Stop};
use super::way::{ContentType, EVENT_STREAM, Way, content_type, refusal};
use crate::backends::settings::{HttpSettings, RetrySettings};
use crate::body::Body;
use crate::http_client::HttpClient;

/// How long it may take until a server has said where messages go.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A way to a server of HTTP+SSE.
pub type EventSourceTransport = PipeTransport<EventSource>;

/// Where the event stream is.
pub struct EventSource {
    client: HttpClient,
    way: Way,
}

// === impl EventSourceTransport ===

impl EventSourceTransport {
    /// A transport to the upstream `name`, whose event stream is at the URL of
    /// the settings; `retry` paces the attempts to open it again.
    #[must_use]
    pub fn new(name: Arc<str>, settings: HttpSettings, client: &HttpClient, retry: RetrySettings) -> Arc<Self> {
        let way = Way { endpoint: client.endpoint(settings.url), headers: settings.headers };
        Self::over(name, EventSource { client: client.clone(), way }, retry)
    }
}

// === impl EventSource ===

impl EventSource {
    async fn open(&self) -> Result<(EventStream, Way), TransportError> {
        let headers = HeaderMap::from_iter([(ACCEPT, EVENT_STREAM)]);
        let response = self.way.send(Method::GET, headers, Body::empty()).await?;
        let mut stream = match (response.status(), content_type(response.headers())) {
            (StatusCode::OK, ContentType::EventStream) => EventStream::new(response.into_body()),
            (StatusCode::OK, _) => return Err(TransportError::Garbage("HTTP 200 without an event stream".to_owned())),
            (status, _) => return Err(refusal(status, response.headers(), false)),
        };
        let named = stream.endpoint().await?;
        let target = endpoint::resolve(self.way.endpoint.url(), &named)?;
        Ok((stream, Way { endpoint: self.client.endpoint(target), headers: self.way.headers.clone() }))
    }
}

impl Dial for EventSource {
    fn dial(&self, opening: Opening) -> BoxFuture<'_, Result<Connection, TransportError>> {
        Box::pin(async move {
            let late = |_| TransportError::Unreachable("it did not say in time where messages go".to_owned());
            let (stream, way) = timeout(OPEN_TIMEOUT, self.open()).await.map_err(late)??;
            info!(upstream = %opening.upstream, connection = opening.number, "the upstream's event stream was opened");
            let forgotten = Arc::new(Notify::new());
            let pipe = Pipe::new(&opening.upstream, Posting::start(way, Arc::clone(&forgotten)));
            let hearing = Hearing::new(Arc::clone(&pipe));
            Ok(Connection::serve(opening, pipe, None, |stop| serve(stream, hearing, forgotten, stop)))
        })
    }

    fn has_handshake(&self) -> bool {
        true
    }
}

/// Hears what comes until the stream ends or the server has forgotten it.
async fn serve(mut stream: EventStream, mut hearing: Hearing, forgotten: Arc<Notify>, stop: Stop) -> Ended {
    let hear = async {
        loop {
            match stream.message().await {
                Ok(message) => {
                    if let Err(error) = hearing.take(&message) {
                        return error;
                    }
                }
                Err(error) => return error,
            }
        }
    };
    tokio::select! {
        error = hear => Ended::lost(error),
        () = forgotten.notified() => Ended::lost(TransportError::Disconnected("the server has forgotten it".to_owned())),
        () = stop.asked() => Ended::orderly(),
    }
}

#[cfg(test)]
mod tests;

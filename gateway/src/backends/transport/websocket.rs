//! MCP over WebSocket, which no revision specifies and the SDKs agree on: the
//! subprotocol `mcp`, and one JSON-RPC message in each text frame.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use tokio::time::timeout;
use tracing::info;

use super::TransportError;
use super::pipe::{Connection, Dial, Ended, Hearing, Opening, Pipe, PipeTransport, Queue, Queued, Stop};
use super::way::{cause, refusal};
use crate::backends::settings::{HttpSettings, RetrySettings};
use crate::http_client::upgrade::Connection as Upgraded;
use crate::http_client::{HttpClient, SendError};
use crate::websocket::{self, Heard, MAX_MESSAGE_BYTES, Reader, Side, SocketError, Writer, handshake};

/// How long a server may take to agree to WebSocket.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may take to say goodbye too.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// The end of a connection that did what it was for (RFC 6455 §7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// A way to a server over WebSocket.
pub type WebSocketTransport = PipeTransport<WebSocket>;

/// Where WebSocket is asked for.
pub struct WebSocket {
    client: HttpClient,
    url: Uri,
    /// Sent along.
    headers: Vec<(HeaderName, HeaderValue)>,
}

// === impl WebSocketTransport ===

impl WebSocketTransport {
    /// A transport to the upstream `name`; `retry` paces the attempts to
    /// connect again.
    #[must_use]
    pub fn new(name: Arc<str>, settings: HttpSettings, client: &HttpClient, retry: RetrySettings) -> Arc<Self> {
        let HttpSettings { url, headers } = settings;
        Self::over(name, WebSocket { client: client.clone(), url, headers }, retry)
    }
}

// === impl WebSocket ===

impl WebSocket {
    async fn open(&self) -> Result<Upgraded, TransportError> {
        let mut headers: HeaderMap = self.headers.iter().cloned().collect();
        let key = handshake::request(&mut headers)
            .map_err(|error| TransportError::Unreachable(format!("no random numbers: {error}")))?;
        // Whatever breaks here, no message was sent yet.
        let answered = self.client.upgrade(&self.url, headers).await.map_err(|error| match error {
            SendError::Connect(_) | SendError::Broken(_) => TransportError::Unreachable(cause(&error)),
        })?;
        let Some(connection) = answered.connection else {
            return Err(match answered.status {
                status if status.is_success() => {
                    TransportError::Garbage(format!("HTTP {} instead of WebSocket", StatusCode::as_u16(&status)))
                }
                status => refusal(status, &answered.headers, false),
            });
        };
        handshake::check(&answered.headers, &key).map_err(|error| TransportError::Garbage(error.to_string()))?;
        Ok(connection)
    }
}

impl Dial for WebSocket {
    fn dial(&self, opening: Opening) -> BoxFuture<'_, Result<Connection, TransportError>> {
        Box::pin(async move {
            let late = |_| TransportError::Unreachable("it did not agree to WebSocket in time".to_owned());
            let connection = timeout(OPEN_TIMEOUT, self.open()).await.map_err(late)??;
            info!(upstream = %opening.upstream, connection = opening.number, "the upstream's WebSocket was opened");
            let (reader, writer) = websocket::open(connection, Side::Client, MAX_MESSAGE_BYTES).await;
            let (queue, queued) = Queue::new();
            let pipe = Pipe::new(&opening.upstream, queue);
            let serving = Serving { reader, writer, queued, pipe: Arc::clone(&pipe) };
            Ok(Connection::serve(opening, pipe, None, |stop| serving.run(stop)))
        })
    }
}

/// What serves one connection.
struct Serving {
    reader: Reader<Upgraded>,
    writer: Writer<Upgraded>,
    queued: Queued,
    pipe: Arc<Pipe>,
}

// === impl Serving ===

impl Serving {
    /// Runs until either side ends the connection.
    async fn run(self, stop: Stop) -> Ended {
        let Self { mut reader, mut writer, queued, pipe } = self;
        let mut hearing = Hearing::new(Arc::clone(&pipe));
        let ended = {
            let hear = hear(&mut reader, &mut hearing);
            let write = writer.send_all(queued.into_stream(Arc::clone(&pipe)));
            tokio::select! {
                error = hear => Ended::lost(error),
                written = write => Ended::lost(match written {
                    Ok(()) => TransportError::Disconnected("it was closed".to_owned()),
                    Err(error) => lost(&error),
                }),
                () = stop.asked() => Ended::orderly(),
            }
        };
        // Nobody need wait for the goodbyes.
        pipe.end(&ended.error);
        let goodbye = async {
            writer.close(NORMAL_CLOSURE).await?;
            while reader.next().await?.is_some() {}
            Ok::<_, SocketError>(())
        };
        // One that is gone already hears none.
        let _ = timeout(CLOSE_GRACE, goodbye).await;
        ended
    }
}

/// Hears what comes until the server closes or is beyond bearing.
async fn hear(reader: &mut Reader<Upgraded>, hearing: &mut Hearing) -> TransportError {
    loop {
        let message = match reader.next().await {
            Ok(Some(Heard::Text(message))) => message,
            // It is no message, whatever it holds.
            Ok(Some(Heard::Binary)) => bytes::Bytes::new(),
            Ok(None) => return TransportError::Disconnected("the server closed it".to_owned()),
            Err(error) => return lost(&error),
        };
        if let Err(error) = hearing.take(&message) {
            return error;
        }
    }
}

fn lost(error: &SocketError) -> TransportError {
    match error {
        SocketError::Garbage(_) => TransportError::Garbage(cause(error)),
        SocketError::Broken(_) | SocketError::Dead => TransportError::Disconnected(cause(error)),
    }
}

#[cfg(test)]
mod tests;

//! `GET /ws`: a client's connection leaves HTTP and becomes one over which
//! messages go both ways (RFC 6455, subprotocol `mcp`).
//!
//! Who calls was found out before, by the headers of the upgrade, and holds
//! for the whole connection, an hour at most. When another configuration is in
//! force, or the process drains, no more calls are taken, so that none passes by
//! yesterday's policies, and it ends once those that run have ended; clients
//! connect again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::header::{HeaderMap, HeaderName, SEC_WEBSOCKET_VERSION};
use http::{HeaderValue, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tower_service::Service;

use super::arrival::Arrival;
use super::connection::{Connection, Messages};
use crate::backends::answer::Answer;
use crate::body::Body;
use crate::mcp::places::{Place, Places};
use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;
use crate::websocket::{self, Heard, Side, handshake};

/// Connections of this kind at a time.
const MAX_OPEN: usize = 4_096;
/// The same of one caller.
const MAX_OF_CALLER: usize = 64;
/// Messages that wait for a client that does not read.
const MAX_WAITING: usize = 256;
/// How long one stays open.
const MAX_LIFE: Duration = Duration::from_secs(60 * 60);
/// How long calls may go on after their configuration.
const FINISH: Duration = Duration::from_secs(60);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Close codes (RFC 6455 §7.4.1, and the registry it founded).
const NORMAL: u16 = 1000;
const UNSUPPORTED: u16 = 1003;
const TOO_BIG_OR_BROKEN: u16 = 1002;
const SERVICE_RESTART: u16 = 1012;

/// The WebSocket front.
#[derive(Debug)]
pub(super) struct WebSockets {
    places: Arc<Places>,
}

// === impl WebSockets ===

impl WebSockets {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Places::new(MAX_OPEN, MAX_OF_CALLER)) }
    }

    /// Answers the request for an upgrade; the connection goes on by itself.
    pub(super) fn open<S>(
        &self,
        arrival: &Arrival,
        upgrade: Option<OnUpgrade>,
        messages: Messages<S>,
        max_message_bytes: usize,
    ) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let key = arrival.headers.get(SEC_WEBSOCKET_KEY).filter(|_| asks_for_websocket(&arrival.headers));
        let (Some(key), Some(upgrade)) = (key, upgrade) else {
            return Err(Rejection::InvalidRequest { detail: "this path speaks WebSocket (RFC 6455) over HTTP/1.1" });
        };
        let client_ip = arrival.record.client_ip.get().copied();
        let place = self.places.take(arrival.caller()).ok_or(Rejection::Overloaded)?;
        let (out, said) = mpsc::channel(MAX_WAITING);
        let life = arrival.record.life(MAX_LIFE);
        let connection = Connection::new(Arc::clone(&arrival.principal), client_ip, out);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, handshake::accept(key.as_bytes()));
        if lists(&arrival.headers, &SEC_WEBSOCKET_PROTOCOL, handshake::SUBPROTOCOL) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(handshake::SUBPROTOCOL));
        }
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let socket = TokioIo::new(upgraded);
                    serve(socket, connection, said, messages, max_message_bytes, life, place).await;
                }
                Err(error) => tracing::debug!(%error, "a client went away before it had its WebSocket"),
            }
        });
        Ok(response)
    }
}

/// Serves a client until either side has had enough.
async fn serve<S>(
    socket: TokioIo<Upgraded>,
    connection: Arc<Connection>,
    mut said: mpsc::Receiver<Bytes>,
    messages: Messages<S>,
    max_message_bytes: usize,
    life: Duration,
    _place: Place,
) where
    S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let superseded = messages.superseded();
    let finished = async {
        superseded.await;
        // What takes longer is cut off.
        let _ = timeout(FINISH, connection.finish()).await;
    };
    let (mut reader, mut writer) = websocket::open(socket, Side::Server, max_message_bytes).await;
    let end = Instant::now() + life;
    let reading = async {
        loop {
            match reader.next().await {
                Ok(Some(Heard::Text(message))) => connection.take(&messages, message).await,
                Ok(Some(Heard::Binary)) => return UNSUPPORTED,
                Ok(None) => return NORMAL,
                Err(error) => {
                    tracing::debug!(%error, "a WebSocket broke");
                    return TOO_BIG_OR_BROKEN;
                }
            }
        }
    };
    let writing = async {
        if let Err(error) = writer.send_all(poll_fn(|cx| said.poll_recv(cx))).await {
            tracing::debug!(%error, "a WebSocket's client does not read");
        }
    };
    let code = tokio::select! {
        code = reading => code,
        () = writing => NORMAL,
        () = connection.listen(|| messages.clone()) => NORMAL,
        () = finished => SERVICE_RESTART,
        () = sleep_until(end) => SERVICE_RESTART,
    };
    connection.end(&messages).await;
    let _ = timeout(GOODBYE, writer.close(code)).await;
}

/// Whether a request asks for this protocol (RFC 6455 §4.2.1).
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    lists(headers, &CONNECTION, "upgrade")
        && lists(headers, &UPGRADE, "websocket")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
}

/// Whether a header that is a list has this member, whatever its case.
fn lists(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|entry| entry.trim().eq_ignore_ascii_case(member))
}

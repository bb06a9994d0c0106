//! WebSocket (RFC 6455): messages over a connection that has left HTTP, the
//! same on both sides.
//!
//! One text frame is one JSON-RPC message. A peer that says nothing for 40 s,
//! not even to the ping that it gets every 20 s, is taken for dead; one that
//! does not read is left after the same time. Nothing larger than the reader
//! allows is held.
//!
//! The handshake belongs to HTTP and stays there; what it needs of this
//! protocol is in [`handshake`].

pub mod handshake;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::error::{Error as Fault, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

/// The largest message that an upstream may send.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How often the peer is asked whether it still lives.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A peer of which nothing was heard, or that took nothing, for so long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(40);
/// A message up to this size has memory of its own.
const SMALL_BYTES: usize = 1 << 20;
/// What is read at once, and what waits to be written.
const BUFFER_BYTES: usize = 16 << 10;

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We asked for it.
    Client,
    /// We were asked.
    Server,
}

/// What the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A text frame: UTF-8, and one message.
    Text(Bytes),
    /// A binary frame, which is none.
    Binary,
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nothing was heard of the peer, or it took nothing, for too long.
    #[error("nothing was heard of the other side")]
    Dead,
    /// The connection ended without being closed, or was closed meanwhile.
    #[error("the connection broke off")]
    Broken(#[source] Box<Fault>),
    /// What came is not WebSocket, no UTF-8 or over the limit.
    #[error("what came cannot be taken")]
    Garbage(#[source] Box<Fault>),
}

/// The half that reads.
#[derive(Debug)]
pub struct Reader<S> {
    frames: SplitStream<WebSocketStream<S>>,
}

/// The half that writes.
#[derive(Debug)]
pub struct Writer<S> {
    frames: SplitSink<WebSocketStream<S>, Message>,
}

/// Speaks WebSocket over a connection whose handshake is done.
pub async fn open<S>(connection: S, side: Side, max_message_bytes: usize) -> (Reader<S>, Writer<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let role = match side {
        Side::Client => Role::Client,
        Side::Server => Role::Server,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes));
    let (writer, reader) = WebSocketStream::from_raw_socket(connection, role, Some(config)).await.split();
    (Reader { frames: reader }, Writer { frames: writer })
}

// === impl Reader ===

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<S> {
    /// Waits for what the peer sends next; `None` once it has closed.
    ///
    /// # Errors
    ///
    /// See [`SocketError`].
    pub async fn next(&mut self) -> Result<Option<Heard>, SocketError> {
        loop {
            let frame = timeout(DEAD_AFTER, self.frames.next()).await.map_err(|_| SocketError::Dead)?;
            match frame.transpose()? {
                None => return Ok(None),
                Some(Message::Close(_)) => {
                    // Has our own goodbye written.
                    let _ = self.frames.next().now_or_never();
                    return Ok(None);
                }
                Some(Message::Text(text)) => return Ok(Some(Heard::Text(compact(text.into())))),
                Some(Message::Binary(_)) => return Ok(Some(Heard::Binary)),
                // Pings are answered below us.
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            }
        }
    }
}

// === impl Writer ===

impl<S: AsyncRead + AsyncWrite + Unpin> Writer<S> {
    /// Sends these messages as they come until there are no more, and pings
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// See [`SocketError`].
    pub async fn send_all(&mut self, messages: impl Stream<Item = Bytes>) -> Result<(), SocketError> {
        let mut messages = pin!(messages);
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is due at once.
        pings.tick().await;
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.text(message).await?,
                    None => return Ok(()),
                },
                _ = pings.tick() => self.send(Message::Ping(Bytes::new())).await?,
            }
        }
    }

    /// Sends one message, which is UTF-8.
    ///
    /// # Errors
    ///
    /// See [`SocketError`].
    pub async fn text(&mut self, message: Bytes) -> Result<(), SocketError> {
        let text = Utf8Bytes::try_from(message).map_err(|error| SocketError::Garbage(Box::new(Fault::from(error))))?;
        self.send(Message::Text(text)).await
    }

    /// Says goodbye; the peer does so too, which the [`Reader`] then sees.
    /// `code` is one of RFC 6455 §7.4.
    ///
    /// # Errors
    ///
    /// See [`SocketError`].
    pub async fn close(&mut self, code: u16) -> Result<(), SocketError> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::from_static("") };
        self.send(Message::Close(Some(frame))).await
    }

    async fn send(&mut self, frame: Message) -> Result<(), SocketError> {
        Ok(timeout(DEAD_AFTER, self.frames.send(frame)).await.map_err(|_| SocketError::Dead)??)
    }
}

/// A small message that was read together with a large one must not keep the
/// memory of both.
fn compact(message: Bytes) -> Bytes {
    if message.len() <= SMALL_BYTES { Bytes::copy_from_slice(&message) } else { message }
}

// === impl SocketError ===

impl From<Fault> for SocketError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
                Self::Broken(Box::new(fault))
            }
            Fault::Capacity(_) | Fault::Protocol(_) | Fault::Utf8(_) => Self::Garbage(Box::new(fault)),
            other => Self::Broken(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests;

//! A server at an HTTP URL, of whichever of the two HTTP transports it is:
//! Streamable HTTP, or HTTP+SSE where it knows only that (MCP 2025-11-25,
//! "Backwards Compatibility").
//!
//! Which it is shows when the handshake is refused in a way that servers of
//! HTTP+SSE do, and is remembered for as long as its event stream can be
//! opened. A server that was replaced is so found out when it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ::http::HeaderMap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::event_source::EventSourceTransport;
use super::http::{self, HttpTransport};
use super::{Messages, Outgoing, Reply, Transport, TransportError};
use crate::backends::settings::{HttpSettings, RetrySettings};
use crate::http_client::HttpClient;

/// What the server is taken for.
const STREAMABLE: u8 = 0;
/// Still Streamable HTTP, but the next connection tries the other.
const IN_DOUBT: u8 = 1;
const EVENT_SOURCE: u8 = 2;

/// A way to a server at an HTTP URL.
#[derive(Debug)]
pub struct FallbackTransport {
    streamable: Arc<HttpTransport>,
    event_source: Arc<EventSourceTransport>,
    taken_for: AtomicU8,
}

// === impl FallbackTransport ===

impl FallbackTransport {
    /// A transport to the upstream `name`; it is taken for one of Streamable
    /// HTTP at first.
    #[must_use]
    pub fn new(name: Arc<str>, settings: HttpSettings, client: &HttpClient, retry: RetrySettings) -> Arc<Self> {
        Arc::new(Self {
            streamable: HttpTransport::new(settings.clone(), client),
            event_source: EventSourceTransport::new(name, settings, client, retry),
            taken_for: AtomicU8::new(STREAMABLE),
        })
    }

    fn is_event_source(&self) -> bool {
        self.taken_for.load(Ordering::Acquire) == EVENT_SOURCE
    }

    /// The transport for what names no connection.
    fn current(&self) -> &dyn Transport {
        if self.is_event_source() { self.event_source.as_ref() } else { self.streamable.as_ref() }
    }

    async fn connect_event_source(&self) -> Result<u64, TransportError> {
        let was_known = self.is_event_source();
        // Until a pause is over nothing new can be found out.
        let is_pausing = self.event_source.is_pausing();
        match self.event_source.connect().await {
            Ok(number) => {
                self.taken_for.store(EVENT_SOURCE, Ordering::Release);
                Ok(number)
            }
            Err(error) if was_known && is_pausing => Err(error),
            Err(_) => {
                self.taken_for.store(STREAMABLE, Ordering::Release);
                self.streamable.connect().await
            }
        }
    }
}

impl Transport for FallbackTransport {
    fn connect(&self) -> BoxFuture<'_, Result<u64, TransportError>> {
        match self.taken_for.load(Ordering::Acquire) {
            STREAMABLE => self.streamable.connect(),
            _ => Box::pin(self.connect_event_source()),
        }
    }

    fn request(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, TransportError>> {
        if outgoing.connection != http::CONNECTION {
            self.event_source.request(outgoing)
        } else if self.is_event_source() {
            Box::pin(std::future::ready(Err(TransportError::Reconnected)))
        } else {
            self.streamable.request(outgoing)
        }
    }

    fn notify(&self, body: Bytes, headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        self.current().notify(body, headers)
    }

    fn reply(&self, connection: u64, body: Bytes, headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        if connection == http::CONNECTION {
            self.streamable.notify(body, headers)
        } else {
            self.event_source.reply(connection, body, headers)
        }
    }

    fn lost(&self) -> watch::Receiver<u64> {
        self.event_source.lost()
    }

    fn listen(&self, headers: HeaderMap) -> BoxFuture<'_, Result<Messages, TransportError>> {
        self.current().listen(headers)
    }

    fn is_pipe(&self) -> bool {
        self.is_event_source()
    }

    fn another(&self) -> Option<Arc<dyn Transport>> {
        self.is_event_source().then(|| self.event_source.another()).flatten()
    }

    fn has_handshake(&self) -> bool {
        self.is_event_source()
    }

    fn fall_back(&self) -> bool {
        self.taken_for.compare_exchange(STREAMABLE, IN_DOUBT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn end_session(&self, headers: HeaderMap) -> BoxFuture<'_, ()> {
        self.current().end_session(headers)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.streamable.close().await;
            self.event_source.close().await;
        })
    }
}

#[cfg(test)]
mod tests;

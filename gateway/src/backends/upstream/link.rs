//! What was agreed on with an upstream: the footing on which a request is sent.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::place::Place;
use crate::backends::offer::Offer;
use crate::backends::transport::{Footing, Transport, TransportError};
use crate::mcp::log_level::Threshold;
use crate::mcp::version::Era;

/// An agreement with an upstream.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Whether requests carry what they need, or rely on a handshake.
    pub(super) era: Era,
    /// The revision, and the session where the server minted one, as HTTP says
    /// them.
    pub(super) footing: Arc<Footing>,
    /// How the server is reached.
    pub(super) transport: Arc<dyn Transport>,
    /// The connection the agreement was made over.
    pub(super) connection: u64,
    /// That of a pipe which is one client's alone.
    pub(super) place: Option<Arc<Place>>,
    /// What the server said of itself.
    pub(super) offer: Arc<Offer>,
    /// The log level that it was told last.
    pub(super) level: Arc<Threshold>,
    /// Tells it from any other that may take its place, where the server keeps
    /// something for it.
    pub(super) mark: Option<u128>,
}

// === impl Link ===

impl Link {
    /// The headers every request on this footing has.
    pub(super) fn headers(&self) -> HeaderMap {
        self.footing.headers()
    }

    /// Whether it is over a pipe which is one client's alone: what becomes of
    /// that says nothing about the server to others.
    pub(super) const fn is_alone(&self) -> bool {
        self.place.is_some()
    }

    /// Whether an error says that the server does not know the session, as
    /// servers do that know no better way: 400 with -32000 ("no valid session
    /// id", "not initialized"). It comes before anything is processed.
    pub(super) fn disowned_by(&self, status: Option<u16>, code: i64) -> bool {
        self.footing.session.is_some() && status == Some(400) && code == -32000
    }

    /// Sends a notification.
    ///
    /// # Errors
    ///
    /// Those of the [`Transport`].
    pub(super) async fn notify(&self, body: Bytes) -> Result<(), TransportError> {
        self.transport.notify(body, self.headers()).await
    }

    /// Answers something that the server asked on this footing; whether that
    /// arrived.
    pub(super) async fn reply(&self, body: Bytes) -> bool {
        let replied = self.transport.reply(self.connection, body, self.headers()).await;
        if let Err(error) = &replied {
            tracing::debug!(%error, "an answer to the upstream did not arrive");
        }
        replied.is_ok()
    }

    /// Whether the server has something for it that it must be told the end of.
    pub(super) fn is_own(&self) -> bool {
        self.footing.session.is_some() || self.is_alone()
    }

    /// Ends what the server has for it: the session, or the whole pipe.
    pub(super) async fn end(&self) {
        if self.is_alone() {
            self.transport.close().await;
        } else if self.footing.session.is_some() {
            self.transport.end_session(self.headers()).await;
        }
    }
}

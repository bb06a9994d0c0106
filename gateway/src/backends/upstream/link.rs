//! What was agreed on with an upstream: the footing on which a request is sent.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::backends::offer::Offer;
use crate::mcp::log_level::Threshold;
use crate::mcp::mirror;
use crate::mcp::version::Era;

/// An agreement with an upstream.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Whether requests carry what they need, or rely on a handshake.
    pub(super) era: Era,
    /// The revision, as a header.
    pub(super) version: HeaderValue,
    /// `Mcp-Session-Id`, where the server minted one.
    pub(super) session: Option<HeaderValue>,
    /// The connection the agreement was made over.
    pub(super) connection: u64,
    /// What the server said of itself.
    pub(super) offer: Arc<Offer>,
    /// The log level that it was told last.
    pub(super) level: Arc<Threshold>,
}

// === impl Link ===

impl Link {
    /// The headers every request on this footing has.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(mirror::PROTOCOL_VERSION, self.version.clone());
        if let Some(session) = &self.session {
            headers.insert(mirror::SESSION_ID, session.clone());
        }
        headers
    }

    /// Whether an error says that the server does not know the session, as
    /// servers do that know no better way: 400 with -32000 ("no valid session
    /// id", "not initialized"). It comes before anything is processed.
    pub(super) fn disowned_by(&self, status: Option<u16>, code: i64) -> bool {
        self.session.is_some() && status == Some(400) && code == -32000
    }
}

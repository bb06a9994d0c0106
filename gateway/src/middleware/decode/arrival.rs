//! What comes in with a message beside its body.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;
use portcullis_policies::Principal;
use tokio::time::Instant;

use super::headers::Accepts;
use crate::record::CallRecord;
use crate::rejection::Rejection;

/// The head of a request, as far as decoding needs it.
pub(super) struct Arrival {
    pub(super) headers: HeaderMap,
    /// The one upstream that the path names.
    pub(super) server: Option<Arc<str>>,
    pub(super) accepts: Accepts,
    pub(super) principal: Arc<Principal>,
    pub(super) record: Arc<CallRecord>,
    pub(super) deadline: Instant,
}

// === impl Arrival ===

impl Arrival {
    pub(super) fn new(head: Parts, server: Option<Arc<str>>, request_timeout: Duration) -> Result<Self, Rejection> {
        let accepts = Accepts::read(&head.headers)?;
        // Put there and filled in by the layers around this one; without them
        // nobody is let in.
        let record = head.extensions.get::<Arc<CallRecord>>().cloned().ok_or(Rejection::Internal)?;
        let principal = record.principal.get().cloned().ok_or(Rejection::NoCredential)?;
        let deadline = Instant::now() + request_timeout;
        Ok(Self { headers: head.headers, server, accepts, principal, record, deadline })
    }
}

//! What comes in with a message beside its body.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use portcullis_policies::Principal;
use tokio::time::Instant;

use super::headers::Accepts;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::envelope::Params;
use crate::mcp::request::{Filter, McpRequest, Operation};
use crate::mcp::session::Bearer;
use crate::mcp::version::Version;
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
    pub(super) timeout: Duration,
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
        Ok(Self { headers: head.headers, server, accepts, principal, record, deadline, timeout: request_timeout })
    }

    /// Who asks, as far as sessions are concerned.
    pub(super) fn bearer(&self) -> Bearer<'_> {
        Bearer { principal: self.principal.name(), server: self.server.as_deref() }
    }

    /// A request that comes without a message.
    pub(super) fn into_request(self, operation: Operation) -> McpRequest {
        // Set once a request; the first word stays.
        let _ = self.record.rpc_method.set(operation.method());
        McpRequest {
            operation,
            body: Bytes::new(),
            id: None,
            params: Params::default(),
            version: Version::NEWEST_LEGACY,
            session: None,
            server: self.server,
            client_ip: self.record.client_ip.get().copied(),
            principal: self.principal,
            takes_stream: false,
            abilities: Capabilities::NONE,
            deadline: self.deadline,
            timeout: self.timeout,
            mirrored: HeaderMap::new(),
            record: self.record,
            limits: Arc::default(),
            filter: Filter::default(),
            refusal: None,
        }
    }
}

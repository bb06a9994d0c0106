//! What comes in with a message beside its body.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use http::HeaderMap;
use http::request::Parts;
use portcullis_policies::Principal;
use tokio::time::Instant;

use super::headers::Accepts;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::operation::Operation;
use crate::mcp::params::Params;
use crate::mcp::places::Caller;
use crate::mcp::request::{Filter, McpRequest};
use crate::mcp::session::{Bearer, Session};
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
    pub(super) wire: Wire,
}

/// What a message came over.
pub(super) enum Wire {
    /// A request of its own, whose headers say of whom and how.
    Http,
    /// A connection on which a client has this session.
    Connection(Option<Arc<Session>>),
}

// === impl Arrival ===

impl Arrival {
    pub(super) fn new(head: Parts, server: Option<Arc<str>>, request_timeout: Duration) -> Result<Self, Rejection> {
        let accepts = Accepts::read(&head.headers)?;
        Self::taking(accepts, head, server, request_timeout)
    }

    /// The head of a request that is answered with events or not at all.
    pub(super) fn of_stream(
        head: Parts,
        server: Option<Arc<str>>,
        request_timeout: Duration,
    ) -> Result<Self, Rejection> {
        Self::taking(Accepts::events(&head.headers)?, head, server, request_timeout)
    }

    fn taking(
        accepts: Accepts,
        head: Parts,
        server: Option<Arc<str>>,
        request_timeout: Duration,
    ) -> Result<Self, Rejection> {
        // Put there and filled in by the layers around this one; without them
        // nobody is let in.
        let record = head.extensions.get::<Arc<CallRecord>>().cloned().ok_or(Rejection::Internal)?;
        let principal = record.principal.get().cloned().ok_or(Rejection::NoCredential)?;
        let deadline = Instant::now() + request_timeout;
        Ok(Self {
            headers: head.headers,
            server,
            accepts,
            principal,
            record,
            deadline,
            timeout: request_timeout,
            wire: Wire::Http,
        })
    }

    /// Who asks, as far as sessions are concerned.
    pub(super) fn bearer(&self) -> Bearer<'_> {
        Bearer { principal: self.principal.name(), server: self.server.as_deref() }
    }

    /// The headers that repeat parts of a stateless request, where it has
    /// headers at all.
    pub(super) const fn mirrors(&self) -> Option<&HeaderMap> {
        match self.wire {
            Wire::Http => Some(&self.headers),
            Wire::Connection(_) => None,
        }
    }

    /// A message over a connection without HTTP.
    pub(super) fn over_connection(
        record: Arc<CallRecord>,
        principal: Arc<Principal>,
        session: Option<Arc<Session>>,
        timeout: Duration,
    ) -> Self {
        Self {
            headers: HeaderMap::new(),
            server: None,
            accepts: Accepts { json: true, stream: true },
            principal,
            record,
            deadline: Instant::now() + timeout,
            timeout,
            wire: Wire::Connection(session),
        }
    }

    /// The same for one of several messages: what is written down of it is its
    /// own.
    pub(super) fn of_one(&self) -> Self {
        let wire = match &self.wire {
            Wire::Http => Wire::Http,
            Wire::Connection(session) => Wire::Connection(session.clone()),
        };
        Self {
            headers: self.headers.clone(),
            server: self.server.clone(),
            accepts: self.accepts,
            principal: Arc::clone(&self.principal),
            record: Arc::new(self.record.of_one()),
            deadline: self.deadline,
            timeout: self.timeout,
            wire,
        }
    }

    /// For whom things are counted that it leaves open.
    pub(super) fn caller(&self) -> Caller {
        Caller::new(self.principal.shared_name(), self.record.client_ip.get().copied())
    }

    /// A request that comes without a message.
    pub(super) fn into_request(self, operation: Operation) -> McpRequest {
        // Set once a request; the first word stays.
        let _ = self.record.rpc_method.set(operation.method());
        McpRequest {
            operation,
            body: ByteString::new(),
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
            mirrored: None,
            record: self.record,
            limits: Arc::default(),
            filter: Filter::default(),
            refusal: None,
        }
    }
}

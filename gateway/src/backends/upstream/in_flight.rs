//! Calls that an upstream has not answered yet, so that they can be cancelled.

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::Notify;

use super::link::Link;
use crate::backends::transport::Transport;
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;

type Key = (u128, Box<str>);

#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// By client session and request id. As many as calls are running, which
    /// the gateway bounds.
    calls: DashMap<Key, Arc<Notify>>,
}

/// One running call. Dropping it before [`InFlightCall::answered`] tells the
/// upstream, if it would not notice by itself, that nobody waits any more.
#[derive(Debug)]
pub(super) struct InFlightCall {
    calls: Arc<InFlight>,
    key: Option<Key>,
    cancelled: Option<Arc<Notify>>,
    transport: Arc<dyn Transport>,
    link: Arc<Link>,
    id: u64,
    client_era: Era,
    answered: bool,
}

// === impl InFlight ===

impl InFlight {
    /// Wakes the call that the client no longer waits for, if it still runs.
    pub(super) fn cancel(&self, session: u128, id: &str) {
        if let Some(call) = self.calls.get(&(session, id.into())) {
            call.notify_one();
        }
    }
}

// === impl InFlightCall ===

impl InFlightCall {
    pub(super) fn begin(
        calls: &Arc<InFlight>,
        transport: &Arc<dyn Transport>,
        link: &Arc<Link>,
        request: &McpRequest,
        id: u64,
    ) -> Self {
        // Only who has a session can say which request is meant.
        let key = request.session.as_ref().map(|session| (session.key, request.id_text().into()));
        let cancelled = key.as_ref().map(|key: &Key| {
            let cancelled = Arc::new(Notify::new());
            calls.calls.insert(key.clone(), Arc::clone(&cancelled));
            cancelled
        });
        Self {
            calls: Arc::clone(calls),
            key,
            cancelled,
            transport: Arc::clone(transport),
            link: Arc::clone(link),
            id,
            client_era: request.era(),
            answered: false,
        }
    }

    /// Returns once the client has said that it waits no longer.
    pub(super) async fn cancelled(&self) {
        match &self.cancelled {
            Some(cancelled) => cancelled.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The response came: nothing is left to cancel.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// Tells the upstream that nobody waits, where closing the stream would not.
    pub(super) fn tell_upstream(&self) {
        if self.link.era == Era::Modern && !self.transport.is_pipe() {
            return;
        }
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"the caller waits no longer"}}}}"#,
            self.id
        );
        let (transport, headers) = (Arc::clone(&self.transport), self.link.headers());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = transport.notify(Bytes::from(body), headers).await {
                    tracing::debug!(%error, "a cancellation did not arrive");
                }
            });
        }
    }
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.calls.calls.remove(&key);
        }
        // A client with a handshake that only disconnects has not cancelled
        // (MCP 2025-11-25, "Streamable HTTP", disconnection).
        if !self.answered && self.client_era == Era::Modern {
            self.tell_upstream();
        }
    }
}

//! A session's requests that are not answered yet, so that its client can
//! cancel them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::request::McpRequest;
use super::session::Session;

/// The requests in flight of one session: as many as run at a time, which the
/// gateway bounds. Few, so that they are looked through.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<Vec<(Bytes, Arc<Cancelled>)>>);

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub struct Cancellable {
    session: Arc<Session>,
    cancelled: Arc<Cancelled>,
}

/// Whether a request was cancelled. It stays so for everyone who asks.
#[derive(Debug, Default)]
struct Cancelled {
    is_so: AtomicBool,
    told: Notify,
}

// === impl InFlight ===

impl InFlight {
    /// Wakes whoever waits for the request of this id (as JSON), if it still
    /// runs. Of two that a client wrongly gave one id, the newer is meant.
    pub fn cancel(&self, id: &str) {
        if let Some((_, cancelled)) = self.requests().iter().rfind(|(running, _)| running == id) {
            cancelled.is_so.store(true, Ordering::Release);
            cancelled.told.notify_waiters();
        }
    }

    fn requests(&self) -> MutexGuard<'_, Vec<(Bytes, Arc<Cancelled>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl InFlight {
    pub(crate) fn is_empty(&self) -> bool {
        self.requests().is_empty()
    }
}

// === impl Cancellable ===

impl Cancellable {
    /// Takes up a request; only who has a session can say which one is meant.
    #[must_use]
    pub fn begin(request: &McpRequest) -> Option<Self> {
        Self::under(request, request.body.as_bytes().slice(request.id?.range()))
    }

    /// The same where the request will be gone before it is answered: nothing
    /// of its body is kept.
    #[must_use]
    pub fn apart(request: &McpRequest) -> Option<Self> {
        Self::under(request, Bytes::copy_from_slice(request.text(request.id?).as_bytes()))
    }

    fn under(request: &McpRequest, id: Bytes) -> Option<Self> {
        let session = Arc::clone(request.session.as_ref()?);
        let cancelled = Arc::<Cancelled>::default();
        session.in_flight.requests().push((id, Arc::clone(&cancelled)));
        Some(Self { session, cancelled })
    }

    /// Returns when the client no longer waits.
    pub async fn cancelled(&self) {
        // Before looking, so that nothing that comes meanwhile is missed.
        let told = self.cancelled.told.notified();
        if !self.cancelled.is_so.load(Ordering::Acquire) {
            told.await;
        }
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        let mut requests = self.session.in_flight.requests();
        if let Some(index) = requests.iter().position(|(_, cancelled)| Arc::ptr_eq(cancelled, &self.cancelled)) {
            requests.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::mcp::session::{Agreement, Sessions};
    use crate::mcp::test_request::call;
    use crate::mcp::version::Version;

    #[test]
    fn a_request_is_cancelled_by_its_id_while_it_runs() {
        let session = Sessions::for_tests(1).open(Agreement {
            version: Version::NEWEST_LEGACY,
            principal: "apiKey:ci".into(),
            server: None,
            capabilities: Bytes::new(),
            client_info: None,
        });
        let mut request = call("crm__find");
        assert!(Cancellable::begin(&request).is_none(), "without a session nobody can say which");
        request.session = Some(Arc::clone(&session));
        let (older, newer) = (Cancellable::begin(&request).unwrap(), Cancellable::begin(&request).unwrap());
        session.in_flight.cancel("\"other\"");
        session.in_flight.cancel("q");
        assert_eq!(newer.cancelled().now_or_never(), None);
        session.in_flight.cancel("\"q\"");
        assert_eq!((older.cancelled().now_or_never(), newer.cancelled().now_or_never()), (None, Some(())));
        // Whoever asks later hears it, too.
        assert_eq!(newer.cancelled().now_or_never(), Some(()));
        drop(newer);
        session.in_flight.cancel("\"q\"");
        assert_eq!(older.cancelled().now_or_never(), Some(()));
        drop(older);
        assert!(session.in_flight.is_empty());
    }
}

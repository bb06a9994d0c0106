//! Sessions of clients that began with `initialize`.
//!
//! A session is what a handshake agreed on, bound to the principal that made
//! it. Ids are random and never prove who is calling.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::in_flight::InFlight;
use super::version::Version;

/// Open sessions in all; beyond them the least used make room. One that keeps
/// much of its client counts as several.
pub const MAX_SESSIONS: usize = 100_000;
/// A session that is not used for so long has ended.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// What a session keeps of its client, at most.
pub const MAX_KEPT_BYTES: usize = 4 * 1024;

/// One client's session.
pub struct Session {
    /// `Mcp-Session-Id`.
    pub id: Arc<str>,
    /// The revision agreed on.
    pub version: Version,
    /// The name of the principal that opened it; nobody else may use it. By
    /// name, because a renewed token proves the same caller anew.
    pub principal: Arc<str>,
    /// The client's `capabilities`, as it wrote them.
    pub capabilities: Bytes,
    /// The client's `clientInfo`, as it wrote it.
    pub client_info: Option<Bytes>,
    /// Tells this session's upstream sessions from those of others.
    pub key: u128,
    /// Its requests that are not answered yet.
    pub in_flight: InFlight,
    last_used: AtomicU64,
}

/// What a handshake agreed on.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// See [`Session`].
    pub version: Version,
    /// See [`Session`].
    pub principal: Arc<str>,
    /// See [`Session`].
    pub capabilities: Bytes,
    /// See [`Session`].
    pub client_info: Option<Bytes>,
}

/// All open sessions, bounded.
#[derive(Debug)]
pub struct Sessions {
    open: Cache<Arc<str>, Arc<Session>, Share>,
    started: Instant,
}

/// What a session takes of the room there is: one, and one for each KiB that
/// it keeps. So the room is a bound to memory, whatever clients say of
/// themselves.
#[derive(Clone, Debug)]
struct Share;

// === impl Session ===

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its id lets the same principal act in it, so it stays out of logs.
        f.debug_struct("Session").field("version", &self.version).finish_non_exhaustive()
    }
}

// === impl Sessions ===

impl Sessions {
    /// No session yet; room for `capacity`.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let room = u64::try_from(capacity).unwrap_or(u64::MAX);
        Self { open: Cache::with_weighter(capacity, room, Share), started: Instant::now() }
    }

    /// Opens a session.
    pub fn open(&self, agreement: Agreement) -> Arc<Session> {
        let random = uuid::Uuid::new_v4();
        let id: Arc<str> = random.simple().to_string().into();
        let session = Arc::new(Session {
            id: Arc::clone(&id),
            version: agreement.version,
            principal: agreement.principal,
            capabilities: agreement.capabilities,
            client_info: agreement.client_info,
            key: random.as_u128(),
            in_flight: InFlight::default(),
            last_used: AtomicU64::new(self.now()),
        });
        self.open.insert(id, Arc::clone(&session));
        session
    }

    /// The session of this id, if it is open and belongs to the principal.
    pub fn get(&self, id: &str, principal: &str) -> Option<Arc<Session>> {
        let session = self.open.get(id).filter(|session| *session.principal == *principal)?;
        session.last_used.store(self.now(), Ordering::Relaxed);
        Some(session)
    }

    /// Ends a session; `None` if there is none that belongs to the principal.
    pub fn end(&self, id: &str, principal: &str) -> Option<Arc<Session>> {
        self.get(id, principal)?;
        self.open.remove(id).map(|(_, session)| session)
    }

    /// Ends the sessions that were idle for `timeout` and says how many are open.
    pub fn sweep(&self, timeout: Duration) -> usize {
        let oldest = self.now().saturating_sub(timeout.as_secs());
        self.open.retain(|_, session| session.last_used.load(Ordering::Relaxed) >= oldest);
        self.open.len()
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Seconds since the table was made.
    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

// === impl Share ===

impl Weighter<Arc<str>, Arc<Session>> for Share {
    fn weight(&self, _: &Arc<str>, session: &Arc<Session>) -> u64 {
        let kept = session.capabilities.len() + session.client_info.as_ref().map_or(0, Bytes::len);
        u64::try_from(1 + kept / 1024).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(principal: &str) -> Agreement {
        Agreement {
            version: Version::NEWEST_LEGACY,
            principal: principal.into(),
            capabilities: Bytes::new(),
            client_info: None,
        }
    }

    #[test]
    fn a_session_is_its_principals_alone() {
        let sessions = Sessions::new(10);
        let id = sessions.open(agreement("alice")).id.clone();
        assert!(sessions.get(&id, "alice").is_some());
        assert!(sessions.get(&id, "bob").is_none());
        assert!(sessions.end(&id, "bob").is_none());
        assert!(sessions.end(&id, "alice").is_some());
        assert!(sessions.get(&id, "alice").is_none());
    }

    #[test]
    fn a_flood_of_sessions_stays_within_bounds() {
        let sessions = Sessions::new(100);
        for _ in 0..10_000 {
            sessions.open(agreement("alice"));
        }
        assert!(sessions.len() <= 100);
    }

    #[test]
    fn sessions_that_keep_much_are_fewer() {
        let sessions = Sessions::new(90);
        let much = Bytes::from(vec![b' '; MAX_KEPT_BYTES]);
        for _ in 0..1_000 {
            let (capabilities, client_info) = (much.clone(), Some(much.clone()));
            sessions.open(Agreement { capabilities, client_info, ..agreement("alice") });
        }
        assert!((1..=10).contains(&sessions.len()), "{} are open", sessions.len());
    }

    #[tokio::test(start_paused = true)]
    async fn only_idle_sessions_are_swept() {
        let sessions = Sessions::new(10);
        let idle = sessions.open(agreement("alice")).id.clone();
        let busy = sessions.open(agreement("alice")).id.clone();
        tokio::time::advance(Duration::from_secs(40)).await;
        sessions.get(&busy, "alice").unwrap();
        assert_eq!(sessions.sweep(Duration::from_secs(30)), 1);
        assert!(sessions.get(&idle, "alice").is_none());
    }
}

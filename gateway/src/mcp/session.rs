//! Sessions of clients that began with `initialize`.
//!
//! A session is what a handshake agreed on, bound to the principal that made
//! it and to the path it was made at. Its id is the agreement itself, sealed:
//! a process that does not have the session makes it again from its id. So a
//! session outlives a restart, and any replica serves it. Ids never prove who
//! is calling.

mod ended;
mod made;
mod token;

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::ended::Ended;
use self::made::Made;
use self::token::Opened;
use super::asks::{Asks, MAX_OPEN};
use super::capabilities::Capabilities;
use super::changes::Moment;
use super::in_flight::InFlight;
use super::log_level::Threshold;
use super::outbox::Outbox;
use super::streams::Streams;
use super::subscriptions::Subscriptions;
use super::version::Version;
use crate::seal::{KeyRing, UnixSeconds};

/// Sessions kept in all; beyond them the least used make room. One that keeps
/// much of its client counts as several.
pub const MAX_SESSIONS: usize = 100_000;
/// A session that is not used for so long is kept no longer.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// What a session keeps of its client, at most, in each of two parts.
pub const MAX_KEPT_BYTES: usize = 4 * 1024;

/// One client's session.
pub struct Session {
    /// `Mcp-Session-Id`.
    pub id: Arc<str>,
    /// Tells this session's upstream sessions from those of others.
    pub key: u128,
    /// The revision agreed on.
    pub version: Version,
    /// The name of the principal that opened it; nobody else may use it. By
    /// name, because a renewed token proves the same caller anew.
    pub principal: Arc<str>,
    /// The one upstream it was opened at; it is of no use at another path.
    pub server: Option<Arc<str>>,
    /// The replica that it belongs to, where that is another process.
    home: Option<Arc<str>>,
    /// The client's `capabilities`, as it wrote them.
    pub capabilities: Bytes,
    /// What of them says what it can be asked.
    pub abilities: Capabilities,
    /// The client's `clientInfo`, as it wrote it.
    pub client_info: Option<Bytes>,
    /// What it is being asked.
    pub asks: Asks,
    /// What it wants to hear of upstreams' logs.
    pub level: Threshold,
    /// The tasks it made.
    pub tasks: Made,
    /// Its requests that are not answered yet.
    pub in_flight: InFlight,
    /// What waits for its client.
    outbox: OnceLock<Arc<Outbox>>,
    /// What its client subscribed to.
    subscriptions: OnceLock<Arc<Subscriptions>>,
    streams: Arc<Streams>,
    /// Its client knows of no change before.
    opened: Moment,
    last_used: AtomicU64,
}

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// See [`Session`].
    pub version: Version,
    /// See [`Session`].
    pub principal: Arc<str>,
    /// See [`Session`].
    pub server: Option<Arc<str>>,
    /// See [`Session`].
    pub capabilities: Bytes,
    /// See [`Session`].
    pub client_info: Option<Bytes>,
}

/// Who asks for a session, and where.
#[derive(Clone, Copy, Debug)]
pub struct Bearer<'a> {
    /// The name of the principal.
    pub principal: &'a str,
    /// The one upstream that the path names.
    pub server: Option<&'a str>,
}

/// The sessions that are kept here, bounded.
#[derive(Debug)]
pub struct Sessions {
    keys: Arc<KeyRing>,
    open: Cache<Arc<str>, Arc<Session>, Share>,
    ended: Ended,
    streams: Arc<Streams>,
    /// Room for questions to all clients together.
    questions: Arc<Semaphore>,
    started: Instant,
}

/// What a session takes of the room there is: one, and one for each KiB that
/// it keeps. So the room is a bound to memory, whatever clients say of
/// themselves.
#[derive(Clone, Debug)]
struct Share;

// === impl Session ===

impl Session {
    /// What waits for its client, made when it is first needed.
    pub fn outbox(&self) -> &Arc<Outbox> {
        self.outbox.get_or_init(|| Arc::new(Outbox::new(Arc::clone(&self.streams), self.opened)))
    }

    /// What its client subscribed to, made when it is first needed.
    pub fn subscriptions(&self) -> &Arc<Subscriptions> {
        self.subscriptions.get_or_init(Arc::default)
    }

    /// Whether its streams begin with an event that says nothing, and answers
    /// can be taken up again: clients of earlier revisions take the one for a
    /// message and do not know the other.
    #[must_use]
    pub const fn is_primed(&self) -> bool {
        matches!(self.version, Version::V2025_11_25)
    }

    /// Whether it may be used by this bearer.
    fn is_of(&self, bearer: Bearer<'_>) -> bool {
        *self.principal == *bearer.principal && self.server.as_deref() == bearer.server
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its id lets the same principal act in it, so it stays out of logs.
        f.debug_struct("Session").field("version", &self.version).finish_non_exhaustive()
    }
}

// === impl Sessions ===

impl Sessions {
    /// No session yet; room for `capacity`. Ids are sealed with `keys`.
    #[must_use]
    pub fn new(capacity: usize, keys: Arc<KeyRing>) -> Self {
        let room = u64::try_from(capacity).unwrap_or(u64::MAX);
        Self {
            keys,
            open: Cache::with_weighter(capacity, room, Share),
            ended: Ended::default(),
            streams: Arc::default(),
            questions: Arc::new(Semaphore::new(MAX_OPEN)),
            started: Instant::now(),
        }
    }

    /// What ids are sealed with, for whatever else clients keep for us.
    #[must_use]
    pub const fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// What bounds the streams of all sessions.
    #[must_use]
    pub const fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    /// Opens a session.
    pub fn open(&self, agreement: Agreement) -> Arc<Session> {
        let key = uuid::Uuid::new_v4().as_u128();
        let id: Arc<str> = token::seal(&self.keys, key, &agreement, UnixSeconds::now()).into();
        let session = self.session(Arc::clone(&id), key, agreement, None, Moment::now());
        self.open.insert(id, Arc::clone(&session));
        session
    }

    /// The session of this id, if it is the bearer's and has not ended.
    pub fn get(&self, id: &str, bearer: Bearer<'_>) -> Option<Arc<Session>> {
        let session = match self.open.get(id) {
            Some(session) => session.is_of(bearer).then_some(session)?,
            None => self.open_again(id, bearer, UnixSeconds::now())?,
        };
        session.last_used.store(self.now(), Ordering::Relaxed);
        Some(session)
    }

    /// The replica that a session belongs to, where that is another process.
    #[must_use]
    pub fn elsewhere(&self, id: &str, bearer: Bearer<'_>) -> Option<Arc<str>> {
        let own = self.keys.home()?;
        let home = match self.open.get(id) {
            Some(session) => session.home.clone().filter(|_| session.is_of(bearer)),
            None => {
                let opened = token::open(&self.keys, bearer, id, UnixSeconds::now())?;
                opened.home.filter(|_| !self.ended.has(opened.key))
            }
        };
        home.filter(|home| home != own)
    }

    /// Makes a session again that was opened elsewhere, or before it was
    /// forgotten here.
    fn open_again(&self, id: &str, bearer: Bearer<'_>, now: UnixSeconds) -> Option<Arc<Session>> {
        let Opened { key, agreement, home } = token::open(&self.keys, bearer, id, now)?;
        let agreement = agreement?;
        if self.ended.has(key) {
            return None;
        }
        let (id, home): (Arc<str>, _) = (id.into(), home.filter(|home| self.keys.home() != Some(home)));
        // Of two requests that bring it at the same time, both get the same.
        let again = || Ok::<_, Infallible>(self.session(Arc::clone(&id), key, agreement, home, Moment::BEGINNING));
        let Ok(session) = self.open.get_or_insert_with(&id, again);
        if self.ended.has(key) {
            // It was ended while it was made.
            self.open.remove(&id);
            return None;
        }
        Some(session)
    }

    fn session(
        &self,
        id: Arc<str>,
        key: u128,
        agreement: Agreement,
        home: Option<Arc<str>>,
        opened: Moment,
    ) -> Arc<Session> {
        Arc::new(Session {
            id,
            key,
            version: agreement.version,
            principal: agreement.principal,
            server: agreement.server,
            home,
            abilities: std::str::from_utf8(&agreement.capabilities)
                .map_or(Capabilities::NONE, Capabilities::read)
                .known_to(agreement.version),
            asks: Asks::new(Arc::clone(&self.questions)),
            level: Threshold::default(),
            tasks: Made::default(),
            capabilities: agreement.capabilities,
            client_info: agreement.client_info,
            in_flight: InFlight::default(),
            outbox: OnceLock::new(),
            subscriptions: OnceLock::new(),
            streams: Arc::clone(&self.streams),
            opened,
            last_used: AtomicU64::new(self.now()),
        })
    }

    /// Ends a session; `None` if there is none that is the bearer's.
    pub fn end(&self, id: &str, bearer: Bearer<'_>) -> Option<Arc<Session>> {
        let session = self.get(id, bearer)?;
        // First, so that it is not made again.
        self.ended.add(session.key, UnixSeconds::now() + token::LIFETIME);
        self.open.remove(id);
        session.outbox.get().iter().for_each(|outbox| outbox.end());
        session.subscriptions.get().iter().for_each(|subscriptions| subscriptions.release_all());
        Some(session)
    }

    /// Forgets the sessions that were idle for `timeout`, save those that a
    /// request still holds, and says how many are kept.
    pub fn sweep(&self, timeout: Duration) -> usize {
        let oldest = self.now().saturating_sub(timeout.as_secs());
        let is_idle = |session: &Session| session.last_used.load(Ordering::Relaxed) < oldest;
        self.open.retain(|_, session| {
            session.outbox.get().iter().for_each(|outbox| outbox.sweep());
            Arc::strong_count(session) > 1 || !is_idle(session)
        });
        self.ended.sweep(UnixSeconds::now());
        self.open.len()
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is kept.
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
    fn weight(&self, id: &Arc<str>, session: &Arc<Session>) -> u64 {
        let kept = session.capabilities.len() + session.client_info.as_ref().map_or(0, Bytes::len);
        u64::try_from(1 + (id.len() + kept) / 1024).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
impl Sessions {
    /// As [`Sessions::new`], with a key that nobody else has.
    pub(crate) fn for_tests(capacity: usize) -> Self {
        Self::new(capacity, Arc::new(KeyRing::new().expect("random numbers")))
    }
}

#[cfg(test)]
mod tests;

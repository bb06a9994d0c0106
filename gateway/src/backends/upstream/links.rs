//! The agreements with one upstream: its era, and the sessions that callers
//! have there when it wants a handshake.
//!
//! Sessions hold what a server keeps about its client, so they are not shared
//! between callers: each client session has its own, as has each principal
//! that calls without one. Servers that mint no session id keep nothing, and
//! one agreement serves all, save over a pipe: there each client that can be
//! asked has one [of its own](super::pipes).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::handshake;
use super::introduction::Introduction;
use super::link::Link;
use super::pipes::{Pipes, Unagreed};
use super::single_flight::SingleFlight;
use crate::backends::offer::Offer;
use crate::backends::transport::{Messages, Transport, TransportError};
use crate::mcp::capabilities::Capabilities;
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;

/// Sessions kept at one upstream; beyond them the least used make room.
const MAX_SESSIONS: usize = 10_000;
/// A session that no call used for so long is ended.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// A server with a handshake is asked so often whether it still needs one.
const REPROBE_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Sessions that are ended at the same time.
const ENDING_AT_ONCE: usize = 16;

/// Whose session a call runs in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SessionKey {
    /// That of a client session.
    Client(u128),
    /// That of a principal who calls without a session, with a client of these
    /// abilities.
    Pool { principal: Arc<str>, abilities: Capabilities },
    /// The gateway's, to see what clients of these abilities see.
    Listing(Capabilities),
    /// One for this call alone: nobody can be told from anybody.
    Fresh,
}

#[derive(Debug)]
pub(super) struct Links {
    transport: Arc<dyn Transport>,
    ids: AtomicU64,
    /// The first agreement: it tells the era, and is the gateway's own session.
    own: ArcSwapOption<Link>,
    /// What the server said of itself last.
    offer: ArcSwapOption<Offer>,
    agreeing: SingleFlight,
    /// When the era was last asked for, in seconds since `started`.
    probed: AtomicU64,
    sessions: Cache<SessionKey, Arc<Kept>>,
    pipes: Pipes,
    started: Instant,
}

#[derive(Debug)]
struct Kept {
    link: Arc<Link>,
    last_used: AtomicU64,
}

// === impl SessionKey ===

impl SessionKey {
    /// That of a request whose client can be asked what `abilities` say.
    pub(super) fn of(request: &McpRequest, abilities: Capabilities) -> Self {
        match &request.session {
            Some(session) => Self::Client(session.key),
            // Callers without a credential cannot be told from each other.
            None if request.principal.name() == "anonymous" => Self::Fresh,
            None => Self::Pool { principal: request.principal.shared_name(), abilities },
        }
    }
}

// === impl Links ===

impl Links {
    pub(super) fn new(upstream: Arc<str>, transport: Arc<dyn Transport>) -> Self {
        Self {
            pipes: Pipes::new(upstream),
            transport,
            ids: AtomicU64::new(1),
            own: ArcSwapOption::empty(),
            offer: ArcSwapOption::empty(),
            agreeing: SingleFlight::default(),
            probed: AtomicU64::new(0),
            sessions: Cache::new(MAX_SESSIONS),
            started: Instant::now(),
        }
    }

    /// An id that no other request to this upstream has.
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// The gateway's own agreement, made if there is none.
    pub(super) async fn own(&self, deadline: Instant) -> Result<Arc<Link>, TransportError> {
        let agree = async {
            let next_id = || self.next_id();
            let link = Arc::new(handshake::agree(&self.transport, &next_id, deadline).await?);
            tracing::debug!(era = ?link.era, version = ?link.footing.version, "agreed with the upstream");
            self.probed.store(self.now(), Ordering::Relaxed);
            self.offer.store(Some(Arc::clone(&link.offer)));
            self.own.store(Some(Arc::clone(&link)));
            Ok(link)
        };
        self.agreeing.run(deadline, || self.own.load_full(), agree).await
    }

    /// Asks the server anew of which era it is; says whether it is another
    /// than that of `link`, so that nothing agreed on holds any more.
    pub(super) async fn era_changed(&self, link: &Arc<Link>, deadline: Instant) -> bool {
        if self.transport.is_pipe() {
            // One process does not change; a new one is a new connection.
            return false;
        }
        self.probed.store(self.now(), Ordering::Relaxed);
        let probe_link = handshake::modern_link(&self.transport, link.connection);
        let probed = handshake::probe(&probe_link, self.next_id(), deadline).await;
        let changed = probed.is_ok_and(|probed| probed.era() != link.era);
        if changed && self.own.load().as_ref().is_none_or(|own| own.era == link.era) {
            self.forget_all();
        }
        changed
    }

    /// Notices servers that were replaced by stateless ones that still take
    /// handshakes.
    pub(super) async fn reprobe(&self, deadline: Instant) {
        let due = self.probed.load(Ordering::Relaxed) + REPROBE_INTERVAL.as_secs() <= self.now();
        if let Some(own) = self.own.load_full().filter(|own| due && own.era == Era::Legacy) {
            self.era_changed(&own, deadline).await;
        }
    }

    /// What the server said of itself last.
    pub(super) fn offer(&self) -> Option<Arc<Offer>> {
        self.offer.load_full()
    }

    /// The gateway's own agreement, if there is one.
    pub(super) fn known(&self) -> Option<Arc<Link>> {
        self.own.load_full()
    }

    /// The agreement under which a caller's request is sent, where there is
    /// one already.
    pub(super) fn ready(&self, key: &SessionKey, abilities: Capabilities) -> Option<Arc<Link>> {
        let own = self.own.load();
        // A client's own pipe does not depend on that of the others.
        let Some(own) = own.as_ref() else { return self.pipes.ready(key) };
        // Who can be asked something says so in a handshake of its own.
        if own.era == Era::Modern || own.footing.session.is_none() && abilities.is_empty() {
            return Some(Arc::clone(own));
        }
        let Some(kept) = self.sessions.get(key) else { return self.pipes.ready(key) };
        kept.last_used.store(self.now(), Ordering::Relaxed);
        Some(Arc::clone(&kept.link))
    }

    /// The same, made if there is none.
    pub(super) async fn of(
        &self,
        key: &SessionKey,
        introduction: &Introduction,
        deadline: Instant,
    ) -> Result<Arc<Link>, Unagreed> {
        let own = self.own(deadline).await?;
        match self.opened(key, &own, introduction, deadline).await {
            // A server that became one of the other era knows no handshake.
            Err(Unagreed { error: TransportError::Status(400..=405), .. })
                if self.era_changed(&own, deadline).await =>
            {
                let own = self.own(deadline).await?;
                self.opened(key, &own, introduction, deadline).await
            }
            opened => opened,
        }
    }

    /// The agreement of this key; a session or a pipe is opened if there is none.
    async fn opened(
        &self,
        key: &SessionKey,
        own: &Arc<Link>,
        introduction: &Introduction,
        deadline: Instant,
    ) -> Result<Arc<Link>, Unagreed> {
        if let Some(link) = self.ready(key, introduction.abilities()) {
            return Ok(link);
        }
        if self.transport.is_pipe() {
            return self.pipes.agree(key, own, introduction, self.next_id(), deadline).await;
        }
        if *key == SessionKey::Fresh {
            return Ok(self.open(introduction, deadline).await?);
        }
        let open = self.sessions.get_or_insert_async(key, async {
            let link = self.open(introduction, deadline).await?;
            Ok::<_, TransportError>(Arc::new(Kept { link, last_used: AtomicU64::new(self.now()) }))
        });
        Ok(Arc::clone(&open.await?.link))
    }

    /// The agreement under which the gateway looks at what clients of these
    /// abilities see.
    pub(super) async fn listing(
        &self,
        abilities: Capabilities,
        deadline: Instant,
    ) -> Result<Arc<Link>, TransportError> {
        if abilities.is_empty() {
            return self.own(deadline).await;
        }
        let listing = self.of(&SessionKey::Listing(abilities), &Introduction::pooled(abilities), deadline).await;
        listing.map_err(|unagreed| unagreed.error)
    }

    async fn open(&self, introduction: &Introduction, deadline: Instant) -> Result<Arc<Link>, TransportError> {
        handshake::initialize(&self.transport, self.next_id(), introduction, deadline).await.map(Arc::new)
    }

    /// Hears what the server says of its own accord to the session of this key.
    ///
    /// # Errors
    ///
    /// Those of the [`Transport`].
    pub(super) async fn listen(&self, key: &SessionKey, link: &Arc<Link>) -> Result<Messages, TransportError> {
        let messages = self.transport.listen(link.headers()).await;
        if matches!(messages, Err(TransportError::SessionLost)) {
            self.forget(key, link);
        }
        messages
    }

    /// Tells the server that the roots of a client session changed, if that
    /// has a session there.
    pub(super) async fn roots_changed(&self, client: u128) {
        if let Some(link) = self.kept(&SessionKey::Client(client)) {
            let body = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#);
            // A server that is away asks again when it is back.
            let _ = link.notify(body).await;
        }
    }

    /// The agreement that is kept for these, if there is one.
    pub(super) fn kept(&self, key: &SessionKey) -> Option<Arc<Link>> {
        let kept = self.sessions.get(key).inspect(|kept| kept.last_used.store(self.now(), Ordering::Relaxed));
        kept.map(|kept| Arc::clone(&kept.link)).or_else(|| self.pipes.ready(key))
    }

    /// The agreement of this mark, if there still is one: the gateway's own, or
    /// that which is kept for these.
    pub(super) fn marked(&self, key: &SessionKey, mark: u128) -> Option<Arc<Link>> {
        [self.known(), self.kept(key)].into_iter().flatten().find(|link| link.mark == Some(mark))
    }

    /// Forgets an agreement that the server no longer honours. Another that
    /// has taken its place meanwhile stays.
    pub(super) fn forget(&self, key: &SessionKey, link: &Arc<Link>) {
        if link.is_alone() {
            return self.pipes.forget(key, link);
        }
        self.sessions.remove_if(key, |kept| Arc::ptr_eq(&kept.link, link));
        let own = self.own.load_full();
        if own.is_some_and(|own| Arc::ptr_eq(&own, link)) {
            self.own.store(None);
        }
    }

    /// Forgets everything that all share: the connection it was agreed over is
    /// gone, or the server seems to have become another one.
    pub(super) fn forget_all(&self) {
        self.own.store(None);
        self.sessions.clear();
    }

    /// Ends a client session's session here, and its pipe, if it has any.
    pub(super) async fn end_kept(&self, client: u128) {
        let key = SessionKey::Client(client);
        self.pipes.end(&key);
        if let Some((_, kept)) = self.sessions.remove(&key) {
            kept.link.end().await;
        }
    }

    /// Ends the sessions and pipes that no call used for a while.
    pub(super) async fn sweep(&self) {
        let oldest = self.now().saturating_sub(IDLE_TIMEOUT.as_secs());
        // A session that somebody listens to is used.
        let is_idle =
            |kept: &Kept| kept.last_used.load(Ordering::Relaxed) < oldest && Arc::strong_count(&kept.link) == 1;
        let idle: Vec<_> = self.sessions.iter().filter(|(_, kept)| is_idle(kept)).collect();
        let mut ended = Vec::new();
        for (key, kept) in idle {
            if self.sessions.remove_if(&key, |kept| is_idle(kept)).is_some() {
                ended.push(Arc::clone(&kept.link));
            }
        }
        tokio::join!(self.end_each(ended), self.pipes.sweep());
    }

    /// Ends every session and pipe, as a good client does when it leaves.
    pub(super) async fn end_all(&self) {
        let kept = self.sessions.iter().map(|(_, kept)| Arc::clone(&kept.link));
        let open: Vec<_> = kept.chain(self.own.swap(None)).collect();
        self.sessions.clear();
        tokio::join!(self.end_each(open), self.pipes.end_all());
    }

    async fn end_each(&self, links: Vec<Arc<Link>>) {
        let ending = |link: Arc<Link>| async move { link.end().await };
        stream::iter(links).for_each_concurrent(ENDING_AT_ONCE, ending).await;
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

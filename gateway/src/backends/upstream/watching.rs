//! The stream of one client's own session at a server with a handshake: what
//! the server says to that client beside its answers.
//!
//! It is opened where the client has such a stream itself or has subscribed to
//! something, and ends with the client's session.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, sleep_until, timeout_at};

use super::asking::Asking;
use super::introduction::Introduction;
use super::link::Link;
use super::links::SessionKey;
use super::subscribers::Subscribers;
use super::{Shared, asked};
use crate::backends::transport::{Messages, TransportError};
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::capabilities::{Capabilities, Question};
use crate::mcp::session::Session;
use crate::mcp::splice::Edits;
use crate::mcp::update::{self, Update};
use crate::mcp::version::Era;

/// Such streams of one upstream at a time.
const MAX_WATCHES: usize = 4096;
/// How long a call waits for what its server says beside it to be heard.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long agreeing may take.
const AGREE_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that offers no stream is asked again after this.
const RETRY: Duration = Duration::from_secs(300);
/// A stream that ended is opened again after this.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether the client's session is still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// One client's stream.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) key: SessionKey,
    pub(super) subscribers: Subscribers,
    /// What the server is told that the client can be asked.
    abilities: Capabilities,
    /// The client's session, which need not be kept for this.
    session: Weak<Session>,
    /// Whether opening it was tried once.
    tried: watch::Sender<bool>,
}

/// All of one upstream, by the keys of the clients' sessions.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<HashMap<u128, (Arc<Watch>, AbortHandle)>>);

// === impl Watches ===

impl Watches {
    /// That of a client's session, opened if it is not; `None` if there are too
    /// many. The server is told that the client can be asked what `abilities`
    /// say.
    pub(super) fn of(
        &self,
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        abilities: Capabilities,
    ) -> Option<Arc<Watch>> {
        let mut all = self.all();
        if let Some((watch, task)) = all.get(&session.key) {
            if watch.session.as_ptr() == Arc::as_ptr(session) {
                return Some(Arc::clone(watch));
            }
            // Of a session that was forgotten, and made again from its id.
            task.abort();
            all.remove(&session.key);
        }
        if all.len() >= MAX_WATCHES || shared.retired.load(Ordering::Relaxed) {
            return None;
        }
        let watch = Arc::new(Watch {
            key: SessionKey::Client(session.key),
            subscribers: Subscribers::default(),
            abilities,
            session: Arc::downgrade(session),
            tried: watch::Sender::new(false),
        });
        let (shared, key, running) = (Arc::downgrade(shared), session.key, Arc::clone(&watch));
        let task = tokio::spawn(async move {
            running.run(&shared).await;
            if let Some(shared) = shared.upgrade() {
                shared.watches.all().retain(|other, (watch, _)| *other != key || !Arc::ptr_eq(watch, &running));
            }
        });
        all.insert(session.key, (Arc::clone(&watch), task.abort_handle()));
        Some(watch)
    }

    /// That of a client's session, if it is open.
    pub(super) fn known(&self, session: u128) -> Option<Arc<Watch>> {
        self.all().get(&session).map(|(watch, _)| Arc::clone(watch))
    }

    /// Ends that of a client's session.
    pub(super) fn end(&self, session: u128) {
        let ended = self.all().remove(&session);
        ended.iter().for_each(|(_, task)| task.abort());
    }

    /// Ends all of them.
    pub(super) fn end_all(&self) {
        let ended = std::mem::take(&mut *self.all());
        ended.values().for_each(|(_, task)| task.abort());
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u128, (Arc<Watch>, AbortHandle)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Shared ===

impl Shared {
    /// Hears what a server says to a client's own session beside its answers,
    /// where there is one and the client hears it; what it says from now on,
    /// once this returns.
    pub(super) async fn watch(self: &Arc<Self>, session: &Arc<Session>, link: &Link, deadline: Instant) {
        let is_own = link.era == Era::Legacy && link.footing.session.is_some() && !self.transport.is_pipe();
        if is_own && session.outbox().is_read() {
            let watch = self.watches.of(self, session, self.answering(session.abilities));
            if let Some(watch) = watch.filter(|_| link.offer.has("logging")) {
                watch.ready(deadline.min(Instant::now() + READY_TIMEOUT)).await;
            }
        }
    }

    /// The client of a session has begun to listen.
    pub(super) async fn listened_to(self: &Arc<Self>, session: &Arc<Session>) {
        if let Some(link) = self.links.kept(&SessionKey::Client(session.key)) {
            self.watch(session, &link, Instant::now()).await;
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Waits until what the server says from now on is heard, if it can be.
    pub(super) async fn ready(&self, deadline: Instant) {
        let mut tried = self.tried.subscribe();
        // Whoever cannot wait misses what is said meanwhile.
        let _ = timeout_at(deadline, tried.wait_for(|tried| *tried)).await;
    }

    /// Whether somebody would hear it.
    fn is_wanted(&self) -> bool {
        self.session.upgrade().is_some_and(|session| session.outbox().is_read() || !self.subscribers.is_empty())
    }

    /// Runs until nobody would hear it, or the upstream is gone.
    async fn run(&self, shared: &Weak<Shared>) {
        let mut was_heard = false;
        // What it was made for may be about to come.
        while self.is_wanted() || !*self.tried.borrow() {
            let Some(shared) = shared.upgrade() else { return };
            let opened = self.open(&shared).await;
            self.tried.send_replace(true);
            let pause = match opened {
                Ok((link, messages)) => {
                    if std::mem::replace(&mut was_heard, true) {
                        self.subscribers.tell_all();
                    }
                    self.hear_all(&shared, &link, messages).await;
                    PAUSE
                }
                Err(TransportError::Status(_) | TransportError::Garbage(_)) => RETRY,
                Err(_) => PAUSE,
            };
            let pause = pause.max(shared.circuit.retry_after());
            drop(shared);
            let end = Instant::now() + pause;
            while Instant::now() < end && self.is_wanted() {
                sleep_until(end.min(Instant::now() + LOOK_INTERVAL)).await;
            }
        }
    }

    /// What was agreed on in the client's name.
    pub(super) async fn link(&self, shared: &Shared, deadline: Instant) -> Result<Arc<Link>, TransportError> {
        let session = self.session.upgrade();
        let session =
            session.ok_or_else(|| TransportError::Unreachable("the client's session has ended".to_owned()))?;
        let agreed = shared.links.of(&self.key, &Introduction::of_session(session, self.abilities), deadline).await;
        agreed.map_err(|unagreed| unagreed.error)
    }

    async fn open(&self, shared: &Shared) -> Result<(Arc<Link>, Messages), TransportError> {
        let unknown = |error: TransportError| TransportError::Unreachable(error.cause());
        let link = self.link(shared, Instant::now() + AGREE_TIMEOUT).await.map_err(unknown)?;
        let messages = shared.links.listen(&self.key, &link).await?;
        Ok((link, messages))
    }

    async fn hear_all(&self, shared: &Shared, link: &Arc<Link>, mut messages: Messages) {
        let (mut asking, mut look) = (Asking::default(), interval(LOOK_INTERVAL));
        // At first there is nothing to be seen yet.
        look.reset();
        let renewed = shared.keep_renewed(&self.subscribers, link);
        tokio::pin!(renewed);
        loop {
            tokio::select! {
                message = messages.next() => {
                    let Some(Ok(message)) = message else { return };
                    let Ok(message) = UpstreamMessage::scan(message) else { continue };
                    let Some(session) = self.session.upgrade() else { return };
                    if let Some(answer) = self.hear(shared, &session, &mut asking, &message) {
                        link.reply(answer).await;
                    }
                }
                answer = asking.answer() => {
                    link.reply(answer).await;
                }
                _ = look.tick() => {
                    if !self.is_wanted() {
                        return;
                    }
                }
                () = &mut renewed => {}
            }
        }
    }

    /// Takes in a message; what it says at once to a server that asks.
    fn hear(
        &self,
        shared: &Shared,
        session: &Session,
        asking: &mut Asking,
        message: &UpstreamMessage,
    ) -> Option<Bytes> {
        match &message.kind {
            UpstreamKind::Notification { method, params, .. } => {
                let wants = |params| session.level.get().is_none_or(|level| level.admits(params));
                match (method.as_str(), params) {
                    (update::METHOD, Some(params)) => {
                        Update::read(message, *params).iter().for_each(|update| self.subscribers.tell(update));
                    }
                    ("notifications/message", params) if !wants(params.map(|params| message.text(params))) => {}
                    ("notifications/message" | "notifications/elicitation/complete", _) => {
                        // A client that does not read hears no more.
                        let _ = session.outbox().push(message.whole.as_bytes().clone());
                    }
                    (other, _) => {
                        shared.catalogs.hear(other);
                    }
                }
                None
            }
            UpstreamKind::Request { id, method, params } => {
                let question = Question::of(method, params.map(|params| message.text(params)));
                let can = question.is_some_and(|question| session.abilities.can(question));
                let refused = || Some(asked::answer(message.text(*id), method));
                // Who does not listen cannot be asked.
                if !can || asking.is_full() || !session.outbox().is_read() {
                    return refused();
                }
                let put = asking.put(session, message, *id, &Edits::new());
                let pushed = put.is_some_and(|question| session.outbox().push(question).is_ok());
                if pushed { None } else { refused() }
            }
            UpstreamKind::Result { .. } | UpstreamKind::Error { .. } => None,
        }
    }
}
